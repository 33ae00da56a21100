"""Codes of reasons: each is defined once, with its meaning, and the reference holds all that the program can emit."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from environments.codes import CODES, About
from environments.reason import Reason
from scheduler.commands import reference
from scheduler.journal.kinds import KINDS
from scheduler.model.actions import ACTIONS, Drain, PowerOff, host_of
from scheduler.show.sources_view import SOURCE_STATES

ROOT = Path(__file__).parents[2]
COMPUTED = {
    "environments/reason.py": set(),
    "scheduler/decide/boots.py: want.purpose": {"minimum", "spare", "canary"},
    "scheduler/decide/ending.py: removed.code": {"batch-removed"},
    "scheduler/decide/explain.py: first.code": set(),
    "scheduler/decide/explain.py: reason.code": set(),
    "scheduler/decide/explain.py: status": {"completed", "removed"},
    "scheduler/decide/health.py: codes[0]": {"breaker-open", "host-breaker-open"},
    "scheduler/decide/health.py: codes[1]": {"breaker-probing", "host-breaker-probing"},
    "scheduler/decide/idleness.py: cause": {"idle", "drift", "surplus"},
    "scheduler/decide/reclaim.py: cause": {"reclaim", "surplus"},
    "scheduler/decide/retirement.py: cause": {"black-hole", "host-drain", "unwanted", "lifetime"},
    "scheduler/decide/shortage.py: code": {"hosts-closed", "hosts-silent", "no-host"},
    "scheduler/decide/trust.py: code": {"host-drain", "host-draining"},
    "scheduler/decide/verdicts.py: code": {"share", "below-guarantee"},
    "scheduler/decide/worker_story.py: against.code": set(),
}
"""Codes that are no literals where a reason is made: all that they can be; nothing where they are another reason's."""
COMPUTED_CAUSES = {
    "state",
    "illegal-step",
    "status",
    "incident",
    "notice",
    "exclusion",
    "correction",
    "downtime",
    "watch",
    "domain",
    "publication",
}
FOLDERS = ("environments", "scheduler", "connectors", "simulations")


def calls(*names):
    """Every call of these names in the program: where, and its arguments."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                    yield path.relative_to(ROOT).as_posix(), node


def literals(node):
    """The texts that an expression can be, or None."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {node.value}
    if isinstance(node, ast.IfExp):
        both = literals(node.body), literals(node.orelse)
        return None if None in both else both[0] | both[1]
    return None


@cache
def emitted():
    """Every code that a reason or an explanation is made with, and where."""
    found = {}
    for path, node in calls("Reason", "Explanation"):
        if node.func.id == "Explanation" and path != "scheduler/decide/explain.py":
            continue
        argument = node.args[0 if node.func.id == "Reason" else 1]
        texts = literals(argument)
        where = f"{path}: {ast.unparse(argument)}"
        if texts is None:
            assert where in COMPUTED, f"{path}:{node.lineno}: which codes can {ast.unparse(argument)} be? Say it in COMPUTED"
            texts = COMPUTED[where]
        for text in texts - {""}:
            found[text] = f"{path}:{node.lineno}"
    return found


def test_every_code_that_is_used_is_defined():
    unknown = {code: where for code, where in emitted().items() if code not in CODES}
    assert not unknown, f"define them in environments/codes.py: {unknown}"


def test_every_code_that_is_defined_is_used():
    drains = {"by-hand", "another-chosen"}
    assert set(CODES) - set(emitted()) - drains == set()


NOTHING_DECIDED = {"zero-jobs-zero-workers"}


@pytest.mark.parametrize("log", sorted((ROOT / "simulations" / "scenarios").glob("*/log.expect")), ids=lambda p: p.parent.name)
def test_every_code_that_a_scenario_shows_is_defined(log):
    shown = set()
    for line in log.read_text().splitlines():
        if line.split()[1] in {"plan", "why"}:
            shown |= set(re.findall(r" \[([a-z-]+)\]", line))
    assert shown or log.parent.name in NOTHING_DECIDED
    assert shown - set(CODES) == set()


def test_a_meaning_is_one_plain_sentence_and_somebody_can_do_something():
    for code, defined in CODES.items():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code), code
        assert re.fullmatch(r"[A-Z][^|\n]*\.", defined.meaning), code
        assert defined.to_do, code


def test_every_state_of_a_source_is_defined():
    found = set()
    for _, node in calls("SourceRow"):
        for text in literals(node.args[3]) or {"silent", "suspect", "ok"}:
            found.add(text)
    assert found == set(SOURCE_STATES)


def test_every_line_of_the_event_log_is_defined():
    found = set()
    for path, node in calls("Note"):
        kinds = literals(node.args[0])
        if kinds is None:
            continue
        found |= kinds
        for kind in kinds:
            assert kind in KINDS, f"{path}:{node.lineno}: define {kind} in scheduler/journal/kinds.py"
            causes = literals(node.args[2])
            if causes is None:
                assert kind in COMPUTED_CAUSES or KINDS[kind].free, f"{path}:{node.lineno}"
            else:
                assert KINDS[kind].free or causes <= set(KINDS[kind].causes), f"{path}:{node.lineno}: {causes}"
    assert len(found) > 20


def test_the_reference_holds_every_code_every_state_and_every_kind_of_line():
    page = reference.codes()
    for code in CODES:
        assert f"| `{code}` |" in page
    for state in SOURCE_STATES:
        assert f"| {state} |" in page
    for kind in KINDS:
        assert f"| `{kind}` |" in page
    assert all(f"## {about.value}" in page for about in About)


def test_every_kind_of_action_has_its_own_word_and_says_what_is_ordered():
    assert len({one.kind.code for one in ACTIONS}) == len(ACTIONS) == 7
    action = PowerOff("el9-1", "h1", Reason("idle", "it has been idle"))
    assert (action.kind.code, action.kind.verb, host_of(action)) == ("power-off", "power off", "h1")
    assert action.kind.order.format(one=action) == "power off el9-1 on h1"
    assert host_of(Drain("el9-1", "idle", Reason("idle", "it has been idle"))) == ""
    assert {f"{one.kind.code}-{step}" for one in ACTIONS for step in ("begun", "ended")} <= KINDS.keys()

"""Truth tables of groups: what the rules say of them, and what is refused when one is loaded."""

import itertools
import json

import numpy as np
import pytest

from environments.problems import ConfigurationError
from scheduler.availability.history import Operator, Status
from scheduler.availability.timelines import algebra
from scheduler.availability.timelines.algebra import DOWNTIME, STATES

AND, OR = Operator.AND, Operator.OR
NAMES = {code: name for name, code in STATES.items()}
STATE_LIST = ["OK", "WARNING", "UNKNOWN", "MISSING", "CRITICAL", "DOWNTIME"]


def profile(**operations):
    """Write an operations profile in the form of ARGO's web API."""
    written = {"name": "ours", "available_states": STATE_LIST, "defaults": {"down": "DOWNTIME"}}
    written["operations"] = [
        {"name": name, "truth_table": [{"a": a, "b": b, "x": x} for a, b, x in rows]} for name, rows in operations.items()
    ]
    return written


def strongest(*order):
    """Rows of a table in which the earlier of two statuses wins."""
    return [(a, b, min(a, b, key=order.index)) for a, b in itertools.combinations_with_replacement(STATE_LIST, 2)]


SOUND = strongest("CRITICAL", "DOWNTIME", "MISSING", "UNKNOWN", "WARNING", "OK")


@pytest.mark.parametrize(
    ("operator", "a", "b", "expected"),
    [
        (OR, "UNKNOWN", "CRITICAL", "UNKNOWN"),
        (AND, "UNKNOWN", "CRITICAL", "CRITICAL"),
        (OR, "OK", "UNKNOWN", "OK"),
        (AND, "OK", "UNKNOWN", "UNKNOWN"),
        (OR, "MISSING", "CRITICAL", "MISSING"),
        (AND, "MISSING", "CRITICAL", "CRITICAL"),
        (OR, "OK", "MISSING", "OK"),
        (OR, "WARNING", "CRITICAL", "WARNING"),
        (AND, "WARNING", "OK", "WARNING"),
        (OR, "WARNING", "UNKNOWN", "WARNING"),
        (OR, "DOWNTIME", "CRITICAL", "CRITICAL"),
        (AND, "DOWNTIME", "OK", "DOWNTIME"),
        (OR, "DOWNTIME", "OK", "OK"),
    ],
)
def test_kleene_says_what_the_rules_say(operator, a, b, expected):
    table = algebra.table(algebra.load("kleene"), operator)
    assert NAMES[int(table[STATES[a], STATES[b]])] == NAMES[int(table[STATES[b], STATES[a]])] == expected


@pytest.mark.parametrize("operator", [AND, OR])
def test_kleene_is_the_strong_three_valued_logic_of_true_false_and_either(operator):
    """A status is the set of truths it may stand for; the table must give the set of all outcomes."""
    truths = {Status.OK: {True}, Status.WARNING: {True}, Status.CRITICAL: {False}}
    truths |= {Status.UNKNOWN: {True, False}, Status.MISSING: {True, False}}
    table, combine = algebra.table(algebra.load("kleene"), operator), {AND: min, OR: max}[operator]
    for a, b in itertools.product(Status, repeat=2):
        assert truths[Status(int(table[a, b]))] == {combine(p, q) for p in truths[a] for q in truths[b]}, (a, b)


@pytest.mark.parametrize("name", algebra.shipped())
def test_every_shipped_table_is_symmetric_and_a_status_with_itself_is_itself(name):
    shipped = algebra.load(name)
    assert shipped.name == name
    assert shipped.source
    for operator in (AND, OR):
        table = algebra.table(shipped, operator)
        assert table.shape == (6, 6)
        assert table.dtype == np.int8
        assert (table == table.T).all()
        assert (table.diagonal() == np.arange(6)).all()
        assert algebra.is_associative(table) or shipped.fold
        assert not table.flags.writeable


def test_a_name_alone_means_the_newest_version():
    assert algebra.load("argo") is not None
    assert algebra.load("argo").name == "argo-2"
    assert algebra.load("kleene").name == "kleene-1"


def test_the_published_argo_tables_differ_where_argo_changed_its_mind():
    engine_test, engine, present = (algebra.load(f"argo-{version}") for version in range(3))
    assert (algebra.table(engine, AND) == algebra.table(present, AND)).all()
    changed = {
        (int(a), int(b)) for a, b in zip(*np.nonzero(algebra.table(engine, OR) != algebra.table(present, OR)), strict=True)
    }
    assert changed == {(Status.MISSING, DOWNTIME), (DOWNTIME, Status.MISSING)}
    for operator in (AND, OR):
        assert algebra.table(engine_test, operator)[Status.CRITICAL, DOWNTIME] == DOWNTIME
        assert algebra.table(engine, operator)[Status.CRITICAL, DOWNTIME] == Status.CRITICAL
    assert algebra.table(engine, OR)[Status.MISSING, DOWNTIME] == Status.MISSING
    assert algebra.table(present, OR)[Status.MISSING, DOWNTIME] == DOWNTIME
    assert algebra.table(present, OR)[Status.UNKNOWN, Status.CRITICAL] == Status.CRITICAL


def test_the_oldest_argo_table_is_not_associative_and_says_how_it_is_folded():
    oldest = algebra.load("argo-0")
    table = algebra.table(oldest, OR)
    assert not algebra.is_associative(table)
    left = table[table[Status.UNKNOWN, Status.CRITICAL], DOWNTIME]
    right = table[Status.UNKNOWN, table[Status.CRITICAL, DOWNTIME]]
    assert (left, right) == (DOWNTIME, Status.UNKNOWN)
    assert "left to right" in oldest.fold


def test_an_operations_profile_is_read_as_argo_serves_it():
    answer = {"status": {"message": "Success", "code": "200"}, "data": [profile(AND=SOUND, OR=SOUND)]}
    read = algebra.read(json.dumps(answer), "answer.json")
    assert read.name == "ours"
    assert algebra.table(read, OR)[Status.OK, Status.CRITICAL] == Status.CRITICAL


def test_the_older_form_of_the_compute_engine_is_read_too():
    rows = [{"A": a, "B": b, "X": x} for a, b, x in SOUND]
    old = {"states": STATE_LIST, "default_down": "DOWNTIME", "operations": {"AND": rows, "OR": rows}}
    read = algebra.read(json.dumps(old), "conf/EGI_ops.json")
    assert read.name == "EGI_ops"
    assert algebra.table(read, AND)[DOWNTIME, Status.MISSING] == DOWNTIME


def refused(written):
    with pytest.raises(ConfigurationError) as caught:
        algebra.read(json.dumps(written, indent=1), "ops.json")
    return caught.value.problems


def test_a_table_that_is_not_associative_is_refused_unless_it_says_how_it_is_folded():
    rows = [("CRITICAL", "DOWNTIME", "OK") if row[:2] == ("CRITICAL", "DOWNTIME") else row for row in SOUND]
    written = profile(AND=rows, OR=SOUND)
    (problem,) = refused(written)
    assert "AND is not associative" in problem.message
    assert problem.line > 1
    assert algebra.read(json.dumps(written | {"fold": "by name"}), "ops.json").fold == "by name"


def test_a_misspelt_status_is_named_with_its_line_and_the_nearest_one():
    rows = [("OK", "WARNIGN", "OK"), *SOUND]
    (problem,) = refused(profile(AND=rows, OR=SOUND))
    assert problem.nearest == "WARNING"
    assert problem.key == "operations[0].truth_table[0].b"


def test_a_missing_row_a_contradiction_and_a_missing_operation_are_refused():
    assert "lacks OK, OK" in refused(profile(AND=SOUND[1:], OR=SOUND))[0].message
    assert "otherwise than a row above" in refused(profile(AND=[*SOUND, ("OK", "OK", "CRITICAL")], OR=SOUND))[0].message
    assert "OR lacks" in refused(profile(AND=SOUND))[0].message
    bare = {"operations": [{"name": "AND", "truth_table": [{"a": "OK", "b": "OK"}]}]}
    assert any("lacks x" in problem.message for problem in refused(profile(AND=SOUND) | bare))


def test_a_profile_without_downtime_is_refused():
    (problem,) = refused(profile(AND=SOUND, OR=SOUND) | {"available_states": STATE_LIST[:-1]})
    assert "lacks DOWNTIME" in problem.message


def test_an_unknown_algebra_names_the_nearest():
    with pytest.raises(ConfigurationError, match="did you mean kleene-1"):
        algebra.load("kleen")

"""The house: each foreign library has one door, the clock and randomness too. The order of the rooms stands in `.importlinter`."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("environments", "scheduler", "connectors", "simulations")
DOORS = {
    "htcondor2": "connectors/htcondor",
    "classad2": "connectors/htcondor",
    "libvirt": "connectors/libvirt",
    "apprise": "connectors/notify",
    "dns": "connectors/discovery/dns",
    "sqlalchemy": "scheduler/journal",
    "alembic": "scheduler/journal",
    "yaml": ("environments/reader", "environments/writer"),
    "apscheduler": "scheduler/daemon/calendar",
    "subprocess": ("connectors/command", "scheduler/publish/apart"),
    "typer": ("scheduler/commands", "simulations/cli", "simulations/demo"),
    "prometheus_client": "scheduler/daemon",
    "confusable_homoglyphs": "environments/identity",
    "uvicorn": "scheduler/daemon",
    "starlette": "scheduler/daemon",
    "anyio": "scheduler/daemon/web",
    "h11": "scheduler/daemon/connections",
    "numpy": ("scheduler/availability", "scheduler/oncall/standing", "scheduler/journal/histories"),
    "dateutil": "scheduler/availability/timelines/downtimes",
    "icalendar": (
        "scheduler/availability/files/calendars",
        "scheduler/availability/files/calendar_times",
    ),
    "recurring_ical_events": "scheduler/availability/files/calendars",
    "defusedxml": "scheduler/availability/files/imports",
    "jinja2": "scheduler/publish",
    "vl_convert": "scheduler/publish/native",
    "weasyprint": "scheduler/publish/native",
}
FORBIDDEN_CALLS = {"datetime.now", "datetime.utcnow", "date.today", "uuid.uuid4", "uuid.uuid1", "time.time", "time.sleep"}
READS_THE_CLOCK = ("scheduler/model/clock.py", "connectors/")
RUNTIME_RANDOM = {"random.random", "random.randint", "random.choice", "random.uniform", "random.gauss", "random.shuffle"}


def files():
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT)


def imports(path):
    tree = ast.parse((ROOT / path).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield node.module, node.lineno
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


@pytest.mark.parametrize("path", list(files()), ids=str)
def test_each_foreign_library_has_one_door(path):
    for name, line in imports(path):
        doors = DOORS.get(name.split(".")[0])
        if doors is None or (name.split(".")[0] in {"alembic", "sqlalchemy"} and "migrations" in path.parts):
            continue
        doors = (doors,) if isinstance(doors, str) else doors
        assert path.as_posix().startswith(tuple(doors)), f"{path}:{line}: {name} has its door in {doors}"


@pytest.mark.parametrize("path", list(files()), ids=str)
def test_clock_and_chance_come_in_by_the_front_door(path):
    if path.as_posix().startswith(READS_THE_CLOCK):
        return
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            short = ".".join(called.split(".")[-2:])
            assert short not in FORBIDDEN_CALLS | RUNTIME_RANDOM, f"{path}:{node.lineno}: {called}()"


@pytest.mark.parametrize("package", PACKAGES)
def test_an_init_file_holds_one_docstring_and_nothing_else(package):
    for path in (ROOT / package).rglob("__init__.py"):
        body = ast.parse(path.read_text()).body
        one_docstring = len(body) == 1 and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
        assert one_docstring or _is_connector_facade(path), path


def _is_connector_facade(path):
    """A connector that outgrew one file keeps its entry point: its `__init__` may re-export `connect` and `hooks`."""
    body = ast.parse(path.read_text()).body
    return path.parent.parent.name == "connectors" and all(
        isinstance(node, (ast.Expr, ast.ImportFrom, ast.Assign)) for node in body
    )


def test_there_are_no_import_circles():
    graph = {}
    modules = {".".join(path.with_suffix("").parts): path for path in files()}
    for module, path in modules.items():
        graph[module] = {name for name, _ in imports(path) if name in modules and name != module}
    done, stack = set(), []

    def visit(module):
        assert module not in stack, " -> ".join([*stack[stack.index(module) :], module])
        if module not in done:
            stack.append(module)
            for imported in sorted(graph[module]):
                visit(imported)
            stack.pop()
            done.add(module)

    for module in graph:
        visit(module)


def test_every_package_is_shipped():
    shipped = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    present = {".".join(path.parent.parts) for path in files() if path.name == "__init__.py"}
    assert present == shipped


def test_no_file_outgrows_a_head():
    long = {str(path): count for path in files() if (count := len((ROOT / path).read_text().splitlines())) > 420}
    assert not long, long


def test_seconds_become_microseconds_in_one_place():
    """A conversion made by hand truncates one day; only sizes and counts may be written with so many zeros."""
    owner, told = Path("scheduler/model/instants.py"), {}
    for path in files():
        source = (ROOT / path).read_text()
        for node in ast.walk(ast.parse(source)) if path.parts[0] == "scheduler" and path != owner else ():
            by = (node.left, node.right) if isinstance(node, ast.BinOp) else ()
            scaled = any(isinstance(one, ast.Constant) and one.value == 1_000_000 for one in by)
            rounded = isinstance(node, ast.Call) and ast.unparse(node.func) in {"round", "int"}
            by_hand = rounded and re.search(r"\* (\w+\.)?SECOND\)$", ast.unparse(node))
            if scaled or by_hand or (isinstance(node, ast.Attribute) and node.attr == "fromtimestamp"):
                told.setdefault(str(path), []).append(node.lineno)
    assert told == {}


def test_no_two_files_of_tests_have_one_name():
    """pytest imports them by their bare names."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert [name for name in set(names) if names.count(name) > 1] == []


def test_a_class_name_is_defined_once():
    """One meaning for a word, wherever it is read."""
    defined = {}
    for path in (*files(), *(path.relative_to(ROOT) for path in (ROOT / "tests/lab").rglob("*.py"))):
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, ast.ClassDef):
                defined.setdefault(node.name, []).append(str(path))
    assert len(defined) > 500
    assert {name: paths for name, paths in defined.items() if len(paths) > 1} == {}


FOREIGN_PRIVATE = {"_exit", "_protected_args"}
"""Of the standard library and of typer, which have no other name for it."""
POKES_YET = {"tests/pure/test_daemon_loop.py"}
"""The ticker of the daemon has no door of its own for what these tests do to it."""


def test_tests_go_through_public_doors():
    """A private member may change with its file; who needs it has found a door that is missing."""
    told = set()
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names, owner = [], ""
            if isinstance(node, ast.Attribute):
                names, owner = [node.attr], ast.unparse(node.value)
            elif isinstance(node, ast.ImportFrom):
                names = [alias.name for alias in node.names]
            told |= {
                path.relative_to(ROOT).as_posix()
                for name in names
                if re.match(r"_[a-z]", name) and owner not in {"self", "cls", "super()"} and name not in FOREIGN_PRIVATE
            }
    assert told == POKES_YET

"""The house rules that a program can check (docs/development/architecture.md)."""

import ast
import re
from pathlib import Path

import pytest

from mixedfx._lazy import HIGHER, higher
from tests.structure import FILES, FLOOR, module_of, nodes_of, numbers, parsed, room_of

# What ``python -m tests.structure`` prints may fall, never rise but for the files of a new kind of model: lower these
# with the code.
CEILINGS = {
    "files": 400,
    "files that one other imports": 110,
    "modules in import cycles": 0,
    "type questions above fitting": 1,
    "assert isinstance": 0,
    "fit.fit": 0,
    "questions behind the face": 0,
    "longest file": 600,
}


@pytest.fixture(scope="module")
def counted():
    return numbers()


def imports(path):
    """Yield (module, node) for every import that is run; relative ones are refused."""
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module_of(path)}, line {node.lineno}: write the whole name of the module"
            whole = node.module == "mixedfx"
            yield from ((f"mixedfx.{alias.name}", node) for alias in node.names) if whole else ((node.module, node),)


def violations(path):
    """Imports of a higher floor or of a neighbour."""
    room, at_import = room_of(path), {id(node) for node in parsed(path).body}
    for module, node in imports(path):
        first, _, rest = module.partition(".")
        target = rest.partition(".")[0] or "__init__"
        lazy = id(node) not in at_import
        if first == "matplotlib" and not (room == "plots" and lazy):
            yield f"{path.name}:{node.lineno} imports matplotlib: only plots may, inside a function"
        if first == "mixedfx" and target != room and FLOOR[target] >= FLOOR[room]:
            yield f"{path.name}:{node.lineno} ({room}) imports {target}"


def test_every_room_has_a_floor():
    assert {room_of(path) for path in FILES} <= set(FLOOR)


def test_rooms_import_only_lower_floors_or_themselves():
    assert [message for path in FILES for message in violations(path)] == []


@pytest.mark.parametrize("name", HIGHER)
def test_what_methods_call_on_higher_floors_is_there(name):
    assert callable(higher(name))


def test_a_method_that_calls_a_higher_floor_does_nothing_else():
    call = re.compile(r"\b(?:higher|asked)\(['\"](\w+)['\"]\)")
    asking = [
        (f"{module_of(path)}.{function.name}", function)
        for path in FILES
        if room_of(path) != "_lazy" and call.search(path.read_text(encoding="utf-8"))
        for function in nodes_of(path)
        if isinstance(function, ast.FunctionDef) and call.search(ast.unparse(function))
    ]
    assert [name for name, function in asking if len(without_docstring(function)) > 2] == []
    assert set(HIGHER) - {name for _, function in asking for name in call.findall(ast.unparse(function))} == set()


def test_the_files_that_the_pages_for_developers_name_are_there():
    root = Path(__file__).parents[1]
    pages = [*root.glob("docs/development/**/*.md"), root / ".github" / "SECURITY.md", root / "tests" / "README.md"]
    named = [
        (page.name, path)
        for page in pages
        for path in re.findall(r"`((?:mixedfx|tests|benchmarks|docs|\.ci|\.github)/[\w./-]*)`", page.read_text("utf-8"))
    ]
    named += [
        (page.name, f"mixedfx/{module.replace('.', '/')}.py")
        for page in pages
        for module in re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)`", page.read_text("utf-8"))
        if module.partition(".")[0] in FLOOR
    ]
    assert [(page, path) for page, path in named if not (root / path).exists()] == []


def without_docstring(function):
    return function.body[ast.get_docstring(function) is not None :]


@pytest.mark.parametrize("name", CEILINGS)
def test_the_house_does_not_grow(counted, name):
    assert counted[name] <= CEILINGS[name], "python -m tests.structure says where"


def test_the_heavy_tests_that_are_listed_are_there():
    root = Path(__file__).parents[1]
    listed = (root / "tests" / "heavy.txt").read_text(encoding="utf-8").splitlines()
    asked = {tuple(line.partition("[")[0].split("::")) for line in listed}
    assert listed == sorted(set(listed))
    assert [place for place in asked if f"def {place[1]}(" not in (root / place[0]).read_text(encoding="utf-8")] == []

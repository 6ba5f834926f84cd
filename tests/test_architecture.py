"""The import floors: a room imports only lower floors or itself (docs/development/architecture.md)."""

import ast
from pathlib import Path

import mixedfx

PACKAGE = Path(mixedfx.__file__).parent
FLOORS = [
    {"_lazy", "_typing", "exceptions"},
    {"_arguments", "_suggestions"},
    {"formula", "covariance", "linalg", "families", "optimize", "datasets", "_display"},
    {"matrices"},
    {"criterion"},
    {"fitting", "scale"},
    {"inference"},
    {"results"},
    {"models"},
    {"analysis_of_variance", "marginal_means", "diagnostics"},
    {"explanation", "plots"},
    {"__init__"},
    {"__main__"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def walk(node):
    """Every node below, but for what only type checkers see."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield child
            yield from walk(child)


def imports(tree):
    """Yield (module, node) for every import that is run; relative ones are refused."""
    for node in walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write the whole name of the module"
            whole = node.module == "mixedfx"
            yield from ((f"mixedfx.{alias.name}", node) for alias in node.names) if whole else ((node.module, node),)


def violations(path):
    """Imports of a higher floor or of a neighbour, but for a lazy import of plots inside a function."""
    tree, room = ast.parse(path.read_text(encoding="utf-8")), room_of(path)
    at_import = {id(node) for node in tree.body}
    for module, node in imports(tree):
        first, _, rest = module.partition(".")
        target = rest.partition(".")[0] or "__init__"
        lazy = id(node) not in at_import
        if first == "matplotlib" and not (room == "plots" and lazy):
            yield f"{path.name}:{node.lineno} imports matplotlib: only plots may, inside a function"
        if first == "mixedfx" and target != room and FLOOR[target] >= FLOOR[room] and not (target == "plots" and lazy):
            yield f"{path.name}:{node.lineno} ({room}) imports {target}"


def test_every_room_has_a_floor():
    assert {room_of(path) for path in FILES} <= set(FLOOR)


def test_rooms_import_only_lower_floors_or_themselves():
    assert [message for path in FILES for message in violations(path)] == []

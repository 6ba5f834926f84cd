"""The house as numbers: ``python -m tests.structure`` prints them, ``test_architecture.py`` holds them to ceilings.

A file imports another where Python runs the import, at the top or inside a function. What stands under
``if TYPE_CHECKING:`` is for type checkers and does not count, nor does the folder that is loaded on the way.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import mixedfx
from mixedfx._lazy import HIGHER
from mixedfx.fitting import Fit

PACKAGE = Path(mixedfx.__file__).parent
FLOORS = [
    {"_lazy", "_typing", "exceptions"},
    {"_suggestions"},
    {"_arguments", "_libraries", "calculus"},
    {"_progress", "covariance"},
    {"formula", "linalg", "families", "optimize", "datasets", "_display", "_workers"},
    {"matrices"},
    {"criterion"},
    {"fitting", "scale"},
    {"inference"},
    {"results"},
    {"models"},
    {
        *("analysis_of_variance", "marginal_means", "diagnostics", "deconvolution", "graphs", "programs", "planning"),
        "measurement",
    },
    {"explanation", "plots"},
    {"__init__"},
    {"command"},
    {"__main__"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(PACKAGE.rglob("*.py"))

# Names of classes that say what kind of fit, evaluation, problem or family one holds.
KINDS = ("Results", "Fit", "Evaluation", "Problem", "Model", "Criterion")


def room_of(path: Path) -> str:
    """The room of a file: the folder or module of the package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def module_of(path: Path) -> str:
    """The dotted name of a file, a folder's own name for its ``__init__``."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def nodes_of(path: Path) -> list[ast.AST]:
    """Every node of a file, but for what only type checkers see."""
    nodes: list[ast.AST] = []
    _collect(parsed(path), nodes)
    return nodes


def _collect(node: ast.AST, nodes: list[ast.AST]) -> None:
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING"):
            nodes.append(child)
            _collect(child, nodes)


# --------------------------------------------------------------------------- who imports whom
def edges() -> dict[str, set[str]]:
    """The modules that every module imports, those of the package alone."""
    known = {module_of(path) for path in FILES}
    return {module_of(path): set(_imported(path, known)) - {module_of(path)} for path in FILES}


def _imported(path: Path, known: set[str]) -> Iterator[str]:
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in known else node.module


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules in which each imports each other, by some way (Tarjan's strong components)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(module: str) -> None:
        number[module] = low[module] = len(number)
        stack.append(module)
        for other in sorted(graph[module]):
            if other not in number:
                visit(other)
            if other in stack:
                low[module] = min(low[module], low[other])
        if low[module] == number[module]:
            at = stack.index(module)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for module in sorted(graph):
        if module not in number:
            visit(module)
    return found


def imported_once(graph: dict[str, set[str]]) -> dict[str, str]:
    """The modules that exactly one other imports, each with that one; ``__init__`` files and doors do not count."""
    importers: dict[str, list[str]] = {}
    for module, others in graph.items():
        for other in others:
            importers.setdefault(other, []).append(module)
    doors = {f"mixedfx.{home}" for home in (*mixedfx._HOME.values(), *HIGHER.values())}
    folders = {module_of(path) for path in FILES if path.name == "__init__.py"}
    return {m: by[0] for m, by in sorted(importers.items()) if len(by) == 1 and m not in doors | folders}


# --------------------------------------------------------------------------- who asks which class it holds
def kinds() -> set[str]:
    """Names of the classes of results, fits, evaluations, problems, models and families."""
    defined = {node.name: node for path in FILES for node in nodes_of(path) if isinstance(node, ast.ClassDef)}
    named = {name for name in defined if name.endswith(KINDS)}
    families = {"Family"}
    while True:
        further = {
            name
            for name, node in defined.items()
            if name not in families and any(ast.unparse(base) in families for base in node.bases)
        }
        if not further:
            return named | families
        families |= further


def above_fitting(path: Path) -> bool:
    return FLOOR[room_of(path)] > FLOOR["fitting"]


def questions() -> list[str]:
    """Where a room above ``fitting`` asks for the class of a fit, a result, an evaluation, a problem or a family."""
    asked = kinds()
    return [
        f"{path.relative_to(PACKAGE)}:{node.lineno}  {ast.unparse(node)[:120].splitlines()[0]}"
        for path in FILES
        if above_fitting(path)
        for node in nodes_of(path)
        if _names(node) & asked
    ]


def _names(node: ast.AST) -> set[str]:
    """The classes that a type question names: ``isinstance``, ``issubclass``, ``type(x) is``, ``case Class()``."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass") and len(node.args) == 2:
        return _identifiers(node.args[1])
    if isinstance(node, ast.Compare) and ast.unparse(node.left).startswith("type("):
        return set().union(*map(_identifiers, node.comparators))
    if isinstance(node, ast.MatchClass):
        return _identifiers(node.cls)
    return set()


def _identifiers(node: ast.AST) -> set[str]:
    nodes = list(ast.walk(node))
    return {n.id for n in nodes if isinstance(n, ast.Name)} | {n.attr for n in nodes if isinstance(n, ast.Attribute)}


def assertions() -> list[str]:
    """Where ``assert isinstance`` stands."""
    return [
        f"{path.relative_to(PACKAGE)}:{node.lineno}  {ast.unparse(node)[:120]}"
        for path in FILES
        for node in nodes_of(path)
        if isinstance(node, ast.Assert) and "isinstance(" in ast.unparse(node.test)
    ]


def chains() -> list[str]:
    """Where ``fit.fit`` stands."""
    return [
        f"{path.relative_to(PACKAGE)}:{number}  {line.strip()[:120]}"
        for path in FILES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for _ in re.findall(r"\bfit\.fit\b(?!\()", line)
    ]


def behind() -> list[str]:
    """Where a room above ``fitting`` takes from a fit what only some kinds of fit have.

    Results may: ``self.solution`` is of the kind that they are made for.
    """
    return [
        f"{path.relative_to(PACKAGE)}:{node.lineno}  {ast.unparse(node)[:120]}"
        for path in FILES
        if above_fitting(path)
        for node in nodes_of(path)
        if isinstance(node, ast.Attribute)
        and ast.unparse(node.value).endswith(".solution")
        and ast.unparse(node.value) != "self.solution"
        and not hasattr(Fit, node.attr)
        and node.attr not in Fit.__annotations__
    ]


# --------------------------------------------------------------------------- the numbers
def numbers() -> dict[str, int]:
    """What ``CEILINGS`` in ``test_architecture.py`` bounds."""
    graph = edges()
    return {
        "files": len(FILES),
        "files that one other imports": len(imported_once(graph)),
        "modules in import cycles": sum(map(len, cycles(graph))),
        "type questions above fitting": len(questions()),
        "assert isinstance": len(assertions()),
        "fit.fit": len(chains()),
        "questions behind the face": len(behind()),
        "longest file": max(len(path.read_text(encoding="utf-8").splitlines()) for path in FILES),
    }


def main() -> None:
    """Print the numbers and what they count."""
    graph = edges()
    print("files by room:", *(f"{room} {n}" for room, n in sorted(Counter(map(room_of, FILES)).items())), sep="\n  ")
    print("\nimported by one other:", *(f"{m}  <- {by}" for m, by in imported_once(graph).items()), sep="\n  ")
    print("\nimport cycles:", *(" ".join(group) for group in cycles(graph)), sep="\n  ")
    print("\ntype questions above fitting:", *questions(), sep="\n  ")
    print("\nassert isinstance:", *assertions(), sep="\n  ")
    print("\nfit.fit:", *chains(), sep="\n  ")
    print("\nquestions behind the face:", *behind(), sep="\n  ")
    print("\nnumbers:", *(f"{name}: {n}" for name, n in numbers().items()), sep="\n  ")


if __name__ == "__main__":
    main()

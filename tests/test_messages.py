"""Every error and warning: its class, the culprit that it names, and the remedy. The guide lists them all."""

import ast
import re
import sys
import traceback
import warnings
from functools import cache
from pathlib import Path

import pytest

import mixedfx as mfx
from tests.messages import (
    core,
    covariance,
    deconvolution,
    design,
    errors_in_variables,
    families,
    graphs,
    hierarchical,
    marginal_means,
    planning,
    plots,
    programs,
    residuals,
    results,
    smooths,
    storage,
    sums,
    variance,
    warned,
)
from tests.messages.helpers import Case
from tests.structure import FILES, nodes_of

ROOT = Path(mfx.__file__).parent
PAGE = Path(__file__).parent.parent / "docs" / "guide" / "messages.md"
MODULES = (
    core,
    covariance,
    deconvolution,
    design,
    errors_in_variables,
    families,
    graphs,
    hierarchical,
    marginal_means,
    planning,
    plots,
    programs,
    residuals,
    results,
    smooths,
    storage,
    sums,
    variance,
)
ERRORS: dict[str, Case] = {
    f"{module.__name__.rpartition('.')[2]}: {name}": case for module in MODULES for name, case in module.CASES.items()
}
OURS = ("SpecificationError", "DataError")
WARNINGS: dict[str, Case] = warned.CASES


# Raises that the cases do not reach, by the reason: (file, words of the line).
REASONS: dict[str, tuple[tuple[str, str], ...]] = {
    "An earlier check says the same with more context; this one guards other callers.": (
        ("covariance/known.py", "must be a square matrix"),
        ("covariance/known.py", "has repeated labels"),
        ("covariance/residual/columns.py", "needs the column"),
        ("covariance/residual/columns.py", "missing values"),
        ("families/base.py", "has no categories"),
        ("matrices/columns.py", "self.labels.levels"),
        ("matrices/evaluate.py", "is not allowed in a formula"),
        ("matrices/evaluate.py", "is not a function that a formula may use"),
        ("matrices/evaluate.py", "is text, not a column"),
        ("matrices/labels.py", "cannot be ordered or hashed"),
        ("matrices/evaluate.py", "does not take these arguments"),
        ("matrices/response.py", "unknown kind of response"),
        ("matrices/transforms.py", "DataError(str(error))"),
        ("fitting/integrators.py", "quadrature takes at most"),
        ("models/identifiable.py", "observations cannot identify"),
        ("results/adapters.py", "does not keep the columns"),
        ("plots/engine.py", "no covariance parameters"),
        ("plots/pooling.py", "no random effects"),
        ("diagnostics/residuals.py", "at most"),
        ("families/base.py", "has no categories"),
    ),
    "Needs a large model; the test of its own room makes one.": (
        ("analysis_of_variance/components/batches.py", "are more than"),
        ("analysis_of_variance/strata/projections.py", "is not orthogonal"),
        ("criterion/importance.py", "importance sampling"),
        ("criterion/problem.py", "the crossed grouping factors"),
        ("families/base.py", "has no categories"),
        ("inference/marginal_blocks.py", "blocks of correlated rows"),
        ("fitting/errors.py", "is too large a matrix"),
        ("fitting/errors.py", "rows or levels at a time"),
        ("fitting/without.py", "influence would take"),
        ("plots/engine.py", "more than can be seen"),
        ("plots/engine.py", "the surface takes"),
        ("results/prediction.py", "simulated, row by row"),
        ("results/effects.py", "are factored"),
        ("diagnostics/serial.py", "give smaller groups"),
    ),
    "Needs new rows with a residual structure; the tests of residual structures ask for them directly.": (
        ("covariance/residual/columns.py", "unknown to the fitted residual structure"),
        ("covariance/residual/markov.py", "not whole steps"),
        ("covariance/residual/pairs.py", "more than the"),
    ),
    "Needs arithmetic that breaks down, or Python's stack used up by the caller.": (
        ("fitting/linear_search.py", "cannot be computed"),
        ("fitting/mismeasured.py", "cannot be computed"),
        ("fitting/iterative_search.py", "cannot be computed"),
        ("formula/parse.py", "_TOO_DEEP"),
        ("matrices/fixed.py", "cannot be estimated from the clusters drawn"),
        ("results/ratio_bootstrap.py", "replicates failed"),
        ("plots/diagnostics.py", "nothing to draw"),
        ("diagnostics/variances.py", "leave nothing to test"),
    ),
    "For families that users write.": (
        ("families/base.py", "has no categories"),
        ("families/base.py", "no distribution function"),
        ("covariance/base.py", "lacks a method for the parameters"),
        ("results/simulation.py", "they draw nothing"),
    ),
}
# Warnings that the cases do not reach: arithmetic must break down for them.
SILENT = ("could not be followed to the end", "replicates failed, and are left out", "UNFINISHED")
UNREACHED = tuple(site for sites in REASONS.values() for site in sites)


@cache
def error_of(case: str) -> Exception:
    call, expected, _ = ERRORS[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        with pytest.raises(expected) as caught:
            call()
    return caught.value


@cache
def warning_of(case: str) -> tuple[warnings.WarningMessage, frozenset[tuple[str, int]]]:
    """The warning of a case, and the calls of ``warn`` that it ends in."""
    call, expected, _ = WARNINGS[case]
    sites = set()
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        told = warnings.warn

        def listen(message: str, category: type[Warning], stacklevel: int = 1) -> None:
            site = sys._getframe(2)
            sites.add((site.f_code.co_filename, site.f_lineno))
            told(message, category, stacklevel=stacklevel + 1)

        patch.setattr(mfx.exceptions.warnings, "warn", listen)
        call()
    (found,) = [w for w in caught if issubclass(w.category, expected)]
    return found, frozenset(sites)


@cache
def documented() -> list[tuple[str, ...]]:
    """The messages of the guide, each as the words that follow one another in it: ``…`` stands for what differs."""
    rows = re.findall(r"^\| `(.+?)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [tuple(row.replace("\\|", "|").split("…")) for row in rows]


def says(message: str, parts: tuple[str, ...]) -> bool:
    """Whether a message has the words of the guide, in their order."""
    start = 0
    for part in parts:
        start = message.find(part, start)
        if start < 0:
            return False
        start += len(part)
    return True


def raise_sites() -> list[tuple[str, int, int, str]]:
    """File, first line, last line and text of every raise of our errors."""
    sites = []
    for path in FILES:
        for node in nodes_of(path):
            call = node.exc if isinstance(node, ast.Raise) else None
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in OURS:
                sites.append((str(path), node.lineno, node.end_lineno or node.lineno, ast.unparse(call)))
    return sites


def places(error: BaseException | None) -> set[tuple[str, int]]:
    """Where an error passed through, with those that it came from."""
    found = set()
    while error is not None:
        found |= {(frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__)}
        error = error.__cause__ or error.__context__
    return found


def unreached() -> list[str]:
    """The raises that no case of this file ends in."""
    seen = set().union(*(places(error_of(case)) for case in ERRORS))
    return [
        f"{Path(path).relative_to(ROOT).as_posix()}:{first} {text}"
        for path, first, last, text in raise_sites()
        if not any((path, line) in seen for line in range(first, last + 1))
    ]


def is_listed(site: str) -> bool:
    return any(site.startswith(f"{path}:") and words in site for path, words in UNREACHED)


@pytest.mark.parametrize("case", ERRORS)
def test_error_names_the_culprit_and_the_remedy(case):
    error = error_of(case)
    assert [word for word in ERRORS[case][2] if word not in str(error)] == [], str(error)
    assert any(says(str(error), parts) for parts in documented()), str(error)


@pytest.mark.parametrize("case", WARNINGS)
def test_warning_names_the_culprit_and_the_remedy(case):
    found, _ = warning_of(case)
    assert all(word in str(found.message) for word in WARNINGS[case][2]), str(found.message)
    assert not found.filename.startswith(str(ROOT)), "the warning does not point to the caller's line"
    assert any(says(str(found.message), parts) for parts in documented()), str(found.message)


def test_every_warning_has_its_case():
    """A new call of ``warn`` needs a case in ``tests/messages/warned.py``, and a line in the guide."""
    seen = set().union(*(warning_of(case)[1] for case in WARNINGS))
    calls = [
        (str(path), node.lineno, node.end_lineno or node.lineno, ast.unparse(node))
        for path in FILES
        for node in nodes_of(path)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "warn"
    ]
    found = [
        f"{Path(path).relative_to(ROOT).as_posix()}: {text}"
        for path, first, last, text in calls
        if not any((path, line) in seen for line in range(first, last + 1))
    ]
    assert [text for text in found if not any(words in text for words in SILENT)] == []
    assert [words for words in SILENT if not any(words in text for text in found)] == []


def test_every_message_of_the_guide_exists():
    said = [str(error_of(case)) for case in ERRORS] + [str(warning_of(case)[0].message) for case in WARNINGS]
    assert ["…".join(parts) for parts in documented() if not any(says(message, parts) for message in said)] == []


def test_every_raise_has_its_case():
    """A new raise needs a case in ``tests/messages``, and a line in the guide."""
    found = unreached()
    assert [site for site in found if not is_listed(site)] == []
    assert [key for key in UNREACHED if not any(s.startswith(f"{key[0]}:") and key[1] in s for s in found)] == []


def test_warnings_go_through_one_function():
    """`mixedfx.exceptions.warn` finds the caller's line; nothing else warns."""
    direct = re.compile(r"warnings\.warn\(")
    files = [path for path in ROOT.rglob("*.py") if direct.search(path.read_text(encoding="utf-8"))]
    assert [path.name for path in files] == ["exceptions.py"]

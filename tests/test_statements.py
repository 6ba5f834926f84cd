"""What the text of the documentation says in numbers is shown, measured, cited or looked up; its fenced code runs."""

import importlib.util
import json
import re

import numpy as np
import pytest
from scipy import stats

import mixedfx as mfx
from benchmarks import report, scale
from mixedfx.criterion.problem import REMAINDERS
from mixedfx.deconvolution.deconvolve import LARGEST
from mixedfx.diagnostics import page as check_page
from mixedfx.diagnostics import patterns
from mixedfx.families import parameters
from mixedfx.fitting import integrators, monte_carlo
from mixedfx.formula import grammar, right_side, whitelist
from mixedfx.matrices import limits
from mixedfx.planning.power import FEW, LOOKED_AT, OFTEN
from mixedfx.plots import diagnostics, estimates
from mixedfx.results import prediction
from mixedfx.scale import pieces
from tests.statements import MEASURED, TITLE, Site, code, number_of, paragraphs, unshown
from tests.test_site import BUILT, DOCS, PAGES, built, name, text

OWN = {  # numbers that the package fixes: the words around them, with the number in parentheses, and where it is fixed
    "course/live-sampling": [(r"With (\S+) instead of the quantile of t", stats.norm.ppf(0.975))],
    "development/decisions/08-automatic-nodes": [(r"moves by less than (\S+);", integrators.SETTLED)],
    "formula": [
        (r"(\S+ \S+) characters", grammar.MAX_LENGTH),
        (r"(\d+) nested parentheses", grammar.MAX_DEPTH),
        (r"(\d+) fixed terms", right_side.MAX_FIXED),
        (r"\((\d+) from one expansion", right_side.MAX_TERMS),
        (r"interactions of (\d+) factors", right_side.MAX_ORDER),
        (r"(\d+) random terms", right_side.MAX_RANDOM),
        (r"(\d+) offsets", right_side.MAX_OFFSETS),
        (r"(\d+) covariance parameters", limits.MAX_PARAMETERS),
        (r"(\d+) GB for", limits.MAX_BYTES / 2**30),
        (r"exponents up to (\d+)", whitelist.MAX_EXPONENT),
        (r"(\d+) columns of a spline", whitelist.MAX_COUNT),
    ],
    "guide/big-data": [(r"(\d+ \d+) rows at a time", pieces.ROWS_OF_A_PIECE)],
    "guide/diagnostics": [
        (r"`\[look\]` below (\S+),", check_page.SUSPICIOUS),
        (r"within a ratio of (\S+),", patterns.UNEVEN),
        (r"with a parabola below (\S+)\)", patterns.BENT),
        (r"less than (\d+) % of the variance", 100 * check_page.RELIABLE),
    ],
    "guide/generalised": [
        (r"sought between (\S+) and 1e8", parameters.FEWEST_DF),
        (r"sought between 1 and ([\de]+)", parameters.MOST_DF),
        (r"sought between (1\.\S+) and", 1 + 1 / (1 + np.exp(-parameters.SMALLEST_POWER))),
        (r"and (1\.9\d+):", 1 + 1 / (1 + np.exp(-parameters.LARGEST_POWER))),
        (r"moves by less than (\S+)\. It needs", integrators.SETTLED),
        (r"quantiles of (\d+) simulated ones", prediction.DRAWS),
    ],
    "guide/iterative": [
        (r"exact up to (\d+ \d+)", REMAINDERS["auto"]),
        (r"starts with (\d+) probes", monte_carlo.FEWEST_PROBES),
        (r"or (\d+) are reached", monte_carlo.MOST_PROBES),
        (r"random sample of (\d+ \d+) rows", check_page.MOST_ROWS),
        (r"caterpillar of more than (\d+) levels", estimates.MOST_DRAWN),
        (r"shows the (\d+) at each end", estimates.SHOWN_EXTREMES),
        (r"of more than (\d+ \d+) rows are counted", diagnostics.MOST_POINTS),
        (r"generalised model in more than (\d+ \d+) rows", prediction.MOST_SIMULATED),
    ],
    "guide/messages": [
        (r"beyond (\S+), or errors below", LARGEST),
        (r"errors below (1e-\d+)", 1 / LARGEST),
    ],
    "guide/planning": [
        (r"looks at (\d+) simulated", LOOKED_AT),
        (r"\((\d+) where each takes long", FEW),
        (r"more than (\d+) % of them lie", 100 * OFTEN),
    ],
    "theory/iterative": [
        (r"is below (\.\d+):", monte_carlo.TOLERATED),
        (r"\((\d+) probes come first", monte_carlo.FEWEST_PROBES),
        (r"then (\d+) with controls", monte_carlo.SOLVED_PROBES),
    ],
}


def looked_for(words, whole):
    """Search for words, wherever their lines end."""
    return re.search(words.replace(" ", r"\s+"), whole)


@pytest.mark.parametrize(("page", "words", "value"), [(page, *row) for page, rows in OWN.items() for row in rows])
def test_numbers_of_the_package_are_those_of_its_code(page, words, value):
    found = looked_for(words, text(DOCS / f"{page}.md"))
    assert found, f"{page} no longer says {words!r}"
    said, decimals = number_of(found[1])
    assert value == pytest.approx(said, rel=1e-9, abs=0.5 * 10.0**-decimals if decimals else 0.0)


def own(page):
    """The numbers of a page that the test above looks up, as they are written."""
    whole = text(page)
    found = {looked_for(words, whole)[1] for words, _ in OWN.get(name(page), ())}
    return found | {f"{number} %" for number in found}


IS_RUN = re.compile(r"^```\{code-cell\}", re.MULTILINE)
RAN_BY_TESTS = "course/lesson"  # tests/test_course.py: cells that the built page hides compute what answers say


@pytest.mark.parametrize("page", [page for page in PAGES if not IS_RUN.search(text(page))], ids=name)
def test_numbers_of_a_page_without_cells_have_a_source(page):
    assert [said for said in unshown(paragraphs(text(page)), "") if said not in own(page)] == []


@built
@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if IS_RUN.search(text(page)) and not name(page).startswith(RAN_BY_TESTS)], ids=name
)
def test_numbers_of_a_page_come_from_its_cells(page):
    whole = text(page)
    site = Site((BUILT / f"{name(page)}.html").read_text(encoding="utf-8"))
    assert [said for said in unshown(paragraphs(whole), site.shown, code(whole)) if said not in own(page)] == []


@pytest.mark.parametrize("page", [page for page in PAGES if ":class: measured" in text(page)], ids=name)
def test_what_was_measured_elsewhere_says_when_and_by_which_command(page):
    blocks = list(MEASURED.finditer(text(page)))
    assert len(blocks) == text(page).count(":class: measured")
    for block in blocks:
        title = TITLE.match(block["title"])
        assert title, f"{block['title']}: write Measured 2026-11-22 by `python -m …`"
        assert importlib.util.find_spec(title["module"]), title["module"]


def test_the_pages_of_benchmarks_are_what_the_measurements_say():
    folder = DOCS.parent / "benchmarks"
    for page, record, written in (("README", "results", report.readme), ("scale", "scale", scale.table)):
        measured = json.loads((folder / f"{record}.json").read_text(encoding="utf-8"))
        assert written(measured) in (folder / f"{page}.md").read_text(encoding="utf-8")


# --------------------------------------------------------------------------- fenced code that no cell runs
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHORTER = {  # what a test has no time or no cluster for
    "n_jobs=4": "n_jobs=2",
    "fit, 5000,": "fit, 20,",
    'Client("scheduler:8786")': "Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None)",
    "pm.sample(initvals": "pm.sample(20, tune=20, chains=1, progressbar=False, random_seed=1, initvals",
}
NEEDED = {"guide/intervals": "distributed", "guide/probabilistic-programs": "pymc", "guide/radon": "pymc"}


def sleeping():
    fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    return {"mfx": mfx, "fit": fit, "relative": lambda fit: {"sd": fit.sigma}}


def programmed():
    names = sleeping()
    return names | {"slopes": names["fit"], "program": names["fit"].to_pymc(centered=False)}


PREPARED = {
    "guide/intervals": sleeping,
    "guide/probabilistic-programs": programmed,
    "guide/radon": programmed,
}


def test_every_fence_of_python_is_run():
    assert {name(page) for page in PAGES if FENCE.search(text(page))} == {
        *PREPARED,
        "coming-from",
    }  # in tests/test_site.py


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", PREPARED)
def test_a_fence_of_python_runs(page):
    pytest.importorskip(NEEDED[page])
    names = PREPARED[page]()
    for source in FENCE.findall(text(DOCS / f"{page}.md")):
        for long, short in SHORTER.items():
            source = source.replace(long, short)
        exec(compile(source, page, "exec"), names)

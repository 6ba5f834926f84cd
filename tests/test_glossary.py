"""The glossary: each term has an anchor that stays, one sentence, a formula, a call and a picture; links reach it."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "glossary.md").read_text(encoding="utf-8")
ENTRY = re.compile(
    r"^\(glossary-(?P<anchor>[a-z-]+)\)=\n### (?P<title>[^\n]+)\n\n(?P<sentence>[^\n]+)\n\n\$\$[^\n]+\$\$\n\n"
    r"```\{code-cell\} ipython3\n(?P<call>[^`]+)\n```\n\n"
    r'```\{code-cell\} ipython3\n---\ntags: \[hide-input\]\nmystnb:\n  image:\n    alt: "(?P<alt>[^"\n]+)"\n---\n'
    r"(?P<drawing>[^`]+)\n```\n\n(?P<more>More: [^\n]+)$",
    re.MULTILINE,
)
ENTRIES = [found.groupdict() for found in ENTRY.finditer(PAGE)]
LINK = re.compile(r"\{ref\}`[^`]*?<?(glossary-[a-z-]+)>?`")

# Pages elsewhere point to these: a term may be added, none renamed or dropped.
# fmt: off
LASTING = {
    "agq", "aic", "attenuation", "autocorrelation", "balanced", "bic", "blup", "bootstrap", "boundary", "centring",
    "certificate", "collinearity", "compound-symmetry", "conditional-mode", "confidence-interval", "contrast",
    "contrast-coding", "convergence", "cooks-distance", "correlation", "cross-level-interaction", "crossed",
    "degrees-of-freedom", "design-effect", "deviance", "effect-size", "error-stratum", "fixed-effect", "glmm", "gls",
    "grouping-factor", "heteroscedasticity", "icc", "interaction", "kenward-roger", "laplace", "latin-square",
    "leverage", "likelihood", "likelihood-ratio", "linear-mixed-model", "link", "logit", "main-effect",
    "marginal-conditional", "marginal-mean", "mean-square", "missing-at-random", "ml", "multiplicity",
    "negative-binomial", "nested", "odds-ratio", "offset", "olre", "overdispersion", "p-value", "partial-pooling",
    "power", "prediction-interval", "predictive-check", "profile", "pseudo-replication", "qq-plot", "quantile-residual",
    "r-squared", "random-effect", "random-intercept", "random-slope", "rank-deficiency", "rate-ratio", "reml",
    "residual", "satterthwaite", "separation", "shrinkage", "singular-fit", "smooth", "sphericity", "split-plot",
    "standard-error", "sum-coding", "theta", "threshold", "treatment-coding", "type-ii", "type-iii",
    "variance-component", "wald-interval", "wald-test", "within-between", "zero-inflation",
}
# fmt: on


def test_every_entry_is_whole():
    assert len(ENTRIES) == PAGE.count("\n### ") == PAGE.count("(glossary-")
    for entry in ENTRIES:
        assert entry["sentence"].endswith("."), entry["anchor"]
        assert not re.search(r"\w\. [A-Z]", entry["sentence"]), f"{entry['anchor']}: more than one sentence"
        assert re.search(r"\b(?:plots\.|ax|axes|fig|short|table|shade)\b", entry["drawing"]), entry["anchor"]
        assert len(entry["alt"]) > 30, f"{entry['anchor']}: say what the picture shows"


def test_every_entry_shows_a_value():
    for entry in ENTRIES:
        last = entry["call"].rstrip().splitlines()[-1]
        assert not re.search(r"^\w+ = |;$", last), entry["anchor"]


def test_anchors_last():
    assert {entry["anchor"] for entry in ENTRIES} == LASTING


def test_the_list_of_all_terms_is_whole_and_in_order():
    listed = re.findall(r"^\[([^\]]+)\]\(#glossary-([a-z-]+)\)", PAGE, re.MULTILINE)
    assert listed == sorted(((entry["title"], entry["anchor"]) for entry in ENTRIES), key=lambda pair: pair[0].lower())


PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_links_to_the_glossary_lead_to_a_term(page):
    text = page.read_text(encoding="utf-8")
    linked = LINK.findall(text)
    assert {anchor.removeprefix("glossary-") for anchor in linked} <= LASTING
    assert len(linked) == len(set(linked)), "one link a term is enough on a page"

"""The glossary: each term has its anchor, one sentence, a formula and a cell; anchors stay."""

import re
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "docs" / "glossary.md").read_text(encoding="utf-8")
ENTRY = re.compile(
    r"^\(glossary-([a-z-]+)\)=\n### [^\n]+\n\n([^\n]+)\n\n\$\$[^\n]+\$\$\n\n```\{code-cell\} ipython3\n[^`]+\n```$",
    re.MULTILINE,
)

# Pages elsewhere point to these: a term may be added, none renamed or dropped.
# fmt: off
LASTING = {
    "agq", "aic", "blup", "bootstrap", "boundary", "conditional-mode", "contrast", "contrast-coding",
    "convergence", "cooks-distance", "crossed", "degrees-of-freedom", "fixed-effect", "glmm", "gls",
    "grouping-factor", "icc", "kenward-roger", "laplace", "leverage", "likelihood", "likelihood-ratio",
    "linear-mixed-model", "link", "marginal-mean", "ml", "negative-binomial", "nested", "odds-ratio", "offset",
    "olre", "overdispersion", "partial-pooling", "power", "prediction-interval", "profile", "r-squared",
    "random-effect", "random-intercept", "random-slope", "reml", "satterthwaite", "shrinkage", "singular-fit",
    "standard-error", "theta", "type-iii", "variance-component", "wald-interval", "wald-test", "zero-inflation",
}
# fmt: on


def test_every_entry_is_whole():
    entries = ENTRY.findall(PAGE)
    assert len(entries) == PAGE.count("\n### ") == PAGE.count("(glossary-")
    for anchor, sentence in entries:
        assert sentence.endswith("."), anchor
        assert not re.search(r"\w\. [A-Z]", sentence), f"{anchor}: more than one sentence"


def test_anchors_last():
    assert {anchor for anchor, _ in ENTRY.findall(PAGE)} >= LASTING

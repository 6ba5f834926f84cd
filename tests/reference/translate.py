"""A case in R's words -> the mixedfx call that fits the same model."""

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import mixedfx as mfx
from tests.reference.cases import Case, group_of

CONTRASTS = {"contr.treatment": "treatment", "contr.sum": "sum", "contr.helmert": "helmert", "contr.poly": "poly"}


@dataclass(frozen=True)
class Outcome:
    """A fit with the warnings that came with it."""

    fit: Any
    warnings: tuple[warnings.WarningMessage, ...]

    def warned(self, category: type[Warning]) -> bool:
        return any(issubclass(message.category, category) for message in self.warnings)


@dataclass(frozen=True)
class Bar:
    """A random term as written: ``(left | right)`` or ``(left || right)``, possibly with a covariance keyword."""

    keyword: str
    left: str
    double: bool
    right: str
    text: str

    @property
    def has_intercept(self) -> bool:
        outside = re.sub(r"\([^()]*\)", "", self.left)
        return re.search(r"(^|\+)\s*0\s*(\+|$)|-\s*1\s*(\+|$)", outside) is None

    @property
    def only_intercept(self) -> bool:
        return self.left.strip() == "1"

    @property
    def groups(self) -> list[frozenset[str]]:
        """``a/b`` means ``a`` and ``a:b``, in this order."""
        names = [part.strip() for part in self.right.split("/")]
        return [frozenset(":".join(names[: depth + 1]).split(":")) for depth in range(len(names))]


def bars(formula: str) -> list[Bar]:
    """The random terms of a formula, in its order."""
    out = []
    for found in re.finditer(r"([A-Za-z]\w*)?\(((?:[^()|]|\([^()]*\))*?)\s*(\|\|?)\s*([^()|]+)\)", formula):
        keyword, left, bar, right = found.groups()
        out.append(Bar(keyword or "", left.strip(), bar == "||", right.strip(), found.group()))
    return out


def formula_of(case: Case) -> str:
    """The formula in our grammar: R's own, but for lme4's different reading of ``(factor || g)``."""
    formula = str(case["formula"])
    for bar in bars(formula):
        if bar.double and _is_factor(case, bar.left):
            formula = formula.replace(bar.text, f"(1 | {bar.right}) + (0 + {bar.left} | {bar.right})")
    if case.get("offset") and case["offset"] not in case.frame:
        formula += f" + offset({case['offset']})"
    return formula


def _is_factor(case: Case, left: str) -> bool:
    return any(name in case.levels for name in re.findall(r"[A-Za-z_.][\w.]*", left))


def unidentified(case: Case) -> bool:
    """True where R's model has more covariance parameters than the data can tell (``(factor || g)`` of lme4)."""
    return formula_of(case) != case["formula"] and any(bar.double for bar in bars(case["formula"]))


def contrasts_of(case: Case) -> dict[str, str] | None:
    """Contrasts as given to R; ordered factors of the fixed part get R's default, polynomials."""
    given = {name: CONTRASTS[kind] for name, kind in (case.get("contrasts") or {}).items()}
    fixed = case["formula"].partition("~")[2]
    for bar in bars(case["formula"]):
        fixed = fixed.replace(bar.text, "")
    words = set(re.findall(r"[A-Za-z_.][\w.]*", fixed))
    return {**dict.fromkeys(sorted(case.ordered & words), "poly"), **given} or None


def common_arguments(case: Case) -> dict[str, Any]:
    offset = case.get("offset")
    return {
        "formula": formula_of(case),
        "data": case.frame,
        "weights": case.get("weights"),
        "offset": offset if offset in case.frame else None,
        "contrasts": contrasts_of(case),
    }


def run(call: Callable[..., Any], **arguments: Any) -> Outcome:
    """Fit, and keep the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = call(**arguments)
    return Outcome(fit, tuple(caught))


@cache
def lmer(case: Case) -> Outcome:
    return run(mfx.lmer, reml=case["REML"], **common_arguments(case))


# --------------------------------------------------------------------------- generalised models
FAMILIES = {
    "Gamma": "gamma",
    "inverse.gaussian": "inverse_gaussian",
    "negative.binomial": "negative_binomial",
    "betabinomial": "beta_binomial",
    "beta_family": "beta",
}
CANONICAL = {("binomial", "logit"), ("poisson", "log")}


@cache
def glmer(case: Case, nodes: int | None = None) -> Outcome:
    """lme4's Laplace uses the expected information; it matters where the link is not canonical."""
    family, link = case["family"], case["link"]
    information = "observed" if (family, link) in CANONICAL else "expected"
    return run(
        mfx.glmer,
        family=FAMILIES.get(family, family),
        link=link,
        nagq=case["nAGQ"] if nodes is None else nodes,
        information=information,
        **common_arguments(case),
    )


@cache
def glmm_tmb(case: Case) -> Outcome:
    """glmmTMB: a Gaussian model is an LMM (a dispersion formula a varIdent), the rest is ``glmer``."""
    zero = None if case["ziformula"] == "~0" else case["ziformula"]
    spread = None if case["dispformula"] == "~1" else case["dispformula"]
    if case["family"] == "gaussian":
        residual = None if spread is None else mfx.VarIdent(spread.replace("~", "").strip())
        return run(mfx.lmer, reml=case["REML"], residual=residual, **common_arguments(case))
    return run(
        mfx.glmer,
        family=FAMILIES.get(case["family"], case["family"]),
        link=case["link"],
        dispersion=spread,
        zero_inflation=zero,
        **common_arguments(case),
    )


# --------------------------------------------------------------------------- nlme
@cache
def nlme(case: Case) -> Outcome:
    """``lme(fixed, random, correlation, weights)`` and ``gls``: random bars and residual objects."""
    formula = case["formula"] + _random_bars(case.get("random"))
    group = _nlme_groups(case)
    return run(mfx.lmer, formula=formula, data=case.frame, reml=case["REML"], residual=_residual(case, group))


def _random_bars(random: str | None) -> str:
    if random is None:
        return ""
    if found := re.fullmatch(r"list\((\w+) = nlme::pdDiag\(~ ?(.*)\)\)", random):
        return f" + diag(1 + {found[2]} | {found[1]})"
    return f" + ({random.removeprefix('~').strip()})"


def _nlme_groups(case: Case) -> str | None:
    """The innermost grouping factor of the random part."""
    random = case.get("random")
    if random is None:
        return None
    found = re.match(r"list\((\w+) =", random)
    return found[1] if found else random.rpartition("|")[2].strip().replace("/", ":")


def _residual(case: Case, group: str | None) -> Any:
    """The residual structure in our objects; nlme's ``form = ~ time | group``."""
    correlation, variance = case.get("correlation"), case.get("variance_function")
    time, within = form(correlation) if correlation else (None, None)
    within = within or group
    by = form(variance)[1] if variance else None
    if correlation is None:
        return None if by is None else mfx.VarIdent(by)
    if "corAR1" in correlation:
        return mfx.AR1(time, group=within)
    if "corCompSymm" in correlation:
        return mfx.CompoundSymmetry(group=within)
    return mfx.Unstructured(by, group=within)


def form(call: str) -> tuple[str | None, str | None]:
    """(covariate, group) of ``nlme::corAR1(form = ~ t | g)``; the covariate 1 is the order of the rows."""
    found = re.search(r"form = ~ ?(\w+) \| (\w+)", call)
    if found is None:
        return None, None
    return None if found[1] == "1" else found[1], found[2]


def fit(case: Case) -> Outcome:
    """The fit that a case is about, by its R function."""
    calls = {"lmer": lmer, "glmer": glmer, "glmer.nb": glmer, "glmmTMB": glmm_tmb, "lme": nlme, "gls": nlme}
    return calls[case.engine](case)


def fit_with(case: Case, formula: str) -> Outcome:
    """The case with another formula."""
    return fit(Case(f"{case.name} with {formula}", case.folder, {**case.content, "formula": formula}))


def nested_labels(case: Case, labels: list[str]) -> dict[str, str]:
    """nlme names the inner factor of ``a/b`` just ``b``; and its levels ``a1/b1``."""
    right = str(case.get("random") or "").rpartition("|")[2].strip()
    names = right.split("/")
    full = {name: ":".join(names[: depth + 1]) for depth, name in enumerate(names)}
    return {label: full.get(label, label) for label in labels}


# --------------------------------------------------------------------------- order of theta
def theta_blocks(case: Case) -> list[tuple[int, int]]:
    """Slices of R's ``theta`` in the order of *our* terms: (start, length) of each block to take in turn."""
    lengths = [len(term["coefficients"]) for term in case["random_terms"]]
    sizes = [q * (q + 1) // 2 for q in lengths]
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    left = list(range(len(sizes)))
    out = []
    for bar in bars(formula_of(case)):
        for group in bar.groups:
            for intercept, single in _parts(bar):
                index = next(i for i in left if _fits(case["random_terms"][i], group, intercept, single))
                left.remove(index)
                out.append((starts[index], sizes[index]))
    if left:
        raise LookupError(f"{case.name}: random terms {left} are not in the formula")
    return out


def _parts(bar: Bar) -> list[tuple[bool, bool]]:
    """(has an intercept, has nothing else) of each of R's terms for a bar; ``||`` makes one a column."""
    if not bar.double:
        return [(bar.has_intercept, bar.only_intercept)]
    slopes = [part for part in bar.left.split("+") if part.strip() not in ("0", "1")]
    return [(True, True)] * bar.has_intercept + [(False, False)] * len(slopes)


def _fits(term: dict[str, Any], group: frozenset[str], intercept: bool, single: bool) -> bool:
    names = term["coefficients"]
    return (
        group_of(term["group"]) == group
        and ("(Intercept)" in names) == intercept
        and (names == ["(Intercept)"]) == single
    )

"""The same model in other programs' words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from mixedfx.covariance.residual import ResidualStructure
from mixedfx.explanation.structures import accounts_of
from mixedfx.fitting import Fit
from mixedfx.formula import RandomTerm, display, quote
from mixedfx.results.base import MixedResults

__all__ = ["translations"]

R_FUNCTIONS = frozenset({"log", "log10", "log2", "log1p", "exp", "expm1", "sqrt", "abs", "sin", "cos", "tan", "floor"})
R_FUNCTIONS |= {"ceil", "I", "C", "cbind", "offset", "poly", "scale", "tanh", "pmin", "pmax", "logit", "expit", "where"}
R_NAMES = {"ceil": "ceiling", "logit": "qlogis", "expit": "plogis", "where": "ifelse"}
NOT_OF_BAMBI = re.compile(r"\bcontr\.|\b(?:ns|pmin|pmax|where|logit|expit)\(|\blog\((?:[^()]|\([^()]*\))*,")
TMB_FAMILIES = {
    "gaussian": "gaussian",
    "binomial": "binomial",
    "poisson": "poisson",
    "gamma": "Gamma",
    "nbinom2": "nbinom2",
    "nbinom1": "nbinom1",
    "beta": "beta_family",
    "beta_binomial": "betabinomial",
    "tweedie": "tweedie",
    "truncated_poisson": "truncated_poisson",
    "truncated_nbinom2": "truncated_nbinom2",
    "truncated_nbinom1": "truncated_nbinom1",
}
TMB_COVARIANCES = {"us": "", "diag": "diag", "cs": "cs", "ar1": "ar1", "toep": "toep"}
DEFAULT_LINKS = {
    "gaussian": "identity",
    "binomial": "logit",
    "poisson": "log",
    "nbinom2": "log",
    "nbinom1": "log",
    "beta": "logit",
    "beta_binomial": "logit",
    "tweedie": "log",
}  # the same in R and Bambi; of other families the link is always written
BAMBI_FAMILIES = {
    "binomial": "bernoulli",
    "poisson": "poisson",
    "gamma": "gamma",
    "nbinom2": "negativebinomial",
    "beta": "beta",
}
CLMM_LINKS = frozenset({"logit", "probit", "cloglog", "loglog", "cauchit"})
R_CODINGS = {
    "treatment": "contr.treatment",
    "sum": "contr.sum",
    "helmert": "contr.helmert",
    "poly": "contr.poly",
}


def translations(fit: MixedResults) -> dict[str, str]:
    """Return code for lme4, glmmTMB, nlme, ordinal and Bambi; a program that cannot fit the model is left out.

    Parameters
    ----------
    fit : fitted mixed model

    Returns
    -------
    dict of str to str
        Program to code.

    Notes
    -----
    In the code ``d`` is the data. What the R programs fit has the log-likelihood of the fit: the approximation is the
    same (but for the constants that lme4 leaves out with ``nAGQ`` above 1).
    """
    inputs = fit.model.inputs
    pooled = any(term.pooled is not None for term in fit.design.random)  # lme4 and its kin have no such terms
    if inputs is None or inputs.stated.get("functions") or pooled or fit.design.measured:
        return {}
    source = _Source.of(fit)
    candidates = {
        "lme4": _lme4(source),
        "glmmTMB": _glmmtmb(source),
        "nlme": _nlme(source),
        "ordinal": _clmm(source),
        "bambi": _bambi(source),
    }
    return {name: code for name, code in candidates.items() if code is not None}


@dataclass(frozen=True)
class _Source:
    """What the programs are told.

    Attributes
    ----------
    fit
        The fit.
    options : dict
        Arguments of its model.
    response, fixed : str
        The two sides of the formula in R, without random effects; None if R has no such functions.
    terms : tuple of RandomTerm
    """

    fit: MixedResults
    options: dict[str, Any]
    response: str | None
    fixed: str | None
    terms: tuple[RandomTerm, ...]

    @classmethod
    def of(cls, fit: MixedResults) -> _Source:
        formula = fit.design.formula
        options = dict(fit.model.inputs.stated)
        fixed = " + ".join([formula.fixed, *(f"offset({text})" for text in formula.offsets)])
        return cls(fit, options, _in_r(formula.response), _in_r(fixed), formula.random)

    @property
    def has_residuals(self) -> bool:
        """Whether the response is the linear predictor and a normal residual."""
        return self.solution.response.has_normal_residuals

    @property
    def solution(self) -> Fit:
        """The face of the fit."""
        return self.fit.solution

    @property
    def has_plain_residuals(self) -> bool:
        """Whether there is one residual variance, which is estimated."""
        return self.has_residuals and self.solution.residual is None and self.fit.model.sigma is None

    @property
    def nodes(self) -> int:
        """Nodes in each dimension of the integral over the random effects."""
        return 1 if self.solution.nodes is None else self.solution.nodes

    def random(self, covariances: dict[str, str], *, double_bars: bool) -> str | None:
        """The random effects in R; None if one of them cannot be written."""
        written = []
        for term in self.terms:
            if term.covariance not in covariances or term.argument is not None:
                return None
            effects = _in_r(term.expression)
            groups = ":".join(map(quote, term.group))
            if effects is None:
                return None
            bar, keyword = "|", covariances[term.covariance]
            if term.covariance == "diag" and double_bars:
                if any(self._is_factor(name) for name in term.variables):  # lme4 splits || by terms, not by columns
                    return None
                bar, keyword = "||", ""
            written.append(f"{keyword}({effects} {bar} {groups})")
        return "".join(f" + {text}" for text in written)

    def _is_factor(self, name: str) -> bool:
        variable = self.fit.design.variables.get(name)
        return variable is None or bool(variable.is_factor)

    def arguments(self) -> str | None:
        """Weights, offset and codings as R's arguments; None if they have no name there."""
        out = ""
        for name in ("weights", "offset"):
            value = self.options.get(name)
            if value is not None and not isinstance(value, str):
                return None
            out += f", {name} = {quote(value)}" if value is not None else ""
        codings = _codings(self.options.get("contrasts"))
        return None if codings is None else out + codings

    def formula(self, random: str | None) -> str | None:
        """The formula in R."""
        if self.response is None or self.fixed is None or random is None:
            return None
        return f"{self.response} ~ {self.fixed}{random}"


# ------------------------------------------------------------------ formulas in R
def _in_r(text: str) -> str | None:
    """Evaluable text in R's language; None if a function does not exist there."""
    names = set(re.findall(r"([A-Za-z_][\w.]*)\(", text))
    if names - R_FUNCTIONS or "[" in text or ("scale(" in text and "," in text):
        return None
    written = display(text).replace("**", "^")
    for name, in_r in R_NAMES.items():
        written = re.sub(rf"\b{name}\(", f"{in_r}(", written)
    written = re.sub(r"\bC\(([\w.]+)\)", r"factor(\1)", written)
    if re.search(r"\bC\([\w.]+,", written):
        return None
    return written


def _categories(source: _Source) -> str | None:
    """The response of ordered or of two categories as a factor whose order is that of the fit."""
    response = source.fit.design.response
    if source.response is None or response.categories is None:
        return source.response
    levels = ", ".join(_r_literal(level) for level in response.categories)
    return f"factor({source.response}, levels = c({levels}))"


def _r_literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    return f"{value:g}" if isinstance(value, int | float) else '"' + str(value).replace('"', '\\"') + '"'


def _codings(contrasts: Any) -> str | None:
    """``contrasts = list(…)`` in R; None for a coding that R does not have by name."""
    given = dict(contrasts or {})
    if any(not isinstance(coding, str) or coding not in R_CODINGS for coding in given.values()):
        return None
    if not given:
        return ""
    listed = ", ".join(f'{quote(name)} = "{R_CODINGS[coding]}"' for name, coding in given.items())
    return f", contrasts = list({listed})"


# ------------------------------------------------------------------ programs
def _lme4(source: _Source) -> str | None:
    arguments = source.arguments()
    formula = source.formula(source.random({"us": "", "diag": ""}, double_bars=True))
    if arguments is None or formula is None or not source.terms:
        return None
    if source.has_residuals:
        if not source.has_plain_residuals:
            return None
        return f"lmer({formula}, data = d{arguments}{'' if source.fit.reml else ', REML = FALSE'})"
    family, link, nodes = source.solution.family.name, source.solution.link.name, source.nodes
    plain = not source.solution.components and not source.fit.model.penalty
    canonical = (family, link) in {("binomial", "logit"), ("poisson", "log")}
    same = canonical or (family in ("binomial", "poisson") and source.options.get("information") == "expected")
    if not plain or not same or (nodes > 1 and not _one_effect(source)):
        return None
    formula = formula.replace(str(source.response), str(_categories(source)), 1)
    quadrature = "" if nodes == 1 else f", nAGQ = {nodes}"
    return f"glmer({formula}, data = d, family = {_family(family, link)}{arguments}{quadrature})"


def _one_effect(source: _Source) -> bool:
    return len(source.fit.design.random) == 1 and len(source.fit.design.random[0].names) == 1


def _family(family: str, link: str) -> str:
    called, usual = TMB_FAMILIES[family], DEFAULT_LINKS.get(family) == link
    if usual and family in ("binomial", "poisson"):
        return called
    return f"{called}()" if usual else f'{called}("{link}")'


def _glmmtmb(source: _Source) -> str | None:
    arguments = source.arguments()
    formula = source.formula(source.random(TMB_COVARIANCES, double_bars=False))
    if arguments is None or formula is None:
        return None
    weighted = source.options.get("weights") is not None
    if source.has_residuals:
        if not source.has_plain_residuals or weighted:
            return None  # its weights multiply the likelihood
        return f"glmmTMB({formula}, data = d{arguments}{', REML = TRUE' if source.fit.reml else ''})"
    response, link = source.solution.family, source.solution.link.name
    family = f"{'truncated_' if response.is_truncated else ''}{response.innermost.name}"
    has_zeros = "zero_inflation" in (*response.predictors, *response.phi_names)
    zeros = source.options.get("zero_inflation") or ("~ 1" if has_zeros else None)
    laplace = source.nodes == 1 and not source.fit.model.penalty
    observed = source.options.get("information") == "observed" or link in ("logit", "log")
    if family not in TMB_FAMILIES or not laplace or not observed or response.fixed:
        return None
    if weighted and response.precision_weights:
        return None
    further = ""
    for argument, text in (("dispformula", source.options.get("dispersion")), ("ziformula", zeros)):
        if text:
            written = _in_r(text)
            if written is None:
                return None
            further += f", {argument} = {written}"
    formula = formula.replace(str(source.response), str(_categories(source)), 1)
    return f"glmmTMB({formula}, data = d, family = {_family(family, link)}{arguments}{further})"


def _clmm(source: _Source) -> str | None:
    if not source.solution.family.has_categories:
        return None
    arguments = source.arguments()
    formula = source.formula(source.random({"us": ""}, double_bars=False))
    link, nodes = source.solution.link.name, source.nodes
    if arguments is None or formula is None or link not in CLMM_LINKS or source.fit.model.penalty:
        return None
    if nodes == 0 or (nodes > 1 and not _one_effect(source)) or not source.terms:
        return None
    formula = formula.replace(str(source.response), str(_categories(source)), 1)
    chosen = "" if link == "logit" else f', link = "{link}"'
    return f"clmm({formula}, data = d{chosen}{arguments}{'' if nodes == 1 else f', nAGQ = {nodes}'})"


def _nlme(source: _Source) -> str | None:
    """``lme``, or ``gls`` without random effects: where a residual structure asks for it."""
    residual = source.fit.model.residual
    if residual is None or source.fit.model.sigma is not None:
        return None
    if source.fixed is None or source.response is None or "offset(" in source.fixed:
        return None
    if any(source.options.get(name) is not None for name in ("weights", "offset")):
        return None
    codings = _codings(source.options.get("contrasts"))
    groups = [term.group for term in source.terms]
    if codings is None or len(groups) > 1 or (groups and len(groups[0]) > 1):
        return None
    structure = _structure(residual, groups[0][0] if groups else None)
    if structure is None:
        return None
    method = f'method = "{"REML" if source.fit.reml else "ML"}"'
    if not groups:
        return None if codings else f"gls({source.response} ~ {source.fixed}, data = d{structure}, {method})"
    (term,) = source.terms
    effects = _in_r(term.expression)
    if effects is None or term.covariance not in ("us", "diag"):
        return None
    group = quote(term.group[0])
    random = f"~ {effects} | {group}"
    if term.covariance == "diag":
        random = f"list({group} = pdDiag(~ {effects}))"
    return f"lme({source.response} ~ {source.fixed}, random = {random}, data = d{structure}{codings}, {method})"


def _structure(residual: ResidualStructure, group: str | None) -> str | None:
    """The residual structure as arguments of ``lme``; None if nlme has none like it."""
    parts = [account.in_nlme(group) for account in accounts_of(residual)]
    if any(part is None for part in parts):
        return None
    variances = [part.variance for part in parts if part is not None and part.variance]
    correlations = [f", correlation = {part.correlation}" for part in parts if part is not None and part.correlation]
    if not variances:
        return "".join(correlations)
    weights = variances[0] if len(variances) == 1 else f"varComb({', '.join(variances)})"
    return f"{''.join(correlations)}, weights = {weights}"


def _bambi(source: _Source) -> str | None:
    """Bambi is Bayesian: the likelihood is the same."""
    fit, options = source.fit, source.options
    if any(options.get(name) is not None for name in ("weights", "offset", "contrasts", "sigma", "residual")):
        return None
    if {term.covariance for term in source.terms} - {"us", "diag"} or "wb(" in str(fit.design.formula):
        return None
    written = str(fit.design.formula).replace("||", "|")  # Bambi has no ||: its | means that
    if NOT_OF_BAMBI.search(written):  # names of R, and what NumPy writes otherwise
        return None
    written = re.sub(r"(?<![\w.])(log|log2|log10|log1p|exp|expm1|sqrt|tanh)\(", r"np.\1(", written)
    drops = any(
        own.covariance == "us" and len(t.names) > 1 for own, t in zip(source.terms, fit.design.random, strict=True)
    )
    warning = "  # Bambi drops the correlations between the effects of a group: another model" if drops else ""
    if source.has_residuals:
        return f'bmb.Model("{written}", d).fit(){warning}'
    family, link = source.solution.family.name, source.solution.link.name
    trials = fit.design.response.trials
    counts = trials is not None and bool((trials != 1).any())  # Bambi writes them in another way
    if source.solution.components or family not in BAMBI_FAMILIES or counts or fit.model.penalty:
        return None
    further = "" if DEFAULT_LINKS.get(family) == link else f', link="{link}"'
    return f'bmb.Model("{written}", d, family="{BAMBI_FAMILIES[family]}"{further}).fit(){warning}'

"""The same model in other programs' words."""

from __future__ import annotations

from typing import Any

from mixedfx.results.base import MixedResults
from mixedfx.results.linear import LinearMixedResults

__all__ = ["translations"]

R_FAMILIES = {
    "binomial": "binomial",
    "poisson": "poisson",
    "gamma": "Gamma",
    "nbinom2": "nbinom2",
    "nbinom1": "nbinom1",
    "beta": "beta_family",
}
DEFAULT_LINKS = {
    "binomial": "logit",
    "poisson": "log",
    "nbinom2": "log",
    "nbinom1": "log",
    "beta": "logit",
}  # the same in R and Bambi; of other families the link is always written
BAMBI_FAMILIES = {
    "binomial": "bernoulli",
    "poisson": "poisson",
    "gamma": "gamma",
    "nbinom2": "negativebinomial",
    "beta": "beta",
}


def translations(fit: MixedResults, family: str = "gaussian", reml: bool = True) -> dict[str, str]:
    """Return code for lme4, glmmTMB and Bambi; a program that lacks a part of the model is left out.

    Parameters
    ----------
    fit : fitted mixed model
    family : str
        Name of the family.
    reml : bool
        Whether a Gaussian fit is by REML.
    """
    written = str(fit.design.formula)
    keywords = {term.covariance for term in fit.design.formula.random} - {"us", "diag"}
    out = _linear(fit, written, reml) if isinstance(fit, LinearMixedResults) else _generalized(fit, written, family)
    if keywords:
        here = () if "known" in keywords else ("glmmTMB",)
        out = {name: code for name, code in out.items() if name in here}
    if "bambi" in out and any("||" not in term.term and len(term.names) > 1 for term in fit.design.random):
        out["bambi"] += "  # Bambi drops the correlations between the effects of a group: another model"
    return out


def _linear(fit: LinearMixedResults, written: str, reml: bool) -> dict[str, str]:
    if fit.model.residual is not None:  # none of them has the structures of mixedfx
        return {}
    r = written.replace("**", "^")
    return {
        "lme4": f"lmer({r}, data = d{'' if reml else ', REML = FALSE'})",
        "glmmTMB": f"glmmTMB({r}, data = d{', REML = TRUE' if reml else ''})",
        "bambi": f'bmb.Model("{_single_bars(written)}", d).fit()',
    }


def _generalized(fit: Any, written: str, family: str) -> dict[str, str]:
    link, family = str(fit.model.family.link.name), family.removeprefix("zero_inflated_")
    usual = DEFAULT_LINKS.get(family) == link
    r, called = written.replace("**", "^"), R_FAMILIES.get(family, family)
    named = "" if usual else f'"{link}"'
    called = called if usual and family in ("binomial", "poisson") else f"{called}({named})"
    out = {}
    plain = not fit.model.components
    if plain and family in ("binomial", "poisson", "gamma"):
        out["lme4"] = f"glmer({r}, data = d, family = {called})"
    if family in R_FAMILIES:
        out["glmmTMB"] = f"glmmTMB({r}, data = d, family = {called}{_components(fit)})"
    trials = fit.design.response.trials
    counts = trials is not None and bool((trials != 1).any())
    if plain and family in BAMBI_FAMILIES and not counts:  # Bambi writes counts in another way
        further = "" if usual else f', link="{link}"'
        out["bambi"] = f'bmb.Model("{_single_bars(written)}", d, family="{BAMBI_FAMILIES[family]}"{further}).fit()'
    return out


def _single_bars(written: str) -> str:
    """Bambi has no ``||``: its ``|`` means that."""
    return written.replace("||", "|")


def _components(fit: Any) -> str:
    """The further linear predictors as glmmTMB's arguments."""
    arguments = {"dispersion": "dispformula", "zero_inflation": "ziformula"}
    options = {} if fit.model.inputs is None else fit.model.inputs.options
    return "".join(f", {new} = {options[old]}" for old, new in arguments.items() if options.get(old))

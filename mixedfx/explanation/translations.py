"""The same model in other programs' words."""

from __future__ import annotations

from mixedfx.results.base import MixedResults

__all__ = ["translations"]

R_FAMILIES = {
    "binomial": "binomial",
    "poisson": "poisson",
    "gamma": "Gamma",
    "nbinom2": "nbinom2",
    "nbinom1": "nbinom1",
    "beta": "beta_family",
}
BAMBI_FAMILIES = {
    "binomial": "binomial",
    "poisson": "poisson",
    "gamma": "gamma",
    "nbinom2": "negativebinomial",
    "beta": "beta",
}


def translations(fit: MixedResults, family: str = "gaussian", reml: bool = True) -> dict[str, str]:
    """Return code for lme4 (or glmmTMB alone, where lme4 lacks the family), glmmTMB and Bambi.

    Parameters
    ----------
    fit : fitted mixed model
    family : str
        Name of the family.
    reml : bool
        Whether a Gaussian fit is by REML.
    """
    written = str(fit.design.formula)
    r = written.replace("**", "^")
    out: dict[str, str] = {}
    if family == "gaussian":
        flag = "" if reml else ", REML = FALSE"
        out["lme4"] = f"lmer({r}, data = d{flag})"
        out["glmmTMB"] = f"glmmTMB({r}, data = d{', REML = TRUE' if reml else ''})"
        out["bambi"] = f'bmb.Model("{written}", d).fit()'
    else:
        name = R_FAMILIES.get(family, family)
        if family in ("binomial", "poisson", "gamma"):
            out["lme4"] = f"glmer({r}, data = d, family = {name})"
        out["glmmTMB"] = f"glmmTMB({r}, data = d, family = {name}())".replace("binomial()", "binomial").replace(
            "poisson()", "poisson"
        )
        if not written.startswith("cbind("):  # Bambi writes counts in another way
            out["bambi"] = f'bmb.Model("{written}", d, family="{BAMBI_FAMILIES.get(family, family)}").fit()'
    if "bambi" in out and any("||" not in term.term and len(term.names) > 1 for term in fit.design.random):
        out["bambi"] += "  # Bambi drops the correlations between the effects of a group: another model"
    return out

"""Which key of which file is compared by whom, and why some are not: nothing is left out silently."""

from collections.abc import Iterator

from tests.reference import compare
from tests.reference.cases import Case
from tests.reference.compare import Comparer
from tests.reference.translate import unidentified

DESCRIPTION = frozenset(
    [
        "case",
        "title",
        "data",
        "formula",
        "engine",
        "software",
        "family",
        "link",
        "REML",
        "weights",
        "offset",
        "contrasts",
        "notes",
        "random_terms",
        "nAGQ",
        "theta_names",
        "theta_lower",
        "n_parameters",
        "id",
        "dv",
        "between",
        "within",
        "ss_type",
        "random",
        "correlation",
        "variance_function",
        "ziformula",
        "dispformula",
        "method",
        "parametrisation",
    ]
)

LMER: dict[str, Comparer] = {
    "n_obs": compare.n_obs,
    "n_groups": compare.n_groups,
    "fixef": compare.fixef,
    "vcov_fixef": compare.vcov_fixef,
    "dropped_columns": compare.dropped_columns,
    "theta": compare.theta,
    "varcorr": compare.varcorr,
    "sigma": compare.sigma,
    "loglik": compare.loglik,
    "REML_criterion": compare.criterion_value,
    "deviance": compare.criterion_value,
    "AIC": compare.information_criteria,
    "df_resid": compare.df_resid,
    "is_singular": compare.is_singular,
    "optimisation": compare.optimisation,
    "objective_at": compare.objective_at,
    "ranef": compare.ranef,
    "model_matrix_head": compare.model_matrix_head,
    "fitted_head": compare.fitted_head,
    "residuals_head": compare.residuals_head,
    "sum_fitted": compare.sum_fitted,
    "sum_sq_residuals_response": compare.sum_sq_residuals_response,
    "predictions": compare.predictions,
}

# Keys that repeat others, or that no public name answers: by R function, "" for all.
REPEATED: dict[str, dict[str, str]] = {
    "": {
        "BIC": "compared with AIC",
        "confint_wald": "estimate and 1.96 standard errors, both compared (our Wald intervals of an LMM use t)",
        "parameters": "glmmTMB's internal scale; compared as fixef, varcorr and dispersion",
        "vcov_parameters": "glmmTMB's internal scale; its fixed-effects block is compared",
        "theta_tmb": "glmmTMB's internal scale; compared as varcorr",
    },
    "lmer": {
        "vcov_varpar": "compared through the Satterthwaite df that it determines",
        "deviance_ML_at_REML_estimates": "not a maximum of anything; the ML criterion is compared at its own optimum",
        "allfit": "lme4's optimisers at default tolerances; our optimum is compared with the best one",
    },
    "glmer": {
        "vcov_fixef": "finite differences; vcov_fixef_accurate is compared",
        "vcov_fixef_rx": "conditional on theta",
        "vcov_theta_beta_accurate": "its fixed-effects block is compared",
        "sigma": "1 for binomial and Poisson",
        "loglik": "optimisation.objective is compared",
        "deviance": "optimisation.objective is compared",
        "loglik_exact_integral": "compared where lme4 drops a constant (nAGQ > 1)",
        "pearson_chisq": "compared with deviance_conditional",
    },
    "glmer.nb": {
        "theta": "order of theta is not in the file; varcorr is compared",
        "vcov_fixef_rx": "conditional on theta",
        "loglik": "optimisation.objective is compared",
        "deviance": "optimisation.objective is compared",
        "nb_theta": "glmmTMB's twin has the dispersion under the exact Laplace approximation",
    },
    "glmmTMB": {
        "vcov_fixef": "its diagonal is compared as standard errors",
        "vcov_fixef_zi": "the estimates are compared",
        "sigma": "compared as dispersion",
        "loglik": "optimisation.objective is compared",
        "deviance": "optimisation.objective is compared",
    },
    "lme": {
        "sigma": "that of nlme's reference stratum; the covariance is compared through loglik, vcov and residuals",
        "optimisation": "loglik is compared",
        "anova": "containment df: compared when that option exists",
        "correlation_parameters": "compared through loglik and normalized residuals",
        "variance_parameters": "compared through loglik and Pearson residuals",
        "intervals": "nlme's approximate intervals on its own scales",
    },
    "aov": {
        "n_obs": "the degrees of freedom are compared",
        "grand_mean": "a mean of the data",
        "coefficients": "depend on the coding of each stratum; sums of squares are compared",
        "means_tables": "cell means; emmeans are compared",
    },
    "afex::aov_ez": {
        "n_obs": "the degrees of freedom are compared",
        "epsilon": "compared with mauchly",
        "univariate": "the uncorrected table of anova.none",
    },
    "lm": dict.fromkeys(
        (
            "n_obs",
            "fixef",
            "vcov_fixef",
            "sigma",
            "df_resid",
            "r_squared",
            "adj_r_squared",
            "loglik",
            "AIC",
            "fitted_head",
            "drop1",
        ),
        "statsmodels' own fit: mixedfx makes only the tables",
    ),
    "ems": {
        "n_obs": "the components are compared",
        "table": "sums of squares; the components made of them are compared",
        "F": "ratios of the mean squares compared",
        "p": "of those F",
    },
}
REPEATED["gls"] = REPEATED["lme"]


def whole_case(case: Case) -> str | None:
    """Reason to leave a whole case out."""
    if case.engine == "glmer" and case["family"] in ("Gamma", "inverse.gaussian"):
        return "lme4 plugs a moment estimate of the dispersion in: its value is not a likelihood"
    if "|" in str(case.get("ziformula", "")):
        return "random effects in the zero-inflation part"
    return None


# Theirs is a local optimum: only the criterion (ours must be lower) and the counts are compared.
NOT_THE_OPTIMUM = {
    "tmb_machines_disp": "glmmTMB stops at -2 log L = 282.15; nlme (lme_machines_varident_ml) and mixedfx find 273.52",
}


def left_out(case: Case) -> dict[str, str]:
    """Key -> reason, from properties of the case (NOTES.md), so that it holds for cases not seen yet."""
    out = {**REPEATED[""], **REPEATED.get(case.engine, {})}
    if case.singular:
        out["theta"] = "not unique in a singular fit"
    if unidentified(case):
        reason = "(factor || group) of lme4 is another, unidentified parametrisation; the marginal model is the same"
        out |= dict.fromkeys(["theta", "varcorr", "objective_at", "ranef", "is_singular", "AIC", "df_resid"], reason)
    if case.name in NOT_THE_OPTIMUM:
        kept = {"optimisation", "n_obs", "n_groups"}
        out |= dict.fromkeys(set(case.content) - kept, NOT_THE_OPTIMUM[case.name])
    if case.engine == "glmmTMB" and case["REML"]:
        out["df_resid"] = "glmmTMB does not count the fixed effects of a REML fit"
    if case.get("nAGQ", 1) > 1:
        constant = "lme4 drops a constant with quadrature"
        out |= dict.fromkeys(["objective_at", "AIC", "r2_nakagawa", "icc"], constant)
    return out


def plan(case: Case, comparers: dict[str, Comparer]) -> Iterator[tuple[str, Comparer]]:
    """The comparers that a case calls for, each once."""
    if whole_case(case):
        return
    skip = left_out(case)
    seen: set[Comparer] = set()
    for key, comparer in comparers.items():
        if key in case and key not in skip and comparer not in seen:
            seen.add(comparer)
            yield key, comparer

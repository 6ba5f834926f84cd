"""All suites, and which of them belong to features that are finished."""

from tests.reference import anova, classical, compare, emmeans, glmm, residual, translate
from tests.reference.coverage import LMER
from tests.reference.runner import Suite

_LMER, _GLMER, _TMB = frozenset(["lmer"]), frozenset(["glmer", "glmer.nb"]), frozenset(["glmmTMB"])
_NLME, _AOV, _AFEX = frozenset(["lme", "gls"]), frozenset(["aov"]), frozenset(["afex::aov_ez"])
_EMS, _LM = frozenset(["ems"]), frozenset(["lm"])

ROWS = {
    "n_obs": compare.n_obs,
    "fitted_head": compare.fitted_head,
    "residuals_head": compare.residuals_head,
    "sum_fitted": compare.sum_fitted,
    "predictions": compare.predictions,
}
EFFECTS = {"n_groups": compare.n_groups, "varcorr": compare.varcorr, "ranef": compare.ranef}
GLMER = {
    **ROWS,
    **EFFECTS,
    "fixef": glmm.fixef,
    "vcov_fixef_accurate": glmm.vcov_accurate,
    "optimisation": glmm.optimisation,
    "objective_at": glmm.objective_at,
    "theta": compare.theta,
    "deviance_conditional": glmm.conditional_sums,
    "model_matrix_head": compare.model_matrix_head,
    "is_singular": compare.is_singular,
    "AIC": compare.information_criteria,
    "df_resid": compare.df_resid,
    "sum_sq_residuals_response": compare.sum_sq_residuals_response,
}
TMB = {
    **ROWS,
    **EFFECTS,
    "fixef": glmm.fixef,
    "fixef_zi": glmm.fixef_zi,
    "fixef_disp": glmm.fixef_disp,
    "optimisation": glmm.optimisation,
    "AIC": compare.information_criteria,
    "df_resid": compare.df_resid,
}
NLME = {
    "n_obs": compare.n_obs,
    "n_groups": residual.n_groups,
    "fixef": residual.fixef,
    "vcov_fixef": residual.vcov_fixef,
    "loglik": compare.loglik,
    "varcorr": residual.varcorr,
    "ranef": residual.ranef,
    "fitted_head": residual.fitted_head,
    "residuals_head": residual.residuals_head,
    "AIC": residual.information_criteria,
}
KENWARD_ROGER = {"vcov_kr": anova.kenward_roger}
KENWARD_ROGER_TABLES = {"anova": anova.anova_kenward_roger, "kr_modcomp": anova.kr_modcomp}

SUITES = (
    Suite("lmer", _LMER, translate.fit, LMER),
    Suite("anova", _LMER, translate.fit, {"anova": anova.anova_satterthwaite}, "type._satt"),
    Suite("wald", _LMER, translate.fit, {"anova": anova.anova_wald}, "car_type._chisq"),
    Suite("kenward-roger", _LMER, translate.fit, KENWARD_ROGER),
    Suite("anova kr", _LMER, translate.fit, KENWARD_ROGER_TABLES, ".*_kr"),
    Suite("ranova", _LMER, translate.fit, {"anova": anova.ranova}, "ranova"),
    Suite("drop1", _LMER, translate.fit, {"anova": anova.drop1}, "drop1"),
    Suite("lrt", _LMER, translate.fit, {"lrt": anova.lrt}),
    Suite("profile", _LMER, translate.fit, {"confint_profile": anova.confint_profile}),
    Suite("r2", _LMER, translate.fit, {"r2_nakagawa": anova.r2_nakagawa, "icc": anova.icc}),
    Suite("emmeans", _LMER, translate.fit, {"emmeans": emmeans.emmeans}),
    Suite("nlme", _NLME, translate.fit, NLME),
    Suite("containment", frozenset(["lme"]), translate.fit, {"fixef": residual.containment}),
    Suite("glmer", _GLMER, translate.fit, GLMER),
    Suite("glmmTMB", _TMB, translate.fit, TMB),
    Suite("glmer wald", _GLMER | _TMB, translate.fit, {"anova": anova.anova_wald}, "car_type._chisq"),
    Suite("glmer profile", _GLMER, translate.fit, {"confint_profile": anova.confint_profile}),
    Suite("glmer r2", _GLMER, translate.fit, {"r2_nakagawa": anova.r2_nakagawa, "icc": anova.icc}),
    Suite("glmer lrt", _GLMER, translate.fit, {"lrt": anova.lrt}),
    Suite("glmer emmeans", _GLMER | _TMB, translate.fit, {"emmeans": emmeans.emmeans}),
    Suite("aov", _AOV, classical.aov, {"strata": classical.strata, "table": classical.table}),
    Suite("aov emmeans", _AOV | _AFEX, classical.mixed_model, {"emmeans": emmeans.emmeans}),
    Suite(
        "afex",
        _AFEX,
        classical.repeated_measures,
        {"anova": classical.corrected_tables, "mauchly": classical.sphericity},
    ),
    Suite("ems", _EMS, classical.mean_squares, {"variance_components": classical.variance_components}),
    Suite("lm", _LM, classical.linear_model, {"anova": classical.linear_model_anova}),
    Suite("lm emmeans", _LM, classical.linear_model, {"emmeans": emmeans.emmeans}),
)

# Names of the suites whose features are finished: these are tested by default and shown on the scoreboard.
ACTIVE = frozenset(
    [
        "lmer",
        "nlme",
        "containment",
        "aov",
        "afex",
        "ems",
        "kenward-roger",
        "anova",
        "anova kr",
        "wald",
        "ranova",
        "drop1",
        "lrt",
        "profile",
        "r2",
        "glmer",
        "glmer wald",
        "glmer lrt",
        "glmer profile",
        "glmer r2",
        "glmmTMB",
        "emmeans",
        "glmer emmeans",
        "lm emmeans",
        "aov emmeans",
    ]
)

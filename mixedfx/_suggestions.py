"""What people type who come from R, from statsmodels or in haste, and what it is called here.

One table of names and one of keywords; modules, results and functions ask them where Python would only say that
something does not exist. Nothing here runs as long as names are right.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import wraps
from typing import Any, NamedTuple, TypeVar, cast

from mixedfx.exceptions import UnknownArgumentError, UnknownNameError, told_in_notebooks

__all__ = ["OF_FITS", "OF_MODELS", "hinting", "hinting_methods", "unknown_name"]

NAMES: dict[str, str] = {
    # estimates
    "fixef": "fit.params",
    "fixed_effects": "fit.params",
    "coef": "fit.params (fixed effects) or fit.coefficients (fixed plus random, by level)",
    "coefs": "fit.params (fixed effects) or fit.coefficients (fixed plus random, by level)",
    "coeffs": "fit.params (fixed effects) or fit.coefficients (fixed plus random, by level)",
    "beta": "fit.params",
    "ranef": "fit.random_effects (standard deviations: fit.random_effects_sd)",
    "raneff": "fit.random_effects (standard deviations: fit.random_effects_sd)",
    "blups": "fit.random_effects",
    "blup": "fit.random_effects",
    "condvar": "fit.random_effects_cov (standard deviations: fit.random_effects_sd)",
    "varcorr": "fit.varcorr",
    "vcov": "fit.cov_params()",
    "variance_components": "fit.varcorr.to_frame()",
    "varcomp": "fit.varcorr.to_frame()",
    "std_errors": "fit.bse",
    "stderr": "fit.bse",
    "std_err": "fit.bse",
    "se": "fit.bse",
    "zvalues": "fit.tvalues",
    "tstat": "fit.tvalues",
    "pvals": "fit.pvalues",
    "confint": "fit.conf_int(), fit.conf_int(method='profile')",
    "conf_ints": "fit.conf_int()",
    "confidence_intervals": "fit.conf_int()",
    # the fit
    "loglik": "fit.llf",
    "log_likelihood": "fit.llf",
    "loglike": "fit.llf (at other parameters: fit.model.loglike(theta))",
    "score": "fit.model.score(theta)",
    "fitted": "fit.fittedvalues",
    "fitted_values": "fit.fittedvalues",
    "resids": "fit.resid or fit.residuals(kind)",
    "resid_pearson": "fit.residuals('pearson')",
    "resid_deviance": "fit.residuals('deviance')",
    "df_residual": "fit.df_resid",
    "issingular": "fit.is_singular",
    "ngrps": "fit.n_groups",
    "ngroups": "fit.n_groups",
    "n_obs": "fit.nobs",
    "getme": "fit.model.exog, fit.model.exog_re, fit.theta, …",
    "model_matrix": "fit.model.exog",
    "formula": "fit.model.formula",
    "family": "fit.model.family",
    "endog": "fit.model.endog",
    "exog": "fit.model.exog",
    "groups": "fit.model.groups",
    "summary2": "fit.summary()",
    "refit_ml": "fit.update(reml=False)",
    "refitml": "fit.update(reml=False)",
    "hessian": "fit.cov_params() and fit.cov_varpar(), the inverses of the information",
    "information": "fit.cov_params() and fit.cov_varpar(), the inverses of the information",
    "normalized_cov_params": "fit.cov_params()",
    "cov_re_unscaled": "fit.cov_re / fit.scale",
    "profile_re": "mfx.profile(fit)",
    "remove_data": "fit.save(path)",
    "t_test_pairwise": "mfx.emmeans(fit, …).pairs()",
    # fitting
    "lme": "mfx.lmer(formula, data), with residual=mfx.AR1(…), mfx.VarIdent(…), … where residuals have a structure",
    "lme4": "mfx.lmer(formula, data) or mfx.glmer(formula, data, family=…)",
    "gls": "mfx.lmer(formula without bars, data, residual=…)",
    "lm": "mfx.glmer(formula without bars, data, family='gaussian')",
    "ols": "mfx.glmer(formula without bars, data, family='gaussian')",
    "glm": "mfx.glmer(formula without bars, data, family=…)",
    "mixedlm": "mfx.lmer(formula, data), or mfx.LinearMixedModel.from_formula(formula, data, groups=…)",
    "glmmtmb": "mfx.glmer(formula, data, family=…)",
    "glmer_nb": "mfx.glmer(formula, data, family='nbinom2')",
    "glmmpql": "mfx.glmer(formula, data, family=…)",
    "glmm": "mfx.glmer(formula, data, family=…)",
    "lmm": "mfx.lmer(formula, data)",
    "clmm": "mfx.glmer(formula, data, family='ordinal')",
    "clmm2": "mfx.glmer(formula, data, family='ordinal')",
    "lmercontrol": "mfx.Control(…)",
    "glmercontrol": "mfx.Control(…)",
    "lmertest": "mfx.anova(fit), fit.pvalues: Satterthwaite's degrees of freedom are the default",
    # tests
    "lrtest": "mfx.anova(fit0, fit1)",
    "lrt": "mfx.anova(fit0, fit1)",
    "compare_lr_test": "mfx.anova(fit0, fit1)",
    "rand": "mfx.ranova(fit)",
    "anova_lm": "mfx.anova(fit)",
    "anovarm": "mfx.aov('y ~ a + Error(subject/a)', data)",
    "ezanova": "mfx.aov('y ~ a + Error(subject/a)', data)",
    "aov_ez": "mfx.aov('y ~ a + Error(subject/a)', data)",
    "aov_car": "mfx.aov('y ~ a + Error(subject/a)', data)",
    "krmodcomp": "fit.f_test(…, ddf='kenward-roger') or mfx.anova(fit, ddf='kenward-roger')",
    "satmodcomp": "fit.f_test(…) or mfx.anova(fit)",
    "pbmodcomp": "mfx.bootstrap_test(fit0, fit1)",
    "bootmer": "mfx.bootstrap(fit)",
    "boot": "mfx.bootstrap(fit)",
    "glht": "fit.t_test(…) or mfx.emmeans(fit, …).contrast(…)",
    "linear_hypothesis": "fit.f_test(…)",
    "linearhypothesis": "fit.f_test(…)",
    "extractaic": "fit.aic",
    "step": "mfx.drop1(fit), mfx.ranova(fit): one step at a time",
    # means
    "emtrends": "mfx.trends(fit, …)",
    "lstrends": "mfx.trends(fit, …)",
    "lsmeans": "mfx.emmeans(fit, …)",
    "marginal_means": "mfx.emmeans(fit, …)",
    "contrast": "mfx.emmeans(fit, …).contrast(…)",
    "contrasts": "mfx.emmeans(fit, …).contrast(…)",
    "pairs": "mfx.emmeans(fit, …).pairs()",
    "cohens_d": "mfx.eff_size(mfx.emmeans(fit, …))",
    "cohen_d": "mfx.eff_size(mfx.emmeans(fit, …))",
    "effectsize": "mfx.eff_size(mfx.emmeans(fit, …)), and eta squared in mfx.anova(fit)",
    "eta_squared": "mfx.anova(fit)",
    "deltamethod": "mfx.hypotheses(fit, …)",
    "delta_method": "mfx.hypotheses(fit, …)",
    "cld": "mfx.emmeans(fit, …).letters()",
    "ref_grid": "mfx.emmeans(fit, …)",
    "slopes": "mfx.trends(fit, …) at set values, mfx.marginal_effects(fit, …) averaged over the rows",
    "avg_slopes": "mfx.marginal_effects(fit, …)",
    "marginaleffects": "mfx.marginal_effects(fit, …)",
    "get_margeff": "mfx.marginal_effects(fit, …)",
    "margins": "mfx.marginal_effects(fit, …)",
    "avg_comparisons": "mfx.comparisons(fit, …)",
    "predictions": "fit.get_prediction(data).summary_frame()",
    "ggpredict": "fit.get_prediction(data) or mfx.plots.effect(fit, …)",
    "alleffects": "mfx.plots.effect(fit, …)",
    "emmip": "mfx.plots.interaction(mfx.emmeans(fit, [a, b]))",
    "interaction_plot": "mfx.plots.interaction(mfx.emmeans(fit, [a, b]))",
    "pwpp": "mfx.plots.pairwise_pvalues(mfx.emmeans(fit, …))",
    "predict_proba": "fit.predict(data)",
    # looking at it
    "plot_model": "mfx.plots.forest(fit)",
    "dotplot": "mfx.plots.caterpillar(fit)",
    "qqnorm": "mfx.plots.qq(fit)",
    "qqplot": "mfx.plots.qq(fit)",
    "plot_effects": "mfx.plots.effect(fit, …)",
    "check_model": "mfx.check(fit)",
    "check_convergence": "fit.certificate",
    "check_singularity": "fit.is_singular",
    "check_overdispersion": "mfx.overdispersion(fit)",
    "check_collinearity": "mfx.vif(fit)",
    "testdispersion": "mfx.overdispersion(fit)",
    "simulateresiduals": "mfx.quantile_residuals(fit)",
    "dharma": "mfx.quantile_residuals(fit), mfx.check(fit)",
    "repca": "mfx.random_effects_pca(fit)",
    "cooks_distance": "mfx.influence(fit)",
    "get_influence": "mfx.influence(fit)",
    "outlier_test": "mfx.influence(fit)",
    "hatvalues": "mfx.leverage(fit)",
    "rsquared": "mfx.r2(fit)",
    "r_squared": "mfx.r2(fit)",
    "r2_nakagawa": "mfx.r2(fit)",
    "r_squaredglmm": "mfx.r2(fit)",
    "intraclass_correlation": "mfx.icc(fit)",
    "model_performance": "mfx.compare([fit, …])",
    "compare_performance": "mfx.compare([fit, …])",
    "tab_model": "mfx.summary_col([fit, …])",
    "modelsummary": "mfx.summary_col([fit, …])",
    "stargazer": "mfx.summary_col([fit, …])",
    "to_frame": "mfx.tidy(fit)",
    "to_dataframe": "mfx.tidy(fit)",
    "equation": "mfx.explain(fit).equations",
    # families
    "poisson": "mfx.glmer(formula, data, family='poisson')",
    "binomial": "mfx.glmer(formula, data, family='binomial')",
    "logistic": "mfx.glmer(formula, data, family='binomial')",
    "logit": "mfx.glmer(formula, data, family='binomial')",
    "negativebinomial": "mfx.glmer(formula, data, family='nbinom2')",
    "negative_binomial": "mfx.glmer(formula, data, family='nbinom2')",
    "ordinal": "mfx.glmer(formula, data, family='ordinal')",
    # meta-analysis
    "rma": "mfx.lmer('d ~ 1 + (1 | study)', data, residual=mfx.KnownVariance('vi'))",
    "i2": "mfx.heterogeneity(fit)",
    "cochran_q": "mfx.heterogeneity(fit)",
    # data
    "data": "mfx.load_dataset(name); mfx.list_datasets() lists them",
    "load_data": "mfx.load_dataset(name)",
    "datasets_list": "mfx.list_datasets()",
    "read_csv": "pandas.read_csv(…)",
}
"""Lower-case name that people type (dots as underscores) to what is written here; for modules and for results."""

MORE_ARGUMENTS = ("contextual_test", "emmeans", "hypotheses", "trends", "variogram")
"""Functions of a fit that ask for more than the fit."""

OF_FITS = {
    name: f"mfx.{name}(fit, …)" if name in MORE_ARGUMENTS else f"mfx.{name}(fit)"
    for name in (
        "acf",
        "aicc",
        "augment",
        "batches",
        "compare",
        "comparisons",
        "conditional_aic",
        "contextual_test",
        "drop1",
        "glance",
        "heterogeneity",
        "hypotheses",
        "icc",
        "joint_tests",
        "least_confounded_residuals",
        "leverage",
        "marginal_effects",
        "overdispersion",
        "pooling",
        "quantile_residuals",
        "r2",
        "random_effects_independence",
        "random_effects_normality",
        "random_effects_pca",
        "ranova",
        "summary_col",
        "tidy",
        "trends",
        "variance_tests",
        "variogram",
        "vif",
    )
} | {
    name: f"mfx.plots.{name}(fit)"
    for name in ("caterpillar", "dashboard", "effect", "forest", "group_panels", "qq", "shrinkage")
}
"""Functions of a fit that people look for among its methods."""

OF_MODELS = {
    "data": "model.inputs.frame",
    "exog_vc": "model.exog_re",
    "get_distribution": "model.fit().simulate(…)",
    "group_labels": "model.groups",
    "k_fe": "model.exog.shape[1]",
    "k_re": "model.exog_re.shape[1]",
    "n_groups": "model.groups, or model.fit().n_groups",
    "n_totobs": "len(model.endog)",
    "nobs": "len(model.endog)",
    "predict": "model.fit().predict(data)",
}
"""What statsmodels' users look for in a model."""


class Hint(NamedTuple):
    """What to say about a keyword; it applies to functions that have the argument ``has`` (``""``: to all)."""

    has: str
    says: str


KEYWORDS: dict[str, tuple[Hint, ...]] = {
    "family": (Hint("reml", "lmer is for normal responses; write mfx.glmer(formula, data, family=…)"),),
    "reml": (
        Hint("nagq", "generalised models are fitted by maximum likelihood; leave it out"),
        Hint("residual", "say it where the model is fitted: LinearMixedModel(…).fit(reml=…)"),
    ),
    "method": (
        Hint("reml", "write reml=True (restricted maximum likelihood) or reml=False; the search is set by control="),
    ),
    "data": (Hint("fit", "the fit has its data: leave it out"),),
    "newdata": (Hint("data", "write data="),),
    "exog": (Hint("data", "write data= (a data frame with the columns of the formula)"),),
    "ziformula": (Hint("zero_inflation", "write zero_inflation='~ 1'"),),
    "zi": (Hint("zero_inflation", "write zero_inflation='~ 1'"),),
    "dispformula": (Hint("dispersion", "write dispersion='~ x'"),),
    "random": (
        Hint("residual", "write random effects into the formula: 'y ~ x + (x | group)'"),
        Hint("family", "write random effects into the formula: 'y ~ x + (x | group)'"),
    ),
    "groups": (
        Hint(
            "formula",
            "write the groups into the formula, 'y ~ x + (1 | group)', or "
            "LinearMixedModel.from_formula(formula, data, groups=…)",
        ),
    ),
    "group": (Hint("formula", "write the groups into the formula: 'y ~ x + (1 | group)'"),),
    "re_formula": (
        Hint("formula", "write random slopes into the formula: 'y ~ x + (x | group)'"),
        Hint("random", "write random=False for the population, or the names of groups"),
    ),
    "vc_formula": (Hint("formula", "write variance components into the formula: '(1 | group) + (1 | group:part)'"),),
    "re_form": (Hint("random", "write random=False for the population, or the names of groups"),),
    "correlation": (Hint("residual", "write residual=mfx.AR1(time, group=…), mfx.CompoundSymmetry(…), …"),),
    "cor": (Hint("residual", "write residual=mfx.AR1(time, group=…), mfx.CompoundSymmetry(…), …"),),
    "na_action": (Hint("missing", "write missing='drop' or missing='raise'"),),
    "subset": (Hint("formula", "choose the rows of the data first: data[data['x'] > 0]"),),
    "exposure": (Hint("offset", "write offset=np.log(exposure), or + offset(log(exposure)) in the formula"),),
    "trials": (Hint("weights", "write weights= (the trials of a proportion), or cbind(successes, failures) ~ …"),),
    "start": (Hint("control", "write control=mfx.Control(start=…)"),),
    "verbose": (Hint("control", "write control=mfx.Control(verbose=True)"),),
    "maxiter": (Hint("control", "write control=mfx.Control(max_iter=…)"), Hint("max_iter", "write max_iter=")),
    "optimizer": (
        Hint("control", "there is one search, with exact derivatives; control=mfx.Control(…) sets its limits"),
    ),
    "level": (Hint("alpha", "write alpha=0.05 for a level of 95 %"),),
    "conf_level": (Hint("alpha", "write alpha=0.05 for a level of 95 %"),),
    "ci": (Hint("alpha", "write alpha=0.05 for a level of 95 %"),),
    "nsim": (Hint("n", "write n="),),
    "n_sim": (Hint("n", "write n="),),
    "nboot": (Hint("n", "write n="),),
    "random_state": (Hint("seed", "write seed="),),
    "rng": (Hint("seed", "write seed="),),
    "allow_new_levels": (Hint("new_levels", "write new_levels='population'"),),
    "se_fit": (Hint("which", "standard errors come with fit.get_prediction(data)"),),
    "interval": (Hint("which", "intervals come with fit.get_prediction(data).summary_frame()"),),
    "type": (
        Hint("which", "write which='mean' or which='linear'"),
        Hint("scale", "write scale='response' or scale='link'"),
        Hint("kind", "write kind="),
    ),
    "specs": (Hint("by", "the first argument after the fit names the factors"),),
    "var": (Hint("variable", "write variable="),),
    "df": (Hint("ddf", "write ddf='satterthwaite', 'kenward-roger', 'containment', 'residual' or 'z'"),),
    "lmer_df": (Hint("ddf", "write ddf='satterthwaite', 'kenward-roger', 'containment', 'residual' or 'z'"),),
    "exponentiate": (Hint("exp", "write exp=True"),),
}
"""Lower-case keyword (dots as underscores) to what is written here, the first hint that fits the function."""

REQUIRED = {
    "family": "what the response is: 'binomial' (yes or no, proportions), 'poisson' or 'nbinom2' (counts), 'gamma' "
    "(positive), 'beta' (shares), 'ordinal' (ordered categories), …; for a normal response use mfx.lmer",
    "data": "a data frame; the formula comes first, then the data",
    "formula": "text such as 'y ~ x + (x | group)'",
    "x": "the name of a predictor, drawn along the axis",
}

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)


def unknown_name(owner: str, name: str, own: Iterable[str], beside: Mapping[str, str]) -> UnknownNameError:
    """Return the error for a name that ``owner`` does not have.

    Parameters
    ----------
    owner : str
        ``"module 'mixedfx'"``, ``"'LinearMixedResults' object"``.
    name : str
        What was typed.
    own : iterable of str
        What ``owner`` has.
    beside : mapping of str to str
        Names that exist elsewhere, and how they are written there.
    """
    said = f"{owner} has no attribute {name!r}"
    if name.startswith("_"):
        return UnknownNameError(said, name=name)
    plain = name.lower().replace(".", "_")
    names = list(own)
    if plain in NAMES:
        said += f"; write {NAMES[plain]}"
    elif name in beside:
        said += f"; write {beside[name]}"
    elif same := [other for other in names if other.lower() == plain]:
        said += f"; did you mean {same[0]!r}?"
    elif near := get_close_matches(name, names, n=2, cutoff=0.85):
        said += f"; did you mean {' or '.join(map(repr, near))}?"
    elif close := get_close_matches(plain, [*names, *beside, *NAMES], n=2, cutoff=0.75):
        written = dict.fromkeys(beside.get(c) or NAMES.get(c) or repr(c) for c in close)
        said += f"; did you mean {' or '.join(written)}?"
    return UnknownNameError(said, name=name)


def hinting(function: F) -> F:
    """Return ``function`` whose calls with unknown or missing arguments say what to write instead."""

    @wraps(function)
    def called(*values: Any, **options: Any) -> Any:
        try:
            return function(*values, **options)
        except TypeError as error:
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                told_in_notebooks(error)
                raise  # the function began: the error is its own
            message = _refusal(function, values, options, str(error))
        raise UnknownArgumentError(message)

    return cast(F, called)


def hinting_methods(cls: C) -> C:
    """Make the public methods of a class, and its construction, :func:`hinting`; for use as a decorator."""
    for name, value in list(vars(cls).items()):
        if inspect.isfunction(value) and (name == "__init__" or not name.startswith("_")):
            setattr(cls, name, hinting(value))
        elif isinstance(value, classmethod) and not name.startswith("_"):
            setattr(cls, name, classmethod(hinting(value.__func__)))
    return cls


def _refusal(function: Callable[..., Any], values: tuple[Any, ...], options: Mapping[str, Any], python: str) -> str:
    parameters = inspect.signature(function).parameters
    own = [name for name in parameters if name not in ("self", "cls")]
    called = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]
    unknown = [name for name in options if name not in parameters]
    if unknown:
        return f"{called} has no argument {unknown[0]!r}: {_advice(unknown[0], own)}"
    missing = [
        name
        for position, (name, parameter) in enumerate(parameters.items())
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and name not in options
        and (parameter.kind is parameter.KEYWORD_ONLY or position >= len(values))
    ]
    if missing:
        meaning = f", {REQUIRED[missing[0]]}" if missing[0] in REQUIRED else ""
        return f"{called} needs {missing[0]}={meaning}"
    keyword = [name for name in own if parameters[name].kind is inspect.Parameter.KEYWORD_ONLY]
    if "positional" in python:
        if keyword:
            return (
                f"{called} got too many arguments without a name; these need one: {', '.join(f'{k}=' for k in keyword)}"
            )
        return f"{called} got too many arguments: it takes {', '.join(own) or 'none'}"
    return python


def _advice(keyword: str, own: list[str]) -> str:
    plain = keyword.lower().replace(".", "_")
    same = [name for name in own if name.lower() == plain]
    if same:
        return f"did you mean {same[0]}=?"
    for hint in KEYWORDS.get(plain, ()):
        if not hint.has or hint.has in own:
            return hint.says
    close = get_close_matches(keyword, own, n=2)
    if close:
        return f"did you mean {' or '.join(f'{name}=' for name in close)}?"
    return f"it takes {', '.join(own)}" if own else "it takes none"

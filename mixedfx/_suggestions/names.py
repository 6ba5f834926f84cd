"""What people who come from R or statsmodels look for on modules and objects, and what it is called here.

The keys are lower-case words (dots as underscores; several that mean the same stand in one key), the values what to
write or a sentence. Code stands in back-quotes, which messages do not show; tests/test_suggestions.py runs all of it.
"""

from __future__ import annotations

from mixedfx._suggestions.words import (
    CLUSTERS,
    FRAILTY,
    NONLINEAR,
    ONE_SEARCH,
    PRECISE,
    RELATED,
    ROBUST,
    SERIAL,
    STRUCTURES_OF_RESIDUALS,
    SURVEY,
    UNORDERED,
    Entry,
    Hint,
)

__all__ = ["NAMES", "OF_FITS", "OF_MODELS"]

NAMES: dict[str, Entry] = {
    # estimates
    "fixef fixed_effects beta": "`fit.params`",
    "coef coefs coeffs": "`fit.params` (fixed effects) or `fit.coefficients` (fixed plus random, by level)",
    "ranef raneff": "`fit.random_effects` (standard deviations: `fit.random_effects_sd`)",
    "blups blup": "`fit.random_effects`",
    "condvar": "`fit.random_effects_cov` (standard deviations: `fit.random_effects_sd`)",
    "varcorr": "`fit.varcorr`",
    "vcov": "`fit.cov_params()`",
    "variance_components varcomp": "`fit.varcorr.to_frame()`",
    "std_errors stderr std_err se": "`fit.bse`",
    "zvalues tstat": "`fit.tvalues`",
    "pvals": "`fit.pvalues`",
    "confint": "`fit.conf_int()`, `fit.conf_int(method='profile')`",
    "conf_ints confidence_intervals": "`fit.conf_int()`",
    # the fit
    "loglik log_likelihood": "`fit.llf`",
    "loglike": "`fit.llf` (at other parameters: `fit.model.loglike(fit.theta)`)",
    "score": "`fit.model.score(fit.theta)`",
    "fitted fitted_values": "`fit.fittedvalues`",
    "resids": "`fit.resid` or `fit.residuals('pearson')`",
    "resid_pearson": "`fit.residuals('pearson')`",
    "resid_deviance": "`fit.residuals('deviance')`",
    "df_residual": "`fit.df_resid`",
    "issingular": "`fit.is_singular`",
    "ngrps ngroups": "`fit.n_groups`",
    "n_obs": "`fit.nobs`",
    "getme": "`fit.model.exog`, `fit.model.exog_re`, `fit.theta`, `fit.model.Lambda(fit.theta)`, …",
    "model_matrix exog": "`fit.model.exog`",
    "formula": "`fit.model.formula`",
    "family": "`fit.model.family`",
    "endog": "`fit.model.endog`",
    "groups": "`fit.model.groups`",
    "summary2": "`fit.summary()`",
    "refit_ml refitml": "`fit.update(reml=False)`",
    "hessian information": "`fit.cov_params()` and `fit.cov_varpar()`, the inverses of the information",
    "normalized_cov_params": "`fit.cov_params()`",
    "cov_re_unscaled": "`fit.cov_re / fit.scale`",
    "profile_re": "`mfx.profile(fit)`",
    "remove_data": "`fit.save('fit.mfx')`",
    "t_test_pairwise": "`mfx.emmeans(fit, 'f').pairs()`",
    # fitting
    "lme": "`mfx.lmer(formula, data)`, with `residual=mfx.AR1('time', group='group')`, … for structured residuals",
    "lme4": "`mfx.lmer(formula, data)` or `mfx.glmer('count ~ x + (1 | group)', data, family='poisson')`",
    "gls": "`mfx.lmer('y ~ x', data, residual=mfx.AR1('time', group='group'))`",
    "lm ols": "`mfx.glmer('y ~ x', data, family='gaussian')`",
    "glm": "`mfx.glmer('count ~ x', data, family='poisson')`",
    "mixedlm": "`mfx.lmer(formula, data)`, or `mfx.LinearMixedModel.from_formula('y ~ x', data, groups='group').fit()`",
    "glmmtmb glmmpql glmm": "`mfx.glmer('count ~ x + (1 | group)', data, family='poisson')`",
    "glmer_nb": "`mfx.glmer('count ~ x + (1 | group)', data, family='nbinom2')`",
    "lmm": "`mfx.lmer(formula, data)`",
    "clmm clmm2": "`mfx.glmer('rating ~ x + (1 | group)', data, family='ordinal')`",
    "lmercontrol glmercontrol": "`mfx.Control(max_iter=200)`",
    "lmertest": "`mfx.anova(fit)`, `fit.pvalues`: Satterthwaite's degrees of freedom are the default",
    # tests
    "lrtest lrt compare_lr_test": "`mfx.anova(fit0, fit1)`",
    "rand": "`mfx.ranova(fit)`",
    "anova_lm": "`mfx.anova(fit)`",
    "anovarm ezanova aov_ez aov_car": "`mfx.aov('y ~ f + Error(group/f)', data)`",
    "krmodcomp": "`fit.f_test('x = 0', ddf='kenward-roger')` or `mfx.anova(fit, ddf='kenward-roger')`",
    "satmodcomp": "`fit.f_test('x = 0')` or `mfx.anova(fit)`",
    "pbmodcomp": "`mfx.bootstrap_test(fit0, fit1)`",
    "bootmer boot bootstrap_ci": "`mfx.bootstrap(fit)`",
    "glht": "`fit.t_test('x')` or `mfx.emmeans(fit, 'f').contrast('pairwise')`",
    "linear_hypothesis linearhypothesis": "`fit.f_test('x = 0')`",
    "extractaic": "`fit.aic`",
    "step stepwise buildmer stepaic dredge": "`mfx.drop1(fit)`, `mfx.ranova(fit)`: one step at a time",
    # means
    "emtrends lstrends": "`mfx.trends(fit, 'x')`",
    "lsmeans marginal_means ref_grid": "`mfx.emmeans(fit, 'f')`",
    "contrast contrasts": "`mfx.emmeans(fit, 'f').contrast('pairwise')`",
    "pairs": "`mfx.emmeans(fit, 'f').pairs()`",
    "cohens_d cohen_d": "`mfx.eff_size(mfx.emmeans(fit, 'f'))`",
    "effectsize": "`mfx.eff_size(mfx.emmeans(fit, 'f'))`, and eta squared in `mfx.anova(fit)`",
    "eta_squared": (Hint("mixed_model", "`aov.to_frame()`"), Hint("", "`mfx.anova(fit)`")),
    "deltamethod delta_method": "`mfx.hypotheses(fit, 'x = 0')`",
    "cld": "`mfx.emmeans(fit, 'f').letters()`",
    "slopes": "`mfx.trends(fit, 'x')` at set values, `mfx.marginal_effects(fit, 'x')` averaged over the rows",
    "avg_slopes marginaleffects get_margeff margins": "`mfx.marginal_effects(fit, 'x')`",
    "avg_comparisons": "`mfx.comparisons(fit, 'x')`",
    "predictions": "`fit.get_prediction(data).summary_frame()`",
    "ggpredict ggeffects ggemmeans": "`fit.get_prediction(data)` or `mfx.plots.effect(fit, 'x')`",
    "alleffects": "`mfx.plots.effect(fit, 'x')`",
    "emmip interaction_plot": "`mfx.plots.interaction(mfx.emmeans(fit, ['f', 'sex']))`",
    "pwpp": "`mfx.plots.pairwise_pvalues(mfx.emmeans(fit, 'f'))`",
    "predict_proba": "`fit.predict(data)`",
    # looking at it
    "plot_model": "`mfx.plots.forest(fit)`",
    "dotplot": "`mfx.plots.caterpillar(fit)`",
    "qqnorm qqplot": "`mfx.plots.qq(fit)`",
    "plot_effects": "`mfx.plots.effect(fit, 'x')`",
    "check_model": "`mfx.check(fit)`",
    "check_convergence": "`fit.certificate`",
    "check_singularity": "`fit.is_singular`",
    "check_overdispersion testdispersion": "`mfx.overdispersion(fit)`",
    "check_collinearity": "`mfx.vif(fit)`",
    "simulateresiduals": "`mfx.quantile_residuals(fit)`",
    "dharma": "`mfx.quantile_residuals(fit)`, `mfx.check(fit)`",
    "repca": "`mfx.random_effects_pca(fit)`",
    "cooks_distance get_influence outlier_test": "`mfx.influence(fit)`",
    "hatvalues": "`mfx.leverage(fit)`",
    "rsquared r_squared r2_nakagawa r_squaredglmm": "`mfx.r2(fit)`",
    "intraclass_correlation": "`mfx.icc(fit)`",
    "model_performance compare_performance performance": "`mfx.compare([fit0, fit1])`, `mfx.r2(fit)`, `mfx.check(fit)`",
    "tab_model modelsummary stargazer": "`mfx.summary_col([fit0, fit1])`",
    "to_frame to_dataframe to_pandas": (
        Hint("cov_params", "`mfx.tidy(fit)`"),
        Hint("table", "`.table`"),
        Hint("to_frame", "`.to_frame()`"),
    ),
    "equation": "`mfx.explain(fit).equations`",
    "to_html as_html": (
        Hint("as_html", "`.as_html()`"),
        Hint("cov_params", "`fit.summary().as_html()`"),
        Hint("summary", "`.summary().as_html()`"),
        Hint("to_frame", "`.to_frame().to_html()`"),
    ),
    "to_word to_docx as_docx as_word to_rtf": (
        Hint("as_html", "`.as_html()`: Word opens it as tables"),
        Hint("cov_params", "`fit.summary().as_html()`: Word opens it as tables"),
        Hint("summary", "`.summary().as_html()`: Word opens it as tables"),
        Hint("to_frame", "`.to_frame().to_html()`: Word opens it as a table"),
    ),
    "to_latex as_latex": (
        Hint("as_latex", "`.as_latex()`"),
        Hint("cov_params", "`fit.summary().as_latex()`"),
        Hint("summary", "`.summary().as_latex()`"),
        Hint("to_frame", "`.to_frame().to_latex()`"),
    ),
    "to_csv": (
        Hint("cov_params", "`mfx.tidy(fit).to_csv('table.csv')`"),
        Hint("to_frame", "`.to_frame().to_csv('table.csv')`"),
    ),
    "to_excel as_excel to_xlsx": (
        Hint("cov_params", "`mfx.tidy(fit).to_excel('table.xlsx')`"),
        Hint("to_frame", "`.to_frame().to_excel('table.xlsx')`"),
    ),
    "odds_ratios odds_ratio": "`mfx.tidy(fit, exponentiate=True)` or `fit.summary(exp=True)`",
    # families
    "poisson": "`mfx.glmer('count ~ x + (1 | group)', data, family='poisson')`",
    "binomial logistic logit": "`mfx.glmer('event ~ x + (1 | group)', data, family='binomial')`",
    "negativebinomial negative_binomial": "`mfx.glmer('count ~ x + (1 | group)', data, family='nbinom2')`",
    "ordinal": "`mfx.glmer('rating ~ x + (1 | group)', data, family='ordinal')`",
    # meta-analysis
    "rma": "`mfx.lmer('d ~ 1 + (1 | study)', studies, residual=mfx.KnownVariance('vi'))`",
    "i2 cochran_q": "`mfx.heterogeneity(fit)`",
    # data
    "data": "`mfx.load_dataset('sleepstudy')`; `mfx.list_datasets()` lists them",
    "load_data": "`mfx.load_dataset('sleepstudy')`",
    "datasets_list": "`mfx.list_datasets()`",
    "read_csv": "`pandas.read_csv('data.csv')`",
    # not here
    "vcovcr vcovhc sandwich coeftest coef_test cov_type robust_cov cov_robust clubsandwich cluster_robust": CLUSTERS,
    "robust rlmer rlm robustlmm": ROBUST,
    "svyglm svydesign pweights survey wemix": SURVEY,
    "mice impute imputation multiple_imputation rubin": "data are imputed elsewhere and fitted one by one: "
    "`mfx.pool([mfx.lmer(formula, one) for one in imputed])` by Rubin's rules",
    "cross_validate cross_val_score cv kfold loo waic": "what each group changes is `mfx.influence(fit, 'group')`, an "
    "estimate of the error of prediction `mfx.conditional_aic(fit)`; new groups are predicted by "
    "`fit.predict(data, new_levels='population')`",
    "permutation_test permutation permute permmodels": "draw from the model without the effect: "
    "`mfx.bootstrap_test(fit0, fit1, n=20)`",
    "allfit all_fit optimizer optimizers": f"{ONE_SEARCH}; `fit.certificate` says how far the criterion could fall",
    "vuong vuongtest nonnest2 cox_test": "models that are not nested are compared by `mfx.compare([fit0, fit1])`",
    "average model_average model_avg modavg aictab": "averages over models are not made; weights of models are in "
    "`mfx.compare([fit0, fit1])`",
    "to_r as_r r_code to_lme4": "`mfx.explain(fit).code['lme4']`",
    "to_arviz inference_data arviz": "draws come from a sampler: `fit.to_pymc()` writes its program; "
    "of estimates, from `mfx.bootstrap(fit, n=20).to_frame()`",
    "brm brms stan_lmer rstanarm stan_glmer mcmcglmm": "programs for samplers are `fit.to_brms()`, "
    "`fit.to_stan()` and `fit.to_pymc()`",
    "nlmer nlme nls saemix nlmixed": NONLINEAR,
    "gam gamm gamm4 bam mgcv": "`mfx.lmer('y ~ s(x) + (1 | group)', data)`",
    "coxme coxph survreg frailty phreg surv": FRAILTY,
    "multinom mblogit": UNORDERED,
    "report": (
        Hint("mixed_model", "`aov.summary()`; paragraphs are written of mixed models, `aov.mixed_model().report()`"),
        Hint("", "paragraphs are written of fits, `fit.report()`; the table is `mfx.emmeans(fit, 'f').summary()`"),
    ),
    "emmeans": (Hint("mixed_model", "`mfx.emmeans(aov, 'f')`"),),
    "toeplitz arma corarma ar exponential gaussian spatial matern corexp corgaus corspher": "that is not there: "
    f"{STRUCTURES_OF_RESIDUALS}; {SERIAL}; random effects have `toep(0 + f | group)` and mfx.register_covariance",
    "corar1": "`mfx.AR1('time', group='group')`",
    "corcar1": "`mfx.CAR1('time', group='group')`",
    "corcompsymm": "`mfx.CompoundSymmetry('group')`",
    "corsymm": "`mfx.Unstructured('time', group='group')`",
    "varident": "`mfx.VarIdent('sex')`",
    "varpower varconstpower": "`mfx.VarPower('x')`",
    "varexp": "`mfx.VarExp('x')`",
    "varfixed": "`mfx.KnownVariance('vi')`",
    "varcomb": "structures are multiplied: `mfx.VarIdent('sex') * mfx.AR1('time', group='group')`",
    "relmat lme4qtl pedigreemm lmekin": RELATED,
    "firth brglm logistf": "`mfx.glmer('event ~ x + (1 | group)', data, family='binomial', penalty=0.1)`",
    "freq_weights case_weights": PRECISE,
}
"""Names to what is written here; for modules and for objects."""

CALLED_WITH = {
    "compare": "[fit0, fit1]",
    "comparisons": "fit, 'x'",
    "effect": "fit, 'x'",
    "emmeans": "fit, 'f'",
    "group_panels": "fit, 'x'",
    "hypotheses": "fit, 'x = 0'",
    "marginal_effects": "fit, 'x'",
    "summary_col": "[fit0, fit1]",
    "trends": "fit, 'x'",
    "variogram": "fit, 'time'",
}
"""Functions of a fit that ask for more than the fit."""

OF_FITS = {
    name: f"`mfx.{name}({CALLED_WITH.get(name, 'fit')})`"
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
    name: f"`mfx.plots.{name}({CALLED_WITH.get(name, 'fit')})`"
    for name in ("caterpillar", "dashboard", "effect", "forest", "group_panels", "qq", "shrinkage")
}
"""Functions of a fit that people look for among its methods."""

OF_MODELS = {
    "exog_vc Z Zt": "`model.exog_re`",
    "X": "`model.exog`",
    "L Lind Lambdat": "`model.Lambda(fit.theta)`, the factor of the covariances of random effects",
    "get_distribution": "`model.fit().simulate(5)`",
    "group_labels": "`model.groups`",
    "k_fe": "`model.exog.shape[1]`",
    "k_re": "`model.exog_re.shape[1]`",
    "n_groups": "`model.groups`, or `model.fit().n_groups`",
    "n_totobs nobs": "`len(model.endog)`",
    "predict": "`model.fit().predict(data)`",
}
"""What statsmodels' users look for in a model."""

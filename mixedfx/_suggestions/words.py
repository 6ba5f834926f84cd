"""Words of other packages, and what is not here, by the place where they are written: arguments, families, terms, ….

The keys are words (several that mean the same stand in one key, as :func:`mixedfx._suggestions.plain` spells them), the
values sentences. Code stands in back-quotes, which messages do not show; tests/test_suggestions.py runs all of it.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ARGUMENTS", "COLUMNS", "FAMILIES", "FUNCTIONS", "LINKS", "STRUCTURES", "VALUES", "WRONG_FITS", "Hint"]


class Hint(NamedTuple):
    """What to say of a word; it applies to what has the argument, attribute or choice ``has`` (``""``: to all)."""

    has: str
    says: str


Entry = str | tuple[Hint, ...]
"""A sentence, or the first hint that fits."""

# ---------------------------------------------------------------- what several words lead to
CLUSTERS = (
    "cluster-robust standard errors are those of `fit.robust()`; whole groups are drawn anew by "
    "`mfx.bootstrap(fit, method='cluster').conf_int()`"
)
ROBUST = f"{CLUSTERS}; against outliers fit with `family='student_t'` in mfx.glmer"
SURVEY = (
    "weights of a survey's sampling are not supported, and weights= is another thing (precisions, trials or numbers of "
    "rows); put what the sampling depended on into the formula"
)
TIMES = (
    "survival times: cut time into periods, one row a person and period, and fit "
    "`mfx.glmer('event ~ C(period) + x + (1 | group)', data, family='binomial', link='cloglog')`; or counts of events "
    "with `mfx.glmer('event ~ x + offset(log(time)) + (1 | group)', data, family='poisson')`"
)
FRAILTY = (
    f"{TIMES}; gamma frailties: "
    "`mfx.hglm('event ~ x + offset(log(time)) + (1 | group)', data, family='poisson', random={'group': 'gamma'})`"
)
CENSORED = (
    "censored responses are not supported (brms has them); whether a limit was reached is "
    "`mfx.glmer('I(y > 1) ~ x + (1 | group)', data, family='binomial')`"
)
NONLINEAR = (
    "models that are nonlinear in their parameters are not supported (nlme, brms and Stan have them); a smooth "
    "curve is `mfx.lmer('y ~ s(x) + (1 | group)', data)`, a polynomial `mfx.lmer('y ~ poly(x, 2) + (x | group)', data)`"
)
TENSOR = (
    "smooths of two variables are not there; `y ~ s(x) + s(z)` adds two curves, "
    "`y ~ poly(x, 2) * poly(z, 2) + (1 | group)` lets them interact"
)
BY_DESIGN = "the correlations between the columns of a term are unlimited in `(0 + f | group)`"
OF_YOUR_OWN = (
    "correlations that are a function of distances or lags are given to mfx.register_covariance, which has an example"
)
SERIAL = "serial correlation of residuals is `residual=mfx.AR1('time', group='group')`"
STRUCTURES_OF_RESIDUALS = (
    "residual structures are mfx.VarIdent, VarPower, VarExp, KnownVariance, AR1, CAR1, CompoundSymmetry, Unstructured"
)
SPREAD = "that differ by group are `residual=mfx.VarIdent('sex')`, along a covariate `residual=mfx.VarPower('x')`"
GROWING = (
    "a spread that grows with the mean is `family='gamma'` (a constant coefficient of variation) or "
    "`mfx.lmer('log(y) ~ x + (1 | group)', data)`; along a covariate `residual=mfx.VarPower('x')`"
)
ALTERNATIVES = (
    "underdispersed counts have no family here (glmmTMB has compois and genpois); `family='poisson'` is then careful, "
    "and `mfx.overdispersion(fit)` says by how much; counts of a few values can be `family='ordinal'`"
)
SHIFTED = "take the shift off the response: `mfx.lmer('log(rt - 200) ~ x + (1 | group)', data)`"
SKEWED = (
    "skewed positive responses are `family='gamma', link='identity'`, `family='inverse_gaussian', link='identity'` or "
    "`family='lognormal'`"
)
TWO_PARTS = (
    "zeros have a process of their own by `family='beta', zero_inflation='~ 1'`; ones as well need a model of three "
    "parts (brms), or measured zeros and ones moved inside, (y * (n - 1) + 0.5) / n"
)
STEPS = (
    "sequential steps: one row for each category that was reached, 1 where it was passed, and "
    "`mfx.glmer('passed ~ C(step) + x + (1 | group)', data, family='binomial')`; cumulative ones are `family='ordinal'`"
)
UNORDERED = (
    "unordered categories are not supported; model one against the others: "
    "`mfx.glmer('I(f == \"a\") ~ x + (1 | group)', data, family='binomial')`; ordered ones are `family='ordinal'`"
)
ORDERED = "ordered categories are `family='ordinal'` (link='logit' or 'probit')"
SEVERAL = (
    "one response at a time: the same model for each is `fit.refit_many(data[['y', 'z']])`; correlated ones are "
    "stacked into one column, with `(0 + f | group)` of a factor f that says which response a row has"
)
ONE_SEARCH = "there is one search, with exact derivatives; `control=mfx.Control(starts=5)` tries several beginnings"
DDF = "write `ddf='satterthwaite'`, `ddf='kenward-roger'`, `ddf='containment'`, `ddf='residual'` or `ddf='z'`"
RELATED = "write `y ~ x + known(1 | group, K)` with the matrix in `functions={'K': K}`"
PRECISE = (
    "weights= is precision in models of measurements; repeat the rows that count more than once: "
    "`data.loc[data.index.repeat(data['k'])]`"
)
NUMBERS = (
    "numbers of rows are `weights='k'` for counts, yes or no, shares (beta) and ordered categories; elsewhere "
    "weights= is precision: repeat the rows, `data.loc[data.index.repeat(data['k'])]`"
)
FIXED_PARTS = "a factor of few levels can stand there as a fixed effect, '~ C(group)'"
ESTIMATED = "the parameters of residual structures are estimated: leave it out"
LEARNERS = (
    "write `center(x)`, `scale(x)`, `poly(x, 2)`, `cut(x, 3)`, or `wb(x, g)` for means of groups, which remember what "
    "they learnt for new data; or compute the column in the data first"
)
COLUMN_WISE = f"it looks at a whole column, which the rows of new data are not: {LEARNERS}"
BY_SUMS = "or fit by sums over the rows: `mfx.lmer(None, mfx.cross_products(data, formula))`"
RESIDUALS = "write `residual=mfx.AR1('time', group='group')`, `residual=mfx.CompoundSymmetry('group')`, …"

ARGUMENTS: dict[str, Entry] = {
    "family": (
        Hint(
            "reml", "lmer is for normal responses; write `mfx.glmer('count ~ x + (1 | group)', data, family='poisson')`"
        ),
    ),
    "reml": (
        Hint("nagq", "generalised models are fitted by maximum likelihood; leave it out"),
        Hint("residual", "say it where the model is fitted: `mfx.LinearMixedModel(formula, data).fit(reml=False)`"),
    ),
    "method": (
        Hint("reml", "write `reml=True` (restricted likelihood) or `reml=False`; the search is set by control="),
    ),
    "data": (Hint("fit", "the fit has its data: leave it out"),),
    "newdata": (Hint("data", "write `data=data`"),),
    "exog": (Hint("data", "write `data=data` (a data frame with the columns of the formula)"),),
    "ziformula zi": (Hint("zero_inflation", "write `zero_inflation='~ 1'`"),),
    "dispformula": (
        Hint("dispersion", "write `dispersion='~ x'`"),
        Hint("residual", f"residual standard deviations {SPREAD}"),
    ),
    "dispersion": (Hint("residual", f"residual standard deviations {SPREAD}"),),
    "random": (
        Hint("residual", "write random effects into the formula: `y ~ x + (x | group)`"),
        Hint("family", "write random effects into the formula: `y ~ x + (x | group)`"),
    ),
    "groups": (
        Hint(
            "formula",
            "write the groups into the formula, `y ~ x + (1 | group)`, or "
            "`mfx.LinearMixedModel.from_formula('y ~ x', data, groups='group')`",
        ),
    ),
    "group": (Hint("formula", "write the groups into the formula: `y ~ x + (1 | group)`"),),
    "re_formula": (
        Hint("formula", "write random slopes into the formula: `y ~ x + (x | group)`"),
        Hint("random", "write `random=False` for the population, or the names of groups"),
    ),
    "vc_formula": (
        Hint("formula", "write variance components into the formula: `y ~ x + (1 | group) + (1 | group:part)`"),
    ),
    "re_form": (Hint("random", "write `random=False` for the population, or the names of groups"),),
    "correlation cor corr": (Hint("residual", RESIDUALS),),
    "relmat relmatrix cov_struct cov_ranef kinship pedigree vcv": (Hint("functions", RELATED),),
    "na_action": (Hint("missing", "write `missing='drop'` or `missing='raise'`"),),
    "subset": (Hint("formula", "choose the rows of the data first: `data[data['x'] > 0]`"),),
    "exposure": (
        Hint("offset", "write `offset=np.log(data['time'])`, or `count ~ x + offset(log(time))` as the formula"),
    ),
    "trials": (
        Hint("family", "write weights= (the trials of a proportion), or cbind(successes, failures) ~ … in the formula"),
    ),
    "cov_type cov_kwds vcov vcov_type cluster clusters robust se_type use_sandwich sandwich": (
        Hint("cluster", f"write `cluster='group'` with method='cluster'; {CLUSTERS}"),
        Hint("", CLUSTERS),
    ),
    "pweights sampling_weights survey_weights pweight probweights prob_weights wt_scale": SURVEY,
    "freq_weights frequency fweights fweight frequency_weights case_weights n_rows": (
        Hint("reml", PRECISE),
        Hint("family", NUMBERS),
    ),
    "var_weights precision_weights": (Hint("weights", "write `weights='w'`: precisions"),),
    "varpower varident varexp varfunc variance_function": (Hint("residual", f"residual standard deviations {SPREAD}"),),
    "firth brglm bias_reduction prior priors penalized": (
        Hint("penalty", "write `penalty=0.1`, the precision of a normal prior on the standardised coefficients"),
        Hint(
            "reml", "priors are for a sampler: `fit.to_pymc()`, `fit.to_stan()` and `fit.to_brms()` write its program"
        ),
    ),
    "start": (Hint("control", "write `control=mfx.Control(start=fit.theta)`"),),
    "verbose": (Hint("control", "write `control=mfx.Control(verbose=True)`"),),
    "maxiter": (Hint("control", "write `control=mfx.Control(max_iter=200)`"), Hint("max_iter", "write `max_iter=200`")),
    "optimizer optimiser algorithm optctrl method_optimizer allfit": (
        Hint("control", ONE_SEARCH),
        Hint("starts", "there is one search, with exact derivatives; `starts=5` tries several beginnings"),
    ),
    "level conf_level ci": (Hint("alpha", "write `alpha=0.05` for a level of 95 %"),),
    "nsim n_sim nboot": (Hint("n", "write `n=20`"),),
    "random_state rng": (Hint("seed", "write `seed=1`"),),
    "allow_new_levels": (Hint("new_levels", "write `new_levels='population'`"),),
    "se_fit": (Hint("which", "standard errors come with `fit.get_prediction(data)`"),),
    "interval": (Hint("which", "intervals come with `fit.get_prediction(data).summary_frame()`"),),
    "type": (
        Hint("which", "write `which='mean'` or `which='linear'`"),
        Hint("scale", "write `scale='response'` or `scale='link'`"),
        Hint("kind", "write kind="),
    ),
    "specs": (Hint("by", "the first argument after the fit names the factors"),),
    "by": (
        Hint(
            "means", "the factor of the lines comes from the means: `mfx.plots.interaction(fit.emmeans('f', by='sex'))`"
        ),
    ),
    "var": (Hint("variable", "write `variable='x'`"),),
    "df lmer_df denominator_df": (Hint("ddf", DDF),),
    "exponentiate": (Hint("exp", "write `exp=True`"),),
    "form": (
        Hint("time", "name the columns: `mfx.CAR1('time', group='group')`"),
        Hint("visit", "name the columns: `mfx.Unstructured('time', group='group')`"),
        Hint("column", "name the column: `mfx.VarPower('x')`, `mfx.VarIdent('sex')`"),
        Hint("group", "name the group: `mfx.CompoundSymmetry('group')`"),
    ),
    "rho value fixed phi delta": tuple(Hint(has, ESTIMATED) for has in ("column", "time", "visit", "group")),
}
"""Keywords of calls."""

FAMILIES: dict[str, Entry] = {
    "logistic logit": "logistic regression is `family='binomial'`",
    "probit": "probit regression is `family='binomial', link='probit'`",
    "cloglog": "write `family='binomial', link='cloglog'`",
    "binary": "yes-or-no responses are `family='binomial'`",
    "count counts": "counts are `family='poisson'`, with extra spread `family='nbinom2'`",
    "log": "that is a link: write `family='poisson', link='log'` or `family='gamma', link='log'`",
    "quasibinomial quasi_binomial": "a likelihood is needed: `family='beta_binomial'`, or a random effect of every row",
    "quasipoisson quasi_poisson": "a likelihood is needed: `family='nbinom1'` has a variance proportional to the mean",
    "quasi": "a likelihood is needed: `family='nbinom1'` for counts, "
    "`family='beta_binomial'` for successes, `family='gamma'` or `family='tweedie'` for positive numbers",
    "negbin nb nbinom negbinomial": "write `family='nbinom2'` (variance mu + mu²/size) or `family='nbinom1'` "
    "(variance mu (1 + phi))",
    "nb1": "write `family='nbinom1'`",
    "nb2": "write `family='nbinom2'`",
    "zip": "write `family='zero_inflated_poisson'`, or `family='poisson', zero_inflation='~ 1'`",
    "zinb": "write `family='zero_inflated_nbinom2'`, or `family='nbinom2', zero_inflation='~ 1'`",
    "zero_inflated": "write `family='zero_inflated_poisson'`, or a family with `zero_inflation='~ 1'`",
    "hurdle": "write `family='hurdle_poisson'`, `family='hurdle_nbinom1'` or `family='hurdle_nbinom2'`",
    "zero_inflated_beta": "write `family='beta', zero_inflation='~ 1'`",
    "zero_inflated_gamma zigamma ziga zi_gamma hurdle_gamma": "write `family='gamma', zero_inflation='~ 1'`",
    "hurdle_lognormal zero_inflated_lognormal": "write `family='lognormal', zero_inflation='~ 1'`",
    "zero_inflated_binomial zero_inflated_beta_binomial": "write `family='beta_binomial'`, or `family='binomial', "
    "zero_inflation='~ 1'` where trials are several",
    "zero_one_inflated_beta zero_one_inflated zoib ordered_beta ordbeta": TWO_PARTS,
    "cumulative clm clmm polr ordered": ORDERED,
    "multinomial nominal categorical multinom mlogit softmax": UNORDERED,
    "sratio cratio continuation_ratio stopping_ratio sequential": STEPS,
    "acat adjacent": "adjacent categories are not compared (brms does); cumulative ones are `family='ordinal'`",
    "cox coxph coxme weibull surv survival survreg loglogistic piecewise_exponential": FRAILTY,
    "exponential": "the dispersion of `family='gamma'` is 1 for an exponential distribution; with censored times "
    "`mfx.glmer('event ~ x + offset(log(time)) + (1 | group)', data, family='poisson')`",
    "tobit censored": CENSORED,
    "truncated_normal truncated_gaussian truncated": f"responses cut off at a limit are not supported (brms); {SKEWED}",
    "shifted_lognormal": SHIFTED,
    "exgaussian ex_gaussian": f"not supported; {SKEWED}; with a shift, {SHIFTED}",
    "wiener ddm": "diffusion models are not supported (brms, HDDM); of response times alone, " + SKEWED,
    "skew_normal skewnormal skew_t gumbel gev gen_extreme_value frechet half_normal pareto": f"not supported; {SKEWED}",
    "compois com_poisson conway_maxwell genpois generalized_poisson": ALTERNATIVES,
    "bell": "counts of more spread than a Poisson's are `family='nbinom2'` or `family='nbinom1'`",
    "von_mises": "angles are not supported; model `mfx.lmer('sin(x) ~ f + (1 | group)', data)` and the cosine",
    "asymmetric_laplace quantile laplace": "quantiles are not modelled (brms, lqmm); against outliers "
    "`family='student_t'`",
    "cauchy": "the degrees of freedom that `family='student_t'` estimates are 1 for a Cauchy distribution",
    "geometric": "the size that `family='nbinom2'` estimates is 1 for a geometric distribution",
    "mixture": "mixtures of distributions are not supported (brms, flexmix); zeros apart: `family='hurdle_poisson'`",
    "dirichlet": "shares that sum to one are not supported (brms); one against the others: `family='beta'`",
    "lm linear": "normal responses are fitted by `mfx.lmer(formula, data)`",
}
"""What is meant by names that are no families, or what comes nearest."""

LINKS: dict[str, Entry] = {
    "loglog": "it is `link='cloglog'` of the other outcome",
    "softplus softplus_link squareplus": "a mean that stays positive is `link='log'`",
    "tan_half logm1 log1p": "the links that there are bring means onto the whole line: `link='log'`, `link='logit'`",
    "expit logistic": "write `link='logit'`",
    "power": "powers are `link='inverse'`, `link='inverse_squared'` and `link='sqrt'`",
}
"""Links of other packages."""

FUNCTIONS: dict[str, Entry] = {
    "factor as_factor": "write `C(x)`",
    "log10p": "write `log10(1 + x)`",
    "standardize": "write `scale(x)`",
    "ifelse if_else": "write `where(x > 0, x, 0)`",
    "as_numeric": "write a numeric column made beforehand",
    "relevel": "write `C(f, contr.treatment(base='b'))`",
    "te ti t2": TENSOR,
    "mm": "write `(1 | mm(f, h))` as a random term",
    "me": "write it in lmer or glmer, which alone take predictors measured with error",
    "surv": FRAILTY,
    "cens": CENSORED,
    "sslogis ssasymp ssfpl ssgompertz ssmicmen ssweibull ssbiexp ssfol nl": NONLINEAR,
    "dummy": 'write `I(f == "a")`, as in `(0 + I(f == "a") | group)`',
    "mvbind": SEVERAL,
    "qlogis": "write `logit(share)`",
    "plogis": "write `expit(x)`",
    "qnorm probit": "functions of your own are given in `functions={'probit': scipy.stats.norm.ppf}`",
    "minimum fmin": "the smaller of each row is `pmin(x, 5)`",
    "maximum fmax": "the larger of each row is `pmax(x - 5, 0)`",
    "clip": "write `pmin(pmax(x, 0), 5)`",
    "pow power": "write `I(x^2)`",
    "trunc sign": "functions of your own are given in `functions={'sign': np.sign}`",
    "ar corar1 arma ma": f"{SERIAL}; as a random term `ar1(0 + f | group)`",
    "mo": "monotonic effects are not there; ordered categories are contrasts: `C(f, contr.sdif)`",
    "average ave demean mean median nanmean nanmedian iqr mad nanstd nanvar sd std var minmax normalize rescale count "
    "len length nansum prod sum ecdf ntile order percent_rank qcut quantile rank rankdata sort standardise zscore "
    "cummax cummin cumprod cumsum diff rolling shift": COLUMN_WISE,
    "max min nanmax nanmin": f"{COLUMN_WISE}; row by row are `pmax(x - 5, 0)` and `pmin(x, 5)`",
    "gp": "Gaussian processes are not there; a smooth curve is `s(x)`",
    "frailty": FRAILTY,
}
"""Functions of formulas elsewhere."""

STRUCTURES: dict[str, Entry] = {
    "exp gau mat ou spde car spatial": f"{OF_YOUR_OWN}; of residuals, `residual=mfx.CAR1('time', group='group')`",
    "rr fa": f"reduced ranks are not there (glmmTMB has them); {BY_DESIGN}, independent in `diag(0 + f | group)`",
    "un unstr unstructured": "that is what a term is without a keyword: `(0 + f | group)`, or `us(0 + f | group)`",
    "toeplitz": "write `toep(0 + f | group)`",
    "arma": f"write `ar1(0 + f | group)` or `toep(0 + f | group)`; {SERIAL}",
    "banded": f"write `toep(0 + f | group)`; {OF_YOUR_OWN}",
    "propto equalto gr pedigree animal": "levels correlated by a known matrix: "
    "`mfx.lmer('y ~ x + known(1 | group, K)', data, functions={'K': K})`",
    "idv diagonal independent": "write `diag(0 + f | group)`, or `(x || group)`",
    "csh hetcs": "write `cs(0 + f | group)`, whose standard deviations differ",
    "cor compound_symmetry exchangeable": "write `cs(0 + f | group)` or, of one variance, `homcs(0 + f | group)`",
    "arh1": "write `hetar1(0 + f | group)`",
    "mm": "write `(1 | mm(f, h))`",
    "s": "random smooths of a group are not there; `s(x, by=f)` gives each level of a factor a curve",
}
"""Keywords of covariances around a bar."""

COLUMNS: dict[str, Entry] = {
    "varident": "residual standard deviations by group are `residual=mfx.VarIdent('sex')`",
    "varpower varexp varconstpower": "spread along a covariate is `residual=mfx.VarPower('x')`",
    "varfixed": "known variances are `residual=mfx.KnownVariance('vi')`, precisions `weights='w'`",
    "fitted fitted_values fittedvalues yhat mu": GROWING,
}
"""What is written where the name of a column is wanted, up to its first parenthesis."""

VALUES: dict[str, dict[str, Entry]] = {
    "ddf": {
        "contain inner_outer nlme": "write `ddf='containment'`: nlme's inner and outer groups",
        "between_within betwithin bw": "between-within degrees of freedom are not computed; `ddf='containment'` counts "
        "by the group in which a coefficient varies, which is not the same where there are several",
        "lmertest sat": "write `ddf='satterthwaite'`",
        "kenwardroger kenward_rogers kr2": "write `ddf='kenward-roger'`",
    },
    "adjust": {
        "fdr_bh benjamini_hochberg": "write `adjust='fdr'`, Benjamini and Hochberg's",
        "fdr_by by": "any dependence is allowed by `adjust='holm'`; `adjust='fdr'` is Benjamini and Hochberg's",
        "hommel hochberg holm_sidak simes_hochberg": "write `adjust='holm'`",
        "westfall single_step free": "write `adjust='mvt'`: the maximum of correlated t",
        "tukey_kramer hsd": "write `adjust='tukey'`",
        "lsd no": "write `adjust='none'`",
    },
    "contrasts": {
        "del_eff mean_chg": "give coefficients: `fit.emmeans('f').contrast({'a - others': [1, -0.5, -0.5]})`",
        "trt_vs_ctrlk trt_vs_ctrl1 control": "write `fit.emmeans('f').contrast('treatment', reference='c')`",
        "successive": "write `fit.emmeans('f').contrast('sequential')`",
        "sum": "write `fit.emmeans('f').contrast('effects')`",
    },
    "method": {
        "boot": (Hint("bootstrap", "write `fit.conf_int(method='bootstrap', n=20)`"),),
        "robust sandwich cluster": (Hint("wald", CLUSTERS),),
        "likelihood lr profile_likelihood": (Hint("profile", "write `fit.conf_int(method='profile')`"),),
        "rows nonparametric": (Hint("case", "write `mfx.bootstrap(fit, method='case')`"),),
    },
    "dispersion": {"random": f"random effects there are not supported (glmmTMB and brms have them); {FIXED_PARTS}"},
    "zero_inflation": {"random": f"random effects there are not supported (glmmTMB and brms have them); {FIXED_PARTS}"},
    "residual": {
        "ar1 corar1 ar": "write `residual=mfx.AR1('time', group='group')`",
        "car1 corcar1 exp ou": "write `residual=mfx.CAR1('time', group='group')`",
        "cs corcompsymm exchangeable compound_symmetry": "write `residual=mfx.CompoundSymmetry('group')`",
        "us un corsymm unstructured": "write `residual=mfx.Unstructured('time', group='group')`",
        "varident": "write `residual=mfx.VarIdent('sex')`",
        "varpower varfixed varexp": "write `residual=mfx.VarPower('x')`",
        "toep toeplitz arma ma corarma": f"that is not there: {STRUCTURES_OF_RESIDUALS}",
    },
    "functions": {"whole_column": LEARNERS},
    "data": {
        "lazy": (
            Hint("collect", f"collect it first, data.collect(); {BY_SUMS}"),
            Hint("compute", f"compute it first, data.compute(); {BY_SUMS}"),
            Hint("fetchdf", f"fetch it first, data.df(); {BY_SUMS}"),
        ),
        "parquet pq": f"read the file first, `pandas.read_parquet('data.parquet')`; {BY_SUMS}, which takes paths",
        "text": "read a file first (`pandas.read_csv('data.csv')`), bundled data are `mfx.load_dataset('sleepstudy')`",
    },
    "basis": {
        "re": "random effects are written with a bar: `(1 | group)`",
        "fs sz": "curves that differ by level are `s(x, by=f)`",
        "cc cp": "cyclic curves are `sin(2 * pi * x) + cos(2 * pi * x)`",
        "ts cs ds ad gp mrf sos": "write `s(x, bs='cr')`",
    },
    "kind": {
        "interaction": (Hint("effect", "it draws means: `mfx.plots.interaction(fit.emmeans(['f', 'sex']), x='f')`"),),
        "profile bootstrap": (Hint("effect", "it is drawn by what is drawn: `mfx.profile(fit).plot()`"),),
        "emmeans means": (Hint("effect", "write `fit.emmeans('f').plot()`"),),
    },
}
"""Words that arguments do not take, by the argument."""

WRONG_FITS: dict[str, Entry] = {
    "ranova variance_tests": (
        Hint("compare_integrators", "compare the models without and with the effect: `mfx.anova(fit0, fit1)`"),
    ),
    "conditional_aic": (Hint("compare_integrators", "compare by `fit.aic`, or `mfx.compare([fit0, fit1])`"),),
    "overdispersion": (
        Hint("sigma", "the residual variance is estimated there; `mfx.check(fit)` looks at the residuals"),
    ),
    "optimizer_path": (Hint("compare_integrators", "what the search came to is `fit.certificate`"),),
    "report": (Hint("mixed_model", "the tables are `aov.summary()`, the text that of `aov.mixed_model().report()`"),),
    "anova": (
        Hint(
            "fmi", "likelihoods are not pooled: test what the larger model adds, `pooled.wald_test('x = sex[T.w] = 0')`"
        ),
        Hint("n_clusters", "likelihoods are not robust: test what the larger model adds, `robust.wald_test('x = 0')`"),
    ),
    "any": (
        Hint("mixed_model", "the mixed model with the same strata is `aov.mixed_model()`"),
        Hint(
            "fmi", "ask each fit, `pooled.fits[0]`; what is pooled are `pooled.summary()`, `pooled.anova()`, `.emmeans`"
        ),
        Hint("n_clusters", "ask the fit itself, `robust.fit`; what is robust are `robust.summary()`, `robust.anova()`"),
    ),
}
"""What functions say that are for another kind of fit, by the function; ``has`` is an attribute of what was found."""

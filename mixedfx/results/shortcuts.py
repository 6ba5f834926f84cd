"""What is most often done with a fit, as its methods: ``fit.`` and Tab lead there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mixedfx._suggestions import asked, hinting

if TYPE_CHECKING:
    from mixedfx._display import StatsTable
    from mixedfx.deconvolution import Deconvolution
    from mixedfx.deconvolution.estimate import InformationName, MethodName
    from mixedfx.inference.cluster_robust import KindName
    from mixedfx.results.robust import Robust

__all__ = ["Shortcuts"]

# What other rooms ask of a fit, or statsmodels' users type: there, but no help to somebody who presses Tab.
INSIDE = frozenset(
    {"L", "asked", "denominator", "design", "df_modelwc", "limits", "refits_grouped", "refits_together", "solution"}
    | {"separation_notes", "bse_fe", "fe_params", "fitted_smooths", "vcomp"}
)


class Shortcuts:
    """Each method calls the function of its name, with the fit as first argument."""

    def __dir__(self) -> list[str]:
        return sorted(set(super().__dir__()) - INSIDE)

    @hinting
    def anova(self, *others: Any, **options: Any) -> StatsTable:
        """Test the terms of the model, or compare it with others: :func:`mixedfx.anova`.

        Parameters
        ----------
        *others : fits
            Models to compare it with, by likelihood-ratio tests.
        **options
            ``type`` (1, 2 or 3), ``ddf``, ``refit``.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
        >>> round(float(fit.anova().to_frame().loc["Days", "F"]), 2)
        45.85
        """
        table: StatsTable = asked("anova")(self, *others, **options)
        return table

    @hinting
    def emmeans(self, specs: Any = None, by: Any = None, **options: Any) -> Any:
        """Return marginal means, their differences and tests: :func:`mixedfx.emmeans`.

        Parameters
        ----------
        specs, by : str or list of str
            The factors whose means are wanted, and those within whose levels they are compared.
        **options
            ``at``, ``weights``, ``ddf``, ``scale``, ``integrate``, ``offset``, ``nesting``.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("effort ~ Type + (1 | Subject)", mfx.load_dataset("ergostool"))
        >>> fit.emmeans("Type").to_frame()["mean"].round(2).tolist()
        [8.56, 12.44, 10.78, 9.22]
        """
        return asked("emmeans")(self, specs, by, **options)

    @hinting
    def check(self, **options: Any) -> Any:
        """Look whether the model holds, with what to do where it does not: :func:`mixedfx.check`.

        Parameters
        ----------
        **options
            ``seed`` of the simulated residuals.
        """
        return asked("check")(self, **options)

    @hinting
    def explain(self) -> Any:
        """Say the model in words, as equations, as a diagram and in other programs: :func:`mixedfx.explain`."""
        return asked("explain")(self)

    @hinting
    def report(self) -> str:
        """Return the paragraphs on methods and results for a paper, rounded as the APA wants it.

        Returns
        -------
        str
            What was fitted, by which method, software and version; then what was found, with degrees of freedom.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
        >>> "t(17.0) = 6.77, p < .001" in fit.report()
        True
        """
        text: str = asked("report")(self)
        return text

    @hinting
    def plot(self, kind: str | None = None, **options: Any) -> Any:
        """Draw the picture that suits the model, or the one that is named.

        Parameters
        ----------
        kind : str, optional
            Any picture of one fit of ``mixedfx.plots``, ``"effect"``, ``"group_panels"``, ``"caterpillar"``,
            ``"residuals"``, ``"dashboard"``, … among them. If omitted: the fitted line of each group where a slope is
            random; else the effect of the first predictor, by the second where both interact; else the random effects.
        **options
            Arguments of that picture, such as ``x``, ``by``, ``group``, ``ax``.

        Returns
        -------
        matplotlib Axes
            Several where the picture has several panels.

        Raises
        ------
        SpecificationError
            If there is no such picture, or nothing to draw.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Yield ~ 1 + (1 | Batch)", mfx.load_dataset("dyestuff"))
        >>> axes = fit.plot()
        >>> ax = fit.plot("residuals")
        """
        return asked("suited")(self, kind, **options)

    @hinting
    def deconvolve(
        self,
        group: str,
        method: MethodName = "npmle",
        *,
        support: Any = None,
        df: int | None = None,
        basis: Any = None,
        penalty: float | None = None,
        information: InformationName | None = None,
    ) -> Deconvolution:
        """Estimate the law of the random intercepts of a group, which the model takes to be normal.

        What the data say of a level is its own effect with an error of known law, given the fixed effects and the
        variances of the fit: in a linear model a generalised least-squares mean with its standard error, in a
        generalised one the likelihood of its rows.

        Parameters
        ----------
        group : str
            A grouping factor with a random intercept alone. Further random effects within it, in linear models, count
            as normal; factors that are crossed with it, or contain it, are refused.
        method : str
            ``"npmle"``: the law of best likelihood; ``"spline"``: a smooth one; ``"normal"``: the law of the fit, whose
            posterior means are the conditional means.
        support, df, basis, penalty, information
            As for :func:`mixedfx.deconvolve`.

        Returns
        -------
        Deconvolution
            Its effects have the law's own mean, which need not be zero.

        Raises
        ------
        SpecificationError
            If the group has slopes, or its levels are not independent given their effects.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Yield ~ 1 + (1 | Batch)", mfx.load_dataset("dyestuff"))
        >>> law = fit.deconvolve("Batch")
        >>> law.support.round(1).tolist(), law.mass.round(2).tolist()
        ([-27.0, 53.2], [0.66, 0.34])
        >>> law.posterior_mean.round(1).tolist()
        [-26.9, -22.1, 49.9, -27.0, 53.1, -27.0]
        """
        found: Deconvolution = asked("deconvolved")(self, group, method, support, df, basis, penalty, information)
        return found

    @hinting
    def profile(self, **options: Any) -> Any:
        """Profile the likelihood in every parameter: :func:`mixedfx.profile`.

        Parameters
        ----------
        **options
            ``n_jobs``, ``progress``.
        """
        return asked("profile")(self, **options)

    @hinting
    def bootstrap(self, n: int = 1000, **options: Any) -> Any:
        """Refit to simulated responses: :func:`mixedfx.bootstrap`.

        Parameters
        ----------
        n : int
            Number of replicates.
        **options
            ``seed``, ``method``, ``statistic``, ``cluster``, ``n_jobs``, ``progress``.
        """
        return asked("bootstrap")(self, n, **options)

    @hinting
    def robust(self, cluster: str | Sequence[Any] | None = None, kind: KindName | None = None) -> Robust:
        """Return tests of the fixed effects with cluster-robust standard errors (sandwich, Huber–White).

        They hold with any covariance within the clusters: where variances differ, random slopes are left out, or
        residuals are correlated. The estimates stay those of the fit.

        Parameters
        ----------
        cluster : str or sequence, optional
            Rows of different clusters must be independent: a grouping factor of the model in whose levels those of all
            others lie (the outermost one, by default), a column of the data, or a label for every row.
        kind : {"CR0", "CR1", "CR2"}, optional
            ``"CR2"`` (the default of linear models): without bias where the model is right, for few clusters too;
            ``"CR0"``: as it is for many clusters; ``"CR1"`` (the default of generalised models, which have no CR2):
            that times m / (m - 1), m the number of clusters.

        Returns
        -------
        Robust
            ``params, bse, df, tvalues, pvalues, conf_int(), cov_params()``, ``t_test("a = b")``, ``wald_test("a = b =
            0")``, ``wald_test_terms()``, ``anova()``, ``emmeans("f")``, ``to_frame()``, ``summary()``.

        Raises
        ------
        SpecificationError
            If rows of different clusters share random effects (crossed factors) or correlated residuals, or the fit has
            no such standard errors.
        DataError
            If there are fewer than two clusters, or one of them has more than 2000 rows.

        Notes
        -----
        Linear models: ``M (sum X_j' V_j^-1 A_j e_j e_j' A_j' V_j^-1 X_j) M`` with the estimated V and ``M = (X'V^-1
        X)^-1``. Tests of one row are t tests with the Satterthwaite degrees of freedom of Pustejovsky and Tipton
        (2018); tests of several rows are their approximate Hotelling tests (HTZ). Few degrees of freedom say that few
        clusters determine a coefficient, however many rows there are.

        Generalised models: scores of the marginal likelihood (by Laplace or quadrature) in all parameters, the
        variances among them, by cluster; t and F tests have m - 1 degrees of freedom. In a nonlinear model a wrong
        random part changes what the coefficients mean: robust standard errors do not mend that.

        References
        ----------
        Liang & Zeger (1986), Biometrika 73, 13-22. Bell & McCaffrey (2002), Surv. Methodol. 28, 169-181. Pustejovsky &
        Tipton (2018), J. Bus. Econ. Stat. 36, 672-683.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Reaction ~ Days + (1 | Subject)", mfx.load_dataset("sleepstudy"))
        >>> fit.bse.round(2).tolist()  # as if all slopes were the same
        [9.75, 0.8]
        >>> fit.robust().to_frame()[["estimate", "se", "df"]].round(2)
                   estimate    se    df
        Intercept    251.41  6.82  17.0
        Days          10.47  1.55  17.0
        """
        found: Robust = asked("robust")(self, cluster, kind)
        return found

    @hinting
    def influence(self, group: Any = None, **options: Any) -> Any:
        """Say what the fit would be without each row, or each level of a group: :func:`mixedfx.influence`.

        Parameters
        ----------
        group : str or sequence, optional
            The groups left out one by one; rows if omitted.
        **options
            ``n_jobs``, ``progress``.
        """
        return asked("influence")(self, group, **options)

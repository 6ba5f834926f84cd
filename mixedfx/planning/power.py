"""The power of tests of fixed effects, by formula or by simulation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from scipy import special, stats

from mixedfx._arguments import checked_alpha, checked_choice, checked_name, checked_number, checked_whole
from mixedfx._display import StatsTable
from mixedfx._lazy import higher
from mixedfx._progress import watched
from mixedfx._suggestions import hinting_methods
from mixedfx._typing import Array
from mixedfx.criterion.linear import LinearEvaluation
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.inference.kenward_roger import KenwardRoger
from mixedfx.planning.designs import extend
from mixedfx.planning.stated import Study, study_of
from mixedfx.results.base import MixedResults
from mixedfx.results.resampling import seed_sequence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Power", "power"]

MethodName: TypeAlias = Literal["analytic", "simulate"]
METHODS = {"analytic": "by formula", "simulate": "by simulation"}
TestName: TypeAlias = Literal["satterthwaite", "kenward-roger", "z", "lrt"]
TESTS = {
    "satterthwaite": "degrees of freedom by Satterthwaite",
    "kenward-roger": "degrees of freedom by Kenward and Roger",
    "z": "z tests",
    "lrt": "likelihood ratios of maximum likelihood",
}
OFTEN = 0.05  # share of studies with a variance at zero above which the formula is not to be trusted
LOOKED_AT = 200  # simulated studies that say how often
FEW = 50  # of them where each takes long
LEVEL = 0.05  # one minus the level of the Monte Carlo intervals
EFFECT = "effect"


@hinting_methods
@dataclass(frozen=True)
class Power:
    """The power of tests; made by :func:`power`.

    Attributes
    ----------
    frame : DataFrame
        One row for each size and effect: ``size, effect, power, lower, upper, method, n_sim, failed, singular``.
    along : str or None
        What ``size`` counts.
    notes : tuple of str
    """

    frame: pd.DataFrame
    along: str | None
    alpha: float
    notes: tuple[str, ...]
    _plan: _Plan = field(repr=False)

    def to_frame(self) -> pd.DataFrame:
        """Return the numbers, unrounded."""
        return self.frame.copy()

    def smallest(self, target: float = 0.8, effect: str | None = None) -> float:
        """Return the smallest size whose power is at least ``target``: between the sizes that were asked for, too.

        Parameters
        ----------
        target : float
        effect : str, optional
            Which effect, if there are several; all of them if omitted.

        Returns
        -------
        float
            A whole number of levels, or the factor of the effect to a hundredth.

        Raises
        ------
        SpecificationError
            If the power was not asked for along something, or the largest size has too little.

        Notes
        -----
        Power is taken to grow with the size. Between the largest size asked for that fails and the next one, halves are
        tried: by simulation each with the same seed, and up to the errors that the table states. A size that is too
        small for the model reaches nothing.
        """
        wanted = checked_number("target", target, " between 0 and 1")
        if not 0.0 < wanted < 1.0:
            raise SpecificationError(f"target is a power between 0 and 1 (0.8 for 80 %); found {target}")
        if self.along is None:
            raise SpecificationError(
                "the smallest size is one of several: ask for power(…, along='Subject', sizes=[…])"
            )
        names = list(dict.fromkeys(self.frame["effect"]))
        if effect is not None and effect not in names:
            raise SpecificationError(f"effect is one of {', '.join(map(repr, names))}; found {effect!r}")
        chosen = names if effect is None else [effect]

        least = self.frame[self.frame["effect"].isin(chosen)].groupby("size")["power"].min()
        good = least.index[least >= wanted]
        if not len(good):
            raise SpecificationError(
                f"none of the sizes reaches a power of {wanted:g}: with {least.index[-1]:g} it is "
                f"{least.iloc[-1]:.3f}; ask for larger ones"
            )

        def reaches(size: float) -> bool:
            try:
                found = self._plan.at(size)[0]
            except (SpecificationError, DataError):  # too few levels for the model
                return False
            return bool((found.loc[found["effect"].isin(chosen), "power"] >= wanted).all())

        low, high = max(least.index[least.index < good[0]], default=0.0), float(good[0])
        step = 0.01 if self.along == EFFECT else 1.0
        low = max(low, 2.0 - step) if self.along != EFFECT else low
        while high - low > step * 1.0001:
            middle = low + step * np.floor(0.5 * (high - low) / step + 0.5)
            middle = min(max(middle, low + step), high - step)
            if reaches(float(middle)):
                high = middle
            else:
                low = middle
        return float(round(high, 2))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the power along the sizes; see :func:`mixedfx.plots.power_curve`."""
        axes: Axes = higher("power_curve")(self, ax=ax)
        return axes

    def table(self) -> StatsTable:
        """Return the table as it is shown."""
        shown = self.frame.set_index("effect")
        if not (shown["method"] == "simulate").any():
            shown = shown.drop(columns=["lower", "upper", "n_sim", "failed", "singular"])
        return StatsTable.from_frame(shown, heading="Power", notes=self.notes)

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def power(
    formula_or_fit: Any,
    data: Any = None,
    *,
    params: Mapping[str, Any] | None = None,
    effect: Any,
    test: TestName = "satterthwaite",
    method: MethodName = "analytic",
    alpha: float = 0.05,
    n_sim: int = 1000,
    seed: Any = None,
    along: str | None = None,
    sizes: Sequence[float] | None = None,
    family: Any = None,
    link: Any = None,
    weights: str | None = None,
    progress: bool | None = None,
) -> Power:
    """Return the power of tests of fixed effects in a study that is planned.

    Parameters
    ----------
    formula_or_fit : str or fitted model
        A formula, with ``data`` and ``params``; or a fit (of a pilot study), whose estimates are taken as true.
    data : data frame, optional
        The design: :func:`mixedfx.design` makes one. With a fit other rows than its own.
    params : dict, optional
        As for :func:`mixedfx.simulate`: fixed effects, ``sd_x|g``, ``cor_x.y|g``, ``sigma``, …. With a fit those that
        shall differ from its estimates.
    effect : str, list or dict
        What is tested: a coefficient (``"Days"``, ``"group[T.drug]"``), a term whose coefficients are tested together
        (``"group"``), a contrast (``"group[T.drug] - group[T.usual]"``, as for ``fit.t_test``), several of them, or a
        dict of coefficients and the values that they shall have.
    test : str
        ``"satterthwaite"`` (in generalised models a z test), ``"kenward-roger"``, ``"z"``, or ``"lrt"`` (likelihood
        ratio).
    method : str
        ``"analytic"``: from the noncentral t or F distribution, with the expected information at the stated parameters.
        Where that does not hold, for generalised models, for ``test="lrt"``, and where a variance is estimated as zero
        in more than 5 % of 200 simulated studies (of 50 where the fits are slow), studies are simulated instead, and a
        note says so.
        ``"simulate"``: in any case.
    alpha : float
        Level of the test.
    n_sim : int
        Number of simulated studies.
    seed : int, optional
        The same seed gives the same studies.
    along : str, optional
        A grouping factor, whose number of levels is varied by :func:`mixedfx.extend`; or ``"effect"``: the effects are
        multiplied.
    sizes : sequence, optional
        Numbers of levels, or factors.
    family, link, weights
        As for :func:`mixedfx.simulate`, with a formula; ``weights`` is the column of binomial trials.
    progress : bool, optional
        Whether to show a progress bar; if omitted, where it can be seen and the work takes more than a few seconds.

    Returns
    -------
    Power
        ``to_frame()``: columns ``size, effect, power, lower, upper`` (a 95 % interval of the Monte Carlo error),
        ``method, n_sim, failed`` (fits without an optimum count as no rejection), ``singular`` (share of fits with a
        variance at zero); ``plot()``; ``smallest(.8)``.

    Raises
    ------
    SpecificationError
        If an effect, a parameter or a column is not there, or the model cannot be simulated.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> plan = mfx.power(fit, effect={"Days": 5.0}, along="Subject", sizes=[10, 18, 30], seed=1)
    >>> plan.to_frame()["power"].round(2).tolist()
    [0.56, 0.86, 0.98]
    >>> plan.smallest(0.9)
    21.0

    References
    ----------
    Stroup (1999), Mixed model procedures to assess power, precision, and sample size; Green and MacLeod (2016), Methods
    in Ecology and Evolution 7, 493, for simulation. Wilson (1927), JASA 22, 209, for the intervals.
    """
    said = checked_choice("test", test, TESTS)
    checked_choice("method", method, METHODS)
    level, draws = checked_alpha(alpha), checked_whole("n_sim", n_sim, 10)
    study = study_of(formula_or_fit, data, params, effect, family=family, link=link, weights=weights)
    sizes = _checked_sizes(study, along, sizes)
    plan = _Plan(study, test, method, level, draws, seed_sequence(seed), along)
    notes: dict[str, None] = {}
    frames = []
    with closing(watched(map(plan.at, sizes), len(sizes), "Power", progress)) as parts:
        for frame, remarks in parts:
            frames.append(frame)
            notes |= dict.fromkeys(remarks)
    tests = TESTS["z"] if study.is_generalized and test != "lrt" else said
    told = [f"Tests at level {level:g}{': ' + study.family_name if study.family_name else ''}; {tests}."]
    if study.n_dropped:
        rows = f"{study.n_dropped} of {len(study.data)} rows of the design"
        told.append(f"{rows} take no part in the studies, because of missing values.")
    whole = pd.concat(frames, ignore_index=True)
    if along != EFFECT:
        whole["size"] = whole["size"].astype(np.int64)
    return Power(whole, along, level, (*told, *notes), plan)


def _checked_sizes(study: Study, along: str | None, sizes: Any) -> list[float]:
    if (along is None) != (sizes is None):
        raise SpecificationError("along= and sizes= go together: along='Subject', sizes=[10, 20, 40]")
    if along is None:
        return [float(len(study.data))]
    checked_name("along", along)
    values = np.atleast_1d(np.asarray(sizes, dtype=object)).tolist()
    if not values:
        raise SpecificationError("sizes= is empty: give numbers of levels such as [10, 20, 40]")
    if along == EFFECT:
        factors = [checked_number("a size", value, ", the factor of the effect") for value in values]
        if min(factors) < 0:
            raise SpecificationError(f"a size, the factor of the effect, is at least 0; found {min(factors):g}")
        return list(dict.fromkeys(factors))
    if along not in study.data.columns:
        known = ", ".join(map(repr, study.data.columns))
        raise SpecificationError(f"along={along!r} is no column of the design ({known}), nor 'effect'")
    return list(dict.fromkeys(float(checked_whole("a size", value, 2)) for value in values))


@dataclass(frozen=True)
class Expected:
    """Tests of a linear model with stated parameters by the expected information: no responses are drawn.

    Attributes
    ----------
    fit : LinearMixedResults
        Of any response in the rows of the design.
    theta : (t,) array
        The stated covariance parameters relative to sigma, on the user's scale.
    sigma : float
        The stated residual standard deviation.
    is_z : bool
        Whether the tests are normal.

    Notes
    -----
    A test of ``L beta = 0`` has noncentrality ``(L beta)' (L C L')^-1 L beta`` with ``C = (X'V^-1 X)^-1``. The
    denominator degrees of freedom and the scaling of F are those of Kenward and Roger (1997) with the expected
    information of the variances at the stated values; those of one contrast are Satterthwaite's.
    """

    fit: MixedResults
    theta: Array
    sigma: float
    is_z: bool = False

    @cached_property
    def _at(self) -> LinearEvaluation:
        problem: Any = self.fit.solution.problem
        at: LinearEvaluation = problem.evaluate(problem.to_inner(self.theta)).linear
        return at

    @cached_property
    def _adjustment(self) -> KenwardRoger:
        return KenwardRoger.of(self._at)

    def power(self, rows: Array, effect: Array, alpha: float) -> float:
        """Return the power of the test that ``rows @ beta`` (r,), which is ``effect``, is zero.

        Parameters
        ----------
        rows : (r, p)
            Independent contrasts of the coefficients.
        effect : (r,)
        alpha : float
            Level of the test.
        """
        inner = rows @ self.fit.solution.problem.basis.matrix
        spread = self.sigma**2 * (inner @ self._at.unscaled_cov @ inner.T)
        noncentrality, rank = float(effect @ np.linalg.solve(spread, effect)), len(rows)
        if self.is_z:
            return float(stats.ncx2.sf(special.chdtri(rank, alpha), rank, noncentrality))
        df, scaling = self._adjustment.f_test(inner)
        if not np.isfinite(df):
            return float(stats.ncx2.sf(special.chdtri(rank, alpha), rank, noncentrality))
        critical = float(special.fdtri(rank, df, 1.0 - alpha)) / scaling
        return 1.0 - float(special.ncfdtr(rank, df, noncentrality, critical))


@dataclass(frozen=True)
class _Plan:
    """How the power is found at one size."""

    study: Study
    test: str
    method: str
    alpha: float
    draws: int
    seed: Any
    along: str | None

    def at(self, size: float) -> tuple[pd.DataFrame, list[str]]:
        """Return the rows of the table for a size, and what is to be said."""
        if self.along is None:
            return self._of(self.study, size)
        if self.along == EFFECT:
            return self._of(self.study.with_effects(size), size)
        try:
            larger = extend(self.study.data, self.along, int(size), labels=self.study.labels_beside(self.along))
            return self._of(self.study.on(larger), size)
        except (SpecificationError, DataError) as error:
            raise type(error)(f"with {size:g} levels of {self.along!r}: {error}") from error

    def _of(self, study: Study, size: float) -> tuple[pd.DataFrame, list[str]]:
        reason = "" if self.method == "simulate" else self._obstacle(study)
        if self.method == "analytic" and not reason:
            template, share = study.look(LOOKED_AT, FEW, self.seed)
            formed = self._by_formula(study, template, size)
            if share <= OFTEN:
                return formed, []
            promised = ", ".join(f"{value:.3f}" for value in formed["power"])
            reason = (
                f"in {100 * share:.0f} % of such studies the estimate lies on the boundary (a variance at zero), which "
                f"the formula does not know; it would say {promised}"
            )
        rows, said = self._by_simulation(study, size)
        if not reason:
            return rows, said
        return rows, [f"Simulated{'' if self.along is None else f' (size {size:g})'}: {reason}.", *said]

    def _obstacle(self, study: Study) -> str:
        """Why the formula does not hold whatever the numbers are."""
        if study.is_generalized:
            return "there is no formula for generalised models"
        return "there is no formula for likelihood-ratio tests" if self.test == "lrt" else ""

    def _by_formula(self, study: Study, template: MixedResults, size: float) -> pd.DataFrame:
        expected = Expected(template, study.theta, study.sigma, self.test == "z")
        found = [expected.power(one.rows(template), one.value(study.params), self.alpha) for one in study.effects]
        return pd.DataFrame(
            {
                "size": size,
                "effect": [one.label for one in study.effects],
                "power": found,
                "lower": found,
                "upper": found,
                "method": "analytic",
                "n_sim": 0,
                "failed": 0,
                "singular": np.nan,
            }
        )

    def _by_simulation(self, study: Study, size: float) -> tuple[pd.DataFrame, list[str]]:
        tested = study.pvalues(self.draws, self.seed, self.test)
        rows: list[tuple[float, str, float, float, float]] = []
        notes: list[str] = []
        for one in study.effects:
            p = tested.pvalues[one.label]
            hits = int(np.sum(p < self.alpha))  # a fit that failed has nan: no rejection
            lower, upper = wilson(hits, self.draws)
            rows.append((size, one.label, hits / self.draws, lower, upper))
        frame = pd.DataFrame(rows, columns=["size", "effect", "power", "lower", "upper"])
        frame = frame.assign(
            method="simulate", n_sim=self.draws, failed=tested.failed, singular=tested.singular / self.draws
        )
        if tested.failed:
            reason = tested.reason.rstrip(".")
            notes.append(f"{tested.failed} of {self.draws} fits had no optimum; they count as no rejection: {reason}.")
        return frame, notes


def wilson(hits: int, draws: int) -> tuple[float, float]:
    """Return Wilson's interval of a share."""
    z = float(special.ndtri(1.0 - 0.5 * LEVEL))
    share, weight = hits / draws, 1.0 + z**2 / draws
    middle = (share + z**2 / (2.0 * draws)) / weight
    half = z * np.sqrt(share * (1.0 - share) / draws + z**2 / (4.0 * draws**2)) / weight
    return max(middle - half, 0.0), min(middle + half, 1.0)

"""Gelman's analysis of variance: the standard deviation of every batch of coefficients, in the data and beyond.

The coefficients of a fixed term, of a column of a random term, and the residuals are batches. A batch has a standard
deviation in the population from which its coefficients come, and another one among the coefficients that are there:
``s^2 = b' C b / df`` with ``C`` the projection that enforces the constraints ``A' b = 0``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy import linalg, optimize, special, stats
from scipy.linalg import lapack

from mixedfx._arguments import checked_alpha, checked_choice
from mixedfx._display import StatsTable
from mixedfx._lazy import higher
from mixedfx._suggestions import hinting_methods
from mixedfx._typing import Array, IntArray
from mixedfx.analysis_of_variance.components.layout import factor_columns
from mixedfx.analysis_of_variance.components.random_terms import linear_results
from mixedfx.analysis_of_variance.strata.analysis import RESIDUAL
from mixedfx.analysis_of_variance.strata.observations import row_grouping
from mixedfx.analysis_of_variance.strata.projections import RANK_TOLERANCE, Grouping, grouping_of
from mixedfx.analysis_of_variance.terms.coding import CodedTerm, frame_of, terms_of_design, type_three_rows
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.inference.hypothesis import independent_rows
from mixedfx.inference.variance_scales import variance_estimates
from mixedfx.matrices import nested_in
from mixedfx.matrices.frame import FrameRows
from mixedfx.results.linear import LinearMixedResults
from mixedfx.results.profile import profile
from mixedfx.results.simulate import checked_count, generator

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedfx.plots.estimates import SdName

__all__ = ["Batches", "batches"]

PopulationName: TypeAlias = Literal["chi2", "profile"]

HALF = 0.5  # level of the inner interval
LEAST_DF = 1.0  # of an estimated variance, below which chi-squared gives no interval
MANY = 1e8  # denominator degrees of freedom that count as infinitely many
LARGE = 1e8  # sum of squares over the error variance beyond which only the error is uncertain
NOTES = (
    "finite: standard deviation among the coefficients at hand; super: in the population that they come from.",
    "Intervals of finite sds: simulated given the estimated variances; for fixed terms from the noncentral F.",
)
NEAR_ZERO = "A variance near zero has no interval here: population='profile' finds its limits."
OVER_ROWS = "{}: the standard deviation of its contribution over the rows."
LARGEST = 6_000  # fixed and random effects whose joint covariance is held densely


# --------------------------------------------------------------------------- all effects together
@dataclass(frozen=True)
class JointEffects:
    """Mean and covariance of ``(beta, b)`` given the data, beta with a flat prior.

    Attributes
    ----------
    n_fixed : int
    mean : (p + q,)
        Estimates and conditional modes, terms in the order of the formula, columns within levels.
    root : (p + q, p + q)
        ``R`` with ``R R'`` the covariance (of ``b`` less its prediction).
    """

    n_fixed: int
    mean: Array
    root: Array

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        """Return n draws (p + q, n)."""
        return np.asarray(self.mean[:, None] + self.root @ rng.standard_normal((len(self.mean), n)))


def joint_effects(fit: LinearMixedResults) -> JointEffects:
    """Return the distribution from the mixed-model equations in ``(gamma, u)``: ``X = Q R``, ``b = Lambda u``.

    With ``[Q, Z Lambda]' W [Q, Z Lambda] + diag(0, I) = L L'`` the covariance of ``(gamma, u)`` is
    ``sigma^2 L^-T L^-1``, also where variances are zero.

    Raises
    ------
    SpecificationError
        If the model has a residual structure, or too many effects.
    """
    model, design = fit.model, fit.design
    if fit.solution.residual is not None:
        raise SpecificationError("batches is for models whose residuals are independent: fit without residual=")
    Z = model.exog_re
    p, q = design.fixed.matrix.shape[1], Z.shape[1]
    if p + q > LARGEST:
        raise SpecificationError(f"batches holds the covariance of all effects: {p + q} are more than {LARGEST}")
    weight = _weight(fit)
    Q, R = linalg.qr(design.fixed.matrix * weight[:, None], mode="economic")
    Lambda = model.Lambda(fit.theta)
    gram = _gram(np.asarray(Q), sp.csr_array(sp.diags_array(weight) @ Z @ Lambda))
    gram[np.arange(p, p + q), np.arange(p, p + q)] += 1.0
    try:
        lower = linalg.cholesky(gram, lower=True)
    except linalg.LinAlgError:
        raise DataError(
            "the covariance of all effects is lost in rounding, so great are the estimated variances beside the "
            "residual's: look at fit.varcorr, and rescale the predictors or fit a simpler random part"
        ) from None
    inverse = linalg.solve_triangular(lower, np.eye(p + q), lower=True).T
    root = np.empty_like(inverse)
    root[:p] = linalg.solve_triangular(R, inverse[:p])
    root[p:] = Lambda @ inverse[p:]
    modes = [effects.T.ravel() for effects in fit.solution.modes]
    return JointEffects(p, np.concatenate([np.asarray(fit.params, dtype=float), *modes]), fit.sigma * root)


def least_squares_residual(fit: LinearMixedResults) -> tuple[int, float]:
    """Return degrees of freedom and mean square of what all effects, fixed and random, leave if nothing is shrunken."""
    design, weight = fit.design, _weight(fit)
    Z = sp.csr_array(sp.diags_array(weight) @ fit.model.exog_re)
    Q, _ = linalg.qr(design.fixed.matrix * weight[:, None], mode="economic")
    y = design.response.values if design.offset is None else design.response.values - design.offset
    factor, order, rank, _ = lapack.dpstrf(_gram(np.asarray(Q), Z), lower=1, tol=-1.0)
    pivots, lower = order[:rank] - 1, np.tril(factor[:rank, :rank])
    columns = sp.csr_array(sp.hstack([sp.csr_array(Q), Z]))[:, pivots]
    residual = (y - y.mean()) * weight if design.fixed.has_intercept else y * weight
    for _ in range(2):
        residual = residual - columns @ linalg.cho_solve((lower, True), columns.T @ residual)
    df = int(np.sum(weight > 0)) - int(rank)
    return df, float(residual @ residual) / df if df > 0 else np.nan


def _weight(fit: LinearMixedResults) -> Array:
    weights = fit.design.weights
    return np.ones(fit.nobs) if weights is None else np.sqrt(weights)


def _gram(Q: Array, Z: sp.csr_array) -> Array:
    """Cross-products of ``[Q, Z]``, the columns of Q orthonormal."""
    p, q = Q.shape[1], Z.shape[1]
    out = np.eye(p + q)
    out[p:, p:] = (Z.T @ Z).toarray()
    out[p:, :p] = Z.T @ Q
    out[:p, p:] = out[p:, :p].T
    return out


# --------------------------------------------------------------------------- kinds of batches
@dataclass(frozen=True)
class BatchSd:
    """A standard deviation with its interval and the interval of 50 %.

    Attributes
    ----------
    sd, lower, q25, q75, upper : float
    """

    sd: float
    lower: float = np.nan
    q25: float = np.nan
    q75: float = np.nan
    upper: float = np.nan


@dataclass(frozen=True)
class RandomBatch:
    """The effects of one column of a random term.

    Attributes
    ----------
    label : str
    places : (J,)
        Positions of its effects among all random effects.
    constraints : (J, a)
        Orthonormal columns; effects in these directions belong to other batches.
    """

    label: str
    places: IntArray
    constraints: Array

    @property
    def size(self) -> int:
        """Number J of coefficients."""
        return len(self.places)

    @property
    def df(self) -> int:
        """Coefficients less constraints."""
        return self.size - int(self.constraints.shape[1])

    def _constrained(self, values: Array) -> Array:
        return np.asarray(values - self.constraints @ (self.constraints.T @ values))

    def finite(self, joint: JointEffects, draws: Array, alpha: float) -> BatchSd:
        """Return the root of the expected ``s^2`` given the data, with quantiles of the draws (p + q, D)."""
        if self.df == 0:
            return BatchSd(np.nan)
        places = joint.n_fixed + self.places
        mean, root = self._constrained(joint.mean[places]), self._constrained(joint.root[places])
        expected = (float(mean @ mean) + float(np.sum(root**2))) / self.df
        s = np.sqrt(np.sum(self._constrained(draws[places]) ** 2, axis=0) / self.df)
        return BatchSd(float(np.sqrt(expected)), *np.quantile(s, _levels(alpha)).tolist())


@dataclass(frozen=True)
class FixedBatch:
    """The effects of one fixed term.

    Attributes
    ----------
    label : str
    size : int
        Number of coefficients.
    directions : (m, p)
        ``G`` with ``s^2 = |G beta|^2``.
    df : int
    f, den_df : float
        The F test of the term.
    """

    label: str
    size: int
    directions: Array
    df: int
    f: float
    den_df: float

    def finite(self, joint: JointEffects, draws: Array, alpha: float) -> BatchSd:
        """Return the root of ``|G beta|^2`` less what chance adds, with limits from the noncentral F distribution.

        The limits are exact where the estimated effects are exchangeable, as in a balanced design.
        """
        p = joint.n_fixed
        chance = float(np.sum((self.directions @ joint.root[:p]) ** 2))
        value = float(np.sum((self.directions @ joint.mean[:p]) ** 2))
        limits = [np.sqrt(_noncentrality(self, 1.0 - level) * chance / self.df) for level in _levels(alpha)]
        return BatchSd(float(np.sqrt(max(value - chance, 0.0))), *limits)


def _levels(alpha: float) -> list[float]:
    return [alpha / 2, HALF / 2, 1 - HALF / 2, 1 - alpha / 2]


def _noncentrality(batch: FixedBatch, probability: float) -> float:
    """The noncentrality at which F is below its observed value with this probability; 0 if there is none."""
    f, df, den_df = batch.f, batch.df, min(batch.den_df, MANY)

    def excess(nc: float) -> float:
        return float(stats.ncf.cdf(f, df, den_df, nc)) - probability

    if float(special.fdtr(df, den_df, f)) <= probability:
        return 0.0
    if df * f > LARGE:  # only the denominator is uncertain
        return df * f * float(special.chdtri(den_df, probability)) / den_df
    stop = df * f + 1.0
    while excess(stop) > 0:
        stop *= 2.0
    return float(optimize.brentq(excess, 0.0, stop, xtol=1e-10))


def population_sd(variance: float, uncertainty: float, alpha: float) -> BatchSd:
    """Return a standard deviation with limits from chi-squared whose relative variance is that of the estimate.

    Its degrees of freedom are ``2 v^2 / Var(v)``; where they are less than one, as for an estimate near zero, there are
    no limits.
    """
    df = 2.0 * variance**2 / uncertainty if uncertainty > 0 else 0.0
    if df < LEAST_DF:
        return BatchSd(float(np.sqrt(max(variance, 0.0))))
    limits = np.sqrt(variance * df / special.chdtri(df, _levels(alpha)))
    return BatchSd(float(np.sqrt(variance)), *limits.tolist())


def orthonormal_constraints(columns: Sequence[Array], size: int) -> Array:
    """Return an orthonormal basis (size, a) of indicator columns."""
    if not columns:
        return np.zeros((size, 0))
    return np.asarray(linalg.orth(np.column_stack(columns)))


def batch_label(group: str, effect: str) -> str:
    """Return the name of a batch: ``Subject``, ``Subject: Days``."""
    return group if effect in ("", "Intercept") else f"{group}: {effect}"


# --------------------------------------------------------------------------- random terms
def random_batches(fit: LinearMixedResults) -> list[RandomBatch]:
    """Return the batches of the random terms, one a column."""
    design, X = fit.design, fit.design.fixed.matrix
    out, start = [], 0
    if len(design.grouped) < len(design.random):
        raise SpecificationError("batches are coefficients of levels: models with s(…) or mm(…) have none of them")
    for k, term in enumerate(design.random):
        m, q = term.n_levels, term.n_columns
        for j, name in enumerate(term.names):
            columns = [np.ones(m)] if _is_in_span(X, term.matrix[:, j]) else []
            if name == "Intercept":
                columns += [_by_level(outer, term.codes, m) for outer in _coarser(fit, k)]
            places = start + q * np.arange(m) + j
            out.append(RandomBatch(batch_label(term.group, name), places, orthonormal_constraints(columns, m)))
        start += m * q
    return out


def _is_in_span(X: Array, column: Array) -> bool:
    if X.shape[1] == 0:
        return False
    coefficients, *_ = np.linalg.lstsq(X, column, rcond=None)
    return bool(np.linalg.norm(column - X @ coefficients) <= RANK_TOLERANCE * np.linalg.norm(column))


def _coarser(fit: LinearMixedResults, k: int) -> list[Grouping]:
    """The partitions by other terms whose levels are unions of levels of term k."""
    design = fit.design
    levels = grouping_of(design.random[k].codes)
    others = [term.codes for i, term in enumerate(design.random) if i != k and "Intercept" in term.names]
    rows = FrameRows(frame_of(fit), design.keep)
    for expressions in design.formula.fixed_terms:
        names = factor_columns(expressions, design) if expressions else None
        if names is not None:
            others.append(row_grouping(rows, names).codes)
    groupings = [grouping_of(codes) for codes in others]
    return [g for g in groupings if g.size < levels.size and nested_in(levels.codes, g.codes)]


def _by_level(outer: Grouping, codes: Any, m: int) -> Array:
    """Indicators (m, size) of the coarser levels to which the m levels belong."""
    home = np.zeros(m, dtype=np.intp)
    home[codes] = outer.codes
    return np.asarray(np.eye(outer.size)[home])


# --------------------------------------------------------------------------- fixed terms
def fixed_batches(fit: LinearMixedResults) -> list[FixedBatch]:
    """Return the batches of the fixed terms: effects of factors on their cells, else contributions over the rows."""
    terms = terms_of_design(fit.design, frame_of(fit))
    out = []
    for position, term in enumerate(terms):
        columns = np.flatnonzero(np.isin(fit.design.fixed.kept, term.columns))
        if not term.expressions or columns.size == 0:
            continue
        L = np.eye(len(fit.params))[columns]
        size, directions = len(columns), _over_rows(fit, columns)
        if not term.covariates and not fit.design.fixed.dropped:
            L = _effects(position, terms, len(fit.params))
            size, directions = len(L), L / np.sqrt(len(columns))
        test = fit.f_test(L[independent_rows(L)])
        out.append(FixedBatch(term.label, size, directions, int(test.df_num), float(test.fvalue), float(test.df_denom)))
    return out


def _over_rows(fit: LinearMixedResults, kept: Any) -> Array:
    """Directions whose squares sum to the variance over the rows of what some columns contribute."""
    X = fit.design.fixed.matrix[:, kept]
    upper = linalg.qr(X - X.mean(axis=0), mode="r")[0][: len(kept)]
    out = np.zeros((len(upper), len(fit.params)))
    out[:, kept] = upper / np.sqrt(max(len(X) - 1, 1))
    return out


def _effects(position: int, terms: Sequence[CodedTerm], n_columns: int) -> Array:
    """The effects of a factor term on all cells of its factors: (cells, p)."""
    rows = type_three_rows(position, terms, n_columns)
    levels = terms[position].cells.shape[: len(terms[position].factors)]
    whole = reduce(np.kron, [np.vstack([np.eye(n - 1), -np.ones(n - 1)]) for n in levels])
    return np.asarray(whole @ rows) if whole.shape[1] == len(rows) else rows


Populations = Callable[[LinearMixedResults, float], dict[str, BatchSd]]


def by_chi_squared(fit: LinearMixedResults, alpha: float) -> dict[str, BatchSd]:
    """Return the spread of every random column and of the residuals, limits by chi-squared."""
    estimates = variance_estimates(fit.solution, "variance")
    spread = zip(estimates.labels, estimates.values, estimates.covariance.diagonal(), strict=True)
    return {
        batch_label(group, effect): population_sd(float(value), float(uncertainty), alpha)
        for (group, effect, other), value, uncertainty in spread
        if not (other or (group == RESIDUAL and effect))
    }


def by_profile(fit: LinearMixedResults, alpha: float) -> dict[str, BatchSd]:
    """Return the same with limits of the profiled likelihood, which exist for variances estimated as zero too."""
    profiles = profile(fit)
    outer, inner = profiles.conf_int(alpha, which="random"), profiles.conf_int(HALF, which="random")
    keys = {RESIDUAL: "sigma"}
    for term in fit.design.random:
        keys |= {batch_label(term.group, name): f"sd_{name}|{term.group}" for name in term.names}
    out = {}
    for label, spread in by_chi_squared(fit, alpha).items():
        (lower, upper), (q25, q75) = (np.asarray(table.loc[keys[label]], dtype=float) for table in (outer, inner))
        out[label] = BatchSd(spread.sd, float(lower), float(q25), float(q75), float(upper))
    return out


#: Ways to the intervals by name, with what a table says of them.
POPULATIONS: dict[str, tuple[Populations, str]] = {
    "chi2": (
        by_chi_squared,
        "Intervals of super sds: chi-squared, with the df that the precision of the estimated variance implies.",
    ),
    "profile": (by_profile, "Intervals of super sds: profiled likelihood (ML)."),
}


def batches(
    fit: Any, *, draws: int = 4000, seed: Any = 0, alpha: float = 0.05, population: PopulationName = "chi2"
) -> Batches:
    """Summarise a linear mixed model by one standard deviation a batch of coefficients (Gelman's ANOVA).

    Parameters
    ----------
    fit : LinearMixedResults
        Independent residuals. Factors that shall be treated alike are best all random: ``(1 | a) + (1 | b)``.
    draws : int
        Simulated sets of effects for the intervals.
    seed : int, SeedSequence, Generator or None
        Of the simulation.
    alpha : float
        One minus the level of the intervals.
    population : {"chi2", "profile"}
        How the intervals of population sds are made: ``"chi2"``, at once, from the precision of the variances; or
        ``"profile"``, from the profiled likelihood: better for few levels, and for variances estimated as zero.

    Returns
    -------
    Batches

    Raises
    ------
    TypeError, SpecificationError

    References
    ----------
    Gelman (2005), Ann. Stat. 33, 1; Gelman & Hill (2007), ch. 22.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", mfx.load_dataset("penicillin"))
    >>> mfx.batches(fit).to_frame()[["n", "df", "finite", "super"]].round(3)
                n   df  finite  super
    plate      24   23   0.847  0.847
    sample      6    5   1.932  1.932
    Residual  144  115   0.550  0.550
    """
    fit = linear_results(fit, "batches")
    alpha = checked_alpha(alpha)
    intervals, about = checked_choice("population", population, POPULATIONS)
    joint = joint_effects(fit)
    drawn = joint.draw(checked_count(draws), generator(seed))
    spreads = intervals(fit, alpha)
    rows = {}
    for batch in fixed_batches(fit):
        rows[batch.label] = _row("fixed", batch.size, batch.df, batch.finite(joint, drawn, alpha), BatchSd(np.nan))
    for random in random_batches(fit):
        spread = random.finite(joint, drawn, alpha)
        rows[random.label] = _row("random", random.size, random.df, spread, spreads[random.label])
    df, mean_sq = least_squares_residual(fit)
    rows[RESIDUAL] = _row("residual", fit.nobs, df, BatchSd(*([float(np.sqrt(mean_sq))] * 5)), spreads[RESIDUAL])
    return Batches(_table(fit, rows, about), alpha)


@hinting_methods
@dataclass(frozen=True, eq=False)
class Batches:
    """One row a batch of coefficients: made by :func:`mixedfx.batches`.

    Parameters
    ----------
    table : StatsTable
        Columns ``kind, n, df`` and for both standard deviations, ``finite`` and ``super``, the estimate, the limits of
        the interval (``_lower, _upper``) and those of 50 % (``_q25, _q75``).
    alpha : float

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("ca ~ 1 + (1 | plant/leaf)", mfx.load_dataset("turnip"))
    >>> list(mfx.batches(fit).table.index)
    ['plant', 'plant:leaf', 'Residual']
    """

    table: StatsTable
    alpha: float

    def to_frame(self) -> pd.DataFrame:
        """Return the unrounded numbers."""
        return self.table.to_frame()

    def plot(self, *, kind: SdName = "finite", ax: Axes | None = None) -> Axes:
        """Draw a dot and two bars a batch: the estimate, 50 % and ``1 - alpha``.

        Parameters
        ----------
        kind : {"finite", "super"}
            Among the coefficients at hand, or in the population.
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        matplotlib Axes
        """
        axes: Axes = higher("plot_batches")(self.to_frame(), kind=kind, ax=ax)
        return axes

    def __str__(self) -> str:
        return str(self._shown)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self._shown._repr_html_()

    @property
    def _shown(self) -> StatsTable:
        columns = ["n", "df", "finite", "finite_lower", "finite_upper", "super", "super_lower", "super_upper"]
        names = [name.removeprefix("finite_").removeprefix("super_") for name in columns]
        return StatsTable.from_frame(
            self.to_frame()[columns].set_axis(names, axis=1),
            heading=self.table.heading,
            notes=self.table.notes,
            formats={"df": "count"},
        )


def _row(kind: str, size: int, df: int, finite: BatchSd, beyond: BatchSd) -> dict[str, Any]:
    row: dict[str, Any] = {"kind": kind, "n": size, "df": df}
    for name, spread in (("finite", finite), ("super", beyond)):
        row |= {
            name: spread.sd,
            f"{name}_lower": spread.lower,
            f"{name}_q25": spread.q25,
            f"{name}_q75": spread.q75,
            f"{name}_upper": spread.upper,
        }
    return row


def _table(fit: LinearMixedResults, rows: dict[str, dict[str, Any]], about: str) -> StatsTable:
    frame = pd.DataFrame(list(rows.values()), index=list(rows))
    notes = [*NOTES, about]
    if (frame["super"].notna() & frame["super_upper"].isna()).any():
        notes.append(NEAR_ZERO)
    covariates = [term.label for term in terms_of_design(fit.design, frame_of(fit)) if term.covariates]
    if covariates:
        notes.append(OVER_ROWS.format(", ".join(covariates)))
    formats = dict.fromkeys(frame.columns[3:], "number")
    heading = f"Batches of coefficients of {fit.design.response.name}"
    return StatsTable.from_frame(frame, heading=heading, notes=notes, formats=formats | {"df": "count"})

"""How replicates of a bootstrap are drawn and estimated: new responses, resampled residuals, resampled clusters."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_choice, checked_seed, plain_numbers
from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx._workers import Workers
from mixedfx.exceptions import DataError, MixedfxWarning, SpecificationError
from mixedfx.fitting.refit import UNKNOWN, Refits
from mixedfx.matrices import RandomEffects, nested_in
from mixedfx.matrices.frame import FrameRows
from mixedfx.matrices.new_rows import fitted_predictor
from mixedfx.results.base import MixedResults
from mixedfx.results.linear import LinearMixedResults
from mixedfx.results.quantities import estimates, quantities, refitted_estimates

__all__ = [
    "Block",
    "BootstrapName",
    "Clusters",
    "Measure",
    "Outcome",
    "Scheme",
    "attempt",
    "blocks_for",
    "clusters_of",
    "groups_of",
    "labelled_rows",
    "named_clusters",
    "outcome_of",
    "reasons_of",
    "refit_rows",
    "reflated",
    "replicated",
    "scheme_for",
    "seed_sequence",
]

BootstrapName: TypeAlias = Literal["parametric", "residual", "cluster", "case"]
UNCONVERGED = "the fit did not converge"
DOUBTS = ("This is not the optimum", "Whether this is the optimum", UNKNOWN)  # words of searches that found none
FEWEST = 2  # clusters of which some can be drawn
TOGETHER = 200  # replicates of a block that is fitted all at once
ONE_BY_ONE = 1  # replicates of a block whose fits follow one another
GROUP = 100  # replicates with a seed each that are fitted at once
NEGLIGIBLE = 1e-10  # variance of the modes in a direction, relative to the largest, that counts as none


@dataclass(frozen=True)
class Measure:
    """What is computed from every fit: the usual quantities, or a user's statistic.

    Attributes
    ----------
    statistic : callable, optional
        From a fit to a number, array, dict or Series.
    size : int, optional
        How many numbers it gave for the fit itself.
    """

    statistic: Callable[[Any], Any] | None = None
    size: int | None = None

    def named(self, fit: MixedResults) -> pd.Series[float]:
        """Return the values of one fit with their names."""
        if self.statistic is None:
            return pd.Series(estimates(fit), index=list(quantities(fit).names), dtype=float)
        found = self.statistic(fit)
        if isinstance(found, pd.Series | dict):
            series = pd.Series(found)
            return pd.Series(_numbers(series.to_numpy()), index=[_flat(label) for label in series.index], dtype=float)
        values = _numbers(found)
        names = ["statistic"] if values.ndim == 0 else [f"statistic[{i}]" for i in range(values.size)]
        return pd.Series(np.atleast_1d(values), index=names, dtype=float)

    def values(self, fit: MixedResults) -> Array:
        """Return the values (k,) of one fit.

        Raises
        ------
        SpecificationError
            If a statistic gives no numbers, or not as many as for the fit itself.
        """
        if self.statistic is None:
            return estimates(fit)
        found = np.asarray(self.named(fit), dtype=np.float64)
        if self.size is not None and found.size != self.size:
            raise SpecificationError(
                f"the statistic gave {self.size} numbers for the fit, and {found.size} for a replicate: it must give "
                "as many for every fit"
            )
        return found


def _numbers(found: Any) -> Array:
    """What a statistic gave, a number or a vector.

    Raises
    ------
    SpecificationError
        If it is something else.
    """
    kinds = "a statistic is a number, a vector, a dict or a Series of numbers"
    if found is None:
        raise SpecificationError(f"{kinds}; found None: does the function return something?")
    try:
        values = plain_numbers("its values", found)
    except DataError as error:
        raise SpecificationError(f"{kinds}: {error}") from error
    if values.ndim > 1:
        raise SpecificationError(f"{kinds}; found shape {values.shape}: flatten it")
    return values


def _flat(label: Any) -> str:
    return ":".join(map(str, label)) if isinstance(label, tuple) else str(label)


@dataclass(frozen=True)
class Outcome:
    """Replicates of one block.

    Attributes
    ----------
    values : (R, k)
        Missing where the replicate failed.
    singular : (R,)
    failures : tuple of str
        Why replicates failed.
    """

    values: Array
    singular: BoolArray
    failures: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """Some replicates with a seed of their own, which depends on nothing but their place."""

    count: int
    seed: np.random.SeedSequence


def reasons_of(refits: Refits) -> tuple[str, ...]:
    """Return why fits failed, one reason a failure; whatever kept a search from its optimum is one reason."""
    words = (str(said) for said in refits.words[~refits.converged])
    return tuple(said if said and not said.startswith(DOUBTS) else UNCONVERGED for said in words)


class Scheme(ABC):
    """How replicates are drawn."""

    description: str
    of_responses: ClassVar[bool] = False  # whether the rows stay as they are, and only their responses are new

    @abstractmethod
    def replicate(self, fit: MixedResults, measure: Measure, blocks: Sequence[Block]) -> Outcome:
        """Draw and estimate the replicates of some blocks."""


@dataclass(frozen=True)
class Responses(Scheme):
    """New responses for the same rows."""

    of_responses = True
    draw: Callable[[Any, int, np.random.SeedSequence], Array]
    description: str

    def replicate(self, fit: MixedResults, measure: Measure, blocks: Sequence[Block]) -> Outcome:
        """Draw all responses, fit them: all at once where nothing but the usual quantities is wanted."""
        Y = np.concatenate([self.draw(fit, block.count, block.seed) for block in blocks], axis=1)
        refits = fit._refits(Y) if measure.statistic is None and fit.refits_grouped else None
        if refits is not None:
            values = np.where(refits.converged[:, None], refitted_estimates(fit, refits), np.nan)
            return Outcome(values, refits.singular & refits.converged, reasons_of(refits))
        return outcome_of([attempt(lambda y=y: fit.refit(y), measure) for y in Y.T], fit, measure)  # type: ignore[misc]


@dataclass(frozen=True)
class ResampledClusters(Scheme):
    """Whole clusters of rows drawn with replacement."""

    clusters: Clusters

    @property
    def description(self) -> str:  # type: ignore[override]
        """In words."""
        return f"levels of {self.clusters.group} drawn with replacement"

    def replicate(self, fit: MixedResults, measure: Measure, blocks: Sequence[Block]) -> Outcome:
        """Draw the clusters of all replicates, fit one after the other."""
        m = self.clusters.count
        drawn = np.concatenate([np.random.default_rng(b.seed).integers(m, size=(b.count, m)) for b in blocks])
        tried = [attempt(lambda own=own: refit_rows(fit, self.clusters, own), measure) for own in drawn]  # type: ignore[misc]
        return outcome_of(tried, fit, measure)


Attempt = tuple[Array, bool] | str


def attempt(refit: Callable[[], MixedResults], measure: Measure) -> Attempt:
    """Return values and singularity of a refit, or why it failed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)  # counted instead
        try:
            found = refit()
        except DataError as error:
            return str(error)
        except (ArithmeticError, np.linalg.LinAlgError):
            return UNCONVERGED
        if not found.converged:
            return str(found.certificate).splitlines()[0] if _separated(found) else UNCONVERGED
        return measure.values(found), found.is_singular


def _separated(fit: MixedResults) -> bool:
    return bool(getattr(fit.certificate, "separated", ()))


def outcome_of(tried: list[Attempt], fit: MixedResults, measure: Measure) -> Outcome:
    """Put attempts together."""
    good = next((one[0] for one in tried if not isinstance(one, str)), None)
    size = measure.values(fit).size if good is None else good.size
    values = np.full((len(tried), size), np.nan)
    singular = np.zeros(len(tried), dtype=bool)
    for row, one in enumerate(tried):
        if not isinstance(one, str):
            values[row], singular[row] = one
    return Outcome(values, singular, tuple(one for one in tried if isinstance(one, str)))


def _parametric(fit: Any, count: int, seed: np.random.SeedSequence) -> Array:
    return np.asarray(fit.simulate(count, seed=seed), dtype=float)


def _parametric_scheme(fit: MixedResults, cluster: str | None) -> Scheme:
    _refuse_cluster(cluster)
    return Responses(_parametric, "parametric: new random effects and residuals from the fitted model")


def _residual_scheme(fit: MixedResults, cluster: str | None) -> Scheme:
    _refuse_cluster(cluster)
    if not fit.solution.response.has_normal_residuals:
        raise SpecificationError('generalised models have no residuals to resample: use method="parametric"')
    return Responses(residual_draws, "reflated random effects and residuals drawn with replacement")


def _cluster_scheme(fit: MixedResults, cluster: str | None) -> Scheme:
    return ResampledClusters(clusters_of(fit, cluster))


def _refuse_cluster(cluster: str | None) -> None:
    if cluster is not None:
        raise SpecificationError('cluster= is for method="cluster"')


SCHEMES: dict[str, Callable[[MixedResults, str | None], Scheme]] = {
    "parametric": _parametric_scheme,
    "residual": _residual_scheme,
    "cluster": _cluster_scheme,
    "case": _cluster_scheme,
}


def scheme_for(method: BootstrapName, fit: MixedResults, cluster: str | None) -> Scheme:
    """Return the scheme of a bootstrap method for a fit; ``cluster`` names the factor whose levels are drawn."""
    return checked_choice("method", method, SCHEMES)(fit, cluster)


# ---------------------------------------------------------------- blocks: the same numbers with any number of workers
def seed_sequence(seed: Any) -> np.random.SeedSequence:
    """Return the sequence from which the seeds of the blocks are spawned, fresh ones however often it was used."""
    if isinstance(seed, np.random.SeedSequence):
        return np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key)
    if isinstance(seed, np.random.Generator):
        return np.random.SeedSequence(seed.integers(2**63, size=4).tolist())
    checked = checked_seed(seed)
    return np.random.SeedSequence(None if checked is None else int(checked))


def blocks_for(n: int, size: int, seed: Any) -> list[Block]:
    """Cut ``n`` replicates into blocks of ``size``, the last one smaller."""
    counts = [min(size, n - start) for start in range(0, n, size)]
    seeds = seed_sequence(seed).spawn(len(counts))
    return [Block(count, own) for count, own in zip(counts, seeds, strict=True)]


def groups_of(fit: MixedResults, n: int, seed: Any, *, usual: bool) -> list[tuple[Block, ...]]:
    """Return the blocks of ``n`` replicates, grouped by what is worked on at once.

    ``usual`` says that nothing but the usual quantities of new responses is wanted.
    """
    blocks = blocks_for(n, TOGETHER if usual and fit.refits_together else ONE_BY_ONE, seed)
    size = GROUP if usual and fit.refits_grouped and not fit.refits_together else 1
    return [tuple(blocks[start : start + size]) for start in range(0, len(blocks), size)]


def replicated(
    fit: MixedResults, scheme: Scheme, measure: Measure, n: int, seed: Any, workers: Workers
) -> list[Outcome]:
    """Return the outcomes of all blocks in their order; of those that were finished, if the work was stopped.

    Raises
    ------
    KeyboardInterrupt, DataError
        If it was stopped before any block was finished.
    """
    groups = groups_of(fit, n, seed, usual=scheme.of_responses and measure.statistic is None)
    tasks, counts = [(group,) for group in groups], [sum(block.count for block in group) for group in groups]
    found = workers.run_as_far(scheme.replicate, (fit, measure), tasks, "bootstrap", counts)
    if found.stopped is not None and not found.results:
        raise found.stopped
    return found.in_order()


# ---------------------------------------------------------------- clusters
@dataclass(frozen=True)
class Clusters:
    """The levels of one grouping factor as sets of rows.

    Attributes
    ----------
    group : str
    codes : (n,)
        Cluster of every row.
    count : int
    """

    group: str
    codes: IntArray
    count: int

    def rows(self, drawn: IntArray) -> tuple[IntArray, IntArray]:
        """Return the rows of the clusters ``drawn`` (m,), and the position in ``drawn`` to which each row belongs."""
        order = np.argsort(self.codes, kind="stable")
        sizes = np.bincount(self.codes, minlength=self.count)
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        own = sizes[drawn]
        position = np.repeat(np.arange(drawn.size), own)
        within = np.arange(position.size) - np.repeat(np.cumsum(own) - own, own)
        return order[starts[drawn][position] + within], position


def labelled_rows(fit: MixedResults, argument: str, labels: Any) -> tuple[IntArray, pd.Index[Any], str]:
    """Return the set (n,) of every row by labels that a user gives, the labels of the sets, and their name.

    Raises
    ------
    DataError
        If there is not one label for every row.
    """
    if np.ndim(labels) > 1:
        raise DataError(f"{argument} has labels of shape {np.shape(labels)}: give one label for every row")
    series = labels if isinstance(labels, pd.Series) else pd.Series(np.asarray(labels))
    keep = fit.design.keep
    if keep is not None and len(series) == keep.size:
        series = series[keep]
    if len(series) != fit.nobs:
        raise DataError(f"{argument} has {len(series)} labels for {fit.nobs} rows: give one label for every row")
    codes, levels = pd.factorize(series, sort=True)
    if np.any(codes < 0):
        raise DataError(f"{int(np.sum(codes < 0))} labels of {argument} are missing: every row needs one")
    return codes.astype(np.intp), pd.Index(levels), str(series.name or "set")


def clusters_of(fit: MixedResults, group: str | None) -> Clusters:
    """Return the clusters of the grouping factor in whose levels those of all others lie, or of the column named.

    Raises
    ------
    SpecificationError
        If there is none, or the rows of different levels are not independent.
    DataError
        If the column named has missing values.
    """
    terms = fit.design.grouped
    if fit.solution.residual is not None:
        raise SpecificationError('clusters are not resampled under a residual structure: use method="parametric"')
    if any(term.loading is not None for term in terms):
        raise SpecificationError('levels with a known covariance are not independent: use method="parametric"')
    if any(term.members is not None for term in fit.design.random):
        raise SpecificationError(
            'rows that are in several levels of mm(…) do not fall into clusters: use method="parametric"'
        )
    if group is not None:
        return named_clusters(fit, group)
    if not terms:
        raise SpecificationError(
            'the model has no grouping factor whose levels could be resampled: use method="parametric", or name a '
            "column of the data, cluster=…"
        )
    chosen = _outermost(terms)
    if not chosen:
        names = list(dict.fromkeys(term.group for term in terms))
        raise SpecificationError(
            f"the grouping factors {', '.join(names)} are crossed, so that no level is independent of the others: use "
            f'method="parametric", or cluster={names[0]!r} to resample its levels as they are'
        )
    return Clusters(chosen[0].group, chosen[0].codes, chosen[0].n_levels)


def named_clusters(fit: MixedResults, name: str) -> Clusters:
    """Return the clusters of a grouping factor of the model, or of another column of its data.

    Raises
    ------
    SpecificationError
        If there is neither.
    DataError
        If the column has missing values, or one value only.
    """
    inputs, design = fit.model.inputs, fit.design
    for term in design.grouped:
        if term.group == name:
            return Clusters(name, term.codes, term.n_levels)
    design.need_rows("clusters of rows")
    if inputs is None or name not in inputs.source:
        groups = dict.fromkeys(repr(term.group) for term in design.grouped)
        of_model = f"a grouping factor of the model ({', '.join(groups)}), or " if groups else ""
        raise SpecificationError(
            f"the data have no column {name!r}: cluster= is {of_model}a column of the data that were fitted, of which "
            "a file keeps those of the model"
        )
    labels = FrameRows(inputs.source, design.keep).labels(name)
    missing = int(np.sum(labels.codes < 0))
    if missing:
        raise DataError(f"cluster={name!r} is missing in {missing} of the {design.n_rows} rows used: fill it in")
    if len(labels.levels) < FEWEST:
        raise DataError(f"cluster={name!r} has one value only: there are no clusters to draw")
    return Clusters(name, labels.codes, len(labels.levels))


def _outermost(terms: tuple[RandomEffects, ...]) -> list[RandomEffects]:
    return [term for term in terms if all(nested_in(other.codes, term.codes) for other in terms)]


def refit_rows(fit: MixedResults, clusters: Clusters, drawn: IntArray) -> MixedResults:
    """Fit the model to the clusters ``drawn`` (m,); a cluster that is drawn twice counts as two.

    Raises
    ------
    DataError
        If the fixed effects cannot all be estimated from them.
    """
    rows, position = clusters.rows(drawn)
    random = [_regrouped(term, clusters, rows, position) for term in fit.design.random]
    design = fit.design.taken(rows, random)
    return fit._refitted(fit.solution.on_rows(design, rows))


def _regrouped(term: RandomEffects, clusters: Clusters, rows: IntArray, position: IntArray) -> RandomEffects:
    """A term in new rows: levels within a cluster are new ones each time that it is drawn."""
    key = term.codes[rows]
    if nested_in(term.codes, clusters.codes):
        key = position * term.n_levels + key
    distinct, codes = np.unique(key, return_inverse=True)
    levels: pd.Index[int] = pd.RangeIndex(distinct.size, name=term.group)
    return replace(term, codes=codes.astype(np.intp), levels=levels, matrix=np.asfortranarray(term.matrix[rows]))


# ---------------------------------------------------------------- residuals
def residual_draws(fit: LinearMixedResults, count: int, seed: np.random.SeedSequence) -> Array:
    """Return ``count`` responses (n, R): fixed part, resampled random effects, resampled residuals.

    References
    ----------
    Carpenter, Goldstein & Rasbash (2003), J. R. Stat. Soc. C 52, 431-443.
    """
    rng, design = np.random.default_rng(seed), fit.design
    modes = fit.solution.modes
    fixed = fitted_predictor(design, fit.solution.beta, modes, random=False)
    y = np.repeat(fixed[:, None], count, axis=1)
    for term, covariance, mode in zip(design.random, fit.varcorr.terms, modes, strict=True):
        if term.is_smooth:  # part of what is fixed
            continue
        if term.pooled is not None:
            levels = reflated(mode.reshape(1, -1), covariance.matrix)[0]
            y += term.matrix @ levels[rng.integers(levels.size, size=(levels.size, count))]
            continue
        own = mode if term.loading is None else np.asarray(np.linalg.solve(term.loading, mode.T).T, dtype=np.float64)
        effects = reflated(own, covariance.matrix)[:, rng.integers(own.shape[1], size=(own.shape[1], count))]
        if term.loading is not None:
            effects = np.einsum("lm,qmr->qlr", term.loading, effects)
        for column, part in zip(term.matrix.T, effects, strict=True):
            y += column[:, None] * part[term.codes]
    noise = _noise(fit)
    return y + fit.solution.response.residual_draws(noise[rng.integers(noise.size, size=(fit.nobs, count))])


def reflated(effects: Array, covariance: Array) -> Array:
    """Return effects (q, m) centred and mapped linearly so that ``effects @ effects.T / m`` is ``covariance``."""
    centred = effects - effects.mean(axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(centred @ centred.T / centred.shape[1])
    kept = values > NEGLIGIBLE * max(float(values[-1]), np.finfo(float).tiny)
    inverse_root = (vectors[:, kept] / np.sqrt(values[kept])) @ vectors[:, kept].T
    own, axes = np.linalg.eigh(covariance)
    root = (axes * np.sqrt(np.maximum(own, 0.0))) @ axes.T
    return np.asarray(root @ inverse_root @ centred)


def _noise(fit: LinearMixedResults) -> Array:
    """Whitened residuals with mean 0 and variance 1."""
    white = fit.residuals("normalized").to_numpy(dtype=float)
    centred = white - white.mean()
    return np.asarray(centred / np.sqrt(np.mean(centred**2)))

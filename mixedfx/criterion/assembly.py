"""Random-effects terms put together: their rows in elimination order, and theta as covariance factors."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from mixedfx._lazy import cached_property
from mixedfx._typing import Array, IntArray
from mixedfx.covariance.base import Covariance
from mixedfx.linalg.gram import Rows
from mixedfx.linalg.layout import analyse

__all__ = ["Assembly", "CovarianceModel", "TermRows", "TermSlot", "assemble"]


@dataclass(frozen=True)
class TermSlot:
    """Where one random-effects term lives.

    Attributes
    ----------
    covariance : Covariance
    factor : int
        Position of its grouping factor in elimination order.
    coefficients : slice
        Its coefficients among those of the factor (several terms may share a factor).
    theta : slice
        Its parameters in the whole vector.
    """

    covariance: Covariance
    factor: int
    coefficients: slice
    theta: slice


@dataclass(frozen=True)
class CovarianceModel:
    """All random-effects terms of a model, in the order of the formula.

    Attributes
    ----------
    terms : tuple of TermSlot
    sizes : tuple of int
        Coefficients of every grouping factor, in elimination order.
    """

    terms: tuple[TermSlot, ...]
    sizes: tuple[int, ...]

    @cached_property
    def n_theta(self) -> int:
        """Number of parameters."""
        return sum(term.covariance.n_theta for term in self.terms)

    def factors(self, theta: Array) -> list[Array]:
        """Return ``T`` (Q, Q) of every grouping factor, block-diagonal over its terms."""
        if self._is_alone:
            return [self.terms[0].covariance.factor(theta)]
        out = [np.zeros((size, size)) for size in self.sizes]
        for term in self.terms:
            out[term.factor][term.coefficients, term.coefficients] = term.covariance.factor(theta[term.theta])
        return out

    @cached_property
    def by_factor(self) -> tuple[IntArray, ...]:
        """Positions in theta of the parameters of every grouping factor."""
        positions: list[list[int]] = [[] for _ in self.sizes]
        for term in self.terms:
            positions[term.factor].extend(range(term.theta.start, term.theta.stop))
        return tuple(np.array(of_factor, dtype=np.intp) for of_factor in positions)

    @cached_property
    def order(self) -> IntArray:
        """Positions in theta of all parameters, those of the first factor first."""
        return np.concatenate([np.zeros(0, dtype=np.intp), *self.by_factor])

    def derivatives(self, theta: Array) -> list[Array]:
        """Return ``dT / dtheta`` (k_f, Q, Q) of every grouping factor, for its own parameters (:attr:`by_factor`)."""
        if self._is_alone:
            (term,) = self.terms
            return [term.covariance.derivative(theta)]
        out = [
            np.zeros((len(positions), size, size)) for positions, size in zip(self.by_factor, self.sizes, strict=True)
        ]
        for term, rows in self._rows:
            out[term.factor][rows, term.coefficients, term.coefficients] = term.covariance.derivative(theta[term.theta])
        return out

    def covariance_derivatives(self, theta: Array, factors: Sequence[Array]) -> list[Array]:
        """Return ``dSigma / dtheta`` (k_f, Q, Q) of every grouping factor, for its own parameters (:attr:`by_factor`).

        ``factors`` are those of :meth:`factors` at the same ``theta``.
        """
        products = [d @ t.T for d, t in zip(self.derivatives(theta), factors, strict=True)]
        return [half + half.swapaxes(1, 2) for half in products]

    def gradient(self, derivatives: Sequence[Array], by_covariance: Sequence[Array]) -> Array:
        """Return the gradient (n_theta,) of a function whose derivative in every covariance is ``by_covariance``.

        ``derivatives`` are those of :meth:`covariance_derivatives`.
        """
        out = np.zeros(self.n_theta)
        for positions, n, d in zip(self.by_factor, by_covariance, derivatives, strict=True):
            out[positions] = d.reshape(len(positions), n.size) @ n.ravel()
        return out

    @property
    def _is_alone(self) -> bool:
        """Whether there is a single term."""
        return len(self.terms) == 1

    @cached_property
    def _rows(self) -> list[tuple[TermSlot, slice]]:
        """Pair every term with its rows among the parameters of its factor."""
        used = [0] * len(self.sizes)
        pairs = []
        for term in self.terms:
            start = used[term.factor]
            used[term.factor] += term.covariance.n_theta
            pairs.append((term, slice(start, used[term.factor])))
        return pairs

    def curvature(self, theta: Array, gradient: Sequence[Array]) -> Array:
        """Return ``sum N o d2Sigma/dtheta_i dtheta_j`` (n_theta, n_theta) for symmetric ``N`` (Q, Q) by factor."""
        out = np.zeros((self.n_theta, self.n_theta))
        for term in self.terms:
            parameters = theta[term.theta]
            n = gradient[term.factor][term.coefficients, term.coefficients]
            first = term.covariance.derivative(parameters)
            flat = first.reshape(len(first), n.size)
            block = 2.0 * (n @ first).reshape(len(first), n.size) @ flat.T
            second = term.covariance.second_derivative(parameters)
            if second is not None:
                block = block + 2.0 * np.tensordot(second, n @ term.covariance.factor(parameters), axes=2)
            out[term.theta, term.theta] = block
        return out

    @cached_property
    def start(self) -> Array:
        """The parameters of the identity."""
        return np.concatenate([term.covariance.start() for term in self.terms]) if self.terms else np.zeros(0)

    @cached_property
    def lower(self) -> Array:
        """Smallest legal values."""
        return np.concatenate([term.covariance.lower() for term in self.terms]) if self.terms else np.zeros(0)

    @cached_property
    def search_lower(self) -> Array:
        """Lower bounds for an optimiser, which may cross zero where only a square counts."""
        return np.concatenate([t.covariance.search_lower() for t in self.terms]) if self.terms else np.zeros(0)

    @cached_property
    def upper(self) -> Array:
        """Largest legal values."""
        return np.concatenate([term.covariance.upper() for term in self.terms]) if self.terms else np.zeros(0)


@dataclass(frozen=True)
class TermRows:
    """One random-effects term as arrays.

    Attributes
    ----------
    group : hashable
        Terms of equal ``group`` share a grouping factor.
    codes : (n,)
        Level of every row.
    n_levels : int
    z : (q, n)
        Covariates of every row.
    covariance : Covariance
    loading : (m, m), optional
        The levels' a priori covariance is ``loading @ loading.T`` instead of the identity.
    """

    group: Hashable
    codes: IntArray
    n_levels: int
    z: Array
    covariance: Covariance
    loading: Array | None = None


@dataclass(frozen=True)
class Assembly:
    """Rows in elimination order, the covariance model, and where each term's effects are found.

    ``places`` gives, for every term in the order of the formula, its factor and its coefficients among the factor's.
    """

    rows: Rows
    covariance: CovarianceModel
    places: tuple[tuple[int, slice], ...]

    def for_rows(self, codes: Sequence[IntArray], z: Sequence[Array]) -> Rows:
        """Return other rows in the same order of elimination, without dense columns.

        Parameters
        ----------
        codes : sequence of (n',)
            Level of every row, by term.
        z : sequence of (q, n')
            Covariates, by term.

        Raises
        ------
        KeyError
            If a row joins levels that no row of the assembly joins.
        """
        n = z[0].shape[1]
        own = [np.empty((size, n)) for size in self.covariance.sizes]
        of_factor: list[IntArray | None] = [None] * len(own)
        for (factor, at), term_codes, term_z in zip(self.places, codes, z, strict=True):
            own[factor][at] = term_z
            of_factor[factor] = term_codes
        layout = self.rows.layout.for_rows([one for one in of_factor if one is not None])
        return Rows(layout, tuple(own), np.zeros((n, 0)), self.rows.loadings)


def assemble(terms: Sequence[TermRows], columns: Array) -> Assembly:
    """Merge terms that share a grouping factor, and order the factors for elimination.

    Parameters
    ----------
    terms : sequence of TermRows
    columns : (n, c)
        Dense columns: fixed effects, then response.
    """
    members: dict[Hashable, list[int]] = {}
    for position, term in enumerate(terms):
        key = term.group if term.loading is None else (term.group, "loading", position)
        members.setdefault(key, []).append(position)
    groups = list(members.values())
    first = [terms[positions[0]] for positions in groups]
    sizes = [sum(terms[i].covariance.size for i in positions) for positions in groups]
    layout = analyse(
        [t.codes for t in first], [t.n_levels for t in first], sizes, [t.loading is not None for t in first]
    )
    slots: list[TermSlot | None] = [None] * len(terms)
    starts = np.cumsum([0] + [t.covariance.n_theta for t in terms])
    z, loadings = [], {}
    for factor, group in enumerate(layout.order):
        positions = groups[group]
        z.append(terms[positions[0]].z if len(positions) == 1 else np.concatenate([terms[i].z for i in positions]))
        loading = terms[positions[0]].loading
        if loading is not None:
            loadings[factor] = loading
        used = 0
        for i in positions:
            at = slice(used, used + terms[i].covariance.size)
            used = at.stop
            slots[i] = TermSlot(terms[i].covariance, factor, at, slice(int(starts[i]), int(starts[i + 1])))
    placed = tuple(slot for slot in slots if slot is not None)
    return Assembly(
        Rows(layout, tuple(z), columns, loadings),
        CovarianceModel(placed, layout.sizes),
        tuple((slot.factor, slot.coefficients) for slot in placed),
    )

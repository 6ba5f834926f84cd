"""What the linear and the generalised problem have in common: a design on its inner scale, and the maps between."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self, TypeAlias

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.assembly import Assembly, CovarianceModel, TermRows, assemble
from mixedfx.criterion.evaluation import Evaluation
from mixedfx.exceptions import SpecificationError
from mixedfx.linalg.elimination import FLOP_TIME
from mixedfx.linalg.layout import Layout
from mixedfx.linalg.pairs import meeting
from mixedfx.matrices import Design
from mixedfx.matrices.basis import FixedBasis, RowWeights, TermBasis, term_basis

__all__ = ["REMAINDERS", "Problem", "RemainderName", "assembled", "is_solved_by_iteration", "needed_bytes"]

RemainderName: TypeAlias = Literal["auto", "exact", "iterative"]

# Columns of a remainder up to which it is factorised, and beyond only if it is so sparse that this is cheap.
REMAINDERS: dict[str, float] = {"auto": 12_000, "exact": np.inf, "iterative": 0}

CHEAP_COLUMNS = 2000  # larger remainders are factorised if they are so sparse that it costs no more than these, dense
EDGES_PER_COLUMN = 4  # with more pairs of levels that meet, a remainder is not sparse enough to look for an order
DENSE_MATRICES = 6  # packed matrices of a dense remainder that live at the same time at the peak of a fit (measured)
SLOPE_MATRICES = 10  # the same where its levels have several coefficients
SPARSE_VECTORS = 6  # the same for the vector of a sparse remainder's cells
PAIR_BYTES = 16  # what one pair of entries of a sparse cross block takes, with its indices
USABLE = 0.8  # share of the machine's memory that a fit may take
CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
UNKNOWN_MEMORY = 16e9  # assumed where the system does not say how much it has


@dataclass(frozen=True)
class Problem(ABC):
    """A mixed model ready to be evaluated at ``x``, all parameters that are not profiled out.

    Attributes
    ----------
    design : Design
    assembly : Assembly
        Rows and parameter map on the inner scale, factors in elimination order.
    bases : tuple of FixedBasis
        Of the linear predictors, that of the mean first.
    terms : tuple of TermBasis
        In the order of the formula.
    """

    design: Design
    assembly: Assembly
    bases: tuple[FixedBasis, ...]
    terms: tuple[TermBasis, ...]

    @property
    @abstractmethod
    def theta_slice(self) -> slice:
        """Positions of the covariance parameters in ``x``."""

    @property
    @abstractmethod
    def coefficients(self) -> list[tuple[slice, FixedBasis]]:
        """Positions in ``x`` of the coefficients of every linear predictor, and their basis; none if profiled out."""

    @property
    @abstractmethod
    def level(self) -> int | None:
        """Position in ``x`` of the parameter that stands for the intercept of the mean; None where a column does.

        It is on the inner scale less by ``basis.centre @ beta``.
        """

    @property
    @abstractmethod
    def bounds(self) -> tuple[Array, Array]:
        """Lower and upper bounds (k,) of ``x`` for the search: a standard deviation may cross zero."""

    @abstractmethod
    def with_response(self, y: Array) -> Self:
        """Return the problem with the response ``y`` (n,) as the user has it; all else is shared."""

    @abstractmethod
    def with_design(self, design: Design) -> Problem:
        """Return the problem of the same model for ``design``, which differs in its random terms only."""

    @abstractmethod
    def evaluate(self, x: Array) -> Evaluation:
        """Evaluate the criterion at ``x`` (k,), on the inner scale."""

    @property
    def covariance(self) -> CovarianceModel:
        """From theta to the covariances, terms in the order of the formula."""
        return self.assembly.covariance

    @property
    def basis(self) -> FixedBasis:
        """Maps of the fixed effects of the mean, and of the response."""
        return self.bases[0]

    def to_user(self, x: Array) -> Array:
        """Return the parameters (…, k) on the user's scale, of inner ones; a shorter ``x`` may end after theta."""
        out = np.array(x, dtype=float)
        for at, basis in self.coefficients:
            out[..., at] = basis.beta(x[..., at])
        self._move_level(out, out, 1.0)
        self._move_theta(out, [basis.to_user for basis in self.terms])
        return out

    def to_inner(self, x: Array) -> Array:
        """Return the parameters (…, k) on the inner scale, of the user's; a shorter ``x`` may end after theta."""
        out = np.array(x, dtype=float)
        self._move_level(out, x, -1.0)
        for at, basis in self.coefficients:
            out[..., at] = basis.beta_inner(x[..., at])
        self._move_theta(out, [basis.to_inner for basis in self.terms])
        return out

    def _move_level(self, x: Array, user: Array, sign: float) -> None:
        if self.level is not None and self.level < x.shape[-1]:
            centre = self.basis.centre
            x[..., self.level] += sign * (user[..., : centre.size] @ centre)

    def _move_theta(self, x: Array, maps: Sequence[Callable[[Array], Array]]) -> None:
        theta = x[..., self.theta_slice]
        for move, slot in zip(maps, self.covariance.terms, strict=True):
            theta[..., slot.theta] = move(theta[..., slot.theta])

    def _roots(self, theta: Array) -> list[Array]:
        """``R`` (q, q) of every term on the user's scale, at an inner ``theta`` (n_theta,)."""
        return [
            np.asarray(basis.matrix @ slot.covariance.factor(theta[slot.theta]))
            for basis, slot in zip(self.terms, self.covariance.terms, strict=True)
        ]


def assembled(
    design: Design,
    columns: Array,
    weights: RowWeights | None = None,
    most_exact: float = np.inf,
    *,
    independent: bool = True,
) -> tuple[Assembly, tuple[TermBasis, ...]]:
    """Bring the random terms of a design to the inner scale and put the rows together, the dense ``columns`` beside.

    Crossed random effects beside the largest factor are factorised up to ``most_exact`` of them, and solved by
    iteration beyond; all are factorised unless residuals (``independent``) and levels are independent.

    Raises
    ------
    SpecificationError
        If crossed factors are too large for this machine, or are to be solved by iteration and cannot be.
    """
    pairs = [term_basis(term.matrix, term.covariance, weights) for term in design.random]
    terms = [
        TermRows(term.group, term.codes, len(term.levels), z, term.covariance, term.loading)
        for term, (_, z) in zip(design.random, pairs, strict=True)
    ]
    assembly = assemble(terms, columns)
    layout = assembly.rows.layout
    if is_solved_by_iteration(layout, most_exact, independent=independent):
        rows = replace(assembly.rows, layout=replace(layout, is_operator=True))
        assembly = replace(assembly, rows=rows)
    else:
        _check_memory(design, layout, _obstacle(layout, independent))
    return assembly, tuple(basis for basis, _ in pairs)


def is_solved_by_iteration(layout: Layout, most_exact: float, *, independent: bool) -> bool:
    """Whether the remainder is never formed: it is large, and no sparse factorisation is as cheap as a dense small one.

    A function of the design alone, never of the machine. Residuals (``independent``) and levels must be independent.

    Raises
    ------
    SpecificationError
        If they are not and all is to be solved by iteration.
    """
    obstacle = _obstacle(layout, independent)
    if obstacle and most_exact == REMAINDERS["iterative"] and layout.n_remainder:
        raise SpecificationError(
            f'remainder="iterative" is for independent residuals and levels; found {obstacle}. Write remainder="auto", '
            "which factorises the equations, or leave that out"
        )
    if obstacle or layout.n_remainder <= most_exact:
        return False
    scalar = all(layout.sizes[r] == 1 for r in layout.remainder)
    if most_exact == 0 or not scalar or _n_edges(layout) > EDGES_PER_COLUMN * layout.n_remainder:
        return True
    return layout.plan is None or layout.plan.cost > FLOP_TIME * CHEAP_COLUMNS**3


def _obstacle(layout: Layout, independent: bool) -> str:
    """What keeps equations from being solved by iteration; empty if nothing does."""
    if any(layout.correlated):
        return "levels that are correlated a priori (known, …)"
    return "" if independent else "a residual structure (residual=)"


def _n_edges(layout: Layout) -> float:
    """Number of pairs of remainder levels that meet in a level of a chain's factor, each counted as often."""
    total = 0.0
    for f in layout.chain:
        degrees = np.zeros(layout.levels[f])
        for r in layout.remainder:
            pairs, _ = meeting(layout.codes[f], layout.codes[r], layout.levels[f], layout.levels[r])
            degrees += np.diff(pairs.starts)
        total += float((degrees * (degrees - 1.0)).sum()) / 2.0
    return total


def _check_memory(design: Design, layout: Layout, obstacle: str) -> None:
    """Refuse crossed factors whose equations would not fit; ``obstacle`` is what keeps them from being solved.

    Raises
    ------
    SpecificationError
        Naming the factors, the size and what to do.
    """
    needed = needed_bytes(layout)
    if needed == 0 or needed <= USABLE * (available := _machine_memory()):
        return
    names: dict[str, int] = {term.group: len(term.levels) for term in design.random}
    listed = ", ".join(f"{name!r} ({count:,} levels)" for name, count in names.items())
    raise SpecificationError(
        f"the crossed grouping factors {listed} leave {layout.n_remainder:,} random effects that depend on each other: "
        f"their equations need about {needed / 1e9:,.1f} GB of memory, and this machine has {available / 1e9:,.1f} GB. "
        + (
            f"They could be solved without forming them but for {obstacle}"
            if obstacle
            else 'Write control=mfx.Control(remainder="iterative"), which solves them without forming them'
        )
    )


def needed_bytes(layout: Layout) -> float:
    """Return the memory that the factorisation needs at its peak, in bytes."""
    if layout.n_remainder == 0:
        return 0.0
    sparse = [p.n_pairs for p, dense in zip(layout.patterns, layout.dense_cross, strict=True) if not dense]
    slopes = any(layout.sizes[r] > 1 for r in layout.remainder)
    copies = SPARSE_VECTORS if layout.plan else SLOPE_MATRICES if slopes else DENSE_MATRICES
    return 8.0 * copies * float(layout.square.n_cells) + PAIR_BYTES * float(np.sum(sparse))


def _machine_memory() -> float:
    """Bytes of memory of the machine, or the limit of its container where the system reports one."""
    try:
        physical = float(os.sysconf("SC_PAGE_SIZE")) * float(os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        physical = UNKNOWN_MEMORY
    return min([physical, *_container_limits()])


def _container_limits() -> list[float]:
    limits = []
    for path in CONTAINER_LIMITS:
        try:
            limits.append(float(Path(path).read_text()))
        except (OSError, ValueError):  # no such file; "max": no limit
            continue
    return limits

"""Random signs that belong to a level, not to a place: the same for the same level however many there are beside it.

Counter-based (Philox): keyed by the seed, the factor and its coefficient, with the probe as the counter, so that 8
probes are the first 8 of 16, and bit l of a stream belongs to level l in sorted order.

References
----------
Salmon, Moraes, Dror & Shaw (2011), Parallel random numbers: as easy as 1, 2, 3; Hutchinson (1990), Commun. Stat. Simul.
Comput. 19, 433, for traces by signs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array
from mixedfx.linalg.small import symmetrize

__all__ = ["Expansion", "Nearby", "Solver", "signs"]

WORD = 64  # bits of a number of the generator


@dataclass(frozen=True)
class Solver:
    """How the equations of a remainder that is never formed are solved.

    Attributes
    ----------
    probes, seed : int
        Number of random signs a level for traces and determinants, and where they begin.
    tolerance, probe_tolerance : float
        Length of a residual relative to its right-hand side: of what is asked for, and of the probes.
    inverse_iterations : int
        Steps from the constants to the near-null vectors that are treated exactly.
    controls : int
        More probes, of which only a product is taken: what they tell of most of a trace spares many solves.
    """

    probes: int = 16
    seed: int = 0
    tolerance: float = 1e-10
    probe_tolerance: float = 1e-8
    inverse_iterations: int = 2
    controls: int = 0


@dataclass(frozen=True)
class Nearby:
    """What equations that are solved by iteration know, and others close by can start from.

    Attributes
    ----------
    vectors : (r, d)
        The deflated vectors.
    probed : (r, K) or None
        The solutions for the probes.
    """

    vectors: Array
    probed: Array | None


@dataclass(frozen=True)
class Expansion:
    """A symmetric matrix by rank-one matrices ``left_c right_c'``: a sum of d exact ones and the means of two groups.

    The second group are controls, whose mean is what the first has too much. With N probes in both together everything
    is said of deviations (N, …) whose sum of squares over ``N (N - 1)`` is the variance of the estimate.

    Attributes
    ----------
    left, right : (n, d + N)
        The first ``exact`` = d columns are summed, the last ``controls`` averaged, and those between as well.
    """

    left: Array
    right: Array
    exact: int
    controls: int = 0

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of probes of every group."""
        solved = self.left.shape[-1] - self.exact - self.controls
        return (solved, self.controls) if self.controls else (solved,)

    @property
    def weights(self) -> Array:
        """The weight (d + N,) of every column."""
        return np.concatenate([np.ones(self.exact), *(np.full(size, 1.0 / max(size, 1)) for size in self.sizes)])

    def blocks(self, left: Array, right: Array) -> Array:
        """Return the diagonal blocks (Q, Q, m) from ``left``, ``right`` (Q, m, d + N): what became of the columns."""
        return symmetrize(np.einsum("amc,bmc->abm", left * self.weights, right, optimize=True))

    def deviations(self, left: Array, right: Array) -> Array:
        """Return the deviations (N, Q, Q) of the sum of the blocks."""
        return self.spread(_sums(left[:, :, self.exact :], right[:, :, self.exact :]))

    def squares(self, side: Array) -> Array:
        """Return the blocks of ``side side'``, for a ``side`` (Q, m, d + N) of random columns of covariance one."""
        probes = sum(self.sizes)
        weights = np.concatenate([np.ones(self.exact), np.full(probes, 1.0 / max(probes, 1))])
        return symmetrize(np.einsum("amc,bmc->abm", side * weights, side, optimize=True))

    def square_deviations(self, side: Array) -> Array:
        """Return the deviations (N, Q, Q) of the sum of these."""
        sums, probes = _sums(side[:, :, self.exact :], side[:, :, self.exact :]), sum(self.sizes)
        share = np.concatenate([np.full(size, size / max(probes, 1)) for size in self.sizes])
        return self.spread(sums * share[:, None, None])

    def spread(self, values: Array) -> Array:
        """Return the deviations (N, …) of the estimate to which every probe contributes its ``values`` (N, …)."""
        probes, out, start = sum(self.sizes), np.empty_like(values), 0
        for size in self.sizes:
            group = values[start : start + size]
            scale = np.sqrt(probes * (probes - 1) / (size * (size - 1))) if len(self.sizes) > 1 else 1.0
            out[start : start + size] = scale * (group - group.mean(axis=0))
            start += size
        return out


def _sums(left: Array, right: Array) -> Array:
    """Symmetric parts of the sums over levels (c, Q, Q) of products (Q, m, c)."""
    sums = np.einsum("amc,bmc->cab", left, right, optimize=True)
    return np.asarray(0.5 * (sums + sums.swapaxes(1, 2)))


def signs(seed: int, places: Sequence[tuple[int, int]], first: int, last: int) -> Array:
    """Return random signs (sum of the levels, last - first) of the probes ``first`` to ``last``.

    Parameters
    ----------
    seed : int
    places : sequence of (key, levels)
        One for each coefficient of each factor: a number that no other has, and the factor's number of levels.
    first, last : int
        Probes; each has its own stream.
    """
    parts = [np.stack([_stream(seed, key, k, m) for k in range(first, last)], axis=1) for key, m in places]
    return np.concatenate(parts) if parts else np.zeros((0, last - first))


def _stream(seed: int, key: int, probe: int, count: int) -> Array:
    generator = np.random.Philox(key=np.array([seed, key], dtype=np.uint64), counter=np.array([0, 0, probe, 0]))
    words = generator.random_raw(-(-count // WORD)).astype("<u8")
    return np.where(np.unpackbits(words.view(np.uint8), count=count, bitorder="little") == 1, 1.0, -1.0)

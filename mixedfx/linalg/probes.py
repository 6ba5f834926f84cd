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
    """

    probes: int = 16
    seed: int = 0
    tolerance: float = 1e-10
    probe_tolerance: float = 1e-8
    inverse_iterations: int = 2


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
    """A symmetric matrix as the mean of rank-one matrices: ``sum_c left_c right_c'``, c exact or one of the probes.

    Attributes
    ----------
    left, right : (n, d + K)
        The first ``exact`` = d columns are summed, the other K averaged.
    """

    left: Array
    right: Array
    exact: int

    @property
    def weights(self) -> Array:
        """The weight (d + K,) of every column."""
        probes = self.left.shape[-1] - self.exact
        return np.concatenate([np.ones(self.exact), np.full(probes, 1.0 / max(probes, 1))])

    def blocks(self, left: Array, right: Array) -> Array:
        """Return the diagonal blocks (Q, Q, m) from ``left``, ``right`` (Q, m, d + K): what became of the columns."""
        return symmetrize(np.einsum("amc,bmc->abm", left * self.weights, right, optimize=True))

    def deviations(self, left: Array, right: Array) -> Array:
        """Return by how much each probe's sum (K, Q, Q) of the blocks differs from the mean of all."""
        sums = np.einsum("amc,bmc->cab", left[:, :, self.exact :], right[:, :, self.exact :], optimize=True)
        sums = 0.5 * (sums + sums.swapaxes(1, 2))
        return np.asarray(sums - sums.mean(axis=0))


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

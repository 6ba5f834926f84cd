"""What every engine reports: coefficients, covariances by group, residual variance."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Estimates:
    """``covariances`` maps a group to the matrix of its random effects; ``loglik`` as the package has it."""

    loglik: float
    beta: list[float] = field(default_factory=list)
    covariances: dict[str, list[list[float]]] = field(default_factory=dict)
    sigma2: float | None = None


def unpacked(values: list[float]) -> list[list[float]]:
    """A symmetric matrix from its lower triangle, column by column."""
    size = int((2 * len(values)) ** 0.5)
    out = [[0.0] * size for _ in range(size)]
    at = 0
    for column in range(size):
        for row in range(column, size):
            out[row][column] = out[column][row] = float(values[at])
            at += 1
    return out

"""Marginal means of models with smooths: their random columns stand beside the fixed effects, with joint errors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import linalg

from mixedfx._lazy import cached_property
from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.inference.denominator import Denominator, fai_cornelius
from mixedfx.inference.smooths import smooth_joint, smooth_slopes
from mixedfx.matrices import Design
from mixedfx.results.adapted import AdaptedFit, PredictorColumns

__all__ = ["SmoothDenominator", "with_smooths"]

NEGLIGIBLE = 1e-10  # coefficient of a random column, relative to the largest of a row, that counts as none
KEPT = (
    "Smooths are part of the means: their variables stand at the values of the grid, at their means if not asked for."
)


@dataclass(frozen=True, eq=False)
class SmoothColumns(PredictorColumns):
    """The columns of the fixed effects, then the random ones of all smooths; the offset is that of the former."""

    fixed: PredictorColumns
    design: Design

    def matrix(self, data: pd.DataFrame) -> Array:
        """Return all columns (n, P + q)."""
        smooths = [term.encoder.encode(data) for term in self.design.random if term.is_smooth]
        return np.hstack([self.fixed.matrix(data), *smooths])

    @property
    def has_offset(self) -> bool:
        """Whether there is an offset at all."""
        return self.fixed.has_offset

    @property
    def offset_names(self) -> tuple[str, ...]:
        """The predictors that the offset uses."""
        return self.fixed.offset_names

    def own_offset(self, data: pd.DataFrame) -> Array:
        """Return the offset (n,) of the rows of the fit, with other values of predictors."""
        return self.fixed.own_offset(data)

    def new_offset(self, data: pd.DataFrame, given: Any) -> Array:
        """Return the offset (n,) of other rows."""
        return self.fixed.new_offset(data, given)

    def usual_offset(self, data: pd.DataFrame) -> Array:
        """Return the offset (n,) of a reference grid."""
        return self.fixed.usual_offset(data)


@dataclass(frozen=True, eq=False, repr=False)
class SmoothDenominator(Denominator):
    """A denominator for the fixed effects and the random columns of smooths.

    What involves no smooth has the degrees of freedom of the fixed effects. Where these are Satterthwaite's, what
    does has them too, the variances of smooths known. In a model without other random effects these are about the rows
    less the effective degrees of freedom.

    Attributes
    ----------
    fixed : Denominator
    fit : Fit
    """

    fixed: Denominator
    fit: Any

    @property
    def label(self) -> str:  # type: ignore[override]
        """Whose method it is."""
        return self.fixed.label

    @cached_property
    def covariance(self) -> Array:
        """Covariance (p + q, p + q) of the errors."""
        return smooth_joint(self.fit)

    @cached_property
    def _slopes(self) -> tuple[Array, Array]:
        return smooth_slopes(self.fit, self.fit.normal_variances)

    def of_rows(self, rows: Array) -> Array:
        """Return the degrees of freedom (r,)."""
        p = len(self.fixed.covariance)
        bent, plain = _bends(rows, p), rows[:, :p]
        if bent.any() and not self.fixed.depends_on_rows:  # a method that knows coefficients: a curve alone is of all
            plain = np.where((bent & ~plain.any(axis=1))[:, None], 1.0, plain)
            return self.fixed.of_rows(plain)
        df = np.asarray(self.fixed.of_rows(plain), dtype=float)
        return np.where(bent, self._of_bent(rows), df) if bent.any() else df

    def _of_bent(self, rows: Array) -> Array:
        """``2 v^2 / Var(v)`` (r,), v the variance of what rows (r, p + q) say."""
        slopes, spread = self._slopes
        variance = np.einsum("ri,ij,rj->r", rows, self.covariance, rows)
        moved = np.einsum("ri,kij,rj->rk", rows, slopes, rows, optimize=True)
        error = np.einsum("rk,kl,rl->r", moved, spread, moved)
        return np.asarray(np.divide(2.0 * variance**2, error, out=np.full(len(rows), np.inf), where=error > 0))

    def joint(self, rows: Array) -> tuple[float, float]:
        """Return those of independent rows together."""
        p = len(self.fixed.covariance)
        if not _bends(rows, p).any():
            return self.fixed.joint(rows[:, :p])
        _, vectors = np.linalg.eigh(rows @ self.covariance @ rows.T)
        return float(fai_cornelius(self.of_rows(vectors.T @ rows))), 1.0


def _bends(rows: Array, p: int) -> Any:
    """Whether each of the rows (r, p + q) has a part in the random columns of smooths."""
    size = np.maximum(np.abs(rows).max(axis=1, initial=0.0), np.finfo(float).tiny)
    return np.abs(rows[:, p:]).max(axis=1, initial=0.0) > NEGLIGIBLE * size


def with_smooths(adapted: AdaptedFit, design: Design) -> AdaptedFit:
    """Return the adapted fit whose columns go on with those of the smooths, that means may keep them.

    Raises
    ------
    SpecificationError
        If the denominator changes the covariance of the fixed effects.
    """
    fit: Any = adapted.solution
    p, full = len(adapted.names), len(design.fixed.full_names)
    if not np.allclose(adapted.denominator.covariance, fit.beta_covariance):
        raise SpecificationError(
            f"means of models with smooths take the covariance as it is estimated, and the method of "
            f'{adapted.denominator.label} changes it: write ddf="satterthwaite"'
        )
    terms = [term for term in design.random if term.is_smooth]
    modes = [mode[:, 0] for term, mode in zip(design.random, fit.modes, strict=True) if term.is_smooth]
    names = tuple(name for term in terms for name in term.names)
    usual = adapted.usual_rows
    return replace(
        adapted,
        names=(*adapted.names, *(f"{terms[0].group} {name}" for name in names)),
        beta=np.concatenate([adapted.beta, *modes]),
        denominator=SmoothDenominator(adapted.denominator, fit),
        kept=np.concatenate([adapted.kept, full + np.arange(len(names))]).astype(np.intp),
        silent=linalg.block_diag(adapted.silent, np.zeros((len(names), 0))),
        columns=SmoothColumns(adapted.columns, design),
        usual_rows=None if usual is None else lambda rows: rows if _bends(rows, p).any() else _widened(usual, rows, p),
        notes=(*adapted.notes, KEPT),
    )


def _widened(usual: Any, rows: Array, p: int) -> Array:
    own = usual(rows[:, :p])
    return np.hstack([own, np.zeros((len(own), rows.shape[1] - p))])

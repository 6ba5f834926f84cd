"""Marginal means of models with smooths: their random columns stand beside the fixed effects, with joint errors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import linalg

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.inference.denominator import Denominator
from mixedfx.inference.smooths import FittedSmooth, smooth_joint
from mixedfx.matrices import Design
from mixedfx.results.adapted import AdaptedFit, PredictorColumns

__all__ = ["with_smooths"]

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


@dataclass(frozen=True, eq=False)
class SmoothDenominator(Denominator):
    """A denominator for the fixed effects and the random columns of smooths.

    What involves no smooth has the degrees of freedom of the fixed effects; what does has those of the tests of
    smooths, rows less effective degrees of freedom.

    Attributes
    ----------
    fixed : Denominator
    joint_covariance : (p + q, p + q)
    df : float
    """

    fixed: Denominator
    joint_covariance: Array
    df: float

    @property
    def label(self) -> str:  # type: ignore[override]
        """Whose method it is."""
        return self.fixed.label

    @property
    def covariance(self) -> Array:
        """Covariance (p + q, p + q) of the errors."""
        return self.joint_covariance

    def of_rows(self, rows: Array) -> Array:
        """Return the degrees of freedom (r,)."""
        p = len(self.fixed.covariance)
        return np.where(_bends(rows, p), self.df, self.fixed.of_rows(rows[:, :p]))

    def joint(self, rows: Array) -> tuple[float, float]:
        """Return those of independent rows together."""
        p = len(self.fixed.covariance)
        return (self.df, 1.0) if _bends(rows, p).any() else self.fixed.joint(rows[:, :p])


def _bends(rows: Array, p: int) -> Any:
    """Whether each of the rows (r, p + q) has a part in the random columns of smooths."""
    size = np.maximum(np.abs(rows).max(axis=1, initial=0.0), np.finfo(float).tiny)
    return np.abs(rows[:, p:]).max(axis=1, initial=0.0) > NEGLIGIBLE * size


def with_smooths(adapted: AdaptedFit, design: Design, smooths: tuple[FittedSmooth, ...]) -> AdaptedFit:
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
        denominator=SmoothDenominator(adapted.denominator, smooth_joint(fit), smooths[0].df_denom),
        kept=np.concatenate([adapted.kept, full + np.arange(len(names))]).astype(np.intp),
        silent=linalg.block_diag(adapted.silent, np.zeros((len(names), 0))),
        columns=SmoothColumns(adapted.columns, design),
        usual_rows=None if usual is None else lambda rows: rows if _bends(rows, p).any() else _widened(usual, rows, p),
        notes=(*adapted.notes, KEPT),
    )


def _widened(usual: Any, rows: Array, p: int) -> Array:
    own = usual(rows[:, :p])
    return np.hstack([own, np.zeros((len(own), rows.shape[1] - p))])

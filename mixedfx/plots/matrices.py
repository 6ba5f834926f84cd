"""The matrices of a mixed model as images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from mixedfx.diagnostics.checks import mixed_results
from mixedfx.exceptions import SpecificationError
from mixedfx.plots.look import one_panel, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["matrix_frame", "matrix_image"]

MATRICES = ("Z", "Lambda", "ZtZ", "L", "V")
MOST_DENSE = 2000  # columns of a Cholesky factor, rows of V
TITLES = {
    "Z": "Z: rows by random effects",
    "Lambda": "Λ: factor of the covariance",
    "ZtZ": "Z′Z",
    "L": "L: Cholesky factor of Λ′Z′WZΛ + I",
    "V": "V = ZΛΛ′Z′ + I",
}


def _matrix(fit: Any, which: str) -> sp.coo_array:
    if which not in MATRICES:
        raise SpecificationError(f"which is one of {', '.join(map(repr, MATRICES))}; found {which!r}")
    Z = fit.model.exog_re
    if which == "Z":
        return sp.coo_array(Z)
    if which == "ZtZ":
        return sp.coo_array(Z.T @ Z)
    Lambda = fit.model.Lambda(fit.theta.to_numpy())
    if which == "Lambda":
        return sp.coo_array(Lambda)
    size = Z.shape[1 if which == "L" else 0]
    if size > MOST_DENSE:
        raise SpecificationError(f"{which} has {size} columns: more than {MOST_DENSE} cannot be seen")
    if which == "L":
        return sp.coo_array(fit.L)
    scaled = Z @ Lambda
    return sp.coo_array((scaled @ scaled.T).toarray() + np.eye(size))


def matrix_frame(fit: Any, which: str = "Z") -> pd.DataFrame:
    """Return the non-zero entries behind :func:`matrix_image`: ``row, column, value``.

    Parameters
    ----------
    fit : MixedResults
    which : str
        ``"Z"``, ``"Lambda"``, ``"ZtZ"``, ``"L"`` (the Cholesky factor of the penalised equations, random effects in the
        order of the formula) or ``"V"`` (the covariance of the response relative to sigma squared).
    """
    matrix = _matrix(mixed_results(fit, "matrix_frame"), which)
    row, column = matrix.coords
    return pd.DataFrame({"row": row, "column": column, "value": matrix.data})


def matrix_image(fit: Any, which: str = "Z", *, ax: Axes | None = None) -> Axes:
    """Draw a matrix of the model: zeros pale, positive numbers blue, negative ones red.

    Parameters
    ----------
    fit, which
        As for :func:`matrix_frame`.
    ax : matplotlib Axes, optional
    """
    matrix = _matrix(mixed_results(fit, "matrix_image"), which)
    panel = one_panel(ax, (3.6, 4.2) if which == "Z" else (4.2, 3.8))
    dense = matrix.toarray()
    largest = float(np.abs(dense).max(initial=0.0)) or 1.0
    shown = np.sign(dense) * np.sqrt(np.abs(dense) / largest)  # roots, so that small entries are seen
    tall = dense.shape[0] > 2 * dense.shape[1]
    panel.imshow(shown, cmap="RdBu", vmin=-1.0, vmax=1.0, interpolation="nearest", aspect="auto" if tall else "equal")
    panel.locator_params(integer=True)
    names = ("random effect", "row") if which == "Z" else ("row", "row") if which == "V" else ("random effect",) * 2
    tidy(panel, x=names[0], y=names[1], title=TITLES[which])
    panel.spines[["top", "right"]].set_visible(True)
    return panel

"""The joint covariance of fixed effects and random effects, from which every prediction takes its standard error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.matrices import Design

__all__ = ["cholesky_factor", "joint_frame"]

MOST_EFFECTS = 4000  # random effects whose joint covariance is made


def joint_frame(design: Design, matrix: Array) -> pd.DataFrame:
    """Return the joint covariance with labels: ``group, level, term``; fixed effects have the group ``""``."""
    labels: list[tuple[Any, Any, str]] = [("", "", name) for name in design.fixed.names]
    for term in design.random:
        labels += [(term.group, level, name) for level in term.levels for name in term.names]
    index = pd.MultiIndex.from_tuples(labels, names=["group", "level", "term"])
    return pd.DataFrame(matrix, index=index, columns=index)


def cholesky_factor(rows: Any) -> sp.csr_array:
    """Return the lower Cholesky factor (q, q) of ``M'M + I`` for rows ``M`` (n, q)."""
    q = rows.shape[1]
    if q > MOST_EFFECTS:
        raise SpecificationError(f"L has {q} columns, one for each random effect: at most {MOST_EFFECTS} are factored")
    columns = sp.csc_array(rows)
    product = sp.coo_array(columns.T @ columns).toarray() + np.eye(q)
    return sp.csr_array(np.linalg.cholesky(product))

"""A known relationship between the levels of a factor: pedigree, kinship, phylogeny, distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array
from mixedfx.exceptions import DataError

__all__ = ["RelationshipMatrix", "relationship_matrix"]

SYMMETRY_TOLERANCE = 1e-8
"""Largest ``|K - K'|`` that passes as rounding, relative to the largest ``|K|``."""

DEFINITENESS_TOLERANCE = 1e-8
"""Most negative eigenvalue that passes as rounding, relative to the largest one."""

SHOWN = 5
"""Number of levels that an error names."""


@dataclass(frozen=True)
class RelationshipMatrix:
    """Relative covariance K between named levels: ``known(1 + x | g, K)`` has ``Var(b) = sigma**2 K (x) T T'``.

    Build one with :func:`relationship_matrix`, which checks it.

    Parameters
    ----------
    name : str
        The name by which the formula calls it, used in errors.
    matrix : (k, k) array
        Symmetric.
    levels : pandas.Index
        The k labels of its rows and columns.
    """

    name: str
    matrix: Array
    levels: pd.Index[Any]

    def factor(self, levels: pd.Index[Any]) -> Array:
        """Return L (m, m) with ``L @ L.T = K[levels, levels]``, so that ``Z L`` has independent effects.

        Parameters
        ----------
        levels : pandas.Index
            The levels (m,) of the data.

        Returns
        -------
        (m, m) array
            Lower triangular where the matrix is positive definite; where it is singular, the eigenvectors times the
            roots of their eigenvalues.

        Raises
        ------
        DataError
            If the matrix lacks some of the levels, or is not positive semidefinite on them.
        """
        at = self.levels.get_indexer(levels)
        if np.any(at < 0):
            raise DataError(self._missing(levels[at < 0]))
        K = self.matrix[np.ix_(at, at)]
        try:
            return np.asarray(np.linalg.cholesky(K))
        except np.linalg.LinAlgError:
            return self._semidefinite_root(K)

    def _semidefinite_root(self, K: Array) -> Array:
        values, vectors = np.linalg.eigh(K)
        if values[0] < -DEFINITENESS_TOLERANCE * max(values[-1], 0.0):
            raise DataError(
                f"{self.name} is not a covariance matrix: its smallest eigenvalue is {values[0]:.3g} "
                f"(largest {values[-1]:.3g}); it must be positive semidefinite"
            )
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))

    def _missing(self, missing: pd.Index[Any]) -> str:
        shown = ", ".join(repr(level) for level in missing[:SHOWN].tolist())
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        message = f"{self.name} has no row for {len(missing)} level(s) of the data: {shown}{more}"
        if set(map(str, missing)) <= set(map(str, self.levels)):
            kinds = f"{self.levels.inferred_type}, the data's {missing.inferred_type}"
            message += f"; its labels are of type {kinds}: convert one of them"
        return message


def relationship_matrix(name: str, value: object) -> RelationshipMatrix:
    """Check a user's matrix and its labels.

    Parameters
    ----------
    name : str
        How the formula calls it.
    value : DataFrame or (matrix, labels)
        A square DataFrame whose rows and columns bear the same labels (in any order), or a square array or sparse
        matrix with the sequence of its labels.

    Returns
    -------
    RelationshipMatrix

    Raises
    ------
    TypeError
        If ``value`` is neither.
    DataError
        If it is not square, numeric, finite and symmetric, or a label is repeated.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> K = relationship_matrix("K", ([[1.0, 0.5], [0.5, 1.0]], ["dam", "calf"]))
    >>> K.factor(pd.Index(["calf"]))
    array([[1.]])
    """
    matrix, levels = _labelled(name, value)
    if matrix.ndim != 2 or matrix.shape != (len(levels), len(levels)):
        raise DataError(
            f"{name} must be a square matrix with a label a row: shape {matrix.shape}, {len(levels)} labels"
        )
    if not levels.is_unique:
        repeated = levels[levels.duplicated()].unique().tolist()[:SHOWN]
        raise DataError(f"{name} has repeated labels: {', '.join(map(repr, repeated))}")
    if not np.all(np.isfinite(matrix)):
        row = int(np.flatnonzero(~np.isfinite(matrix).all(axis=1))[0])
        raise DataError(f"{name} contains missing or infinite values, in the row of {levels[row]!r} for one")
    if np.max(np.abs(matrix - matrix.T), initial=0.0) > SYMMETRY_TOLERANCE * np.max(np.abs(matrix), initial=0.0):
        one, two = divmod(int(np.argmax(np.abs(matrix - matrix.T))), len(levels))
        raise DataError(
            f"{name} is not symmetric, as a covariance between levels must be: {levels[one]!r} with {levels[two]!r}  "
            f"has {matrix[one, two]:g}, the other way round {matrix[two, one]:g}; (K + K.T) / 2 is the mean of both"
        )
    return RelationshipMatrix(name, (matrix + matrix.T) / 2, levels)


def _labelled(name: str, value: object) -> tuple[Array, pd.Index[Any]]:
    if isinstance(value, pd.DataFrame):
        if not value.columns.is_unique or set(value.columns) != set(value.index):
            raise DataError(f"{name}: the rows and the columns of the DataFrame must bear the same labels, each once")
        return _numeric(name, value.loc[:, value.index].to_numpy()), value.index
    if isinstance(value, tuple) and len(value) == 2 and not isinstance(value[1], str | bytes):
        matrix, labels = value
        dense = matrix.toarray() if hasattr(matrix, "toarray") else matrix
        return _numeric(name, dense), _index(name, labels)
    raise TypeError(
        f"{name} must be a pandas DataFrame with labelled rows and columns, or a pair (matrix, labels); "
        f"found {type(value).__name__}"
    )


def _index(name: str, labels: object) -> pd.Index[Any]:
    if isinstance(labels, pd.Index):
        return labels
    if isinstance(labels, Sequence | np.ndarray | pd.Series):
        index: pd.Index[Any] = pd.Index(list(labels))
        return index
    raise TypeError(f"the labels of {name} must be a sequence, found {type(labels).__name__}")


def _numeric(name: str, matrix: Any) -> Array:
    try:
        return np.asarray(matrix, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} must hold numbers only") from error

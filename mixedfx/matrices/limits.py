"""Sizes are checked before anything is allocated."""

from __future__ import annotations

from collections.abc import Mapping

from mixedfx.covariance import Covariance, HeterogeneousCovariance, HomogeneousCovariance
from mixedfx.exceptions import SpecificationError

__all__ = ["MAX_BYTES", "MAX_PARAMETERS", "check_basis", "check_columns", "check_parameters"]

#: Memory that one dense matrix of a design may take.
MAX_BYTES = 4 * 2**30
#: Memory that the columns of one spline or polynomial may take.
BASIS_BYTES = 2**30
#: Covariance parameters that one random term may have: their Hessian is dense.
MAX_PARAMETERS = 2_000
#: Covariances that are no linear function of their parameters: they have an array (parameters, columns) squared.
CURVED = (HomogeneousCovariance, HeterogeneousCovariance)
#: A design may have more columns than rows (empty cells of factors are dropped later), but not this many times more.
COLUMNS_PER_ROW = 2
SPARE_COLUMNS = 100


def check_columns(part: str, columns: Mapping[str, int], n_rows: int) -> None:
    """Refuse a matrix that would be far wider than long, or larger than ``MAX_BYTES``.

    Parameters
    ----------
    part : str
        What the matrix is, for the message.
    columns : mapping
        The least number of columns of each term.
    n_rows : int
        Its length.

    Raises
    ------
    SpecificationError
        With the name of the widest term.
    """
    total = sum(columns.values())
    too_wide = total > COLUMNS_PER_ROW * n_rows + SPARE_COLUMNS
    if not too_wide and 8 * total * n_rows <= MAX_BYTES:
        return
    widest = max(columns, key=lambda term: columns[term])
    reason = (
        f"more columns than observations ({n_rows} rows)"
        if too_wide
        else f"which would take {8 * total * n_rows / 2**30:.1f} GB of memory (the limit is {MAX_BYTES / 2**30:.0f})"
    )
    raise SpecificationError(
        f"{part} would have {total} columns, {reason}; the term {widest} alone has {columns[widest]}. Leave out "
        f"interactions, or make a factor with many levels a random effect: (1 | {widest})"
    )


def check_basis(name: str, columns: int, n_rows: int) -> None:
    """Refuse the columns of a spline or polynomial that would take more than ``BASIS_BYTES``: several copies are made.

    Raises
    ------
    SpecificationError
        With the number of columns.
    """
    if 8 * columns * n_rows > BASIS_BYTES:
        raise SpecificationError(
            f"{name} would have {columns} columns of {n_rows} rows, which take {8 * columns * n_rows / 2**30:.1f} GB "
            f"of memory before anything is fitted (the limit is {BASIS_BYTES / 2**30:.0f}): ask for fewer"
        )


def check_parameters(term: str, covariance: Covariance, n_rows: int) -> None:
    """Refuse a random term with more covariance parameters than there are rows, or more than a search can hold.

    Raises
    ------
    SpecificationError
        With simpler terms to write instead.
    """
    count, columns = covariance.n_theta, covariance.size
    if count > n_rows:
        excess = f"more than the {n_rows} observations can identify"
    elif count > MAX_PARAMETERS:
        excess = f"the limit is {MAX_PARAMETERS:,}"
    elif isinstance(covariance, CURVED) and 8 * (count * columns) ** 2 > MAX_BYTES:
        size, limit = 8 * (count * columns) ** 2 / 2**30, MAX_BYTES / 2**30
        excess = f"whose second derivatives would take {size:.1f} GB of memory (the limit is {limit:.0f})"
    else:
        excess = ""
    if excess:
        raise SpecificationError(
            f"the random term {term} has {columns} columns and so {count} covariance parameters, {excess}; write fewer "
            "columns, '||' for uncorrelated ones, or (1 | a:b)"
        )

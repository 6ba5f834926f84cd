"""Residual structures and known matrices."""

from typing import Any

import numpy as np
import pandas as pd

import mixedfx as mfx
from mixedfx import DataError, SpecificationError
from mixedfx.covariance import covariance_for
from tests.messages.helpers import Case, data, lmer

S, D = SpecificationError, DataError


def visits(**changes: Any) -> pd.DataFrame:
    return data(visit=np.tile(np.arange(6), 8), time=np.tile(np.arange(6.0), 8), **changes)


def residual(structure: Any, formula: str = "y ~ x", **changes: Any) -> Any:
    return lmer(formula, data=visits(**changes), residual=structure)


def known(K: Any) -> Any:
    return lmer("y ~ x + known(1 | g, K)", functions={"K": K})


def square(**cells: float) -> pd.DataFrame:
    names = [f"g{i}" for i in range(8)]
    return pd.DataFrame(np.eye(8), index=names, columns=names)


def changed(row: int, column: int, value: float) -> pd.DataFrame:
    matrix = square()
    matrix.iloc[row, column] = value
    return matrix


CASES: dict[str, Case] = {
    "columns of a term": (lambda: covariance_for("us", 0), S, ("at least one column", "0")),
    "covariance": (lambda: covariance_for("nope", 2), S, ("'nope'", "'diag'")),
    "not square": (known(square().iloc[:, :3].rename(columns=str)), D, ("K", "same labels")),
    "array without labels": (known(pd.DataFrame(np.eye(8))), D, ("K", "g0")),
    "missing in K": (known(changed(0, 0, np.nan)), D, ("K", "missing or infinite")),
    "not symmetric": (known(changed(0, 1, 0.5)), D, ("K", "symmetric")),
    "levels not in K": (known(square().iloc[:7, :7]), D, ("K", "g7")),
    "not positive": (known(changed(0, 0, -1.0)), D, ("K", "eigenvalue", "positive semidefinite")),
    "no numbers": (known(square().astype(str) + "a"), D, ("K", "numbers")),
    "no column": (residual(mfx.VarIdent("nope")), D, ("'nope'", "there are")),
    "text": (residual(mfx.VarPower("f")), D, ("'f'", "numeric")),
    "infinite": (residual(mfx.VarExp("k"), k=[np.inf] + [1.0] * 47), D, ("'k'", "infinite")),
    "AR1 of nothing": (lambda: mfx.AR1(), S, ("AR1", "time", "group")),
    "two correlations": (
        lambda: mfx.AR1("time", group="g") * mfx.CompoundSymmetry("g"),
        S,
        ("one correlation", "2", "CompoundSymmetry"),
    ),
    "twice": (lambda: mfx.VarIdent("f") * mfx.VarIdent("f"), S, ("VarIdent", "twice")),
    "single rows": (residual(mfx.CompoundSymmetry("id")), D, ("id", "two rows")),
    "fractions of time": (residual(mfx.AR1("x", group="g")), D, ("AR1", "'x'", "CAR1('x', …)")),
    "single times": (residual(mfx.CAR1("time", group="id")), D, ("id", "two rows")),
    "same time without groups": (residual(mfx.AR1("h")), D, ("'h'", "twice", "group=…")),
    "same time twice": (residual(mfx.AR1("h", group="g")), D, ("'h'", "twice", "g")),
    "single level": (residual(mfx.VarIdent("t")), D, ("'t'", "single level")),
    "zeros": (residual(mfx.VarPower("b")), D, ("VarPower", "'b'", "VarExp")),
    "constant": (residual(mfx.VarExp("t")), D, ("'t'", "constant")),
    "known variance": (residual(mfx.KnownVariance("x")), D, ("KnownVariance", "'x'", "positive")),
    "visit twice": (residual(mfx.Unstructured("h", group="g")), D, ("'h'", "twice", "g")),
    "visits apart": (
        residual(
            mfx.Unstructured("k", group="g"), k=np.where(np.arange(48) < 24, np.arange(48) % 6, 10 + np.arange(48) % 6)
        ),
        D,
        ("g", "k", "correlation"),
    ),
    "not within": (
        residual(mfx.CompoundSymmetry("f"), "y ~ x + (1 | g)"),
        S,
        ("'g'", "residual structure", "within one level"),
    ),
}

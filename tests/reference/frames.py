"""Look-ups in the tables that mixedfx returns: columns by meaning, rows by R's name."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from tests.reference.cases import canonical

COLUMNS = {
    "F": ("F", "F value", "fvalue"),
    "num_df": ("num_df", "df", "df_num"),
    "den_df": ("den_df", "df_denom", "df_den"),
    "df": ("df", "num_df", "df_diff"),
    "chisq": ("chi2", "chisq", "LR", "lrt"),
    "lrt": ("LR", "lrt", "chi2", "chisq"),
    "p": ("PR(>F)", "PR(>chi2)", "P>chi2", "pvalue", "p"),
    "sum_sq": ("sum_sq",),
    "mean_sq": ("mean_sq",),
    "AIC": ("aic", "AIC"),
    "loglik": ("llf", "loglik"),
    "npar": ("n_params", "npar"),
    "SE": ("SE", "se", "std_err", "bse"),
    "emmean": ("mean", "emmean", "estimate"),
    "estimate": ("estimate", "odds_ratio", "ratio", "mean"),
    "t.ratio": ("t", "tvalue", "t_ratio", "statistic"),
    "z.ratio": ("z", "zvalue", "t", "statistic"),
    "p.value": ("pvalue", "p", "PR(>|t|)"),
    "lower.CL": ("lower", "ci_lower"),
    "upper.CL": ("upper", "ci_upper"),
}


def as_frame(table: Any) -> pd.DataFrame:
    """A result table as a DataFrame, whichever of the usual ways it offers."""
    if isinstance(table, pd.DataFrame):
        return table
    for name in ("to_frame", "summary_frame"):
        if hasattr(table, name):
            return getattr(table, name)()
    return table.table


def column_of(frame: pd.DataFrame, key: str) -> pd.Series:
    """The column that means ``key`` (a name of the JSON files)."""
    for name in COLUMNS.get(key, (key,)):
        if name in frame:
            return frame[name]
    raise LookupError(f"no column for {key!r} among {list(frame.columns)}")


def rows_of(frame: pd.DataFrame, names: Iterable[str], levels: Mapping[str, list[str]]) -> pd.DataFrame:
    """The rows named as R names them (terms or coefficients), in that order."""
    index = {canonical(str(name), levels): position for position, name in enumerate(frame.index)}
    return frame.iloc[[index[canonical(name, levels)] for name in names]]

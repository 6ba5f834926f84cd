"""What the command line writes: the summary and what else was asked for, as text, JSON, CSV, HTML or LaTeX."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import pandas as pd

from mixedfx._display import StatsTable, Summary

if TYPE_CHECKING:
    from mixedfx.diagnostics import Check
    from mixedfx.marginal_means import MarginalMeans
    from mixedfx.results.generalized import GeneralizedLinearMixedResults
    from mixedfx.results.linear import LinearMixedResults

    Results: TypeAlias = LinearMixedResults | GeneralizedLinearMixedResults

__all__ = ["RENDERERS", "Further", "as_text"]

FACTS = ("nobs", "llf", "deviance", "aic", "bic", "sigma", "converged", "is_singular")
NEXT_STEP = "Next: --check looks at the assumptions, --report fit.html has pictures too."


@dataclass(frozen=True)
class Further:
    """A table that follows the summary.

    Attributes
    ----------
    key : str
        Its name in JSON.
    text : str
        As it is printed.
    table : Summary or StatsTable
        For the other formats.
    frame : DataFrame
        Its numbers.
    """

    key: str
    text: str
    table: Summary | StatsTable
    frame: pd.DataFrame

    @classmethod
    def of_anova(cls, table: StatsTable) -> Further:
        """Of an analysis of variance."""
        return cls("anova", str(table), table, table.to_frame().rename_axis("term").reset_index())

    @classmethod
    def of_means(cls, key: str, means: MarginalMeans) -> Further:
        """Of marginal means or their differences."""
        return cls(key, str(means), means.summary(), means.to_frame())

    @classmethod
    def of_check(cls, found: Check) -> Further:
        """Of what can be said of the assumptions."""
        return cls("check", str(found), found.table(), found.to_frame().reset_index())

    @classmethod
    def of_predictions(cls, fit: Results, new: pd.DataFrame) -> Further:
        """Of the rows of another table: their means and intervals; groups that are new get the average."""
        found = fit.get_prediction(new, new_levels="population").summary_frame()
        frame = pd.concat([new, found], axis=1)
        table = StatsTable.from_frame(frame, heading="Predictions")
        return cls("predictions", frame.to_string(index=False), table, frame)


def _plain(value: Any) -> Any:
    """A value that JSON has: numbers that are not finite become null, NumPy scalars plain ones."""
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): _plain(value) for key, value in row.items()} for row in frame.to_dict(orient="records")]


def as_text(summary: Summary, further: Sequence[Further]) -> str:
    """Return what is read on a screen."""
    shown = replace(summary, following=NEXT_STEP if ".check()" in summary.following else "")
    return "\n\n".join([shown.as_text(), *(one.text for one in further)])


def as_json(fit: Results, summary: Summary, further: Sequence[Further]) -> str:
    """Return the estimates, unrounded, as JSON text."""
    coefficients = pd.concat([fit.params, fit.bse, fit.df, fit.tvalues, fit.pvalues, fit.conf_int()], axis=1)
    coefficients.columns = pd.Index(["estimate", "std_error", "df", "statistic", "p_value", "lower", "upper"])
    content = {
        "formula": fit.model.written,
        "n_groups": fit.n_groups,
        **{name: _plain(getattr(fit, name)) for name in FACTS},
        "fixed_effects": _records(coefficients.rename_axis("term").reset_index()),
        "random_effects": _records(fit.varcorr.to_frame()),
        "notes": list(summary.notes),
        **{one.key: _records(one.frame) for one in further},
    }
    return json.dumps(content, indent=2, ensure_ascii=False, default=str)


def _written(how: Callable[[Summary | StatsTable], str]) -> Callable[[Results, Summary, Sequence[Further]], str]:
    def render(_: Results, summary: Summary, further: Sequence[Further]) -> str:
        return "\n".join(map(how, [replace(summary, following=""), *(one.table for one in further)]))

    return render


RENDERERS: dict[str, Callable[[Results, Summary, Sequence[Further]], str]] = {
    "json": as_json,
    "csv": _written(lambda table: table.as_csv()),
    "html": _written(lambda table: table.as_html()),
    "latex": _written(lambda table: table.as_latex()),
}

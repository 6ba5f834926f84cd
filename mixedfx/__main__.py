"""Command line: ``mixedfx FORMULA DATA`` fits a mixed model and prints its summary.

Everything goes through the public functions of the package; bad input ends with exit code 2 and one line on stderr.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mixedfx as mfx

if TYPE_CHECKING:
    import pandas as pd

    from mixedfx.results.linear import LinearMixedResults

__all__ = ["main"]

BAD_INPUT = 2
STDOUT = "-"
SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
COMPRESSIONS = {".gz", ".bz2", ".xz", ".zip", ".zst"}
PARQUET = {".parquet", ".pq"}
MARKED_FORMULA = "\n    "  # what a message puts before a formula with a mark under it
FACTS = ("nobs", "llf", "deviance", "aic", "bic", "sigma", "converged", "is_singular")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="mixedfx",
        description="Fit a mixed-effects model and print its summary.",
        epilog='example: mixedfx "Reaction ~ Days + (Days | Subject)" sleepstudy --ml',
    )
    parser.add_argument("formula", metavar="FORMULA", help='as in R, e.g. "y ~ x + (x | group)"')
    parser.add_argument("data", metavar="DATA", help="a CSV, TSV or Parquet file, or the name of a bundled data set")
    parser.add_argument("--version", action="version", version=f"mixedfx {mfx.__version__}")
    _add_model_options(parser.add_argument_group("model"))
    _add_output_options(parser.add_argument_group("output (FILE '-' or none: standard output instead of the summary)"))
    return parser


def _add_model_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--ml", action="store_true", help="maximum likelihood instead of REML")
    group.add_argument("--weights", metavar="COLUMN", help="precision weights")
    group.add_argument("--offset", metavar="COLUMN", help="a known part of the mean")


def _add_output_options(group: argparse._ArgumentGroup) -> None:
    for name, label in (("json", "JSON"), ("csv", "CSV"), ("html", "HTML"), ("latex", "LaTeX")):
        group.add_argument(f"--{name}", metavar="FILE", nargs="?", const=STDOUT, help=f"write {label}")
    group.add_argument("--plot", metavar="FILE", help="draw the random effects with their intervals (PNG, SVG, PDF)")


def read_data(name: str) -> pd.DataFrame:
    """Return the table in the file ``name``, or the bundled data set of that name if there is no such file.

    Raises
    ------
    DataError
        If the file cannot be read as a table.
    SpecificationError
        If there is neither a file nor a data set of that name.
    """
    path = Path(name)
    if not path.exists() and path.suffix.lower() not in {*SEPARATORS, *PARQUET, *COMPRESSIONS}:
        try:
            return mfx.load_dataset(name)
        except mfx.SpecificationError as error:
            raise mfx.SpecificationError(f"there is no file {name!r}, and {error}") from error
    try:
        return _read_file(path)
    except (OSError, ValueError, ImportError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise mfx.DataError(f"cannot read {name}: {reason}") from error


def _read_file(path: Path) -> pd.DataFrame:
    import pandas as pd

    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in COMPRESSIONS]
    kind = suffixes[-1] if suffixes else ""
    if kind in PARQUET:
        return pd.read_parquet(path)
    if kind in SEPARATORS:
        return pd.read_csv(path, sep=SEPARATORS[kind])
    raise ValueError(f"the name must end in {', '.join([*SEPARATORS, *PARQUET])} (or one of these and .gz)")


def _plain(value: Any) -> Any:
    """A value that JSON has: numbers that are not finite become null, NumPy scalars plain ones."""
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): _plain(value) for key, value in row.items()} for row in frame.to_dict(orient="records")]


def as_json(fit: LinearMixedResults) -> str:
    """Return the estimates, unrounded, as JSON text."""
    import pandas as pd

    coefficients = pd.concat([fit.params, fit.bse, fit.df, fit.tvalues, fit.pvalues, fit.conf_int()], axis=1)
    coefficients.columns = pd.Index(["estimate", "std_error", "df", "statistic", "p_value", "lower", "upper"])
    content = {
        "formula": str(fit.model.formula),
        "method": "REML" if fit.reml else "ML",
        "n_groups": fit.n_groups,
        **{name: _plain(getattr(fit, name)) for name in FACTS},
        "fixed_effects": _records(coefficients.rename_axis("term").reset_index()),
        "random_effects": _records(fit.varcorr.to_frame()),
    }
    return json.dumps(content, indent=2, ensure_ascii=False)


RENDERERS: dict[str, Callable[[LinearMixedResults], str]] = {
    "json": as_json,
    "csv": lambda fit: fit.summary().as_csv(),
    "html": lambda fit: fit.summary().as_html(),
    "latex": lambda fit: fit.summary().as_latex(),
}


def write_results(fit: LinearMixedResults, options: argparse.Namespace) -> None:
    """Print the summary and write the files that the options ask for."""
    chosen = {name: getattr(options, name) for name in RENDERERS if getattr(options, name) is not None}
    for name, target in chosen.items():
        text = RENDERERS[name](fit)
        if target == STDOUT:
            print(text)
        else:
            Path(target).write_text(text + "\n", encoding="utf-8")
    if STDOUT not in chosen.values():
        print(fit.summary())
    if options.plot is not None:
        from mixedfx.plots import caterpillar, save_figure

        save_figure(caterpillar(fit)[0], options.plot)


def _one_line(error: Exception | str) -> str:
    """The message of ``error`` without line breaks; the mark under a formula becomes a place in words."""
    if isinstance(error, mfx.SpecificationError) and error.position is not None:
        text = f"{error.message} (at character {error.position + 1} of {error.formula!r})"
    else:
        text = str(error).split(MARKED_FORMULA)[0]
    return " ".join(text.split())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, or 2 if the input is wrong.

    Examples
    --------
    >>> from mixedfx.__main__ import main
    >>> main(["y ~ x + (1 | g)", "no_such_file.csv"])
    2
    """
    options = build_parser().parse_args(arguments)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", mfx.MixedfxWarning)
            data = read_data(options.data)
            fit = mfx.lmer(options.formula, data, reml=not options.ml, weights=options.weights, offset=options.offset)
            write_results(fit, options)
            sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as head, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (mfx.SpecificationError, mfx.DataError, TypeError, OSError) as error:
        print(f"mixedfx: {_one_line(error)}", file=sys.stderr)
        return BAD_INPUT
    for warning in caught:
        print(f"mixedfx: warning: {_one_line(warning.message)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())

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
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import mixedfx as mfx

if TYPE_CHECKING:
    import pandas as pd

    from mixedfx._display import StatsTable
    from mixedfx.results.generalized import GeneralizedLinearMixedResults
    from mixedfx.results.linear import LinearMixedResults

    Results: TypeAlias = LinearMixedResults | GeneralizedLinearMixedResults

__all__ = ["main"]

BAD_INPUT = 2
STDOUT = "-"
SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
COMPRESSIONS = {".gz", ".bz2", ".xz", ".zip", ".zst"}
PARQUET = {".parquet", ".pq"}
MARKED_FORMULA = "\n    "  # what a message puts before a formula with a mark under it
FACTS = ("nobs", "llf", "deviance", "aic", "bic", "sigma", "converged", "is_singular")


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line, as those about the data."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {message} (mixedfx --help says what there is)\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = _Parser(
        prog="mixedfx",
        description="Fit a mixed-effects model and print its summary.",
        epilog='example: mixedfx "Reaction ~ Days + (Days | Subject)" sleepstudy --anova',
    )
    parser.add_argument("formula", metavar="FORMULA", help='as in R, e.g. "y ~ x + (x | group)"')
    parser.add_argument("data", metavar="DATA", help="a CSV, TSV or Parquet file, or the name of a bundled data set")
    parser.add_argument("--version", action="version", version=f"mixedfx {mfx.__version__}")
    _add_model_options(parser.add_argument_group("model"))
    _add_output_options(parser.add_argument_group("output (FILE '-' or none: standard output instead of the summary)"))
    return parser


def _add_model_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--ml", action="store_true", help="maximum likelihood instead of REML (linear models)")
    group.add_argument("--family", help="generalised linear mixed model: binomial, poisson, gamma, ordinal, …")
    group.add_argument("--link", help="link function, if not the family's usual one")
    group.add_argument("--nagq", metavar="K", type=_nodes, help="nodes of adaptive quadrature, or auto (1: Laplace)")
    group.add_argument("--weights", metavar="COLUMN", help="precision weights, or the trials of a binomial proportion")
    group.add_argument("--offset", metavar="COLUMN", help="a known part of the mean (of the linear predictor)")


def _nodes(text: str) -> int | str:
    if text != "auto" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a number of nodes such as 7, or auto; found {text!r}")
    return text if text == "auto" else int(text)


def _add_output_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--anova", metavar="TYPE", nargs="?", type=int, const=3, choices=(1, 2, 3), help="add the ANOVA table, type 1-3"
    )
    group.add_argument("--ddf", help="denominator df of the ANOVA table: satterthwaite, kenward-roger, …")
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
    if "://" in name:
        raise mfx.SpecificationError(f"{name!r} is an address; download the file first and give its name")
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
        return _separated(pd.read_csv(path, sep=SEPARATORS[kind]))
    raise ValueError(f"the name must end in {', '.join([*SEPARATORS, *PARQUET])} (or one of these and .gz)")


def _separated(data: pd.DataFrame) -> pd.DataFrame:
    """Return a table, or refuse one whose columns are parted by something else."""
    found = [sign for sign in (";", "\t", "|", ",") if len(data.columns) == 1 and sign in str(data.columns[0])]
    if found:
        raise ValueError(
            f"there is one column, {str(data.columns[0])!r}: its parts are divided by {found[0]!r}; a .csv has commas "
            "(and decimal points), a .tsv tabs"
        )
    return data


def fit_model(options: argparse.Namespace, data: pd.DataFrame) -> Results:
    """Fit what the options ask for: ``lmer``, or ``glmer`` if there is a family.

    Raises
    ------
    SpecificationError
        If options do not go together.
    """
    if options.family is None:
        for name in ("link", "nagq"):
            if getattr(options, name) is not None:
                raise mfx.SpecificationError(f"--{name} needs --family: without it the model is linear")
        return mfx.lmer(options.formula, data, reml=not options.ml, weights=options.weights, offset=options.offset)
    if options.ml:
        raise mfx.SpecificationError("--ml is for linear models: with --family the fit is by maximum likelihood anyway")
    return mfx.glmer(
        options.formula,
        data,
        family=options.family,
        link=options.link,
        nagq=1 if options.nagq is None else options.nagq,
        weights=options.weights,
        offset=options.offset,
    )


def anova_table(fit: Results, options: argparse.Namespace) -> StatsTable | None:
    """Return the ANOVA table that the options ask for, or None."""
    if options.anova is None:
        if options.ddf is not None:
            raise mfx.SpecificationError("--ddf is for the ANOVA table: add --anova")
        return None
    return mfx.anova(fit, type=options.anova, ddf=options.ddf)


def _plain(value: Any) -> Any:
    """A value that JSON has: numbers that are not finite become null, NumPy scalars plain ones."""
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): _plain(value) for key, value in row.items()} for row in frame.to_dict(orient="records")]


def as_json(fit: Results, table: StatsTable | None) -> str:
    """Return the estimates, unrounded, as JSON text."""
    import pandas as pd

    coefficients = pd.concat([fit.params, fit.bse, fit.df, fit.tvalues, fit.pvalues, fit.conf_int()], axis=1)
    coefficients.columns = pd.Index(["estimate", "std_error", "df", "statistic", "p_value", "lower", "upper"])
    content = {
        "formula": str(fit.model.formula),
        "n_groups": fit.n_groups,
        **{name: _plain(getattr(fit, name)) for name in FACTS},
        "fixed_effects": _records(coefficients.rename_axis("term").reset_index()),
        "random_effects": _records(fit.varcorr.to_frame()),
    }
    if table is not None:
        content["anova"] = _records(table.to_frame().rename_axis("term").reset_index())
    return json.dumps(content, indent=2, ensure_ascii=False)


Renderer = Callable[["Results", "StatsTable | None"], str]
RENDERERS: dict[str, Renderer] = {
    "json": as_json,
    "csv": lambda fit, table: _joined(fit.summary().as_csv(), None if table is None else table.as_csv()),
    "html": lambda fit, table: _joined(fit.summary().as_html(), None if table is None else table.as_html()),
    "latex": lambda fit, table: _joined(fit.summary().as_latex(), None if table is None else table.as_latex()),
}


def _joined(summary: str, table: str | None) -> str:
    return summary if table is None else f"{summary}\n{table}"


def _check_targets(options: argparse.Namespace) -> None:
    """Refuse files that cannot be written, before the work is done."""
    targets = {name: getattr(options, name) for name in (*RENDERERS, "plot")}
    for name, target in targets.items():
        if target not in (None, STDOUT) and not Path(target).parent.is_dir():
            raise mfx.SpecificationError(f"--{name} {target}: there is no folder {str(Path(target).parent)!r}")
    if options.plot is not None:
        from mixedfx.plots.files import check_format

        check_format(options.plot)


def write_results(fit: Results, options: argparse.Namespace) -> None:
    """Print the summary and write the files that the options ask for."""
    table = anova_table(fit, options)
    chosen = {name: getattr(options, name) for name in RENDERERS if getattr(options, name) is not None}
    for name, target in chosen.items():
        text = RENDERERS[name](fit, table)
        if target == STDOUT:
            print(text)
        else:
            Path(target).write_text(text + "\n", encoding="utf-8")
    if STDOUT not in chosen.values():
        print(_joined(fit.summary().as_text(), None if table is None else str(table)))
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
            _check_targets(options)
            data = read_data(options.data)
            fit = fit_model(options, data)
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

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
from mixedfx.command.tables import STANDARD, read_data

if TYPE_CHECKING:
    import pandas as pd

    from mixedfx._display import StatsTable
    from mixedfx.marginal_means import MarginalMeans
    from mixedfx.results.generalized import GeneralizedLinearMixedResults
    from mixedfx.results.linear import LinearMixedResults

    Results: TypeAlias = LinearMixedResults | GeneralizedLinearMixedResults

__all__ = ["main"]

BAD_INPUT = 2
MARKED_FORMULA = "\n    "  # what a message puts before a formula with a mark under it
FACTS = ("nobs", "llf", "deviance", "aic", "bic", "sigma", "converged", "is_singular")


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line, as those about the data."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {message} (mixedfx --help says what there is)\n")


class _Lesson(argparse.Action):
    """Write a lesson of the course as a notebook, open it where Jupyter is installed, and stop."""

    def __call__(self, parser: argparse.ArgumentParser, _: Any, value: Any, option: str | None = None) -> NoReturn:
        from mixedfx.command.lessons import write_lesson

        try:
            print(write_lesson(str(value)))
        except (mfx.SpecificationError, OSError) as error:
            parser.error(str(error))
        parser.exit()


class _Listing(argparse.Action):
    """Print the bundled data sets, and stop."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        told = mfx.list_datasets()["description"]
        print("\n".join(f"{name:14}  {text}" for name, text in told.items()))
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = _Parser(
        prog="mixedfx",
        description="Fit a mixed-effects model and print its summary.",
        epilog='example: mixedfx "Reaction ~ Days + (Days | Subject)" sleepstudy --anova',
    )
    parser.add_argument("formula", metavar="FORMULA", help='as in R, e.g. "y ~ x + (x | group)"')
    parser.add_argument(
        "data", metavar="DATA", help="a CSV, TSV, Excel or Parquet file, '-' (standard input), or a bundled data set"
    )
    parser.add_argument("--sep", metavar="SIGN", help="what divides the columns of a text file; guessed if omitted")
    parser.add_argument("--list", action=_Listing, nargs=0, help="list the bundled data sets and stop")
    parser.add_argument(
        "--lesson", action=_Lesson, metavar="N", help="write lesson N of the course as a notebook and stop"
    )
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
        group.add_argument(f"--{name}", metavar="FILE", nargs="?", const=STANDARD, help=f"write {label}")
    group.add_argument(
        "--emmeans", metavar="FACTORS", help="add marginal means and their differences: 'a', 'a,b', 'a|b'"
    )
    group.add_argument("--check", action="store_true", help="add what can be said of the assumptions")
    group.add_argument(
        "--plot",
        metavar="[KIND=]FILE",
        action="append",
        default=[],
        help="draw the picture that suits the model, or effect, caterpillar, residuals, …: --plot effect=effect.png; "
        "a KIND alone is written to KIND.png",
    )
    group.add_argument("--report", metavar="FILE", help="write one page of HTML with report, summary, checks, pictures")


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


def _pictures(options: argparse.Namespace) -> list[tuple[str | None, str]]:
    """The kind and the file of each picture that is asked for."""
    from mixedfx.plots.suited import pictures

    wanted: list[tuple[str | None, str]] = []
    for text in options.plot:
        kind, sign, target = text.partition("=")
        if sign:
            wanted.append((kind, target))
        else:
            wanted.append((text, f"{text}.png") if "." not in text else (None, text))
    for kind, _ in wanted:
        if kind is not None and kind not in pictures():
            raise mfx.SpecificationError(
                f"--plot {kind}: the pictures are {', '.join(pictures())}; or give a file such as fit.png"
            )
    return wanted


def _check_targets(options: argparse.Namespace) -> list[tuple[str | None, str]]:
    """Refuse files that cannot be written, before the work is done; return the pictures that are asked for."""
    wanted = _pictures(options) if options.plot else []
    targets = [(name, getattr(options, name)) for name in (*RENDERERS, "report")]
    for name, target in [*targets, *(("plot", target) for _, target in wanted)]:
        if target not in (None, STANDARD) and not Path(target).parent.is_dir():
            raise mfx.SpecificationError(f"--{name} {target}: there is no folder {str(Path(target).parent)!r}")
    for _, target in wanted:
        from mixedfx.plots.files import check_format

        check_format(target)
    return wanted


def means_tables(fit: Results, text: str | None) -> list[MarginalMeans]:
    """Return the marginal means that ``--emmeans`` asks for, and their differences."""
    if text is None:
        return []
    specs, _, by = (part.replace(",", " ").split() for part in text.partition("|"))
    means = mfx.emmeans(fit, specs, by or None)
    return [means, means.pairs()]


def write_results(fit: Results, options: argparse.Namespace, wanted: Sequence[tuple[str | None, str]]) -> None:
    """Print the summary and write the files that the options ask for."""
    table = anova_table(fit, options)
    means = means_tables(fit, options.emmeans)
    found = fit.check() if options.check or options.report else None
    chosen = {name: getattr(options, name) for name in RENDERERS if getattr(options, name) is not None}
    for name, target in chosen.items():
        text = RENDERERS[name](fit, table)
        if target == STANDARD:
            print(text)
        else:
            Path(target).write_text(text + "\n", encoding="utf-8")
    if STANDARD not in chosen.values():
        further = [*([] if table is None else [table]), *means, *([found] if options.check else [])]
        print("\n".join([fit.summary().as_text(), *map(str, further)]))
    for kind, target in wanted:
        from mixedfx.plots import save_figure

        save_figure(fit.plot(kind), target)
    if options.report is not None:
        from mixedfx.command.page import page

        tables = [*([] if table is None else [table]), *means]
        Path(options.report).write_text(page(fit, tables, options.data, found), encoding="utf-8")


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
            wanted = _check_targets(options)
            data, remark = read_data(options.data, options.sep)
            if remark:
                print(f"mixedfx: note: {options.data}: {remark}", file=sys.stderr)
            fit = fit_model(options, data)
            write_results(fit, options, wanted)
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

"""Command line: ``mixedfx FORMULA DATA`` fits a mixed model and prints its summary.

Everything goes through the public functions of the package; bad input ends with exit code 2 and one line on stderr.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import mixedfx as mfx
from mixedfx.command.output import RENDERERS, Further, as_text
from mixedfx.command.tables import STANDARD, read_tables

if TYPE_CHECKING:
    import pandas as pd

    from mixedfx.command.output import Results
    from mixedfx.marginal_means import MarginalMeans

__all__ = ["main"]

BAD_INPUT = 2
INTERRUPTED = 130  # as shells have it
MARKED_FORMULA = "\n    "  # what a message puts before a formula with a mark under it
OUTPUTS = (*RENDERERS, "report")


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line, as those about the data."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {message} (mixedfx --help says what there is)\n")


class _Lesson(argparse.Action):
    """Write a lesson of the course as a notebook, open it where Jupyter is installed, and stop."""

    def __call__(self, parser: argparse.ArgumentParser, _: Any, value: Any, option: str | None = None) -> NoReturn:
        from mixedfx.command.lessons import write_lesson

        print(write_lesson(str(value)))
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
    parser.add_argument("--decimal", metavar="SIGN", help="decimal sign, . or , where 1,100 leaves it open")
    parser.add_argument(
        "--na", metavar="TEXT", action="append", default=[], help="what stands for a missing value, as in --na=-99"
    )
    parser.add_argument("--sheet", metavar="NAME", help="of an Excel file; the first if omitted")
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
    group.add_argument("--exp", action="store_true", help="show exponentiated coefficients, such as odds ratios")
    group.add_argument(
        "--predict", metavar="NEW", help="add predictions for the rows of another table; new groups get the average"
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


def further_tables(fit: Results, options: argparse.Namespace) -> list[Further]:
    """Return the tables beside the summary that the options ask for, but for the check."""
    tables = []
    if options.anova is not None:
        tables.append(Further.of_anova(mfx.anova(fit, type=options.anova, ddf=options.ddf)))
    if options.emmeans is not None:
        specs, _, by = options.emmeans.partition("|")
        means = mfx.emmeans(fit, _names(specs), _names(by) or None)
        tables.append(Further.of_means("emmeans", means))
        if _have_pairs(means):
            tables.append(Further.of_means("contrasts", means.pairs()))
    return tables


def _have_pairs(means: MarginalMeans) -> bool:
    rows = means.labels[list(means.by)]
    return len(rows) > 1 and (not means.by or bool(rows.duplicated().any()))


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


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


def _check_options(options: argparse.Namespace) -> list[tuple[str | None, str]]:
    """Refuse options that do not go together and files that cannot be written; return the pictures asked for."""
    if options.ddf is not None and options.anova is None:
        raise mfx.SpecificationError("--ddf is for the ANOVA table: add --anova")
    if options.exp and options.json is not None:
        raise mfx.SpecificationError("--exp is for summaries, and JSON has the coefficients: leave one of the two out")
    wanted = _pictures(options) if options.plot else []
    targets = [(name, getattr(options, name)) for name in OUTPUTS if getattr(options, name) is not None]
    printed = [f"--{name}" for name, target in targets if target == STANDARD]
    if len(printed) > 1:
        raise mfx.SpecificationError(f"standard output takes one of {', '.join(printed)}: give the others a file")
    for name, target in targets:
        if target != STANDARD:
            _check_file(name, target)
    for _, target in wanted:
        from mixedfx.plots.files import check_format

        _check_file("plot", target)
        check_format(target)
    return wanted


def _check_file(option: str, target: str) -> None:
    path, reason = Path(target), ""
    if not target:
        reason = "the name of a file is missing"
    elif not path.parent.is_dir():
        reason = f"there is no folder {str(path.parent)!r}"
    elif path.is_dir():
        reason = "this is a folder; give the name of a file"
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        reason = "no permission to write there"
    if reason:
        raise mfx.SpecificationError(f"--{option} {target}: {reason}")


def write_results(
    fit: Results, options: argparse.Namespace, wanted: Sequence[tuple[str | None, str]], new: pd.DataFrame | None
) -> None:
    """Print the summary and write the files that the options ask for; ``new`` are the rows to predict."""
    summary = fit.summary(exp=options.exp)
    tables, printed = further_tables(fit, options), False
    further = [*tables, *([Further.of_check(fit.check())] if options.check else [])]
    further += [] if new is None else [Further.of_predictions(fit, new)]
    for name in OUTPUTS:
        target = getattr(options, name)
        if target is None:
            continue
        text = _report(fit, tables, options.data) if name == "report" else RENDERERS[name](fit, summary, further)
        if target == STANDARD:
            print(text)
            printed = True
        else:
            Path(target).write_text(text + "\n", encoding="utf-8")
    if not printed:
        print(as_text(summary, further))
    elif fit.design.n_dropped:
        _say(f"note: {fit.design.n_dropped} rows were left out: a value is missing, or their weight is zero")
    for kind, target in wanted:
        from mixedfx.plots import save_figure

        save_figure(fit.plot(kind), target)


def _report(fit: Results, tables: Sequence[Further], source: str) -> str:
    from mixedfx.command.page import page

    return page(fit, [one.table for one in tables], source)


def _say(text: str) -> None:
    print(f"mixedfx: {text}", file=sys.stderr)


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
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a letter that the terminal lacks becomes a question mark
            stream.reconfigure(errors="replace")
    try:
        try:
            _run(build_parser().parse_args(arguments))
        finally:
            print(end="", flush=True)
    except BrokenPipeError:  # the reader, such as head, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        _say("stopped")
        return INTERRUPTED
    except (mfx.SpecificationError, mfx.DataError, TypeError) as error:
        _say(_one_line(error))
        return BAD_INPUT
    except OSError as error:
        where = "" if error.filename is None else f" {str(error.filename)!r}"
        _say(f"cannot write{where}: {error.strerror}")
        return BAD_INPUT
    return 0


def _run(options: argparse.Namespace) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", mfx.MixedfxWarning)
        try:
            wanted = _check_options(options)
            names = [options.data, *([] if options.predict is None else [options.predict])]
            tables = read_tables(
                names, separator=options.sep, decimal=options.decimal, sheet=options.sheet, missing=options.na
            )
            for name, (_, remarks) in zip(names, tables, strict=True):
                for remark in remarks:
                    _say(f"note: {name}: {remark}")
            (data, _), *others = tables
            new = others[0][0] if others else None
            write_results(fit_model(options, data), options, wanted, new)
        finally:
            for text in dict.fromkeys(_one_line(str(warning.message)) for warning in caught):
                _say(f"warning: {text}")


if __name__ == "__main__":
    sys.exit(main())

"""Every lesson of the course runs, has its parts, and is the notebook that the package ships."""

import ast
import contextlib
import io
import re

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pytest

from tests.lessons import PAGES, SHIPPED, cells, notebook, plain

PARTS = ("## The data", "## Exercises", "## The same in R", "## What can go wrong")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_lesson_has_its_parts_and_is_the_notebook(page):
    text = page.read_text(encoding="utf-8")
    assert [part for part in PARTS if part not in text] == []
    assert "**The question.**" in text
    assert text.count("{dropdown} Answer") >= 2
    assert (SHIPPED / f"{page.stem}.ipynb").read_text(encoding="utf-8") == notebook(page), "python -m tests.lessons"
    left = plain("".join(text for is_code, text, _ in cells(page) if not is_code))
    assert re.findall(r"\{\w+\}`|^:::|```\{", left, re.MULTILINE) == []


NUMBER = re.compile(r"(?<![\w.])[-−]?\d*\.\d+")


def ran(page):
    """Run the cells of a lesson and return all that they show."""
    names, shown = {}, []
    for is_code, text, _ in cells(page):
        if not is_code:
            continue
        *body, last = ast.parse(text).body
        is_value = isinstance(last, ast.Expr) and not text.rstrip().endswith(";")
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(ast.Module(body if is_value else [*body, last], []), page.stem, "exec"), names)
            value = eval(compile(ast.Expression(last.value), page.stem, "eval"), names) if is_value else None
        shown += [printed.getvalue(), "" if value is None else str(value)]
    return "\n".join(shown)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_lesson_runs_and_its_numbers_come_from_its_cells(page):
    mpl.use("Agg")
    with pd.option_context("display.width", 200, "display.max_columns", 50):
        shown = {float(number.replace("−", "-")) for number in NUMBER.findall(ran(page))}
    plt.close("all")
    prose = "".join(text for is_code, text, _ in cells(page) if not is_code)
    prose = re.sub(r"```(?!\{dropdown\}).*?```", "", prose, flags=re.DOTALL)
    missing = []
    for said in NUMBER.findall(prose):
        digits = len(said.partition(".")[2])
        value = float(said.replace("−", "-"))
        if not any(abs(round(abs(number), digits) - abs(value)) < 10.0**-digits / 2 for number in shown):
            missing.append(said)
    assert missing == [], "numbers in the text that no cell shows"

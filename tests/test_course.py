"""Every lesson of the course runs, has its parts, and is the notebook that the package ships."""

import re

import pytest

from tests.lessons import PAGES, SHIPPED, cells, notebook, plain, unshown

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


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_lesson_runs_and_its_numbers_come_from_its_cells(page):
    assert unshown(page) == [], "numbers in the text that no cell shows"

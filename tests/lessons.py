"""The lessons of the course as notebooks: ``python -m tests.lessons`` writes those that the package ships anew."""

import ast
import contextlib
import io
import json
import re
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd

from tests import statements

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs" / "course").glob("lesson*.md"))
SHIPPED = ROOT / "mixedfx" / "lessons"

CODE = re.compile(r"```\{code-cell\}[^\n]*\n((?::tags:[^\n]*\n+|---\n.*?\n---\n)?)(.*?)\n```", re.DOTALL)


def cells(page):
    """Yield (is code, text, is hidden) for the cells of a page; hidden ones compute what answers say."""
    text = re.sub(r"\A---\n.*?\n---\n", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    end = 0
    for found in CODE.finditer(text):
        yield False, text[end : found.start()], False
        yield True, found.group(2), "remove-cell" in found.group(1)
        end = found.end()
    yield False, text[end:], False


def plain(text):
    """What the site's Markdown says in Jupyter's: of a link within the site its words are left."""
    text = re.sub(r"\{ref\}`([^`<]+?)\s*<glossary-[\w-]+>`", r"\1", text)
    text = re.sub(r"\{(?:doc|ref|any)\}`([^`<]+?)\s*(?:<[^`]*>)?`", r"*\1*", text)
    text = re.sub(r"\{\w+\}`~?([^`]+)`", r"`\1`", text)
    text = re.sub(
        r"```\{dropdown\} ([^\n]*)\n(.*?)\n```",
        r"<details><summary>\1</summary>\n\n\2\n\n</details>",
        text,
        flags=re.DOTALL,
    )
    text = re.sub(
        r":::\{admonition\} ([^\n]*)\n(?::class:[^\n]*\n)?(.*?)\n:::",
        lambda m: "> **" + m.group(1) + "**\n>\n" + "\n".join(f"> {line}" for line in m.group(2).splitlines()),
        text,
        flags=re.DOTALL,
    )
    return text.strip()


def notebook(page):
    """Return the text of the notebook of a page."""
    found = []
    for number, (is_code, text, is_hidden) in enumerate(cells(page)):
        source = text.strip() if is_code else plain(text)
        if source and not is_hidden:
            cell = {"id": f"cell-{number}", "metadata": {}, "source": source.splitlines(keepends=True)}
            code = {"cell_type": "code", "execution_count": None, "outputs": []}
            found.append({**(code if is_code else {"cell_type": "markdown"}), **cell})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    content = {"cells": found, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def ran(page):
    """Run the cells of a page and return all that they show."""
    names, shown = {}, []
    for is_code, text, _ in cells(page):
        if not is_code:
            continue
        *body, last = ast.parse(text).body
        is_value = isinstance(last, ast.Expr) and not text.rstrip().endswith(";")
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(ast.Module(body if is_value else [*body, last], []), page.stem, "exec"), names)
            value = eval(compile(ast.Expression(last.value), page.stem, "eval"), names) if is_value else None
        getattr(value, "_repr_html_", str)()  # what the page shows, and may fail
        shown += [printed.getvalue(), "" if value is None else str(value)]
        plt.close("all")  # as Jupyter does after each cell
    return "\n".join(shown)


def unshown(page):
    """Run a page and return the numbers in its text that come from no cell (:mod:`tests.statements`)."""
    mpl.use("Agg")
    with mpl.rc_context(), pd.option_context("display.width", 200, "display.max_columns", 50):
        shown = ran(page)
    text = page.read_text(encoding="utf-8")
    return statements.unshown(statements.paragraphs(text), shown, statements.code(text))


def main():
    """Write all notebooks."""
    SHIPPED.mkdir(exist_ok=True)
    for page in PAGES:
        (SHIPPED / f"{page.stem}.ipynb").write_text(notebook(page), encoding="utf-8")


if __name__ == "__main__":
    main()

"""HTML, LaTeX, Markdown and CSV: whatever the names are, the structure stands and the text comes back."""

import csv
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixedfx._display import Column, Each, Fact, Facts, Numbers, OnceOnly, Summary, Table, format_p
from mixedfx._display.formats import format_text

NASTY = '<script>alert("x&y")</script>|a_b*c`d`$e^{f}~#%\\[g],"h"\n'
TEXTS = st.text(st.sampled_from("<>&\"'|_*`$^{}~#%\\[],;:ab \n=é"), min_size=1, max_size=20)


def summary(name=NASTY):
    facts = Facts((Fact("Formula", name, wide=True), Fact(name, 1.0), Fact("AIC", 2.5, "2.500")), title=name)
    rows = (Column("Group", ("g", "g"), OnceOnly(), stub=True), Column(name, (name, "b"), stub=True))
    body = (
        Column("coef", (-1.23456789, 1e-12), Numbers()),
        Column("p", (0.25, 1e-9), Each(format_p)),
        Column("Corr. 1", (None, 0.5), Numbers(3), header="Corr."),
        Column("Corr. 2", (None, np.nan), Numbers(3), header=""),
    )
    table = Table((*rows, *body), title=name, footnotes=(name,), headings=((1, name),))
    return Summary((facts, table), title=name, notes=(name,))


class Reader(HTMLParser):
    """Collects the text, the open elements and the attributes, and insists on balance."""

    VOID = ("wbr",)

    def __init__(self, text):
        super().__init__()
        self.stack, self.tags, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in self.VOID:
            return
        self.stack.append(tag)
        if tag in ("td", "th", "li", "caption", "p"):
            self.texts.append("")

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if self.stack and self.stack[-1] in ("td", "th", "li", "caption", "p"):
            self.texts[-1] += data

    def row_lengths(self):
        lengths = []
        for tag, attributes in self.tags:
            if tag == "tr":
                lengths.append(0)
            if tag in ("td", "th"):
                lengths[-1] += int(attributes.get("colspan", 1))
        return lengths


@given(TEXTS)
def test_html_gives_every_text_back_and_only_our_elements(name):
    page = Reader(summary(name)._repr_html_())
    assert page.texts.count(format_text(name)) == 9
    ours = {"div", "style", "table", "caption", "thead", "tbody", "tr", "th", "td", "ol", "li", "p", "wbr"}
    assert {tag for tag, _ in page.tags} <= ours


def test_html_is_a_table_for_screen_readers():
    page = Reader(summary("name").as_html())
    scopes = [attributes.get("scope") for tag, attributes in page.tags if tag == "th"]
    assert {"row", "col", "rowgroup"} == set(scopes)
    assert sum(tag == "caption" for tag, _ in page.tags) == 2
    assert page.row_lengths() == [4, 4, 6, 6, 6, 6]


def test_html_has_numbers_as_written_and_no_foreign_resources():
    text = summary("name").as_html()
    assert "<td>-1.2346</td>" in text
    assert "&lt;0.001" in text
    assert not re.search(r"https?:|url\(|<script|@import", text)


@given(TEXTS)
def test_latex_is_balanced_and_escaped(name):
    text = summary(name).as_latex()
    bare = re.sub(r"\\[\\{}&%$#_]", "", re.sub(r"\\textbackslash\{\}", "", text))
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert not set("#%~^").intersection(re.sub(r"\\times 10\^", "", bare).replace("$^2$", ""))
    rows = [line for line in bare.splitlines() if line.count("&") > 1]
    assert {line.count("&") for line in rows} == {5}
    begun, ended = (re.findall(rf"\\{word}\{{(\w+)\}}", text) for word in ("begin", "end"))
    assert sorted(begun) == sorted(ended)


def test_latex_numbers():
    text = summary("name").as_latex()
    assert r"$-$1.2346" in text
    assert r"$1.000 \times 10^{-12}$" in text
    assert r"$<$0.001" in text
    assert all(rule in text for rule in (r"\toprule", r"\midrule", r"\bottomrule"))


@given(TEXTS)
def test_csv_is_read_back_with_full_precision(name):
    result = summary(name)
    rows = list(csv.reader(io.StringIO(result.as_csv(), newline="")))
    split = rows.index([])
    assert rows[0] == [name]
    assert rows[2:split] == [["Formula", name], [name, "1.0"], ["AIC", "2.5"]]
    assert rows[split + 2] == ["Group", name, "coef", "p", "Corr. 1", "Corr. 2"]
    assert rows[split + 3] == ["g", name, "-1.23456789", "0.25", "", ""]
    assert rows[split + 4] == ["g", "b", "1e-12", "1e-09", "0.5", ""]


@given(TEXTS)
def test_markdown_tables_keep_their_columns(name):
    lines = [line for line in summary(name).as_markdown().splitlines() if line.startswith("| ")]
    columns = [len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) - 1 for line in lines]
    assert columns == [2] * 5 + [6] * 5


def test_tables_are_frames_of_unrounded_numbers():
    facts, table = summary("name").tables
    assert facts.loc["AIC", "value"] == 2.5
    assert table.loc[("g", "name"), "coef"] == -1.23456789
    assert list(table.columns) == ["coef", "p", "Corr. 1", "Corr. 2"]
    assert table["p"].dtype == float


@pytest.mark.parametrize("write", ["as_text", "as_html", "as_latex", "as_csv", "as_markdown"])
def test_nothing_at_all_can_be_written(write):
    assert isinstance(getattr(Summary(()), write)(), str)


def test_str_repr_and_text_agree():
    assert str(summary()) == repr(summary()) == summary().as_text()

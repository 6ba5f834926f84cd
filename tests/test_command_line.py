"""``python -m mixedfx FORMULA DATA``: output, files, exit codes."""

import bz2
import contextlib
import gzip
import html
import json
import lzma
import os
import re
import runpy
import signal
import subprocess
import sys
import threading
import time
import zipfile
from io import BytesIO, TextIOWrapper
from itertools import product

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.__main__ import main
from mixedfx.command.output import NEXT_STEP
from mixedfx.command.tables import read_data
from mixedfx.command.texts import SIGNS, SPACE

SLOPES = "Reaction ~ Days + (Days | Subject)"
BATCHES = "Yield ~ 1 + (1 | Batch)"


def typed(monkeypatch, content):
    """Let standard input hold these bytes."""
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(content), encoding="ascii"))


def on_screen(summary):
    """What the command line prints of a summary: its last line speaks of options, not of methods."""
    return str(summary).replace(summary.following, NEXT_STEP)


@pytest.fixture
def dyestuff(tmp_path):
    path = tmp_path / "dyestuff.csv"
    mfx.load_dataset("dyestuff").to_csv(path, index=False)
    return path


def test_the_summary_is_printed_even_where_letters_are_lacking():
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "mixedfx", SLOPES, "sleepstudy", "--anova"]
    result = subprocess.run(command, capture_output=True, env=env, check=False)
    assert result.returncode == 0
    assert result.stderr == b""
    fit = mfx.lmer(SLOPES, mfx.load_dataset("sleepstudy"))
    expected = f"{on_screen(fit.summary())}\n\n{mfx.anova(fit)}\n"
    assert result.stdout.splitlines() == expected.encode("ascii", errors="replace").splitlines()


def test_ml_is_the_maximum_likelihood_fit(capsys):
    assert main([BATCHES, "dyestuff", "--ml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["deviance"] == pytest.approx(327.3270598812, abs=1e-6)  # lme4


def test_files_of_every_kind_give_the_same_answer(tmp_path, dyestuff, capsys):
    data = pd.read_csv(dyestuff)
    paths = [dyestuff, tmp_path / "d.csv.gz", tmp_path / "d.tsv", tmp_path / "d.parquet"]
    data.to_csv(paths[1], index=False)
    data.to_csv(paths[2], index=False, sep="\t")
    data.to_parquet(paths[3])
    outputs = []
    for path in paths:
        assert main([BATCHES, str(path)]) == 0
        outputs.append(capsys.readouterr().out)
    assert len(set(outputs)) == 1


def test_json_holds_the_unrounded_estimates(tmp_path, capsys):
    target = tmp_path / "fit.json"
    assert main([SLOPES, "sleepstudy", "--json", str(target)]) == 0
    assert "Reaction" in capsys.readouterr().out
    content = json.loads(target.read_text(encoding="utf-8"))
    fit = mfx.lmer(SLOPES, mfx.load_dataset("sleepstudy"))
    rows = {row["term"]: row for row in content["fixed_effects"]}
    assert rows["Days"]["estimate"] == fit.params["Days"]
    assert rows["Days"]["std_error"] == fit.bse["Days"]
    assert [rows["Days"]["lower"], rows["Days"]["upper"]] == fit.conf_int().loc["Days"].tolist()
    assert content["nobs"] == 180
    assert content["n_groups"] == {"Subject": 18}
    assert content["converged"] is True
    assert content["random_effects"][-1]["group"] == "Residual"
    assert content["random_effects"][-1]["sd"] == pytest.approx(fit.sigma)


@pytest.mark.parametrize(("kind", "mark"), [("csv", ","), ("html", "<table"), ("latex", "\\begin{")])
def test_other_formats_are_those_of_the_summary(kind, mark, capsys):
    assert main([BATCHES, "dyestuff", f"--{kind}"]) == 0
    text = capsys.readouterr().out
    summary = mfx.lmer(BATCHES, mfx.load_dataset("dyestuff")).summary()
    expected = getattr(summary, f"as_{kind}")()
    assert text.strip() == re.sub("<p>Next: .*</p>\n", "", expected).strip()
    assert mark in text


def test_weights_and_offset_are_columns(tmp_path):
    data = mfx.load_dataset("sleepstudy")
    data = data.assign(w=[1.0, 2.0, 0.5] * 60, off=8.0 * data["Days"])
    source, target = tmp_path / "d.csv", tmp_path / "fit.json"
    data.to_csv(source, index=False)
    assert main([SLOPES, str(source), "--weights", "w", "--json", str(target)]) == 0
    assert json.loads(target.read_text())["deviance"] == pytest.approx(1754.078669, abs=1e-6)  # lme4
    assert main(["Reaction ~ 1 + (1 | Subject)", str(source), "--offset", "off", "--ml", "--json", str(target)]) == 0
    assert json.loads(target.read_text())["deviance"] == pytest.approx(1803.282738, abs=1e-6)  # lme4


def test_the_anova_table_follows_the_summary(capsys):
    assert main([SLOPES, "sleepstudy", "--anova"]) == 0
    fit = mfx.lmer(SLOPES, mfx.load_dataset("sleepstudy"))
    assert capsys.readouterr().out == f"{on_screen(fit.summary())}\n\n{mfx.anova(fit)}\n"
    assert main([SLOPES, "sleepstudy", "--anova", "2", "--ddf", "kenward-roger", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["anova"]
    assert row["F"] == pytest.approx(45.853007, abs=1e-5)  # pbkrtest
    assert row["den_df"] == pytest.approx(17.0)


def test_a_family_makes_it_a_generalised_model(capsys):
    arguments = ["cbind(incidence, size - incidence) ~ period + (1 | herd)", "cbpp", "--family", "binomial", "--json"]
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["llf"] == pytest.approx(-92.0262818648, abs=1e-6)  # glmmTMB
    assert main([*arguments, "--nagq", "25"]) == 0
    assert json.loads(capsys.readouterr().out)["llf"] > -92.0
    assert main([*arguments, "--link", "probit"]) == 0
    assert json.loads(capsys.readouterr().out)["deviance"] == pytest.approx(185.1666754, abs=1e-5)  # glmmTMB
    proportion = ["incidence / size ~ period + (1 | herd)", "cbpp", "--family", "binomial", "--weights", "size"]
    assert main([*proportion, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["llf"] == pytest.approx(-92.0262818648, abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        (["Reaction ~ Dayz + (1 | Subject)", "sleepstudy"], "Dayz"),
        (["Reaction ~ Days + (1 | Subject", "sleepstudy"], "character"),
        (["Reaction ~ Days + (1 | Subject)", "sleepstudie"], "did you mean 'sleepstudy'"),
        (["Reaction ~ Days + (1 | Subject)", "nowhere.csv"], "nowhere.csv"),
        (["Reaction ~ Days + (1 | Subject)", "nowhere.parquet"], "nowhere.parquet"),
        (["Reaction ~ Days + (1 | Subject)", "sleepstudy", "--weights", "kg"], "kg"),
        (["Reaction ~ Days + (1 | Subject)", "sleepstudy", "--json", "/nowhere/at/all.json"], "/nowhere/at/all.json"),
        (["Reaction ~ Days + (1 | Subject)", "sleepstudy", "--plot", "subjects.doc"], "subjects.doc"),
        (["Reaction ~ Days + (1 | Subject)", "sleepstudy", "--nagq", "5"], "--family"),
        (["Reaction ~ Days + (1 | Subject)", "http://example.org/x.csv"], "download the file first"),
        (["Reaction ~ Days + (1 | Subject)", "file:///tmp/x.csv"], "download the file first"),
        (["Reaction ~ Days + (1 | Subject)", "sleepstudy", "--plot", "/nowhere/x.png"], "--plot /nowhere/x.png"),
        (["Reaction ~ Days + (1 | Subject)", "sleepstudy", "--family", "poison"], "poison"),
        (["Reaction ~ Days + (1 | Subject)", "sleepstudy", "--family", "gamma", "--ml"], "--ml"),
        (["Reaction ~ Days + (1 | Subject)", "sleepstudy", "--ddf", "kenward-roger"], "--anova"),
        (["Reaction ~ Days + (1 | Subject)", "sleepstudy", "--anova", "--ddf", "guess"], "guess"),
        (["Reaction ~ Days + (1 | Subject)", "sleepstudy", "--exp", "--json"], "--exp"),
        (["Reaction ~ Days + (1 | Subject)", "sleepstudy", "--predict", "nowhere.csv"], "nowhere.csv"),
        ([SLOPES, "sleepstudy", "--json", "--csv"], "standard output takes one of --json, --csv"),
        ([SLOPES, "sleepstudy", "--report", ""], "name of a file is missing"),
        ([SLOPES, "sleepstudy", "--plot", "effect="], "name of a file is missing"),
        ([SLOPES, "sleepstudy", "--report", "/"], "this is a folder"),
        ([SLOPES, "sleepstudy", "--html", "/"], "this is a folder"),
        ([SLOPES, "nowhere.csv", "--sep", "ab"], "found 'ab'"),
        ([SLOPES, "nowhere.csv", "--sep", ""], "found ''"),
        ([SLOPES, "nowhere.csv", "--sheet", "one"], "--sheet is for Excel files"),
        ([SLOPES, "nowhere.xlsx", "--sep", ";"], "--sep is for text files"),
        ([SLOPES, "nowhere.csv", "--decimal", "x"], "found 'x'"),
        ([SLOPES, "nowhere.csv.gz"], "No such file"),
        ([SLOPES, ""], "cannot read ''"),
        (["", "sleepstudy"], "needs a '~'"),
        (["Reaction ~ Days in the study + (1 | Subject)", "sleepstudy"], "at character"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(arguments, culprit, capsys):
    assert main(arguments) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert message.startswith("mixedfx: ")
    assert culprit in message
    assert not message.rstrip().endswith("^")


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        (["--nagq", "abc"], "found 'abc'"),
        (["--nagq", "-1"], "--nagq"),
        (["--anova", "4"], "--anova"),
        (["--what"], "--what"),
    ],
)
def test_bad_options_are_one_line_and_exit_code_two(options, culprit, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["y ~ x + (1 | g)", "sleepstudy", *options])
    message = capsys.readouterr().err
    assert ended.value.code == 2
    assert message.count("\n") == 1
    assert message.startswith("mixedfx: ")
    assert culprit in message
    assert "_nodes" not in message


ROWS = [["y", "dose mg", "g"], ["1.5", "2", "a, b"], ["-2.25", "3", "c; d"], ["", "4", "e|f"], ["1e3", "50", "Zürich"]]
PACKED = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def zipped(content):
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("d.csv", content)
    return buffer.getvalue()


PACKED[".zip"] = zipped


def written(sign, *, comma=False, row_names=False, ends=False):
    """The rows as text: with decimal commas, names of rows that have no heading, a sign at the end of each row."""
    numbered = [[*([str(i)] if row_names and i else []), *row] for i, row in enumerate(ROWS)]
    out = []
    for i, row in enumerate(numbered):
        cells = [cell.replace(".", ",") if comma and i and cell[-1:].isdigit() else cell for cell in row]
        out.append(sign.join(f'"{cell}"' for cell in cells) + (sign if ends and i else ""))
    return "\n".join(out) + "\n"


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("shape", [{}, {"comma": True}, {"row_names": True}, {"ends": True}])
def test_the_separator_is_guessed_and_what_is_unusual_is_said(monkeypatch, sign, shape):
    ends = [] if shape.get("ends") and sign == SPACE else ["\n", "\r\n", "\r"]  # white space there divides nothing
    for encoding, end in product(["utf-8", "utf-8-sig", "utf-16", "cp1252"], ends):
        text = written("   " if sign == SPACE else sign, **shape).replace("\n", end)
        typed(monkeypatch, text.encode(encoding))
        data, remarks = read_data("-")
        said = {
            "are divided": sign != ",",
            "Windows-1252": encoding == "cp1252",
            "name of the row": "row_names" in shape,
            "decimal commas: 'y'": "comma" in shape,
        }
        for words, is_said in said.items():
            assert any(words in remark for remark in remarks) == is_said, (words, remarks)
        assert list(data) == ROWS[0]
        assert data["dose mg"].tolist() == [2, 3, 4, 50]
        assert data["g"].tolist() == [row[2] for row in ROWS[1:]]
        assert data["y"].dropna().tolist() == [1.5, -2.25, 1000.0]
        assert data["y"].isna().tolist() == [False, False, True, False]


def test_packed_text_is_the_same_text(tmp_path, monkeypatch):
    content = written(";", comma=True).encode()
    typed(monkeypatch, content)
    expected, said = read_data("-")
    for ending, pack in PACKED.items():
        (tmp_path / f"d.csv{ending}").write_bytes(pack(content))
        data, remarks = read_data(str(tmp_path / f"d.csv{ending}"))
        pd.testing.assert_frame_equal(data, expected)
        assert remarks == said


def test_a_pipe_is_read_once(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("no such files")
    path, content = tmp_path / "63", written(",").encode()
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(content,))
    writer.start()
    data, _ = read_data(str(path))
    writer.join()
    assert data["dose mg"].tolist() == [2, 3, 4, 50]


@pytest.mark.parametrize(("given", "sign"), [("\\t", "\t"), (" ", "  "), (";", ";"), ("|", "|")])
def test_a_separator_is_given_as_a_shell_passes_it(tmp_path, given, sign):
    path = tmp_path / "d.csv"
    path.write_text(written(sign), encoding="utf-8")
    data, remarks = read_data(str(path), given)
    assert list(data) == ROWS[0]
    assert remarks == []


@pytest.mark.parametrize(
    ("name", "content", "culprit"),
    [
        ("d.csv", b"", "there is nothing in it"),
        ("d.csv", b"\n \n", "there is nothing in it"),
        ("d.csv", b"\x00\x01\x02\xff", "it is no text"),
        ("d.csv", b"y,x\n1,2\n1,2,3\n", "line 3 has 3 fields, not 2"),
        ("d.csv", b"y,x\n" + b"1,2,\n" * 60 + b"1,2,3\n", "line 62 has 3 fields, not 2"),
        ("d.csv.gz", b"y,x\n1,2\n", "Not a gzipped file"),
        ("d.csv.gz", gzip.compress(b"y,x\n1,2\n" * 99, mtime=0)[:-9], "end-of-stream"),
        ("d.csv.zip", b"y,x\n1,2\n", "not a zip file"),
        ("d.xlsx", b"y,x\n1,2\n", "no file of the kind .xlsx"),
        ("d.parquet", b"y,x\n1,2\n", "Parquet"),
        ("d.doc", b"y,x\n1,2\n", "must end in"),
    ],
)
def test_what_is_no_table_is_named_with_the_reason(tmp_path, name, content, culprit):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(mfx.DataError, match=culprit) as told:
        read_data(str(tmp_path / name))
    assert name in str(told.value)


# ---------------------------------------------------------------- rows
@pytest.mark.parametrize("sign", [",", ";", "\t", "|", " "])
@pytest.mark.parametrize("change", ["shorter", "longer"])
def test_a_row_of_another_length_is_refused_by_its_line(sign, change, monkeypatch):
    rng = np.random.default_rng(len(sign) + len(change))
    for line in (2, 3, 40, 90):
        rows = [["y", "x", "g"], *([f"{v:.3f}", "1", "a"] for v in rng.normal(size=99))]
        rows[line - 1] = rows[line - 1][:-1] if change == "shorter" else [*rows[line - 1], "7"]
        typed(monkeypatch, "\n".join(map(sign.join, rows)).encode())
        with pytest.raises(mfx.DataError, match=f"line {line} has {len(rows[line - 1])} fields, not 3 as the others"):
            read_data("-")


@pytest.mark.parametrize("sign", [",", ";"])
def test_titles_comments_and_totals_are_no_rows(sign, monkeypatch):
    rows = [sign.join(row) for row in (["y", "x", "g"], *(["1", "2", "a"],) * 9)]
    for above, what in ((["Trial A"], "line 1, with the names of columns, has 1 field"), (["# of May", ""], "line 1")):
        typed(monkeypatch, "\n".join([*above, *rows]).encode())
        with pytest.raises(mfx.DataError, match=what):
            read_data("-")
    typed(monkeypatch, "\n".join([*rows[:4], "# new operator", *rows[4:], "Total: 9"]).encode())
    with pytest.raises(mfx.DataError, match="line 5 has 1 field, not 3 as the others, and line 12 not as many either"):
        read_data("-")


def test_messages_count_rows_as_the_file_does(tmp_path, monkeypatch, capsys):
    """Whatever was left out above: empty lines, breaks of lines in fields, rows with missing values."""
    rows = ["g,y"] + [f"{'abc'[k % 3]},{k}" for k in range(30)]
    changes = [{}, {4: "a,"}, {4: ""}, {4: '"a\nb",1'}, {4: '"a\r\nb",', 9: "\n\n"}]
    for change in changes:
        lines = [change.get(k, row) for k, row in enumerate(rows)]
        lines[20] = "a,-"
        line = "\n".join(lines[:20]).count("\n") + 2
        typed(monkeypatch, "\n".join(lines).encode())
        assert main(["y ~ 1 + (1 | g)", "-"]) == 2
        assert f"'-' (row {line})" in capsys.readouterr().err
    pytest.importorskip("openpyxl")
    table = [row.split(",") for row in rows[1:]]
    data = pd.DataFrame(table, columns=["g", "y"]).astype({"y": object}).assign(y=[float(y) for _, y in table])
    data["y"] = data["y"].astype(object).where(data.index != 3, None)
    data.loc[18, "y"] = "-"
    data.to_excel(tmp_path / "d.xlsx", index=False)
    assert main(["y ~ 1 + (1 | g)", str(tmp_path / "d.xlsx")]) == 2
    assert "'-' (row 20)" in capsys.readouterr().err


def test_what_pandas_does_in_silence_is_said(monkeypatch):
    typed(monkeypatch, b"y,y,g,y,\n1,2,a,3,\n3,4,None,5,\n5,6,,7,\n")
    data, said = read_data("-")
    assert list(data) == ["y", "y.1", "g", "y.2"]
    assert data["g"].fillna("missing").tolist() == ["a", "None", "missing"]
    assert said == [
        "3 columns are called 'y': all but the first became 'y.1', 'y.2'",
        "columns without name and values were left out: 1",
        "None is a level of 'g' (if it is a missing value: --na None)",
    ]
    typed(monkeypatch, b"y,g\n1,a\nNone,None\n3,a\n")
    assert read_data("-", missing=["None"])[0]["g"].isna().tolist() == [False, True, False]
    typed(monkeypatch, b"y,g\n1,a\nNone,b\n3,a\n")
    data, said = read_data("-")
    assert data["y"].isna().tolist() == [False, True, False]
    assert said == []


# ---------------------------------------------------------------- numbers
def as_text(value, decimal, thousands):
    text = f"{value:,.6f}".rstrip("0").rstrip(".")
    return text.replace(",", "t").replace(".", decimal).replace("t", thousands)


@pytest.mark.parametrize(
    ("decimal", "thousands"), [(".", ","), (",", "."), (".", ""), (",", ""), (".", "'"), (",", "\u00a0")]
)
def test_numbers_are_read_as_they_were_written_or_their_column_is_named(decimal, thousands, monkeypatch):
    """Where both notations are possible the other columns tell, or ``--decimal``; else the column is refused."""
    rng = np.random.default_rng(len(thousands) + ord(decimal))
    for _ in range(8):
        scale = 10.0 ** rng.integers(-2, 7, size=3)
        places = rng.integers(0, 5, size=3)
        values = np.array([np.round(rng.normal(size=3) * one, p) for one, p in zip(scale, places, strict=True)])
        data = pd.DataFrame(values.T, columns=["a", "b", "c"])
        text = data.map(lambda value: as_text(value, decimal, thousands)).to_csv(sep=";", index=False)
        typed(monkeypatch, text.encode())
        found, said = read_data("-", decimal=decimal)
        np.testing.assert_allclose(found.to_numpy(dtype=float), data, rtol=1e-12)
        typed(monkeypatch, text.encode())
        refused = None
        try:
            found, said = read_data("-")
        except mfx.DataError as error:
            refused = str(error)
        if refused is not None:
            assert re.search("in column '[abc]' may stand before decimals or between thousands: --decimal", refused)
            continue
        if not any("," in line for line in text.splitlines()):  # 1.100 alone is a number with a point
            continue
        np.testing.assert_allclose(found.to_numpy(dtype=float), data, rtol=1e-12)
        assert any(words in remark for remark in said for words in ("decimal commas", "between thousands"))


@pytest.mark.parametrize(
    ("column", "beside", "expected", "is_guessed"),
    [
        ("1,100 12,345", "2 3", None, False),  # both are possible
        ("1,100 950", "2 3", None, False),
        ("-1,100 1,1", "2 3", [-1.1, 1.1], False),
        ("0,100 0,345", "2 3", [0.1, 0.345], False),
        ("1,100 1,100,000", "2 3", [1100, 1100000], False),
        ("1,100.5 7", "2 3", [1100.5, 7], False),
        ("1,100 12,345", "2.5 3", [1100, 12345], True),  # as the other column has it
        ("1,100 12,345", "2,5 3", [1.1, 12.345], True),
        ("1.100 12.345", "2,5 3", [1100, 12345], True),
        ("1.100 12.345", "2.5 3", [1.1, 12.345], False),
        ("1.100 12.345", "2 3", [1.1, 12.345], False),
        ("1'100 12'345", "2 3", [1100, 12345], False),
    ],
)
def test_the_only_notation_that_is_possible_is_taken(column, beside, expected, is_guessed, monkeypatch):
    for sign in (";", ","):
        rows = [["y", "x"], *zip(column.split(), beside.split(), strict=True)]
        text = "\n".join(sign.join(f'"{cell}"' for cell in row) for row in rows)
        typed(monkeypatch, text.encode())
        if expected is None:
            with pytest.raises(mfx.DataError, match="'y' may stand before decimals or between thousands: --decimal"):
                read_data("-")
            for decimal, mark in ((".", ","), (",", ".")):
                typed(monkeypatch, text.encode())
                numbers = [float(one.replace(",", "" if mark == "," else ".")) for one in column.split()]
                assert read_data("-", decimal=decimal)[0]["y"].tolist() == numbers
        else:
            data, said = read_data("-")
            assert data["y"].tolist() == expected
            assert ("in 'y' was read as in other columns" in " ".join(said)) == is_guessed


@pytest.mark.parametrize(
    ("name", "options", "culprit"),
    [
        ("sleepstudy", ["--sep", ";"], "--sep is for text files; 'sleepstudy' is one of the bundled data sets"),
        ("sleepstudy", ["--decimal", ","], "--decimal is for text files; 'sleepstudy' is one of the bundled"),
        ("sleepstudy", ["--na=-99"], "--na is for text files and Excel files; 'sleepstudy'"),
        ("d.parquet", ["--na=-99"], "'d.parquet' is one of the Parquet files"),
        ("d.xlsx", ["--decimal", ","], "'d.xlsx' is one of the Excel files"),
        ("-", ["--sheet", "one"], "--sheet is for Excel files; '-' is one of the text files"),
    ],
)
def test_an_option_that_no_table_takes_is_refused_by_name(name, options, culprit, capsys):
    assert main([SLOPES, name, *options]) == 2
    assert culprit in capsys.readouterr().err


def test_an_option_suits_one_of_two_tables(tmp_path, capsys):
    path = tmp_path / "new.csv"
    path.write_text("Days!Subject\n10!308\n-9!308\n")
    arguments = [SLOPES, "sleepstudy", "--predict", str(path), "--json"]
    assert main(arguments) == 2
    assert "Days" in capsys.readouterr().err
    assert main([*arguments, "--sep", "!", "--na=-9"]) == 0
    assert [row["Days"] for row in json.loads(capsys.readouterr().out)["predictions"]] == [10, None]


def test_a_note_says_what_was_guessed(tmp_path, dyestuff, capsys):
    path = tmp_path / "german.csv"
    pd.read_csv(dyestuff).assign(Yield=lambda d: d["Yield"] / 8).to_csv(path, index=False, sep=";", decimal=",")
    assert main([BATCHES, str(path)]) == 0
    captured = capsys.readouterr()
    assert captured.err.count("mixedfx: note: ") == 2
    assert "decimal commas" in captured.err
    assert main([BATCHES, str(path), "--sep", ","]) == 2


def test_what_a_spreadsheet_leaves_in_a_file_is_mended_and_said(tmp_path):
    path = tmp_path / "d.csv"
    path.write_bytes("Größe ;arm\n1,5;neu \n-99,0;neu\n2,5;alt\n".encode("cp1252"))
    data, said = read_data(str(path), missing=["-99"])
    assert data["Größe"].fillna(0).tolist() == [1.5, 0, 2.5]
    assert data["arm"].tolist() == ["neu", "neu", "alt"]
    assert all(word in " ".join(said) for word in ("semicolons", "decimal commas", "Windows", "spaces"))


def test_predictions_for_other_rows_follow_the_summary(tmp_path, capsys):
    path = tmp_path / "new.csv"
    path.write_text("Days,Subject\n10,308\n10,nobody\n")
    assert main([SLOPES, "sleepstudy", "--predict", str(path)]) == 0
    last = capsys.readouterr().out.splitlines()[-2:]
    fit = mfx.lmer(SLOPES, mfx.load_dataset("sleepstudy"))
    known = fit.predict({"Days": [10], "Subject": ["308"]}).iloc[0]
    average = fit.params["Intercept"] + 10 * fit.params["Days"]
    assert [float(line.split()[2]) for line in last] == pytest.approx([known, average], abs=1e-5)
    assert main([SLOPES, "sleepstudy", "--predict", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["predictions"]
    assert [row["mean"] for row in found] == pytest.approx([known, average])


def test_excel_and_standard_input(tmp_path, dyestuff, capsys, monkeypatch):
    data = pd.read_csv(dyestuff)
    pytest.importorskip("openpyxl")
    data.to_excel(tmp_path / "d.xlsx", index=False)
    typed(monkeypatch, data.to_csv(index=False).encode())
    outputs = []
    for name in (str(dyestuff), str(tmp_path / "d.xlsx"), "-"):
        assert main([BATCHES, name]) == 0
        outputs.append(capsys.readouterr().out)
    assert len(set(outputs)) == 1


def test_a_sheet_is_chosen_and_others_are_said(tmp_path, dyestuff, capsys):
    pytest.importorskip("openpyxl")
    book = tmp_path / "d.xlsx"
    with pd.ExcelWriter(book) as sheets:
        pd.read_csv(dyestuff).to_excel(sheets, sheet_name="one", index=False)
        mfx.load_dataset("sleepstudy").to_excel(sheets, sheet_name="two", index=False)
    assert main([BATCHES, str(book)]) == 0
    assert "sheet 'one' was read, the first of 2" in capsys.readouterr().err
    assert main([SLOPES, str(book), "--sheet", "two"]) == 0
    assert capsys.readouterr().err == ""
    assert main([SLOPES, str(book), "--sheet", "three"]) == 2
    assert "there are 'one', 'two'" in capsys.readouterr().err


def test_rows_that_are_left_out_are_said_whatever_is_printed(tmp_path, capsys):
    path = tmp_path / "d.csv"
    data = mfx.load_dataset("dyestuff")
    data.loc[[0, 7], "Yield"] = None
    data.to_csv(path, index=False)
    assert main([BATCHES, str(path)]) == 0
    assert "2 of 30 rows were left out" in capsys.readouterr().out
    for kind in ("json", "csv", "html", "latex"):
        assert main([BATCHES, str(path), f"--{kind}"]) == 0
        assert "2 rows were left out" in capsys.readouterr().err


def test_the_list_names_every_data_set(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--list"])
    assert ended.value.code == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == mfx.list_datasets().index.tolist()


def test_means_and_checks_follow_the_summary(capsys):
    assert main(["effort ~ Type + (1 | Subject)", "ergostool", "--emmeans", "Type", "--check"]) == 0
    fit = mfx.lmer("effort ~ Type + (1 | Subject)", mfx.load_dataset("ergostool"))
    means = fit.emmeans("Type")
    expected = [on_screen(fit.summary()), *map(str, [means, means.pairs(), fit.check()])]
    assert capsys.readouterr().out == "\n\n".join(expected) + "\n"


@pytest.mark.parametrize("kind", ["json", "csv", "html", "latex"])
def test_no_table_is_lost_in_another_format(kind, capsys):
    asked = ["--anova", "--emmeans", "Type", "--check"]
    assert main(["effort ~ Type + (1 | Subject)", "ergostool", *asked, f"--{kind}"]) == 0
    text = capsys.readouterr().out
    for words in ("F", "T1 - T4", "convergence", "12.444"):
        assert words in text
    if kind == "json":
        content = json.loads(text)
        assert [row["mean"] for row in content["emmeans"]] == pytest.approx(
            [8.5556, 12.4444, 10.7778, 9.2222], abs=1e-4
        )
        assert {"anova", "contrasts", "check"} <= set(content)


def test_one_mean_has_no_differences(capsys):
    assert main([SLOPES, "sleepstudy", "--emmeans", "Days", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [row["mean"] for row in content["emmeans"]] == pytest.approx([298.507892], abs=1e-5)  # mean of the response
    assert "contrasts" not in content


def test_names_with_blanks_are_names(tmp_path, capsys):
    path = tmp_path / "d.csv"
    mfx.load_dataset("ergostool").rename(columns={"Type": "kind of stool", "Subject": "who is it"}).to_csv(path)
    arguments = ["effort ~ `kind of stool` + (1 | `who is it`)", str(path), "--emmeans", "kind of stool"]
    assert main(arguments) == 0
    assert "12.4444" in capsys.readouterr().out


def test_pictures_have_kinds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = ["--plot", "effect", "--plot", "qq=q.svg", "--plot", "fit.png"]
    assert main(["distance ~ age * Sex + (1 | Subject)", "orthodont", *asked]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["effect.png", "fit.png", "q.svg"]
    assert (tmp_path / "fit.png").read_bytes().startswith(b"\x89PNG")


def test_the_report_is_one_page(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["effort ~ Type + (1 | Subject)", "ergostool", "--anova", "--report", "-"]) == 0
    text = capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    assert text.startswith("<!doctype html>")
    assert len(re.findall('<img alt="[^"]+" src="data:image/png;base64,', text)) == text.count("<img") == 3
    said = [html.unescape(words) for words in re.findall('<img alt="([^"]+)"', text)]
    for words, shown in zip(
        said, ("effort against Type", "Subject against deviation from the mean", "Influence, without")
    ):
        assert "effort ~ 1 + Type + (1 | Subject)." in words
        assert shown in words
    checked = mfx.check(mfx.lmer("effort ~ Type + (1 | Subject)", mfx.load_dataset("ergostool"))).panels()
    assert all(" ".join(line.split()) in said[2] for line in checked["line"])
    assert "http" not in re.sub(r"http://www.w3.org/\S+", "", text)
    for words in (
        "Analysis of variance",
        "Check of the fit",
        "linear mixed model was fitted",
        "Fixed effects",
        "How to cite",
        f"(Version {mfx.__version__})",
        'name="viewport"',
        "<title>effort ~ 1 + Type + (1 | Subject)</title>",
    ):
        assert words in text
    assert "Next: " not in text


def test_a_report_is_written_over_an_older_one(tmp_path, monkeypatch):
    monkeypatch.setattr("mixedfx.command.page.page", lambda fit, tables, source: f"{fit.nobs} {tables} {source}")
    target = tmp_path / "out.html"
    target.write_text("an older page")
    assert main([BATCHES, "dyestuff", "--report", str(target)]) == 0
    assert target.read_text(encoding="utf-8") == "30 [] dyestuff\n"


def test_the_report_says_what_there_is_not(tmp_path):
    target = tmp_path / "out.html"
    assert main(["Reaction ~ me(Days, sd=0.5) + (1 | Subject)", "sleepstudy", "--report", str(target)]) == 0
    assert "this is out of reach" in target.read_text(encoding="utf-8")


@pytest.mark.parametrize("picture", ["nope", "nope=x.png", "fit.doc", "/nowhere/x.png"])
def test_a_bad_picture_is_refused_before_the_fit(picture, capsys, monkeypatch):
    monkeypatch.setattr(mfx, "lmer", lambda *_, **__: pytest.fail("fitted"))
    assert main([BATCHES, "dyestuff", "--plot", picture]) == 2
    assert picture.partition("=")[0] in capsys.readouterr().err


def test_bad_input_shows_no_traceback(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["mixedfx", "y ~ x + (1 | g)", "no_such_data"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(mfx.__main__.__file__, run_name="__main__")
    assert ended.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1


def test_warnings_are_one_line_each(capsys):
    assert main(["Yield ~ 1 + (1 | Batch)", "dyestuff2"]) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("mixedfx: warning: ")
    assert captured.err.count("\n") == 1


def test_a_reader_that_has_had_enough_is_no_error():
    command = [sys.executable, "-m", "mixedfx", BATCHES, "dyestuff"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


@pytest.mark.parametrize("arguments", [["--list"], ["--help"], [BATCHES, "dyestuff"]])
def test_what_is_printed_is_cut_short_by_its_reader(arguments, monkeypatch, capsys):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        with contextlib.suppress(SystemExit):  # of argparse
            assert main(arguments) == 0
    assert capsys.readouterr().err == ""


class Interrupted:
    """Standard input at which somebody presses Ctrl-C."""

    def __init__(self):
        self.buffer = self

    def isatty(self):
        return False

    def read(self):
        signal.raise_signal(signal.SIGINT)
        time.sleep(1)  # the signal comes before the next line
        return b""


def test_an_interruption_says_so_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", Interrupted())
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore Ctrl-C
    try:
        assert main([BATCHES, "-"]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "mixedfx: stopped\n"


def test_a_closed_input_is_said(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", None)
    assert main([BATCHES, "-"]) == 2
    assert capsys.readouterr().err == "mixedfx: cannot read standard input: it is closed\n"


def test_the_help_fits_a_terminal(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main(["--help"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_a_lesson_is_written_and_never_written_over(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["--lesson", "1"])
    assert ended.value.code == 0
    assert "wrote lesson01.ipynb" in capsys.readouterr().out
    assert json.loads((tmp_path / "lesson01.ipynb").read_text(encoding="utf-8"))["nbformat"] == 4
    for number, words in (("1", "is there already"), ("99", "there is no lesson '99'"), ("one", "there is no lesson")):
        assert main(["--lesson", number]) == 2
        assert words in capsys.readouterr().err

"""``python -m mixedfx FORMULA DATA``: output, files, exit codes."""

import gzip
import json
import re
import subprocess
import sys
from io import StringIO

import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.__main__ import main
from mixedfx.command.tables import read_data

SLOPES = "Reaction ~ Days + (Days | Subject)"
BATCHES = "Yield ~ 1 + (1 | Batch)"


def run(*arguments):
    command = [sys.executable, "-m", "mixedfx", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def dyestuff(tmp_path):
    path = tmp_path / "dyestuff.csv"
    mfx.load_dataset("dyestuff").to_csv(path, index=False)
    return path


def test_the_summary_of_a_bundled_data_set_is_printed():
    result = run(SLOPES, "sleepstudy")
    assert result.returncode == 0
    assert result.stderr == ""
    assert result.stdout.strip() == str(mfx.lmer(SLOPES, mfx.load_dataset("sleepstudy")).summary()).strip()


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
    assert text.strip() == getattr(summary, f"as_{kind}")().strip()
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
    assert capsys.readouterr().out.strip() == f"{fit.summary()}\n{mfx.anova(fit)}".strip()
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


def test_a_plot_is_written(tmp_path):
    target = tmp_path / "subjects.png"
    assert main([SLOPES, "sleepstudy", "--plot", str(target)]) == 0
    assert target.read_bytes().startswith(b"\x89PNG")


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


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        ("a;b\n1,5;2\n2,5;3\n", "columns are divided by semicolons and numbers have decimal commas"),
        ("a;b\n1.5;2\n2.5;3\n", "columns are divided by semicolons"),
        ("a\tb\n1.5\t2\n2.5\t3\n", "columns are divided by tabs"),
        ("a|b\n1.5|2\n2.5|3\n", "columns are divided by bars"),
        ("a,b\n1.5,2\n2.5,3\n", ""),
    ],
)
def test_the_separator_is_guessed_and_said(tmp_path, monkeypatch, text, remark):
    path, packed = tmp_path / "d.csv", tmp_path / "d.csv.gz"
    path.write_text(text)
    packed.write_bytes(gzip.compress(text.encode()))
    monkeypatch.setattr(sys, "stdin", StringIO(text))
    for name in (str(path), str(packed), "-"):
        data, said = read_data(name)
        assert said == remark
        assert data["a"].tolist() == [1.5, 2.5]
        assert data["b"].tolist() == [2, 3]


def test_a_note_says_what_was_guessed(tmp_path, dyestuff, capsys):
    path = tmp_path / "german.csv"
    pd.read_csv(dyestuff).assign(Yield=lambda d: d["Yield"] / 8).to_csv(path, index=False, sep=";", decimal=",")
    assert main([BATCHES, str(path)]) == 0
    captured = capsys.readouterr()
    assert "decimal commas" in captured.err
    assert main([BATCHES, str(path), "--sep", ","]) == 2


def test_a_quoted_comma_is_no_separator(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text('a;b\n"x, y";2\n"z, w";3\n')
    assert read_data(str(path))[0]["a"].tolist() == ["x, y", "z, w"]


def test_excel_and_standard_input(tmp_path, dyestuff, capsys, monkeypatch):
    data = pd.read_csv(dyestuff)
    pytest.importorskip("openpyxl")
    data.to_excel(tmp_path / "d.xlsx", index=False)
    monkeypatch.setattr(sys, "stdin", StringIO(data.to_csv(index=False)))
    outputs = []
    for name in (str(dyestuff), str(tmp_path / "d.xlsx"), "-"):
        assert main([BATCHES, name]) == 0
        outputs.append(capsys.readouterr().out)
    assert len(set(outputs)) == 1


def test_the_list_names_every_data_set(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--list"])
    assert ended.value.code == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == mfx.list_datasets().index.tolist()


def test_means_and_checks_follow_the_summary(capsys):
    assert main(["effort ~ Type + (1 | Subject)", "ergostool", "--emmeans", "Type", "--check"]) == 0
    fit = mfx.lmer("effort ~ Type + (1 | Subject)", mfx.load_dataset("ergostool"))
    means = fit.emmeans("Type")
    assert capsys.readouterr().out == "\n".join(map(str, [fit.summary(), means, means.pairs(), fit.check()])) + "\n"


def test_pictures_have_kinds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = ["--plot", "effect", "--plot", "qq=q.svg", "--plot", "fit.png"]
    assert main(["distance ~ age * Sex + (1 | Subject)", "orthodont", *asked]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["effect.png", "fit.png", "q.svg"]


def test_the_report_is_one_page(tmp_path, capsys):
    target = tmp_path / "out.html"
    arguments = ["effort ~ Type + (1 | Subject)", "ergostool", "--anova", "--report", str(target)]
    assert main(arguments) == 0
    text = target.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert text.count("data:image/png;base64,") == 3
    assert "http" not in re.sub(r"http://www.w3.org/\S+", "", text)
    for words in ("Analysis of variance", "Check of the fit", "linear mixed model was fitted", "Fixed effects"):
        assert words in text


@pytest.mark.parametrize("picture", ["nope", "nope=x.png", "fit.doc", "/nowhere/x.png"])
def test_a_bad_picture_is_refused_before_the_fit(picture, capsys, monkeypatch):
    monkeypatch.setattr(mfx, "lmer", lambda *_, **__: pytest.fail("fitted"))
    assert main([BATCHES, "dyestuff", "--plot", picture]) == 2
    assert picture.partition("=")[0] in capsys.readouterr().err


def test_bad_input_shows_no_traceback():
    result = run("y ~ x + (1 | g)", "no_such_data")
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1


def test_an_unreadable_file_is_named(tmp_path):
    path = tmp_path / "table.doc"
    path.write_bytes(b"\x00\x01")
    with pytest.raises(mfx.DataError, match="must end in"):
        read_data(str(path))
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    with pytest.raises(mfx.DataError, match=r"empty\.csv"):
        read_data(str(empty))


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


def test_a_lesson_is_written_and_never_written_over(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for arguments, code, words in (
        (["--lesson", "1"], 0, "wrote lesson01.ipynb"),
        (["--lesson", "1"], 2, "is there already"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == code
        captured = capsys.readouterr()
        assert words in captured.out + captured.err
    assert json.loads((tmp_path / "lesson01.ipynb").read_text(encoding="utf-8"))["nbformat"] == 4
    with pytest.raises(SystemExit):
        main(["--lesson", "99"])
    assert "there is no lesson '99'" in capsys.readouterr().err

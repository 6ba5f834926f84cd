"""Ten tasks of a newcomer: three clicks from the front page, five lines, with data that the page has never seen."""

import json
import re
import shlex
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.__main__ import main
from tests.test_site import DOCS, anchors, entries, targets

PAGE = DOCS / "how-do-i.md"
CLICKS, LINES = 3, 5
CELL = re.compile(
    r"^```\{code-cell\}[^\n]*\n((?:---\n.*?\n---\n)?)((?::[^\n]*\n)*)\n*(.*?)^```$", re.MULTILINE | re.DOTALL
)

# What each word of a recipe is called in the data of this test.
TASKS = {
    "Fit my CSV": {"lead": "`blut druck`", "treatment": "behandlung", "week": "woche", "child": "`pat.nr`"},
    "Compare two treatments": {"lead": "`blut druck`", "treatment": "behandlung", "week": "woche", "child": "`pat.nr`"},
    "Plot the effect": {"lead": "`blut druck`", "treatment": "behandlung", "week": "woche", "child": "`pat.nr`"},
    "Report it": {"lead": "`blut druck`", "treatment": "behandlung", "week": "woche", "child": "`pat.nr`"},
    "Fix the singular fit": {"yield": "ernte", "nitro": "dosis", "Block": "feld"},
    "Choose between two structures": {"Reaction": "wert", "Days": "zeit", "Subject": "person"},
    "Get odds ratios": {"use": "passed", "urban": "sex", "age": "homework", "district": "school"},
    "Predict for a new school": {"mathgain": "score", "mathkind": "before", "ses": "wealth", "school": "campus"},
    "Export to Word or LaTeX": {"Reaction": "wert", "Days": "zeit", "Subject": "person"},
    "Teach lesson 1": {},
}


@cache
def sections():
    """Return the text below each heading."""
    parts = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def recipe(task):
    """Return the code that the page shows for a task; cells that are not shown are none of it."""
    shown = [code for _, tags, code in CELL.findall(sections()[task]) if "remove-cell" not in tags]
    return "\n".join(shown)


def command(task):
    """Return the arguments of the line for the shell, without the name of the program."""
    (line,) = re.findall(r"^```sh\n(.+)\n```$", sections()[task], flags=re.MULTILINE)
    words = shlex.split(line, comments=True)
    return words[words.index("mixedfx") + 1 :]


def renamed(text, task):
    """Return code with the names of this test, the first of which every recipe has."""
    for old, new in TASKS[task].items():
        assert re.search(rf"\b{old}\b", text), f"{old} does not occur"
        text = re.sub(rf"(?<![\w.=]){old}\b(?!=)", new, text)
    return text


def run(task, data=None):
    """Run a recipe with the data of this test in a namespace of its own, and return its names."""
    code = renamed(recipe(task), task)
    if data is not None:
        code, count = re.subn(r"mfx\.load_dataset\(\"\w+\"\)", "OWN", code)
        assert count == 1
    *body, last = code.strip().splitlines()
    names = {"pd": pd, "mfx": mfx, "OWN": data}
    exec("\n".join([*body, last if re.match(r"[\w.]+ = |print\(", last) else f"shown = {last}"]), names)
    return names


def commanded(task, **files):
    """Run the line for the shell with the names of this test, on its files in the place of bundled data."""
    words = command(task)
    for old, new in TASKS[task].items():
        words = [re.sub(rf"(?<![\w.=]){old}\b", new, word) for word in words]
    return main([files.get(word, word) for word in words])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def trial():
    """A trial that is balanced: 30 patients, two treatments, four weeks."""
    plan = mfx.design(subjects=30, visits=4, between={"behandlung": ["Placebo", "Wirkstoff"]})
    plan = plan.rename(columns={"subject": "pat.nr", "visit": "woche"})
    rng = np.random.default_rng(5)
    person = rng.normal(0, 5, 30)[pd.factorize(plan["pat.nr"])[0]]
    effect = -2.0 * (plan["behandlung"] == "Wirkstoff") * plan["woche"]
    slope = rng.normal(0, 2, 30)[pd.factorize(plan["pat.nr"])[0]]
    return plan.assign(**{"blut druck": 140 + person + effect + slope * plan["woche"] + rng.normal(0, 4, len(plan))})


def field():
    """Fields that differ, and whose slopes do not."""
    rows = pd.DataFrame({"feld": np.repeat(list("abcdef"), 8), "dosis": np.tile([0.0, 1.0, 2.0, 3.0], 12)})
    noise = np.tile([1.0, -1.0, 1.0, -1.0, -1.0, 1.0, -1.0, 1.0], 6)
    level = np.repeat([1.0, 2.0, 4.0, 7.0, 9.0, 3.0], 8)
    return rows.assign(ernte=10 + level + 2 * rows["dosis"] + noise)


def growth():
    """People whose slopes differ much."""
    plan = mfx.design(subjects=20, visits=5).rename(columns={"subject": "person", "visit": "zeit"})
    truth = {"Intercept": 10, "zeit": 1, "sd_Intercept|person": 3, "sd_zeit|person": 2, "sigma": 1}
    return plan.assign(wert=mfx.simulate("wert ~ zeit + (zeit | person)", plan, params=truth, seed=2)[0])


def schools():
    rng = np.random.default_rng(7)
    rows = pd.DataFrame({"school": np.repeat(np.arange(1, 21), 20), "sex": np.tile(["boy", "girl"], 200)})
    rows["homework"] = rng.integers(0, 6, 400)
    chance = rng.normal(0, 1, 20)[rows["school"] - 1] - 1 + 0.4 * rows["homework"]
    return rows.assign(passed=np.where(rng.random(400) < 1 / (1 + np.exp(-chance)), "yes", "no"))


def campuses():
    rng = np.random.default_rng(8)
    rows = pd.DataFrame({"campus": np.repeat([f"C{k}" for k in range(15)], 10)})
    rows["before"], rows["wealth"] = rng.normal(440, 20, 150), rng.normal(0, 1, 150)
    school = np.repeat(rng.normal(0, 8, 15), 10)
    return rows.assign(score=100 - 0.1 * rows["before"] + 2 * rows["wealth"] + school + rng.normal(0, 5, 150))


# ------------------------------------------------------------------ the page
def test_the_page_has_these_tasks_and_no_others():
    assert list(sections()) == list(TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_a_task_takes_few_lines(task):
    lines = [line for line in recipe(task).splitlines() if line.strip()]
    assert len(lines) <= LINES
    assert lines or task == "Teach lesson 1"


@cache
def clicks():
    """How many clicks away from the front page each (page, anchor) is; an anchor is that of a link to it."""
    found, waiting = {(DOCS / "index.md", ""): 0}, [DOCS / "index.md"]
    for page in waiting:
        depth = min(count for (known, _), count in found.items() if known == page) + 1
        linked = [(target, anchor) for _, target, anchor in targets(page)] + [(entry, "") for entry in entries(page)]
        for target, anchor in linked:
            if target.exists() and (target, anchor) not in found:
                found[target, anchor] = depth
                waiting += [target] if target.suffix == ".md" and target not in waiting else []
    return found


@pytest.mark.parametrize("task", TASKS)
def test_a_task_is_few_clicks_from_the_front_page(task):
    anchor = task.lower().replace(" ", "-")
    assert anchor in anchors(PAGE)
    assert clicks().get((PAGE, anchor), np.inf) <= CLICKS


# ------------------------------------------------------------------ the recipes, with other data
def test_fit_my_csv(folder, capsys):
    data = trial()
    data["behandlung"] = data["behandlung"].astype(str) + np.where(data.index % 7 == 0, " ", "")
    lost = data.index % 11 == 0
    data.loc[lost, "blut druck"] = -99
    data.to_csv("trial.csv", sep=";", decimal=",", index=False)
    fit = run("Fit my CSV")["fit"]
    assert fit.nobs == len(data) - lost.sum()
    assert list(fit.params.index) == [
        "Intercept", "behandlung[T.Wirkstoff]", "woche", "behandlung[T.Wirkstoff]:woche",
    ]  # fmt: skip
    assert commanded("Fit my CSV") == 0
    printed = capsys.readouterr().out
    assert f"{fit.llf:.3f}" in printed
    assert re.search(rf"Observations: +{fit.nobs:.0f} ", printed)


def test_compare_two_treatments(folder, capsys):
    data = trial()
    shown = run("Compare two treatments", data)["shown"].to_frame()
    means = data.groupby(["woche", "behandlung"])["blut druck"].mean().unstack()
    assert np.allclose(shown["estimate"], means["Placebo"] - means["Wirkstoff"])
    data.to_csv("clean.csv", index=False)
    assert commanded("Compare two treatments") == 0
    assert f"{shown['estimate'].iloc[0]:.4f}" in capsys.readouterr().out


def test_plot_the_effect(folder):
    data = trial()
    ax = run("Plot the effect", data)["ax"]
    assert {text.get_text() for text in ax.get_legend().get_texts()} >= {"Placebo", "Wirkstoff"}
    assert Path("effect.png").stat().st_size > 10_000
    Path("effect.png").unlink()
    data.to_csv("clean.csv", index=False)
    assert commanded("Plot the effect") == 0
    assert Path("effect.png").stat().st_size > 10_000


def test_report_it(folder, capsys):
    data = trial()
    names = run("Report it", data)
    fit, text = names["fit"], capsys.readouterr().out
    assert "120 observations of blut druck in 30 levels of pat.nr" in text
    assert f"b = {fit.params['woche']:.2f}".replace("-", "−") in text
    data.to_csv("clean.csv", index=False)
    assert commanded("Report it") == 0
    page = Path("report.html").read_text(encoding="utf-8")
    assert "Satterthwaite" in page
    assert page.count("<img") >= 2


def test_fix_the_singular_fit(folder):
    with pytest.warns(mfx.SingularFitWarning, match=r"simpler model: write \(1 \+ dosis \|\| feld\)"):
        names = run("Fix the singular fit", field())
    assert [names["rich"].is_singular, names["plain"].is_singular] == [True, False]
    assert names["shown"].to_frame()["aic"].idxmin() == "slopes are the same"


def test_choose_between_two_structures(folder, capsys):
    names = run("Choose between two structures", growth())
    assert "slopes differ" in capsys.readouterr().out
    tested = names["shown"].to_frame()
    lost = 2 * (names["large"].llf - names["small"].llf)
    assert tested["lrt"].iloc[-1] == pytest.approx(lost, rel=1e-6)


def test_get_odds_ratios(folder, capsys):
    names = run("Get odds ratios", schools())
    fit, shown = names["fit"], names["shown"].set_index("term")
    assert np.allclose(shown.loc[fit.params.index, "estimate"], np.exp(fit.params))
    assert np.allclose(shown.loc[fit.params.index, ["conf_low", "conf_high"]], np.exp(fit.conf_int()))
    schools().to_csv("contraception.csv", index=False)
    assert commanded("Get odds ratios", contraception="contraception.csv") == 0
    printed = capsys.readouterr().out
    assert "odds ratio" in printed
    assert f"{np.exp(fit.params['sex[T.girl]']):.4f}" in printed


def test_predict_for_a_new_school(folder, capsys):
    data = campuses()
    names = run("Predict for a new school", data)
    fit, new, shown = names["fit"], names["new"], names["shown"]
    assert np.allclose(shown["mean"], fit.params["Intercept"] + new[["before", "wealth"]] @ fit.params[1:])
    variance = fit.varcorr.to_frame()["variance"].sum()
    half = (shown["obs_ci_upper"] - shown["obs_ci_lower"]) / 2
    assert (half > 1.9 * np.sqrt(variance)).all(), "a new school differs from the average one"
    data.to_csv("classroom_like.csv", index=False)
    new.to_csv("new.csv", index=False)
    assert commanded("Predict for a new school", classroom_like="classroom_like.csv") == 0
    assert f"{shown['mean'].iloc[0]:.6f}" in capsys.readouterr().out


def check_tables():
    html, latex = (Path(f"table.{ending}").read_text(encoding="ascii") for ending in ("html", "tex"))
    assert html.count("<table>") == html.count("</table>") == 3
    assert "Next:" not in html + latex
    opened = re.findall(r"\\begin\{(\w+)\}", latex)
    assert sorted(opened) == sorted(re.findall(r"\\end\{(\w+)\}", latex))
    assert opened.count("tabular") == 3
    assert latex.count(r"\toprule") == latex.count(r"\bottomrule") == 3


def test_export_to_word_or_latex(folder):
    fit = run("Export to Word or LaTeX", growth())["fit"]
    check_tables()
    written = pd.read_csv("table.csv").query("effect == 'fixed'")
    assert np.allclose(written["estimate"], fit.params)
    growth().to_csv("sleepstudy.csv", index=False)
    assert commanded("Export to Word or LaTeX", sleepstudy="sleepstudy.csv") == 0
    check_tables()


def test_teach_lesson_1(folder, monkeypatch):
    monkeypatch.setenv("PATH", "")  # Jupyter would open it
    with pytest.raises(SystemExit) as stopped:
        main(command("Teach lesson 1"))
    assert stopped.value.code in (0, None)
    assert any(cell["cell_type"] == "code" for cell in json.loads(Path("lesson01.ipynb").read_text())["cells"])

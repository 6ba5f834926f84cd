"""What README.md shows is true: the two commands stand where .ci/run finds them, and the tour prints what it says."""

import re

import pytest

from tests.readme import PICTURE, README, ROOT, blocks, run_tour

MODEL = "Reaction ~ Days + (Days | Subject)"
COMMANDS = {
    "Install and fit a first model": f'pip install . && python -m mixedfx "{MODEL}" sleepstudy',
    "Install and run the tests": 'pip install ".[test]" && pytest',
}
LONGEST_TOUR = 20
ROUNDING = re.compile(r"\d+e-\d+")  # numbers of the size of rounding errors differ between machines


@pytest.mark.parametrize("heading", COMMANDS)
def test_each_set_up_command_follows_its_heading(heading):
    assert f"\n## {heading}\n\n```sh\n{COMMANDS[heading]}\n```\n" in README.read_text(encoding="utf-8")
    assert f'run_readme "{heading}"' in ROOT.joinpath(".ci", "run").read_text(encoding="utf-8")


def test_there_are_exactly_two_set_up_commands():
    assert [text.strip() for language, text in blocks() if language == "sh"] == list(COMMANDS.values())


def test_the_tour_is_short():
    assert sum(text.count("\n") for language, text in blocks() if language == "python") <= LONGEST_TOUR


def test_the_tour_prints_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = [ROUNDING.sub("…", text) for language, text in blocks() if language == "text"]
    printed = [ROUNDING.sub("…", text) for text in run_tour()]
    assert printed == shown, "if the new output is right: python -m tests.readme"


def test_the_picture_is_shown_and_small():
    assert f"]({PICTURE.relative_to(ROOT).as_posix()})" in README.read_text(encoding="utf-8")
    assert PICTURE.stat().st_size < 100_000

"""When a progress bar is seen: where somebody looks, for long work, one at a time, and never after its end."""

import io
import sys
from contextlib import closing
from types import SimpleNamespace

import pytest
from tqdm import tqdm

import mixedfx as mfx
from mixedfx import _progress
from mixedfx._progress import is_long, watched
from mixedfx._workers import Workers


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def as_terminal(monkeypatch):
    """Makes standard error a terminal, and returns it; within the test, as pytest puts its own in place before."""
    monkeypatch.delenv("TQDM_DISABLE", raising=False)

    def replaced():
        found = Terminal()
        monkeypatch.setattr(sys, "stderr", found)
        return found

    return replaced


@pytest.fixture
def impatient(monkeypatch):
    """Everything takes long."""
    monkeypatch.setattr(_progress, "LONG", 0.0)
    monkeypatch.setattr(_progress, "SOONEST", 0.0)


@pytest.fixture(scope="module")
def herds():
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    return mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial")


def test_work_is_long_if_what_is_done_says_so():
    assert not is_long(0.4, 0.001)  # too early to tell
    assert is_long(0.6, 0.1)
    assert not is_long(0.6, 0.2)
    assert is_long(5.1, 1.0)
    assert not is_long(4.0, 1.0)


def test_the_estimate_counts_amounts_not_pieces(monkeypatch, as_terminal):
    """Ten pieces of a second each: they are seen to be long after the first one that makes it likely."""
    terminal = as_terminal()
    clock = iter(range(1000))
    monkeypatch.setattr(_progress, "time", SimpleNamespace(time=lambda: float(next(clock))))
    seen = [piece for piece in watched([6, 1, 1, 2], 10, "work", None, lambda piece: piece) if terminal.getvalue()]
    assert seen == []  # one second for 6 of 10, … four for all: never more than five expected
    clock = iter(range(1000))
    seen = [piece for piece in watched([1, 6, 1, 2], 10, "work", None, lambda piece: piece) if terminal.getvalue()]
    assert seen == [1, 6, 1, 2]


def test_a_terminal_shows_long_work_and_a_file_or_a_test_does_not(impatient, as_terminal, monkeypatch):
    terminal = as_terminal()
    assert list(watched(range(3), 3, "work")) == [0, 1, 2]
    assert "work: 100%" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    list(watched(range(3), 3, "work"))
    assert sys.stderr.getvalue() == ""
    list(watched(range(3), 3, "work", progress=True))
    assert "3/3" in sys.stderr.getvalue()
    monkeypatch.setattr(sys, "stderr", None)  # a program without a console
    assert list(watched(range(3), 3, "work")) == [0, 1, 2]


def test_short_work_is_not_shown(as_terminal):
    terminal = as_terminal()
    list(watched(range(3), 3, "work"))
    assert terminal.getvalue() == ""


def test_false_and_the_environment_turn_it_off(impatient, as_terminal, monkeypatch):
    terminal = as_terminal()
    list(watched(range(3), 3, "work", progress=False))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    list(watched(range(3), 3, "work"))
    assert terminal.getvalue() == ""
    list(watched(range(3), 3, "work", progress=True))
    assert "3/3" in terminal.getvalue()


def test_a_notebook_is_looked_at(impatient, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    shell = type(_progress.KERNEL, (), {"config": {}})()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    list(watched(range(3), 3, "work"))
    assert "3/3" in sys.stderr.getvalue()


def test_work_within_work_is_silent(impatient, as_terminal):
    terminal = as_terminal()
    for _ in watched(range(2), 2, "outer"):
        list(watched(range(3), 3, "inner"))
    assert "outer" in terminal.getvalue()
    assert "inner" not in terminal.getvalue()
    list(watched(range(3), 3, "afterwards"))
    assert "afterwards" in terminal.getvalue()


def test_a_bar_ends_with_its_loop(impatient, as_terminal):
    as_terminal()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tqdm._instances) == []
    assert _progress._within == []

    def breaking():
        yield 1
        raise ValueError

    with pytest.raises(ValueError):
        list(watched(breaking(), 3, "work"))
    assert list(tqdm._instances) == []
    assert _progress._within == []


def interrupted():
    with closing(watched(range(9), 9, "work")) as pieces:
        for piece in pieces:
            if piece == 4:
                raise KeyboardInterrupt


def test_everything_long_is_watched(impatient, as_terminal, herds):
    """The usual choice shows a bar for each; a bootstrap whose statistic is long work itself shows one bar."""
    terminal = as_terminal()
    serial = {"n_jobs": 1}

    def lower(fit):
        return fit.conf_int(method="profile", which="random").lower

    mfx.bootstrap(herds, 2, seed=1, statistic=lower, **serial)
    assert "bootstrap" in terminal.getvalue()
    assert terminal.getvalue().count("profile:   0%") == 1  # of the fit itself, before there are replicates
    mfx.profile(herds).conf_int(which="random")
    mfx.influence(herds, "herd", **serial)
    for title in ("profile", "influence"):
        assert f"{title}: 100%" in terminal.getvalue()
    before = terminal.getvalue()
    mfx.influence(herds, "herd", progress=False)
    herds.conf_int(method="profile", which="random", progress=False)
    mfx.bootstrap(herds, 2, seed=1, progress=False)
    assert terminal.getvalue() == before


def test_amounts_are_added_up(capsys):
    found = Workers(1, progress=True).run(lambda k: k, (), [(5,), (7,)], "work", amounts=[5, 7])
    assert found == [5, 7]
    assert "12/12" in capsys.readouterr().err

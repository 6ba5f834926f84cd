"""Crossed designs too large for memory are refused before anything is allocated."""

import tracemalloc

import numpy as np
import pytest

import mixedfx as mfx
from mixedfx.covariance import UnstructuredCovariance
from mixedfx.criterion import problem
from mixedfx.criterion.assembly import TermRows, assemble
from mixedfx.linalg import packed


def layout_of(rows, *levels):
    rng = np.random.default_rng(0)
    one = np.ones((1, rows))
    terms = [
        TermRows(k, rng.permutation(np.arange(rows) % m), m, one, UnstructuredCovariance(1))
        for k, m in enumerate(levels)
    ]
    return assemble(terms, one.T).rows.layout


def test_need_grows_with_the_square_of_the_remainder():
    assert problem.needed_bytes(layout_of(1000, 50)) == 0
    small, large = (problem.needed_bytes(layout_of(20_000, 600, m)) for m in (200, 400))
    one = 8 * problem.DENSE_MATRICES
    assert large - one * packed.count(400) == pytest.approx(small - one * packed.count(200), rel=0.2)


def test_refused_before_allocation_with_size_and_advice(monkeypatch):
    monkeypatch.setattr(problem, "_machine_memory", lambda: 0.6e9)
    rng = np.random.default_rng(1)
    n = 40_000
    frame = {"y": rng.standard_normal(n), "a": np.arange(n) % 15_000, "b": rng.permutation(n) % 12_500}
    frame = {key: values.astype(str) if key != "y" else values for key, values in frame.items()}
    tracemalloc.start()
    expected = r"'a' \(15,000 levels\), 'b' \(12,500 levels\).* GB .*remainder=\"iterative\""
    with pytest.raises(mfx.SpecificationError, match=expected):
        mfx.lmer("y ~ 1 + (1 | a) + (1 | b)", frame, control=mfx.Control(remainder="exact"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.2e9


def fitted_peak(formula, frame):
    """Bytes that a fit takes at its peak above what the design takes, and what was foretold."""
    foretold = []

    def recorded(layout):
        foretold.append(needed(layout))
        tracemalloc.reset_peak()
        foretold.append(tracemalloc.get_traced_memory()[0])
        return foretold[0]

    needed = problem.needed_bytes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(problem, "needed_bytes", recorded)
        tracemalloc.start()
        mfx.lmer(formula, frame)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak - foretold[1], foretold[0]


@pytest.mark.parametrize("term", ["(1 | b)", "(1 + x | b)"])
def test_a_fit_takes_no_more_than_foretold(term):
    rng = np.random.default_rng(3)
    n, m = 15_000, 600
    a, b, x = np.arange(n) % 1000, rng.permutation(n) % m, rng.standard_normal(n)
    effects = rng.standard_normal((3, 1000))
    y = rng.standard_normal(n) + effects[0][a] + effects[1][b] + x * effects[2][b] * ("x" in term)
    frame = {"y": y, "x": x, "a": a.astype(str), "b": b.astype(str)}
    peak, foretold = fitted_peak(f"y ~ x + (1 | a) + {term}", frame)
    assert 0.3 * foretold < peak < 1.2 * foretold


def test_a_generalised_fit_by_iteration_takes_few_numbers_a_row():
    """All that it keeps and works with, above the data: thirty-odd numbers a row, however many the probes."""
    rng = np.random.default_rng(4)
    n = 100_000
    a, b, x = rng.integers(0, 800, n), rng.integers(0, 500, n), rng.standard_normal(n)
    eta = 0.3 * x + 0.5 * rng.standard_normal(800)[a] + 0.5 * rng.standard_normal(500)[b]
    frame = {"y": 1.0 * (rng.random(n) < 1.0 / (1.0 + np.exp(-eta))), "x": x, "a": a, "b": b}
    tracemalloc.start()
    mfx.glmer(
        "y ~ x + (1 | a) + (1 | b)", frame, family="binomial", control=mfx.Control(remainder="iterative", probes=4)
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 35 * n


def test_the_limit_is_that_of_the_machine(monkeypatch):
    rng = np.random.default_rng(2)
    n = 3000
    frame = {
        "y": rng.standard_normal(n),
        "a": (np.arange(n) % 100).astype(str),
        "b": rng.integers(0, 90, n).astype(str),
    }
    formula = "y ~ 1 + (1 | a) + (1 | b)"
    assert np.isfinite(mfx.lmer(formula, frame).llf)
    monkeypatch.setattr(problem, "_machine_memory", lambda: 1e5)
    with pytest.raises(mfx.SpecificationError, match="this machine has"):
        mfx.lmer(formula, frame)
    with pytest.raises(mfx.SpecificationError, match="this machine has"):
        mfx.glmer(formula, frame | {"y": (frame["y"] > 0).astype(int)}, family="binomial")

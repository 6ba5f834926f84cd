"""The gradient of the Laplace criterion against numerical differentiation: every family, link and structure.

Two random directions hold all components of a gradient at the price of two derivatives.
"""

from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given
from hypothesis import strategies as st

from mixedfx.criterion.laplace import LaplaceEvaluation
from mixedfx.criterion.marginal import EXPECTED
from mixedfx.criterion.mode import mode_state
from tests.criterion.generalized import build
from tests.differences import derivative
from tests.examples import examples
from tests.families.catalogue import CASES, DISPERSED
from tests.strategies import designs

STRUCTURES = {  # name: (kind of design, covariance of every term)
    "scalar": ("one factor", "us"),
    "slope": ("slopes", "us"),
    "diag": ("slopes", "diag"),
    "homdiag": ("slopes", "homdiag"),
    "cs": ("three columns", "cs"),
    "homcs": ("slopes", "homcs"),
    "ar1": ("three columns", "ar1"),
    "hetar1": ("three columns", "hetar1"),
    "toep": ("three columns", "toep"),
    "crossed": ("crossed", "us"),
    "nested": ("nested", "us"),
}
ALL = (*CASES, *DISPERSED)
ONCE = examples(
    1,
    derandomize=True,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
STEP, TOLERANCE = 2e-3, 1e-6


def value(model, x):
    return LaplaceEvaluation(mode_state(model, x)).value


def check(data, case, structure, **options):
    kind, covariance = STRUCTURES[structure]
    # under tails as heavy as Student's there need not be a mode: such a draw is replaced
    design, seed = data.draw(designs((kind,), weights=False)), data.draw(st.integers(0, 1000))
    built = build(design, case.name, case.link, seed, extra=case.extra, covariance=covariance, **options)
    gradient = LaplaceEvaluation(mode_state(built.model, built.x)).gradient
    scale = np.maximum(np.abs(built.x), 0.1)
    for direction in np.random.default_rng(seed).normal(size=(2, built.x.size)) * scale:
        along = cache(lambda t, d=direction: value(built.model, built.x + t * d))
        assume(all(np.isfinite(along(t)) for t in (-STEP, 0.0, STEP)))
        expected = derivative(along, 0.0, STEP)
        size = np.abs(gradient * direction).sum()
        assert gradient @ direction == pytest.approx(float(expected), rel=TOLERANCE, abs=TOLERANCE * (1 + size))


@pytest.mark.parametrize("position", range(len(ALL)), ids=[str(case) for case in ALL])
@given(data=st.data())
@ONCE
def test_gradient_of_every_family_and_link(position, data):
    check(data, ALL[position], list(STRUCTURES)[position % len(STRUCTURES)])


@pytest.mark.parametrize("case", DISPERSED, ids=str)
@given(data=st.data())
@ONCE
def test_gradient_with_expected_information(case, data):
    check(data, case, "slope", information=EXPECTED)


@pytest.mark.slow
@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("case", ALL, ids=str)
def test_gradient_of_every_family_link_and_structure(case, structure):
    @ONCE
    @given(data=st.data())
    def run(data):  # a function of its own: hypothesis chains the settings of one that is parametrised a thousand times
        check(data, case, structure)

    run()


def test_every_registered_structure_is_among_them():
    from mixedfx.covariance import COVARIANCES

    assert {covariance for _, covariance in STRUCTURES.values()} == set(COVARIANCES) - {"known"}

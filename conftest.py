"""What holds for every test and every example of a docstring."""

import sys

import pytest


@pytest.fixture(autouse=True)
def _no_figure_stays_open():
    """Pictures of earlier tests and examples are closed: matplotlib warns of too many."""
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")

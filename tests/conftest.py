"""Settings shared by every test: one BLAS thread, no deadlines, reproducible examples; and what ``--quick`` runs."""

import gc
import os
from pathlib import Path

import pytest

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from hypothesis import HealthCheck, settings  # noqa: E402  (the threads must be set before numpy is loaded)

settings.register_profile(
    "default",
    deadline=None,
    derandomize=True,
    max_examples=15,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("many", parent=settings.get_profile("default"), max_examples=60)  # what CI runs
settings.register_profile("long", parent=settings.get_profile("default"), derandomize=False, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

collect_ignore_glob = ["*/make_*.py"]  # scripts that made reference numbers: they need mpmath or R

HERE = Path(__file__).parent
QUICK = [  # some of every room: ``pytest --quick`` takes less than a minute on two cores
    HERE / name
    for name in (
        "analysis_of_variance/test_anova.py",
        "calculus",
        "covariance",
        "display",
        "explanation/test_tables.py",
        "families/test_links.py",
        "fitting/test_linear.py",
        "formula",
        "inference/test_hypothesis.py",
        "linalg",
        "marginal_means/test_means.py",
        "matrices",
        "models/test_groups.py",
        "optimize",
        "plots/test_plot_intervals.py",
        "results/test_prediction.py",
        "results/test_statsmodels_names.py",
        "results/test_summary.py",
        "results/test_varcorr.py",
        "test_against_dense.py",
        "test_architecture.py",
        "test_imports.py",
        "test_laws.py",
        "test_messages.py",
        "test_suggestions.py",
    )
]


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """What is collected lives to the end: the garbage collector need not walk through it, now or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_collect_file():
    """Tests have no examples in docstrings: they are not searched for them."""
    return [collector for collector in (yield) if type(collector).__name__ != "DoctestModule"]


@pytest.hookimpl(tryfirst=True)  # before pytest chooses by marks
def pytest_collection_modifyitems(items):
    """What takes more than about half a second and has quicker siblings is slow: ``heavy.txt`` lists it."""
    heavy = set((HERE / "heavy.txt").read_text(encoding="utf-8").splitlines())
    for item in items:
        if item.nodeid in heavy:
            item.add_marker(pytest.mark.slow)


def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true", help="a selection from every room, less than a minute")


def pytest_ignore_collect(collection_path, config):
    """With ``--quick`` collect what ``QUICK`` names, and the folders on the way to it."""
    if not config.getoption("--quick"):
        return None
    inside = any(place == collection_path or place in collection_path.parents for place in QUICK)
    on_the_way = any(collection_path in place.parents for place in QUICK)
    return None if inside or on_the_way else True

"""Settings shared by every test: one BLAS thread, no deadlines, reproducible examples; and what ``--quick`` runs."""

import os
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from hypothesis import HealthCheck, settings  # noqa: E402  (the threads must be set before numpy is loaded)

settings.register_profile(
    "default",
    deadline=None,
    derandomize=True,
    max_examples=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
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


def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true", help="a selection from every room, less than a minute")


def pytest_ignore_collect(collection_path, config):
    """With ``--quick`` collect what ``QUICK`` names, and the folders on the way to it."""
    if not config.getoption("--quick"):
        return None
    inside = any(place == collection_path or place in collection_path.parents for place in QUICK)
    on_the_way = any(collection_path in place.parents for place in QUICK)
    return None if inside or on_the_way else True

"""Simulated twins of data that cannot be shipped: ``python -m tests.datasets.twins`` writes them anew.

A twin has the design and the columns of the data of a publication, and values drawn from a model that is written here.
"""

import gzip
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

FOLDER = Path(__file__).parents[2] / "mixedfx" / "datasets" / "data"


def _sizes(rng, groups, total, most):
    """Return sizes from 1 to most of so many groups, which add up to the total."""
    sizes = np.ones(groups, int)
    while sizes.sum() < total:
        group = rng.integers(groups)
        sizes[group] += sizes[group] < most
    return sizes


def classroom_like():
    """Pupils in classes in schools; five things that a plain linear mixed model does not expect are built in."""
    rng = np.random.default_rng(1190)
    school = np.repeat(np.arange(107), _sizes(rng, 107, 312, 9))  # of each class
    classroom = np.repeat(np.arange(312), _sizes(rng, 312, 1190, 10))  # of each pupil
    of_pupil = school[classroom]
    poverty = 0.6 / (1 + np.exp(0.6 - 0.9 * rng.standard_normal(107)))
    experience = np.minimum(np.exp(2.2 + 0.8 * rng.standard_normal(312)), 40.0).round()
    wealth = -2.4 * (poverty - poverty.mean()) + 0.25 * rng.standard_normal(107)
    ses = (wealth[of_pupil] + 0.65 * rng.standard_normal(1190)).round(2)
    known = (466 + 12 * ses + 38 * rng.standard_normal(1190)).round()
    means = pd.Series(ses).groupby(of_pupil).transform("mean").to_numpy()
    start = (known - 466) / 40
    expected = (
        56
        - 18 * start
        + 5 * (start**2 - 1)  # the gain does not fall for ever
        + 4 * (ses - means)
        + 16 * means  # schools differ by more than their pupils' own families
        - 10 * (poverty[of_pupil] - 0.24)
        + 0.1 * experience[classroom]
    )
    levels = 6 * rng.standard_normal(107)[of_pupil] + 8 * rng.standard_normal(312)[classroom]
    spread = 27 * np.exp(-0.25 * start)  # whose start was low gains more irregularly
    gain = expected + levels + spread * rng.standard_normal(1190)
    gain[classroom == 146] += 140  # another form of the test, not converted
    return pd.DataFrame(
        {
            "school": of_pupil + 1,
            "classid": classroom + 1,
            "sex": np.where(rng.random(1190) < 0.5, "girl", "boy"),
            "mathkind": known.astype(int),
            "mathgain": gain.round().astype(int),
            "ses": ses,
            "yearstea": experience[classroom].astype(int),
            "housepov": poverty[of_pupil].round(3),
        }
    )


TWINS: Mapping[str, Callable[[], pd.DataFrame]] = {"classroom_like": classroom_like}


def packed(name):
    """Return the compressed file of a twin."""
    return gzip.compress(TWINS[name]().to_csv(index=False).encode(), mtime=0)


def main():
    """Write all twins."""
    for name in TWINS:
        (FOLDER / f"{name}.csv.gz").write_bytes(packed(name))


if __name__ == "__main__":
    main()

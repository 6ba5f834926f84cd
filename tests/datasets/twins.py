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
    """Pupils in classes in schools; four things that a plain mixed model does not expect are built in."""
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


def ratpup_like():
    """27 litters of 2 to 18 pups, 322 in all: 10 control, 10 low, 7 high (Dempster et al. 1984)."""
    rng = np.random.default_rng(1984)
    sizes = np.zeros(27, dtype=int)
    while (sizes.sum(), sizes.min(), sizes.max()) != (322, 2, 18):
        sizes = np.clip(rng.normal(12.0, 4.0, 27).round().astype(int), 2, 18)
    litter = np.repeat(np.arange(27), sizes)
    treatment = np.repeat(["Control", "Low", "High"], [10, 10, 7])[litter]
    sex = rng.choice(["Male", "Female"], litter.size)
    shift = pd.Series(treatment).map({"Control": 0.0, "Low": -0.4, "High": -0.8}).to_numpy()
    mean = 7.9 + shift - 0.13 * (sizes[litter] - 12) - 0.35 * (sex == "Female")
    weight = mean + rng.normal(0.0, 0.3, 27)[litter] + rng.normal(0.0, 0.4, litter.size)
    return pd.DataFrame(
        {"litter": litter + 1, "treatment": treatment, "size": sizes[litter], "sex": sex, "weight": weight.round(2)}
    )


def correlated(rng, count, first, second, correlation):
    """Draw pairs (count, 2) of normal values with these standard deviations."""
    z = rng.normal(size=(count, 2))
    rest = np.sqrt(1.0 - correlation**2)
    return np.column_stack([first * z[:, 0], second * (correlation * z[:, 0] + rest * z[:, 1])])


def kb07_like():
    """56 subjects by 32 items, each pair once, in one of 8 conditions by a Latin square (Kronmueller and Barr 2007)."""
    rng = np.random.default_rng(2007)
    subject, item = np.repeat(np.arange(56), 32), np.tile(np.arange(32), 56)
    condition = (subject + item) % 8
    speaker, precedent, load = condition // 4, condition // 2 % 2, condition % 2
    people = correlated(rng, 56, 250.0, 120.0, 0.0)  # level, effect of the load
    things = correlated(rng, 32, 300.0, 250.0, -0.6)  # level, effect of the precedent
    mean = 2700.0 - 130.0 * speaker - 600.0 * precedent + 150.0 * load
    time = mean + people[subject, 0] + people[subject, 1] * (load - 0.5)
    time += things[item, 0] + things[item, 1] * precedent + rng.normal(0.0, 450.0, subject.size)
    return pd.DataFrame(
        {
            "subject": [f"s{k + 1:02d}" for k in subject],
            "item": [f"i{k + 1:02d}" for k in item],
            "speaker": np.array(["new", "old"])[speaker],
            "precedent": np.array(["break", "maintain"])[precedent],
            "load": np.array(["no", "yes"])[load],
            "rt": time.round().astype(int),
        }
    )


def tlc_like():
    """Blood lead of 100 children at weeks 0, 1, 4, 6; those whose lead stays high tend to miss the later visits."""
    rng = np.random.default_rng(2001)
    weeks = np.array([0, 1, 4, 6])
    start = rng.normal(26.0, 5.0, 100)
    while (outside := (start < 20.0) | (start > 44.0)).any():  # who could enter the trial
        start[outside] = rng.normal(26.0, 5.0, outside.sum())
    treated = np.repeat([False, True], 50)
    change = np.where(treated[:, None], [0.0, -12.0, -10.0, -6.0], [0.0, -1.0, -2.0, -2.5])
    lead = start[:, None] + change
    error = np.zeros(100)
    for visit in (1, 2, 3):
        kept = 0.8 ** (weeks[visit] - weeks[visit - 1]) if visit > 1 else 0.0
        error = kept * error + 3.5 * np.sqrt(1.0 - kept**2) * rng.normal(size=100)
        lead[:, visit] += error
    seen = np.ones((100, 4), dtype=bool)
    for visit in (2, 3):
        leaves = rng.random(100) < 1.0 / (1.0 + np.exp((31.0 - lead[:, visit - 1]) / 3.0))
        seen[:, visit] = seen[:, visit - 1] & ~leaves
    lead = lead.round(1)
    return pd.DataFrame(
        {
            "child": np.repeat(np.arange(1, 101), 4),
            "treatment": np.repeat(np.where(treated, "succimer", "placebo"), 4),
            "week": np.tile(weeks, 100),
            "lead": np.where(seen, lead, np.nan).ravel(),
            "lead_all": lead.ravel(),
        }
    )


TWINS: Mapping[str, Callable[[], pd.DataFrame]] = {
    "classroom_like": classroom_like,
    "kb07_like": kb07_like,
    "ratpup_like": ratpup_like,
    "tlc_like": tlc_like,
}


def packed(name):
    """Return the compressed file of a twin."""
    return gzip.compress(TWINS[name]().to_csv(index=False).encode(), mtime=0)


def main():
    """Write all twins."""
    for name in TWINS:
        (FOLDER / f"{name}.csv.gz").write_bytes(packed(name))


if __name__ == "__main__":
    main()

"""Values and derivatives against mpmath (make_reference_values.py), in the tails too."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from mixedfx.families import family_for

REL, ABS = 1e-9, 2e-12
SMOOTH = ("log", "logit", "probit", "cloglog", "cauchit")  # the others have a pole or a root at zero
ROWS = defaultdict(list)
for _row in json.loads(Path(__file__).with_name("reference_values.json").read_text()):
    ROWS[_row["family"], _row["link"]].append(_row)


def partial(key, n_predictors, in_eta, in_phi):
    """The entry of our arrays that ``key`` names, or None if we do not compute it."""
    index = tuple(place for place, count in enumerate(key[:n_predictors]) for _ in range(int(count)))
    arrays = in_eta
    if "1" in key[n_predictors:]:
        if len(index) > 2:
            return None
        arrays = [array[..., key.index("1", n_predictors) - n_predictors] for array in in_phi]
    return float(arrays[len(index)][(0, *index) if n_predictors > 1 else 0])


@pytest.mark.parametrize(("name", "link"), ROWS)
def test_values_and_derivatives(name, link):
    family = family_for(name, link)
    for row in ROWS[name, link]:
        n_predictors = len(row["eta"])
        eta = np.array(row["eta"] if n_predictors == 1 else [row["eta"]], dtype=float)
        trials = float(row["trials"])
        observed = family.observe([row["y"] / trials], trials=[trials])
        in_eta = family.derivatives(observed, eta, row["phi"])
        in_phi = family.phi_derivatives(observed, eta, row["phi"])
        steepness = (
            1.0 if link in ("log", "logit", "probit", "cloglog", "cauchit") else 1 / min(1.0, abs(row["eta"][0]))
        )
        size = 1 + abs(row["partials"]["0" * (n_predictors + len(row["phi"]))]) + abs(row["y"])
        for key, expected in row["partials"].items():
            found = partial(key, n_predictors, in_eta, in_phi)
            allowed = ABS * size * steepness ** int(key[0])
            if found is not None:
                assert found == pytest.approx(expected, rel=REL, abs=allowed), (row["y"], row["eta"], row["phi"], key)

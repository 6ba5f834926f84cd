"""The exact marginal likelihoods of ``../shared/reference/hierarchical``, where that folder is there."""

import json
from pathlib import Path

import pandas as pd
import pytest

import mixedfx as mfx

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "reference" / "hierarchical"
NAMES = ("cbpp", "toenail", "tiny_bernoulli", "fabric_poisson")


def load(name):
    """The reference numbers and the model that they belong to."""
    if not FOLDER.exists():
        pytest.skip("the folder shared/reference/hierarchical is not beside the project")
    reference = json.loads((FOLDER / f"glmm_exact_{name}.json").read_text())
    data = pd.read_csv(FOLDER / "data" / reference["data"])
    formula = reference["formula"].split("[")[0]
    if name == "cbpp":
        data["period"] = data["period"].astype("category")
    if name == "fabric_poisson":
        data["roll"] = range(len(data))
    family = {"binomial": "binomial", "poisson": "poisson"}[reference["family"]]
    return reference, mfx.GeneralizedLinearMixedModel(formula, data, family=family)

"""Numbers of R (aov, lm, lme4) and of independent scripts for textbook experiments; tests/reference has the rest."""

import json
from pathlib import Path

import mixedfx as mfx

NUMBERS = json.loads(Path(__file__).with_name("classical.json").read_text(encoding="utf-8"))

FORMULAS = {
    "gage": ("y ~ part * operator", "gage"),
    "turnip": ("ca ~ plant/leaf", "turnip"),
    "pigment": ("moisture ~ batch/sample", "pigment"),
    "dyestuff": ("Yield ~ Batch", "dyestuff"),
    "millet": ("yield ~ row + col + spacing", "millet"),
}
COMPONENTS = {  # their names of components -> ours
    "leaf": "plant:leaf",
    "sample": "batch:sample",
    "group": "Batch",
    "residual": "Residual",
}


def mean_squares_of(case, **options):
    formula, data = FORMULAS[case]
    return mfx.mean_squares(formula, mfx.load_dataset(data), **options)

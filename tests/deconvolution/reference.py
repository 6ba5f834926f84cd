"""Data and numbers of ``../shared/reference/hierarchical``, where that folder is there."""

import json
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "reference" / "hierarchical"


def numbers(name):
    """The reference numbers of a file."""
    if not FOLDER.exists():
        pytest.skip("the folder shared/reference/hierarchical is not beside the project")
    return _numbers(name)


@cache
def _numbers(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


def data(name):
    """A table of the folder."""
    if not FOLDER.exists():
        pytest.skip("the folder shared/reference/hierarchical is not beside the project")
    return pd.read_csv(FOLDER / "data" / f"{name}.csv")

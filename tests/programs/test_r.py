"""In R: rstan's log density of Stan programs, and what brms makes of its programs; where R has them."""

import json
import os
import re
import subprocess
from functools import cache
from pathlib import Path
from shutil import which

import numpy as np
import pandas as pd
import pytest

from tests.programs.models import FITS, fitted, point

pytestmark = [pytest.mark.slow]
HERE = Path(__file__).parent
BRMS = ("slopes", "independent", "three effects", "no coefficients", "known sigma", "bernoulli", "binomial", "cauchit")
BRMS += ("poisson", "nbinom2, dispersion", "gamma", "beta", "beta, dispersion", "beta-binomial", "t", "names")
BRMS += ("no bars", "zero-inflated poisson", "zero-inflated nbinom2", "ordinal", "ordinal, probit")
UNOPTIMISED = "CXX14FLAGS = -O0 -w -fPIC\nCXX17FLAGS = -O0 -w -fPIC\n"  # compiling is what takes the time


@cache
def has(package):
    if which("Rscript") is None:
        return False
    command = ["Rscript", "-e", f"quit(status = !requireNamespace('{package}', quietly = TRUE))"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def run(script, *arguments, **environment):
    command = ["Rscript", str(HERE / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def plain(values):
    """Arrays as lists, for JSON."""
    return {name: np.asarray(value).tolist() for name, value in values.items()}


def older(code):
    """The arrays as Stan declared them before 2.26, which is what the rstan of many systems is."""
    return re.sub(r"array\[(\w+)\] (int(?:<[^>]*>)?) (\w+);", r"\2 \3[\1];", code)


@pytest.mark.parametrize("name, centered", [("slopes", True), ("gamma, weights", False), ("binomial", True)])
def test_rstan_has_the_log_density_of_the_program(name, centered, tmp_path):
    if not has("rstan"):
        pytest.skip("R has no rstan")
    program = fitted(name).to_stan(centered=centered)
    values = point(program)
    (tmp_path / "model.stan").write_text(older(program.code))
    (tmp_path / "data.json").write_text(json.dumps(plain(program.data)))
    (tmp_path / "values.json").write_text(json.dumps(plain(values)))
    (tmp_path / "Makevars").write_text(UNOPTIMISED)
    run("log_prob.R", tmp_path, R_MAKEVARS_USER=str(tmp_path / "Makevars"))
    theirs = float((tmp_path / "log_prob.txt").read_text())
    assert theirs == pytest.approx(program.log_density(values), abs=1e-8)


def test_the_parser_of_rstan_takes_every_program(tmp_path):
    """An old one, of Stan 2.21, which wants declarations first and has other reserved words."""
    if not has("rstan"):
        pytest.skip("R has no rstan")
    for number, name in enumerate(FITS):
        for centered in (True, False):
            (tmp_path / f"{number}{centered}.stan").write_text(older(fitted(name).to_stan(centered=centered).code))
    assert run("parsed.R", tmp_path) == ""


@pytest.fixture(scope="module")
def stancode(tmp_path_factory):
    """What brms makes of the programs: Stan code, or its complaint."""
    if not has("brms"):
        pytest.skip("R has no brms")
    folders = [tmp_path_factory.mktemp("brms") for _ in BRMS]
    for name, folder in zip(BRMS, folders, strict=True):
        program = fitted(name).to_brms()
        pd.DataFrame(program.data).to_csv(folder / "data.csv", index=False, float_format="%.17g")
        (folder / "program.R").write_text(program.code)
    run("stancode.R", *folders)
    return {name: (folder / "stancode.txt").read_text() for name, folder in zip(BRMS, folders, strict=True)}


@pytest.mark.parametrize("name", BRMS)
def test_brms_makes_a_stan_program_with_our_priors(name, stancode):
    code = stancode[name]
    assert "generated with brms" in code, code
    priors = fitted(name).to_brms().model.priors
    for prior in priors.values():
        numbers = [f"{value:g}" for value in prior.numbers if value]
        assert all(number in code for number in numbers), (str(prior), code)

"""Stan's compiler takes the generated Stan programs, where the httpstan wheel brings it."""

import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.programs.models import FITS, PRIORS, fitted

pytestmark = [pytest.mark.slow]
FOUND = find_spec("httpstan")
STANC = Path(FOUND.origin).parent / "stanc" if FOUND is not None and FOUND.origin else None


def compiled(program, folder):
    """What the compiler says of a program: nothing, if all is well."""
    if STANC is None or not STANC.exists():
        pytest.skip("Stan's compiler is not installed: pip install 'mixedfx[ppl]'")
    source = folder / "model.stan"
    source.write_text(program.code)
    command = [str(STANC), str(source), f"--o={folder / 'model.hpp'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize("name", FITS)
def test_the_compiler_takes_the_program_without_a_word(name, centered, tmp_path):
    assert compiled(fitted(name).to_stan(centered=centered), tmp_path) == (0, "")


@pytest.mark.parametrize("x, sd", list(zip(*PRIORS.values(), strict=True)))
def test_the_compiler_takes_every_prior(x, sd, tmp_path):
    program = fitted("independent").to_stan(priors={"I(x ** 2)": x, "sd_x|g": sd})
    assert compiled(program, tmp_path) == (0, "")

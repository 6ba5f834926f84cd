"""The texts of programs: priors, names, what is refused; nothing is run that is not Python."""

import ast
import warnings

import numpy as np
import pytest

import mixedfx as mfx
from tests.programs.models import FITS, WEIRD, data, fitted, point

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
METHODS = ("to_pymc", "to_numpyro", "to_stan", "to_bambi", "to_brms")
PYTHON = ("to_pymc", "to_numpyro", "to_bambi")


def programs(fit, methods=METHODS, **options):
    """The programs that there are of a fit."""
    for method in methods:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", mfx.MixedfxWarning)
            try:
                yield getattr(fit, method)(**options)
            except mfx.SpecificationError:
                if method not in ("to_bambi", "to_brms"):
                    raise


@pytest.mark.parametrize("name", FITS)
def test_every_program_is_ascii_and_python_is_python(name):
    for program in programs(fitted(name)):
        assert program.code.isascii()
        assert str(program) == program.code
        if program.language in ("PyMC", "NumPyro", "Bambi"):
            ast.parse(program.code)


@pytest.mark.parametrize("name", ["slopes", "three effects", "nbinom2, dispersion", "gamma", "ordinal", "binomial"])
def test_a_changed_prior_changes_its_lines_alone(name):
    fit = fitted(name)
    for before in programs(fit):
        for key, old in before.priors.items():
            new = "lkj(3.5)" if old.startswith("lkj") else "normal(0.25, 1.75)"
            new = "half_normal(1.75)" if old.startswith(("half", "gamma")) else new
            (after,) = programs(fit, (f"to_{before.language.lower()}",), priors={key: new})
            lines = zip(before.code.splitlines(), after.code.splitlines(), strict=True)
            changed = [(old_line, new_line) for old_line, new_line in lines if old_line != new_line]
            assert changed, key
            assert all("1.75" in line or "3.5" in line or "3.0" in line for _, line in changed), changed
            assert len(changed) == 1 or (old.startswith("lkj") and before.language == "PyMC")
            if before.language in ("PyMC", "NumPyro", "Stan"):
                values = point(before)
                parts = (after.log_densities(values) - before.log_densities(values)).abs()
                assert parts[parts > 0].index.tolist() == [key]


def test_editing_the_dict_of_priors_is_enough():
    program = fitted("slopes").to_pymc()
    priors = program.priors
    priors["x"] = "normal(0, 3)"
    again = fitted("slopes").to_pymc(priors=priors)
    assert again.priors == priors | {"x": "normal(0.0, 3.0)"}
    assert program.priors["x"] != again.priors["x"]


def test_usual_priors_follow_the_units():
    """Ten times the response: ten times the widths; ten times a column: a tenth of the width of its coefficient."""
    frame = data()
    program = mfx.lmer("y ~ x + (x | g)", frame).to_stan()
    larger = mfx.lmer("y ~ x + (x | g)", frame.assign(y=10.0 * frame["y"])).to_stan()
    other = mfx.lmer("y ~ x + (x | g)", frame.assign(x=10.0 * frame["x"])).to_stan()

    def widths(one):
        return {key: prior.numbers[-1] for key, prior in one.model.priors.items() if key != "cor|g"}

    for key, width in widths(program).items():
        assert widths(larger)[key] == pytest.approx(10.0 * width, rel=0.01)
        factor = 10.0 if key in ("x", "sd_x|g") else 1.0
        assert widths(other)[key] == pytest.approx(width / factor, rel=0.01)


# ---------------------------------------------------------------- names
def test_odd_names_become_identifiers_that_differ():
    program = fitted("names").to_stan()
    names = [p.name for p in program.model.parameters]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() and name.isascii() for name in (*names, *program.data))
    assert set(WEIRD) <= set(program.variables)
    assert "größe" not in program.code
    assert "x'y" in program.code


def test_a_name_cannot_leave_its_comment_or_string():
    bad = 'x"\nimport os\n# */ {'
    frame = data().assign(**{bad: data()["x"]})
    fit = mfx.lmer(f"y ~ `{bad}` + (1 | g)", frame.rename(columns={"g": "g"}))
    for program in programs(fit):
        assert not any(line.strip().startswith("import os") for line in program.code.splitlines())
        if program.language in ("PyMC", "NumPyro", "Bambi"):
            ast.parse(program.code)


def test_levels_with_the_same_text_stay_apart():
    frame = data()
    frame = frame.assign(u=np.where(frame["g"] < 3, "a:b", "a"), v=np.where(frame["g"] < 3, "c", "b:c"))
    frame.loc[0, ["u", "v"]] = "a", "c"
    term = mfx.lmer("y ~ x + (1 | u:v)", frame).to_pymc().model.terms[0]
    assert len(set(term.levels)) == len(term.levels) == 3


def test_groups_may_bear_the_names_that_programs_use():
    frame = data().assign(sigma=data()["g"], beta=data()["h"])
    program = mfx.lmer("y ~ x + (1 | sigma) + (1 | beta)", frame).to_pymc()
    names = [*(p.name for p in program.model.parameters), *program.coords]
    assert len(set(names)) == len(names)


# ---------------------------------------------------------------- what a program is
def test_data_are_those_of_the_fit():
    fit = fitted("weights, offset, crossed")
    program = fit.to_pymc()
    assert program.data["X"] == pytest.approx(fit.design.fixed.matrix)
    assert program.data["offset"] == pytest.approx(data()["o"])
    assert program.data["weights"] == pytest.approx(data()["w"])
    stan = fit.to_stan().data
    assert stan["code_g"].min() == 1
    assert stan["shift"] == pytest.approx(data()["o"])
    counted = fitted("binomial").to_pymc().data
    assert counted["y"].tolist() == data()["s"].tolist()
    assert counted["trials"].tolist() == data()["t"].tolist()


def test_a_fit_cannot_be_changed_through_its_program():
    fit = fitted("slopes")
    program = fit.to_pymc()
    with pytest.raises(ValueError, match="read-only"):
        program.data["X"][0, 0] = 7.0
    before = fit.random_effects["g"].to_numpy().copy()
    program.start["u_g"][:] = 7.0
    assert fit.to_pymc().start["u_g"] == pytest.approx(before)


def test_programs_survive_saving(tmp_path):
    fit = fitted("slopes")
    fit.save(tmp_path / "fit")
    again = mfx.load(tmp_path / "fit")
    for before, after in zip(programs(fit), programs(again), strict=True):
        assert before.code == after.code
        assert before.priors == after.priors
        assert before.start.keys() == after.start.keys()


def test_a_singular_fit_starts_inside():
    frame = data().assign(y=np.tile([1.0, -1.0, 2.0, -2.0, 0.5, -0.5], 10), g=np.repeat(np.arange(10), 6))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        fit = mfx.lmer("y ~ 1 + (1 | g)", frame)
    program = fit.to_pymc()
    assert program.start["sd_g_Intercept"] > 0.0
    assert np.isfinite(program.log_density(program.start))


def test_the_repr_says_what_it_is_and_notebooks_show_the_text():
    program = fitted("slopes").to_stan()
    assert "Stan program" in repr(program)
    assert "y ~ 1 + x" in repr(program)
    assert program._repr_markdown_().startswith("```stan\n")


def test_what_the_program_leaves_out_is_said():
    frame = data()
    fit = mfx.lmer("y ~ x + (1 | g) + (1 | twin)", frame.assign(twin=frame["g"]))
    assert "# Without the variance of Intercept by twin" in fit.to_pymc().code
    penalised = mfx.glmer("b ~ x + (1 | g)", frame, family="binomial", penalty=0.1)
    assert "// Without the penalty of the fit" in penalised.to_stan().code


def test_bambi_loses_correlations_and_says_so():
    with pytest.warns(mfx.MixedfxWarning, match="Bambi has no correlations"):
        program = fitted("slopes").to_bambi()
    assert "no correlations" in program.code
    assert program.notes
    assert "cor|g" not in program.priors


def test_only_the_names_of_the_model_have_priors():
    with pytest.raises(mfx.SpecificationError, match=r"'nope'.*'x'"):
        fitted("slopes").to_pymc(priors={"nope": "normal(0, 1)"})

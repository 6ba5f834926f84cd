"""Several starts: the best is kept, and the report says what each found."""

import numpy as np
import pytest

import mixedfx as mfx

SLEEP = "Reaction ~ Days + (Days | Subject)"
CBPP = "cbind(incidence, size - incidence) ~ period + (1 | herd)"


def test_all_starts_of_an_easy_model_find_its_maximum():
    fit = mfx.lmer(SLEEP, mfx.load_dataset("sleepstudy"), control=mfx.Control(starts=6))
    starts = fit.certificate.starts
    assert starts.n_best == 6
    assert "All 6 starts" in str(fit.certificate)
    frame = starts.to_frame()
    np.testing.assert_allclose(frame["llf"], fit.llf, atol=1e-8)
    np.testing.assert_allclose(frame.iloc[:, 4:], np.tile(fit.theta, (6, 1)), atol=1e-4)
    assert len({tuple(one.start) for one in starts.found}) == 6


def test_the_best_of_several_maxima_is_kept_and_the_others_are_told():
    data = mfx.load_dataset("sleepstudy")
    fit = mfx.lmer("Reaction ~ Days + hetar1(0 + C(Days) | Subject)", data, control=mfx.Control(starts=4))
    starts = fit.certificate.starts
    assert starts.best == pytest.approx(fit.llf, abs=1e-6)
    assert 1 <= starts.n_best < 4  # a search from random correlations may end far below
    assert f"{starts.n_best} of 4 starts" in str(starts)


@pytest.mark.parametrize("nagq", [1, 5, "auto"])
def test_generalised_models_have_a_report_too(nagq):
    fit = mfx.glmer(CBPP, mfx.load_dataset("cbpp"), family="binomial", nagq=nagq, control=mfx.Control(starts=3))
    assert fit.certificate.starts.n_best == 3
    assert fit.certificate.starts.found[0].theta == pytest.approx(fit.theta.to_numpy(), abs=1e-2)


def test_seeds_make_starts():
    data = mfx.load_dataset("sleepstudy")
    first, same, other = (
        mfx.lmer(SLEEP, data, control=mfx.Control(starts=3, seed=seed)).certificate.starts.found for seed in (0, 0, 1)
    )
    assert [one.start.tolist() for one in first] == [one.start.tolist() for one in same]
    assert [one.start.tolist() for one in first] != [one.start.tolist() for one in other]


def test_one_start_makes_no_report():
    assert mfx.lmer(SLEEP, mfx.load_dataset("sleepstudy")).certificate.starts is None


@pytest.mark.parametrize(("options", "error"), [({"starts": 0}, ValueError), ({"starts": 2.5}, TypeError)])
def test_numbers_of_starts_that_make_no_sense(options, error):
    with pytest.raises(error, match="starts"):
        mfx.Control(**options)


def test_several_starts_and_the_quick_look():
    with pytest.raises(mfx.SpecificationError, match="nagq=1"):
        mfx.glmer(CBPP, mfx.load_dataset("cbpp"), family="binomial", nagq=0, control=mfx.Control(starts=2))


def test_the_parameters_that_are_printed_are_the_users(capsys):
    fit = mfx.lmer(SLEEP, mfx.load_dataset("sleepstudy"), control=mfx.Control(verbose=True))
    last = capsys.readouterr().out.splitlines()[-1]
    shown = [float(x) for x in last.split("[")[1].rstrip("]").split()]
    np.testing.assert_allclose(shown, fit.theta, atol=1e-4)

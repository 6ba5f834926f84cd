"""Sums over rows say what the rows say: the laws of `mixedfx.cross_products`."""

import itertools
import pickle
import re
from functools import cache

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from tests.reference import translate
from tests.reference.cases import load_cases

PIECES = 7


def pieces(data, n=PIECES):
    cuts = np.linspace(0, len(data), n + 1).astype(int)
    return [data.iloc[i:j] for i, j in itertools.pairwise(cuts)]


def with_knots(formula, data):
    """Splines with the knots that ``df`` would have given: sums do not see all rows at once."""

    def given(found):
        name, x, inner = found[1], found[2], int(found[3]) - (3 if found[1] == "bs" else 1)
        knots = np.quantile(data[x], np.linspace(0, 1, inner + 2)[1:-1]).tolist()
        return f"{name}({x}, knots={knots}, lower_bound={data[x].min()}, upper_bound={data[x].max()})"

    return re.sub(r"(bs|ns)\((\w+), ?df ?= ?(\d+)\)", given, formula)


def arguments_of(case):
    """The call of lmer for a case of R; None if it has residuals with a structure, or no random effects."""
    if case.get("family", "gaussian") != "gaussian" or case.engine not in ("lmer", "glmmTMB", "nlme::lme", "lme"):
        return None
    if case.get("correlation") or case.get("variance_function") or case.get("dispformula", "~1") != "~1":
        return None
    if case.engine in ("lmer", "glmmTMB"):
        found = translate.common_arguments(case)
    else:
        found = {"formula": case["formula"] + translate._random_bars(case.get("random")), "data": case.frame}
    return found | {"formula": with_knots(found["formula"], found["data"])} if "|" in found["formula"] else None


CASES = {case.name: case for case in load_cases() if arguments_of(case) is not None}
LARGE = {"insteval_crossed_ml", "insteval_fixed_reml", "insteval_service_reml", "simcross_full_ml"}
LIGHT = [name for name in CASES if name not in LARGE]


def test_the_corpus_is_here():
    assert len(CASES) > 55


def apart(one, other):
    """Largest relative difference; a number that is small beside the others counts with a thousandth of the largest."""
    one, other = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    scale = np.maximum(np.abs(one), 1e-3 * np.abs(one).max(initial=0.0))
    return float(np.max(np.abs(one - other) / np.where(scale > 0, scale, 1.0), initial=0.0))


def close(one, other, at=1e-10):
    return apart(one, other) <= at


def assert_same(rows, sums, reordered=None):
    """Everything that both fits have agrees to 1e-10.

    Where the likelihood is so flat that rounding decides where a search ends, the fit in memory itself moves when its
    rows change places; ``reordered`` fits them in other orders: the sums may be as far away as they are.
    """
    assert list(rows.params.index) == list(sums.params.index)
    assert list(rows.theta.index) == list(sums.theta.index)
    assert rows.nobs == sums.nobs

    def agree(read, limit):
        found = apart(read(rows), read(sums))
        if found <= limit or reordered is None:
            return found <= limit
        fits = [rows, *reordered()]
        moved = max(apart(read(one), read(other)) for one, other in itertools.combinations(fits, 2))
        return min(apart(read(one), read(sums)) for one in fits) <= max(moved, limit)

    assert rows.model.design.notes == sums.model.design.notes
    assert all(a.equals(b) for a, b in zip(rows.model.groups.values(), sums.model.groups.values(), strict=True))
    assert abs(rows.llf - sums.llf) <= 1e-10 * abs(rows.llf)
    for name in ("params", "bse", "theta", "sigma", "df"):
        assert agree(lambda fit, name=name: getattr(fit, name), 1e-10), name
    for group in rows.random_effects:
        assert agree(lambda fit, group=group: fit.random_effects[group], 1e-9), group
    assert rows.converged == sums.converged
    assert rows.is_singular == sums.is_singular


@pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")
@pytest.mark.parametrize("name", LIGHT)
def test_sums_over_an_iterator_give_the_fit_in_memory(name):
    case = CASES[name]
    given = arguments_of(case)
    data, formula = given.pop("data"), given.pop("formula")
    rows = mfx.lmer(formula, data, reml=case["REML"], **given)
    stats = mfx.cross_products(iter(pieces(data)), formula, **given)
    turned = (data[::-1], *(data.sample(frac=1.0, random_state=seed) for seed in range(3)))
    reordered = cache(lambda: [mfx.lmer(formula, other, reml=case["REML"], **given) for other in turned])
    assert_same(rows, mfx.lmer(None, stats, reml=case["REML"]), reordered)


@pytest.fixture(scope="module")
def sleep():
    return mfx.load_dataset("sleepstudy")


FORMULA = "Reaction ~ poly(Days, 2) + (Days | Subject)"


@pytest.fixture(scope="module")
def whole(sleep):
    return mfx.lmer(FORMULA, sleep)


def test_sums_of_two_sites_are_those_of_all_rows(sleep, whole):
    first, second = (mfx.cross_products(part, FORMULA) for part in (sleep[:77], sleep[77:]))
    assert_same(whole, mfx.lmer(None, first + second))
    assert_same(whole, mfx.lmer(None, second + first))
    assert_same(whole, mfx.lmer(None, sum([first, second])))


def test_updated_sums_are_those_of_all_rows(sleep, whole):
    stats = mfx.cross_products(sleep[:20], FORMULA)
    assert stats.update(sleep[20:90]) is stats
    assert stats.n_rows == 90
    stats.update(part for part in pieces(sleep[90:], 3))
    assert_same(whole, mfx.lmer(None, stats))


def test_saved_sums_are_the_same_sums(sleep, tmp_path):
    data = sleep.assign(f=pd.Categorical(np.where(sleep.Days > 4, "late", "early"), categories=["late", "early"]))
    formula = "Reaction ~ scale(Days) * f + (Days | Subject)"
    stats = mfx.cross_products(data, formula, contrasts={"f": "sum"}, min_cell=2)
    stats.save(tmp_path / "a.sums")
    again = mfx.load_cross_products(tmp_path / "a.sums")
    assert again.min_cell == 2
    assert repr(again) == repr(stats)
    assert all(again.levels[name].equals(levels) for name, levels in stats.levels.items())
    assert mfx.lmer(None, again).llf == mfx.lmer(None, stats).llf
    assert mfx.lmer(None, pickle.loads(pickle.dumps(stats))).llf == mfx.lmer(None, stats).llf
    assert mfx.lmer(None, again + stats).nobs == 360


def test_a_fit_to_sums_is_saved_with_the_sums(sleep, whole, tmp_path):
    fit = mfx.lmer(None, mfx.cross_products(sleep, FORMULA), reml=False)
    fit.save(tmp_path / "fit.mfx")
    again = mfx.load(tmp_path / "fit.mfx")
    assert again.llf == fit.llf
    assert str(again.summary()) == str(fit.summary())
    with pytest.raises(mfx.DataError, match="holds a fit"):
        mfx.load_cross_products(tmp_path / "fit.mfx")
    mfx.cross_products(sleep, FORMULA).save(tmp_path / "a.sums")
    with pytest.raises(mfx.DataError, match="holds sums over rows"):
        mfx.load(tmp_path / "a.sums")


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_changes_rounding_only(sleep, whole, seed):
    shuffled = sleep.sample(frac=1.0, random_state=seed)
    assert_same(whole, mfx.lmer(None, mfx.cross_products(pieces(shuffled), FORMULA)))


def test_rows_with_missing_values_and_without_weight_are_no_rows(sleep):
    data = sleep.assign(w=1.0 + sleep.Days % 3, o=0.1 * sleep.Days)
    data.loc[3, "Reaction"], data.loc[11, "Days"], data.loc[40, "w"], data.loc[90, "w"] = np.nan, np.nan, 0.0, np.nan
    data["Subject"] = data["Subject"].where(data.index != 120)
    formula, given = "Reaction ~ Days + offset(Days / 2) + (Days | Subject)", {"weights": "w", "offset": "o"}
    stats = mfx.cross_products(pieces(data), formula, **given)
    rows = mfx.lmer(formula, data, **given)
    assert_same(rows, mfx.lmer(None, stats))
    assert stats.n_rows == 175
    assert stats.n_dropped == 5
    new = data[:5]
    assert close(rows.predict(new), mfx.lmer(None, stats).predict(new))


def test_large_means_cost_no_digits(sleep):
    data = sleep.assign(year=2000.0 + sleep.Days, y=1e7 + sleep.Reaction)
    formula = "y ~ year + (year | Subject)"
    rows, sums = mfx.lmer(formula, data), mfx.lmer(None, mfx.cross_products(pieces(data), formula))
    assert close(rows.params, sums.params)
    assert close(rows.bse, sums.bse, 1e-8)
    assert close(rows.theta, sums.theta, 1e-7)


# ---------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("formula", "culprit"),
    [
        ("Reaction ~ lag(Days, 1) + (1 | Subject)", r"lag\(Days, 1\)"),
        ("Reaction ~ bs(Days, df=4) + (1 | Subject)", r"bs\(Days, df=4\).*knots"),
        ("Reaction ~ ns(Days, knots=[3]) + (1 | Subject)", r"lower_bound"),
        ("Reaction ~ wb(Days, Subject) + (1 | Subject)", r"wb\(Days, Subject\)"),
        ("Reaction ~ cut(Days, 3) + (1 | Subject)", r"cut\(Days, 3\)"),
        ("Reaction ~ I(scale(Days)^2) + (1 | Subject)", r"scale\(Days\) learns from all rows"),
        ("~ Days + (1 | Subject)", "no response"),
    ],
)
def test_what_needs_all_rows_at_once_is_refused_by_name(sleep, formula, culprit):
    with pytest.raises(mfx.SpecificationError, match=culprit):
        mfx.cross_products(sleep, formula)


def test_sums_that_do_not_belong_together_are_refused(sleep):
    a = mfx.cross_products(sleep, FORMULA)
    with pytest.raises(mfx.SpecificationError, match="formulas"):
        a + mfx.cross_products(sleep, "Reaction ~ Days + (1 | Subject)")
    weighted = mfx.cross_products(sleep.assign(w=2.0), FORMULA, weights="w")
    with pytest.raises(mfx.SpecificationError, match="weights"):
        a + weighted
    data = sleep.assign(f=pd.Categorical(["a", "b"] * 90))
    other = sleep.assign(f=pd.Categorical(["a", "b"] * 90, categories=["b", "a"]))
    with_f = [mfx.cross_products(d, "Reaction ~ f + (1 | Subject)") for d in (data, other)]
    with pytest.raises(mfx.SpecificationError, match=r"categories of 'f': \['a', 'b'\] and \['b', 'a'\]"):
        with_f[0] + with_f[1]
    coded = mfx.cross_products(data, "Reaction ~ f + (1 | Subject)", contrasts={"f": "sum"})
    with pytest.raises(mfx.SpecificationError, match="contrasts"):
        with_f[0] + coded
    with pytest.raises(TypeError):
        a + 3


def test_small_cells_are_refused_by_name(sleep):
    assert mfx.cross_products(sleep, FORMULA, min_cell=10).min_cell == 10
    with pytest.raises(
        mfx.SpecificationError, match=r"1 cells have fewer than min_cell=10 rows.*Subject = '308' \(9\)"
    ):
        mfx.cross_products(sleep[1:], FORMULA, min_cell=10)
    for wrong, error in ((0, mfx.SpecificationError), ("5", TypeError), (True, TypeError)):
        with pytest.raises(error, match="min_cell"):
            mfx.cross_products(sleep, FORMULA, min_cell=wrong)


def test_sources_without_rows_or_columns_are_refused(sleep):
    with pytest.raises(mfx.DataError, match="empty"):
        mfx.cross_products(iter([]), FORMULA)
    with pytest.raises(mfx.DataError, match="empty"):
        mfx.cross_products(sleep[:0], FORMULA)
    with pytest.raises(mfx.DataError, match="no column 'Dayz'; did you mean 'Days'"):
        mfx.cross_products(sleep, "Reaction ~ Dayz + (1 | Subject)")
    with pytest.raises(mfx.DataError, match="no column 'Days'"):
        mfx.cross_products([sleep, sleep.drop(columns="Days")], FORMULA)
    with pytest.raises(mfx.DataError, match=r"'Days' holds labels.*numbers in those before"):
        mfx.cross_products([sleep, sleep.assign(Days="a")], FORMULA)
    with pytest.raises(mfx.DataError, match="no rows are left"):
        mfx.cross_products(sleep.assign(Reaction=np.nan), FORMULA)


def test_arguments_that_the_sums_have_settled_are_refused(sleep):
    stats = mfx.cross_products(sleep, FORMULA)
    assert mfx.lmer(FORMULA, stats).llf == mfx.lmer(None, stats).llf
    with pytest.raises(mfx.SpecificationError, match="leave the formula out"):
        mfx.lmer("Reaction ~ Days + (1 | Subject)", stats)
    with pytest.raises(mfx.SpecificationError, match="weights are part of the sums"):
        mfx.lmer(None, stats, weights="w")
    with pytest.raises(mfx.SpecificationError, match="structure need the rows"):
        mfx.lmer(None, stats, residual=mfx.AR1("Days", group="Subject"))
    with pytest.raises(TypeError, match="the formula is left out only where"):
        mfx.lmer(None, sleep)

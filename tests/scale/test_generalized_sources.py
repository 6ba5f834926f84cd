"""Generalised models take every source that can be read again, in passes over its rows."""

import pickle
import threading
import tracemalloc

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.fitting.partitioned import PartitionedFit
from tests.scale.test_cross_products import pieces
from tests.scale.test_sources import SOURCES, dask_frame, kill, parquet_file


@pytest.fixture(scope="module")
def data():
    data = mfx.load_dataset("cbpp")
    data = data.assign(herd=data["herd"].astype(str), period=data["period"].astype(str), other=1.0, n=data["size"])
    return data


@pytest.fixture(scope="module")
def many():
    rng = np.random.default_rng(4)
    n, m = 900, 25
    data = pd.DataFrame({"g": rng.integers(0, m, n), "h": rng.integers(0, 9, n), "x": rng.normal(2000.0, 3.0, n)})
    data["f"], data["trials"] = rng.choice(list("abc"), n), rng.integers(1, 6, n)
    data["shift"] = np.log(data.trials)
    eta = 0.3 * (data.x - 2000.0) + (data.f == "b") + rng.normal(size=m)[data.g] + 0.7 * rng.normal(size=9)[data.h]
    eta += 0.2 * rng.normal(size=m)[data.g] * (data.x - 2000.0)
    p = 1.0 / (1.0 + np.exp(-eta))
    data["y"], data["count"] = (rng.random(n) < p).astype(int), rng.poisson(np.exp(0.4 * eta))
    data["hits"] = rng.binomial(data.trials, p)
    data["misses"], data["share"] = data.trials - data.hits, data.hits / data.trials
    data["mass"] = rng.gamma(2.0, np.exp(0.3 * eta) / 2.0)
    data["w"] = rng.integers(0, 3, n)
    data.loc[[3, 77], "x"], data.loc[[5], "f"], data.loc[[400], "trials"] = np.nan, None, np.nan
    return data


FORMULA = "cbind(incidence, size - incidence) ~ period + (1 | herd)"


def assert_same(rows, read, rtol=1e-8):
    assert isinstance(read.solution, PartitionedFit)
    assert list(read.params.index) == list(rows.params.index)
    size = np.abs(rows.params).to_numpy() + rows.bse.to_numpy()  # a coefficient may be zero
    assert np.all(np.abs(read.params - rows.params) <= rtol * size)
    assert np.allclose(read.theta, rows.theta, rtol=rtol, atol=rtol)
    assert read.llf == pytest.approx(rows.llf, rel=rtol / 100)
    assert np.allclose(read.bse, rows.bse, rtol=100 * rtol)  # of forward differences of gradients
    assert read.nobs == rows.nobs
    assert read.model.design.notes == rows.model.design.notes


def in_any_order(formula, data, options):
    """Fits in memory, whose last step may be taken or not by the rounding of the order of the rows."""
    return [mfx.glmer(formula, rows, **options) for rows in (data, data[::-1])]


def nearest(fits, read):
    return min(fits, key=lambda fit: np.abs(fit.solution.x - read.solution.x).max())


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_gives_the_fit_in_memory(data, source, tmp_path):
    rows = mfx.glmer(FORMULA, data, family="binomial")
    assert_same(rows, mfx.glmer(FORMULA, source(data, tmp_path), family="binomial"))


KNOWN = pd.DataFrame(0.3 + 0.7 * np.eye(25), index=range(25), columns=range(25))
MODELS = {
    "one factor": ("y ~ x + f + (1 | g)", {"family": "binomial"}),
    "a slope": ("y ~ x + (1 + x | g)", {"family": "binomial", "link": "cloglog"}),
    "two factors and trials": ("share ~ x * f + (1 | g) + (1 | h)", {"family": "binomial", "weights": "trials"}),
    "counts out of trials": ("cbind(hits, misses) ~ scale(x) + (x || g)", {"family": "binomial"}),
    "nested factors and an offset": ("count ~ f + (1 | g / h)", {"family": "poisson", "offset": "shift"}),
    "weights of zero": ("count ~ x + offset(shift) + (1 | g)", {"family": "poisson", "weights": "w"}),
    "expected information": ("y ~ x + (1 | g)", {"family": "binomial", "link": "probit", "information": "expected"}),
    "a structure of the covariance": ("y ~ x + cs(0 + f | g)", {"family": "binomial"}),
    "known covariances of levels": ("y ~ f + known(1 | g, K)", {"family": "binomial", "functions": {"K": KNOWN}}),
    "splines with knots": (
        "y ~ bs(x, knots=[2000], lower_bound=1950, upper_bound=2050) + (1 | g:h)",
        {"family": "binomial"},
    ),
    "no fixed effects": ("y ~ 0 + (1 | g)", {"family": "binomial"}),
    "contrasts": ("count ~ 0 + f + (1 | g)", {"family": "poisson", "contrasts": {"f": "sum"}}),
}


@pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")
@pytest.mark.parametrize("name", MODELS)
def test_models_are_those_in_memory_whatever_the_pieces(many, name):
    formula, options = MODELS[name]
    rows = in_any_order(formula, many, options)
    for count in (1, 7):
        read = mfx.glmer(formula, pieces(many, count), **options)
        assert_same(nearest(rows, read), read)


@pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")
@pytest.mark.parametrize("family, response", [("nbinom2", "count"), ("gamma", "mass")])
def test_dispersions_are_those_in_memory(many, family, response):
    """The search begins elsewhere: the first piece tells where the dispersion starts."""
    options = {"family": family, "link": "log", "weights": None if family == "nbinom2" else "trials"}
    formula, control = f"{response} ~ x + (1 | g)", mfx.Control(tol=1e-12)
    rows = mfx.glmer(formula, many, control=control, **options)
    assert_same(rows, mfx.glmer(formula, pieces(many), control=control, **options), rtol=1e-6)


def test_many_crossed_levels_have_a_pattern():
    """Cross-products of which few cells are not zero are kept sparse, and added."""
    rng = np.random.default_rng(3)
    n = 2500
    data = pd.DataFrame({"u": rng.integers(0, 400, n), "v": rng.integers(0, 250, n), "x": rng.normal(size=n)})
    eta = data.x + rng.normal(size=400)[data.u] + rng.normal(size=250)[data.v]
    data["y"] = (rng.random(n) < 1.0 / (1.0 + np.exp(-eta))).astype(int)
    formula = "y ~ x + (1 | u) + (1 | v)"
    rows = mfx.glmer(formula, data, family="binomial")
    read = mfx.glmer(formula, pieces(data), family="binomial")
    assert not any(read.solution.problem.assembly.rows.layout.dense_cross)
    assert_same(rows, read)


def test_a_collection_is_read_again(data):
    class Collection:
        passes = 0

        def __iter__(self):
            self.passes += 1
            return iter(pieces(data))

    collection = Collection()
    assert_same(mfx.glmer(FORMULA, data, family="binomial"), mfx.glmer(FORMULA, collection, family="binomial"))
    assert collection.passes > 10


def test_types_and_levels_are_those_of_the_whole(tmp_path):
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"g": rng.integers(10**15, 10**15 + 9, 210), "x": rng.normal(size=210)})
    data["f"] = pd.Categorical(rng.choice(["lo", "hi"], 210), categories=["lo", "mid", "hi"])
    data["t"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 6, 210), unit="D")
    data["flag"], data["y"] = data.x > 0, rng.poisson(2.0, 210).astype(float)
    data.loc[[3, 77], "x"], data.loc[[5], "y"] = np.nan, np.nan
    formula = "y ~ f * x + flag + (1 | g) + (1 | t)"
    rows = mfx.glmer(formula, data, family="poisson")
    read = mfx.glmer(formula, pieces(data), family="poisson")
    assert list(rows.params.index) == list(read.params.index)
    assert np.allclose(rows.params, read.params, rtol=1e-12)
    assert all(a.equals(b) for a, b in zip(rows.model.groups.values(), read.model.groups.values(), strict=True))
    assert rows.model.design.notes == read.model.design.notes
    read.save(tmp_path / "fit")
    assert mfx.load(tmp_path / "fit").llf == pytest.approx(read.llf, rel=1e-12)


# ---------------------------------------------------------------- after the fit
@pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")
@pytest.mark.parametrize(
    "formula, options",
    [
        ("count ~ x + f + (1 + x | g)", {"family": "poisson", "offset": "shift"}),
        ("cbind(hits, misses) ~ x * f + (1 | g) + (1 | h)", {"family": "binomial"}),
        ("share ~ x + f + (1 | g)", {"family": "binomial", "weights": "trials"}),
    ],
)
def test_what_needs_no_rows_is_what_the_fit_in_memory_says(many, tmp_path, formula, options):
    rows, read = mfx.glmer(formula, many, **options), mfx.glmer(formula, pieces(many), **options)
    read.save(tmp_path / "fit")
    new = many.dropna()[:6]
    for fit in (read, mfx.load(tmp_path / "fit"), pickle.loads(pickle.dumps(read))):
        assert str(fit.summary()) == str(rows.summary()).replace(" .check() its assumptions,", "")  # it needs the rows
        for asked in (
            lambda fit: mfx.anova(fit),
            lambda fit: mfx.emmeans(fit, "f"),
            lambda fit: mfx.emmeans(fit, "f", scale="response"),
            lambda fit: mfx.trends(fit, "x"),
            lambda fit: fit.get_prediction(new).summary_frame(),
            lambda fit: fit.random_effects["g"],
            lambda fit: fit.random_effects_table("g"),
            lambda fit: fit.conf_int(which="all"),
            lambda fit: fit.predict(new).to_frame(),
        ):
            found, expected = asked(fit), asked(rows)
            if isinstance(found, pd.DataFrame):
                pd.testing.assert_frame_equal(found, expected, rtol=1e-6, atol=1e-8)
            else:
                assert str(found) == str(expected)


@pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")
def test_nested_fits_are_compared(many):
    data = many.dropna()
    tables = []
    for source in (data, pieces(data)):
        fits = [mfx.glmer(f"count ~ {x} + (1 | g)", source, family="poisson", offset="shift") for x in ("x", "x + f")]
        tables.append(pd.DataFrame(mfx.anova(*fits)))
        with pytest.raises(mfx.DataError, match="different responses"):
            mfx.anova(fits[0], mfx.glmer("hits ~ x + f + (1 | g)", source, family="poisson", offset="shift"))
        apart = mfx.anova(fits[0], mfx.glmer("count ~ x + f + (1 | g)", source, family="poisson"))
        assert "offset" in str(apart)
    pd.testing.assert_frame_equal(*tables, rtol=1e-6)


def test_a_search_that_is_cut_short_says_so(data):
    texts = []
    for source in (data, pieces(data)):
        with pytest.warns(mfx.ConvergenceWarning):
            fit = mfx.glmer(FORMULA, source, family="binomial", control=mfx.Control(max_iter=0))
        texts.append(str(fit.certificate))
    assert texts[0] == texts[1]


def test_what_needs_rows_says_so(data):
    read = mfx.glmer(FORMULA, pieces(data), family="binomial")
    for asked in (
        lambda: read.resid,
        lambda: read.fittedvalues,
        lambda: read.predict(),
        lambda: read.simulate(2),
        lambda: read.refit(data.incidence),
        lambda: read.compare_integrators(),
        lambda: read.joint_map_path(),
        lambda: read.random_effects_mean,
        lambda: read.model.endog,
        lambda: mfx.bootstrap(read, 3),
        lambda: mfx.influence(read),
        lambda: mfx.leverage(read),
        lambda: mfx.overdispersion(read),
        lambda: mfx.r2(read),
        lambda: mfx.icc(read),
        lambda: mfx.quantile_residuals(read),
        lambda: mfx.marginal_effects(read, "period"),
        lambda: read.to_stan(),
        lambda: read.update("~ . - period"),
    ):
        with pytest.raises(mfx.SpecificationError, match="read piece by piece"):
            asked()


def test_an_update_reads_the_source_again(data):
    read = mfx.glmer(FORMULA, pieces(data), family="binomial")
    other = read.update(link="probit")
    assert_same(mfx.glmer(FORMULA, data, family="binomial", link="probit"), other)


def test_separated_outcomes_are_found_in_the_rows(data):
    rng = np.random.default_rng(8)
    data = pd.DataFrame(
        {"g": np.repeat(np.arange(20), 12), "x": rng.normal(size=240), "f": rng.choice(list("ab"), 240)}
    )
    data["y"] = ((rng.random(240) < 0.5) | (data.f == "b")).astype(int)
    for source in (data, pieces(data)):
        with pytest.warns(mfx.SeparationWarning, match="f"):
            fit = mfx.glmer("y ~ x + f + (1 | g)", source, family="binomial")
        assert fit.certificate.separated == ("f[T.b]",)


def test_levels_with_one_outcome_each_are_found_in_the_rows():
    rng = np.random.default_rng(8)
    data = pd.DataFrame({"g": np.repeat(np.arange(20), 12), "x": rng.normal(size=240)})
    data["y"] = data.g % 2
    fits = []
    for source in (data, pieces(data)):
        with pytest.warns(mfx.MixedfxWarning):
            fits.append(mfx.glmer("y ~ x + (1 | g)", source, family="binomial"))
    assert fits[0].certificate.divided == fits[1].certificate.divided == ("g",)


# ---------------------------------------------------------------- in memory, and said
@pytest.mark.parametrize(
    "options, why",
    [
        ({"nagq": 5}, "only the Laplace approximation"),
        ({"penalty": 0.1}, "a penalty"),
        ({"zero_inflation": "~ 1", "family": "poisson"}, "further linear predictors"),
        ({"family": "gaussian"}, "the link 'identity'"),
        ({"formula": "y ~ 1 + (1 | g)", "link": "log"}, "the link 'log'"),
        ({"control": mfx.Control(remainder="iterative"), "formula": "y ~ x + (1 | g) + (1 | h)"}, "by iteration"),
        ({"formula": "y ~ bs(x, df=4) + (1 | g)"}, "takes its knots from all rows"),
        ({"formula": "label ~ x + (1 | g)"}, "a response of labels"),
        ({"formula": "y ~ s(x) + (1 | g)"}, "s(x) takes its knots from all rows"),
        ({"formula": "y ~ x + (1 | mm(g, k))"}, "(1 | mm(g, k)) has several"),
        ({"formula": "y ~ x"}, "no random effects"),
    ],
)
@pytest.mark.filterwarnings("ignore::mixedfx.MixedfxWarning")
def test_other_models_keep_the_columns_and_say_so(many, options, why):
    many = many.dropna().assign(
        label=np.where(many.dropna().y > 0, "yes", "no"), k=many.g.to_numpy()[::-1][: len(many.dropna())]
    )
    options = {"formula": "y ~ x + (1 | g)", "family": "binomial"} | options
    formula = options.pop("formula")
    read, rows = (mfx.glmer(formula, source, **options) for source in (pieces(many), many))
    assert not isinstance(read.solution, PartitionedFit)
    assert np.allclose(read.params, rows.params, rtol=1e-10)
    assert any("read into memory" in note and why in note for note in read.model.design.notes)
    assert np.allclose(read.fittedvalues, rows.fittedvalues)
    assert any(why in " ".join(str(line).split()) for line in [str(read.summary()).replace("\n", " ")])


def test_an_ordinal_response_of_text_is_refused_in_pieces_too(data):
    words = data.assign(word=np.where(data.incidence > 1, "many", "few"))
    with pytest.raises(mfx.DataError, match="is text, which has no order"):
        mfx.glmer("word ~ period + (1 | herd)", pieces(words), family="ordinal")


def test_missing_values_can_be_refused(many):
    with pytest.raises(mfx.DataError, match="missing"):
        mfx.glmer("y ~ x + (1 | g)", pieces(many), family="binomial", missing="raise")


def test_a_source_that_gives_its_rows_once_is_refused_by_name(data):
    with pytest.raises(mfx.SpecificationError, match=r"one-shot iterator \(generator\).*list of frames"):
        mfx.glmer(FORMULA, (piece for piece in pieces(data)), family="binomial")


# ---------------------------------------------------------------- where the work is done, and what it takes
def test_partitions_are_worked_on_where_they_are(data, tmp_path):
    """Every pass is tasks of the user's scheduler; what comes back are sums."""
    dask = pytest.importorskip("dask")
    source, sizes = dask_frame(data, tmp_path), []

    def scheduler(graph, keys, **options):
        found = dask.get(graph, keys, **options)
        sizes.append(max(len(one) for one in found if isinstance(one, pd.DataFrame)) if _frames(found) else 0)
        return found

    def _frames(found):
        return any(isinstance(one, pd.DataFrame) for one in found)

    with dask.config.set(scheduler=scheduler):
        mfx.glmer(FORMULA, source, family="binomial")
    assert len(sizes) > 10
    assert sizes[0] > 0  # a look at the first rows, then sums alone
    assert not any(sizes[1:])


@pytest.mark.slow
def test_a_worker_that_is_killed_changes_nothing():
    """Of a cluster of processes one dies between two passes or within one: its partitions are made anew."""
    distributed = pytest.importorskip("distributed")
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"g": rng.integers(0, 20, 3000), "x": rng.normal(size=3000)})
    data["y"] = rng.poisson(np.exp(0.3 * data.x + rng.normal(size=20)[data.g]))
    formula = "y ~ twice(x) + (1 | g)"
    options = {"family": "poisson", "functions": {"twice": lambda x: 2.0 * x}}
    rows = mfx.glmer(formula, data, **options)
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        source = pytest.importorskip("dask.dataframe").from_pandas(data, npartitions=6).persist()
        killer = threading.Timer(4.0, kill, [client])
        killer.start()
        read = mfx.glmer(formula, source, **options)
        killer.join()
    assert_same(rows, read, rtol=1e-6)  # the last step is taken or not, by the rounding of the order of sums


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(tmp_path):
    peaks = []
    for n in (150_000, 600_000):
        rng = np.random.default_rng(1)
        data = pd.DataFrame({"g": rng.integers(0, 300, n), "x": rng.normal(size=n)})
        eta = 0.5 * data.x + rng.normal(size=300)[data.g]
        data["y"] = (rng.random(n) < 1.0 / (1.0 + np.exp(-eta))).astype(int)
        folder = tmp_path / str(n)
        folder.mkdir()
        path = parquet_file(data, folder)
        del data, eta
        tracemalloc.start()
        mfx.glmer("y ~ x + (1 | g)", path, family="binomial")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]

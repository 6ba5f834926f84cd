"""Transforms of formulas against numbers of R (the call stands above each table), and their replay on new data."""

import numpy as np
import pandas as pd
import pytest

from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.matrices import build_design

X = np.array([0.3, 1.1, 2.5, 2.9, 4.2, 5.8, 7.7, 9.4])
GROUPS = {"y": np.arange(8.0) ** 1.5, "g": list("aabbaabb")}


def table(text):
    return np.array([[float(number) for number in row.split(",")] for row in text.strip().splitlines()])


# splines::ns(X, df = 3)
NS_DF = table("""
 0.000000000000000,  0.000000000000000,  0.000000000000000
-0.088446154203278,  0.246044100121903, -0.152742973470172
-0.106353850663180,  0.546728456429722, -0.339406350627626
-0.052517293087178,  0.576537055616774, -0.357813749600841
 0.253722530934282,  0.518133511141425, -0.301856685960645
 0.514414088977547,  0.369349941560227, -0.067076030789230
 0.301769420166734,  0.344673040298371,  0.334254301854095
-0.153944004794696,  0.405965238450530,  0.747978766344166""")

# splines::ns(X, knots = c(2, 6), Boundary.knots = c(0, 10))
NS_KNOTS = table("""
-0.0288289777343995,  0.0871619332031986, -0.0581079554687990
-0.0901835159538429,  0.3038255478615287, -0.2025503652410191
-0.0493824910939617,  0.5319365357818852, -0.3542988363545901
 0.0068057840815543,  0.5494404602553371, -0.3643952026702247
 0.2546357267291962,  0.5059803198124114, -0.3095910465416076
 0.5005608943003926,  0.3753048170988222, -0.1073073780658815
 0.3941017878694260,  0.3335743238917219,  0.2343020132388521
 0.0164526635660694,  0.3969295093017915,  0.5859428271321390""")

# splines::ns(X, df = 3, intercept = TRUE)
NS_INTERCEPT = table("""
-0.43149856392715,  0.58907451227520, -0.35856709442838
-0.18523696382854,  0.53728149699941, -0.32588292333406
 0.19240534558682,  0.45487223056680, -0.25279621978705
 0.27703820685560,  0.43491734854814, -0.22498074632123
 0.44361872250137,  0.38680579948234, -0.10225170127220
 0.42410292426051,  0.36224592273374,  0.11571759163368
 0.17709709722359,  0.36762626700839,  0.44126353698309
-0.14788486356709,  0.38848763540200,  0.76352926540748""")

# predict(splines::ns(X, df = 3), c(-2, 0.3, 5, 12))
NS_OUTSIDE = table("""
 0.27608758121740, -0.72806966982330,  0.45198208860590
 0.00000000000000,  0.00000000000000,  0.00000000000000
 0.43312766500613,  0.43323251605200, -0.20069838909695
-0.91241116968578,  0.51901977812297,  1.39339139156280""")

# splines::bs(X, df = 5)
BS_DF = table("""
0.00000000000000000, 0.00000000000000000, 0.00000000000000000, 0.00000000000000000, 0.00000000000000000
0.57837538429375002, 0.13299121760182078, 0.00485497244845279, 0.00000000000000000, 0.00000000000000000
0.32566087704136454, 0.57318427889843604, 0.10096825513891672, 0.00000000000000000, 0.00000000000000000
0.20406823959919693, 0.62972574747204801, 0.16604874115175924, 0.00015727177699599, 0.00000000000000000
0.01868315887241932, 0.51131748501251795, 0.43810789575753345, 0.03189146035752915, 0.00000000000000000
0.00000000000000000, 0.18331200025145675, 0.55669890176475956, 0.25784079816168959, 0.00214829982209393
0.00000000000000000, 0.01930323768080005, 0.22222626609312723, 0.55443603531505925, 0.20403446091101349
0.00000000000000000, 0.00000000000000000, 0.00000000000000000, 0.00000000000000000, 1.00000000000000000""")

# splines::bs(X, df = 4, degree = 2, intercept = TRUE)
BS_INTERCEPT = table("""
1.000000000000000, 0.000000000000000, 0.000000000000000, 0.000000000000000
0.568284023668639, 0.410076077768386, 0.021639898562975, 0.000000000000000
0.104378698224852, 0.731969568892646, 0.163651732882502, 0.000000000000000
0.040000000000000, 0.731428571428572, 0.228571428571429, 0.000000000000000
0.000000000000000, 0.507936507936508, 0.479717813051146, 0.012345679012346
0.000000000000000, 0.243448858833474, 0.608622147083685, 0.147928994082840
0.000000000000000, 0.054287592749131, 0.442461621948801, 0.503250785302067
0.000000000000000, 0.000000000000000, 0.000000000000000, 1.000000000000000""")

# predict(splines::bs(X, df = 5), c(-1, 11))
BS_OUTSIDE = table("""
-3.332500637102602,  0.577738647551269, -0.020832762635255,  0.000000000000000,  0.000000000000000
 0.000000000000000, -0.016093234589977,  0.347757748537293, -2.000490669497649,  2.668826155550333""")

# poly(X, 3)
POLY = table("""
-0.466511572550201,  0.512694180351035, -0.416988551778787
-0.371728268920954,  0.210908923696049,  0.089973413044508
-0.205857487569771, -0.176295522425047,  0.374496374914831
-0.158465835755148, -0.253983084245979,  0.350215147888693
-0.004442967357621, -0.405353162051819,  0.076467248391992
 0.185123639900873, -0.379360103405364, -0.380713590146233
 0.410233986020336, -0.044234788594803, -0.493922189637183
 0.611648506232486,  0.535623556675928,  0.400472147322179""")

# predict(poly(X, 3), c(-2, 12))
POLY_OUTSIDE = table("""
-0.73901357048429,  1.70654687085398, -3.87478569955633
 0.91969424302754,  1.93398613401047,  4.89466939040943""")

# as.numeric(scale(X)), scale(X, center = FALSE), scale(X, scale = FALSE)
SCALE = [-1.2342736047014984, -0.9835005548573843, -0.5446477176301849, -0.4192611927081279,
         -0.0117549867114427, 0.4897911129767851, 1.0853771063565558, 1.6182698372752979]  # fmt: skip
SCALE_ONLY = [0.054145475474038, 0.198533410071473, 0.451212295616983, 0.523406262915700,
              0.758036656636532, 1.046812525831401, 1.389733870500308, 1.696558231519856]  # fmt: skip


def design(term, x=X, **arguments):
    return build_design(f"y ~ 0 + {term} + (1 | g)", {**GROUPS, "x": x}, **arguments)


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ("ns(x, df=3)", NS_DF),
        ("ns(x, knots=[2, 6], lower_bound=0, upper_bound=10)", NS_KNOTS),
        ("ns(x, df=3, include_intercept=True)", NS_INTERCEPT),
        ("bs(x, df=5)", BS_DF),
        ("bs(x, df=4, degree=2, include_intercept=True)", BS_INTERCEPT),
        ("poly(x, 3)", POLY),
        ("poly(x, 3, raw=True)", X[:, None] ** [1, 2, 3]),
        ("scale(x)", np.array(SCALE)[:, None]),
        ("scale(x, center=False)", np.array(SCALE_ONLY)[:, None]),
        ("scale(x, scale=False)", (X - X.mean())[:, None]),
        ("scale(x, ddof=0)", ((X - X.mean()) / X.std())[:, None]),
        ("center(x)", (X - X.mean())[:, None]),
        ("log(x)", np.log(X)[:, None]),
        ("np.log10(x)", np.log10(X)[:, None]),
        ("log2(x)", np.log2(X)[:, None]),
        ("log(x, 2)", np.log2(X)[:, None]),
        ("log(x, base=10)", np.log10(X)[:, None]),
        ("log(x, 3)", (np.log(X) / np.log(3))[:, None]),
        ("tanh(x)", np.tanh(X)[:, None]),
        ("expit(x - 4)", (1 / (1 + np.exp(4 - X)))[:, None]),
        ("logit(x / 20)", np.log(X / (20 - X))[:, None]),
        ("pmin(x, 4)", np.minimum(X, 4)[:, None]),
        ("pmax(x - 4, 0)", np.maximum(X - 4, 0)[:, None]),
        ("pmax(1, x, 7 - x)", np.max([np.ones_like(X), X, 7 - X], axis=0)[:, None]),
        ("where(x > 4, log(x - 4), 0)", np.array([[np.log(x - 4) if x > 4 else 0.0] for x in X])),
        ("I(pmin(x, 4) + where(x > 4, 1, -1))", (np.minimum(X, 4) + np.where(X > 4, 1, -1))[:, None]),
        ("log1p(x)", np.log1p(X)[:, None]),
        ("exp(x)", np.exp(X)[:, None]),
        ("expm1(x)", np.expm1(X)[:, None]),
        ("sqrt(x)", np.sqrt(X)[:, None]),
        ("abs(x - 4)", np.abs(X - 4)[:, None]),
        ("sin(x)", np.sin(X)[:, None]),
        ("cos(2 * pi * x / 12)", np.cos(2 * np.pi * X / 12)[:, None]),
        ("tan(x)", np.tan(X)[:, None]),
        ("round(x)", np.round(X)[:, None]),
        ("round(x, 1)", np.round(X, 1)[:, None]),
        ("floor(x)", np.floor(X)[:, None]),
        ("ceil(x)", np.ceil(X)[:, None]),
        ("I(x^2)", (X**2)[:, None]),
        ("I(-x + 3)", (3 - X)[:, None]),
        ("I(x // 2)", (X // 2)[:, None]),
        ("I(x % 2)", (X % 2)[:, None]),
        ("I(x > 4)", (X > 4)[:, None].astype(float)),
        ("I((x > 1) * (x <= 5.8))", ((X > 1) & (X <= 5.8))[:, None].astype(float)),
    ],
)
def test_values(term, expected):
    assert design(term).fixed.matrix == pytest.approx(expected, rel=1e-12, abs=2e-14)


@pytest.mark.parametrize(
    ("term", "new", "expected"),
    [
        ("ns(x, df=3)", [-2, 0.3, 5, 12], NS_OUTSIDE),
        ("bs(x, df=5, extrapolation='extend')", [-1, 11], BS_OUTSIDE),
        ("bs(x, df=5, extrapolation='clip')", [-1, 11], BS_DF[[0, -1]]),
        ("bs(x, df=5, extrapolation='zero')", [-1, 11], np.zeros((2, 5))),
        ("bs(x, df=5, extrapolation='na')", [-1, 11], np.full((2, 5), np.nan)),
        ("poly(x, 3)", [-2, 12], POLY_OUTSIDE),
        ("scale(x)", [X.mean(), X.mean() + X.std(ddof=1)], [[0.0], [1.0]]),
    ],
)
def test_new_values_use_what_was_learnt(term, new, expected):
    encoded = design(term).fixed.encode({"x": new})
    assert encoded == pytest.approx(np.array(expected), rel=1e-12, abs=1e-13, nan_ok=True)


STATEFUL = [
    "ns(x, df=3)",
    "bs(x, df=4)",
    "cr(x, df=4)",
    "cs(x, df=4)",
    "poly(x, 2)",
    "scale(x)",
    "center(x)",
    "cut(x, 3)",
]


@pytest.mark.parametrize("term", [*STATEFUL, "C(floor(x / 3))", "scale(log(x)):x", "I(scale(x)**2)", "lag(x)"])
def test_a_part_of_the_data_gives_the_same_rows(term):
    made = design(term)
    some = np.array([5, 2, 7, 4])
    whole = {"x": X} if "lag" in term else {"x": X[some]}
    encoded = made.fixed.encode(whole)
    expected = np.vstack([np.full((1, 1), np.nan), made.fixed.matrix]) if "lag" in term else made.fixed.matrix[some]
    assert encoded == pytest.approx(expected, rel=1e-13, abs=1e-15, nan_ok=True)


def test_b_splines_refuse_values_outside_of_their_range():
    with pytest.raises(DataError, match=r"outside 0\.3 … 9\.4.*extrapolation"):
        design("bs(x, df=5)").fixed.encode({"x": [0.0]})


def test_cubic_regression_splines_span_the_natural_splines_of_their_knots():
    cr = design("cr(x, knots=[2, 6], lower_bound=0.3, upper_bound=9.4)").fixed.matrix
    ns = design("ns(x, knots=[2, 6], include_intercept=True)").fixed.matrix
    assert np.linalg.matrix_rank(np.column_stack([cr, ns]), tol=1e-10) == cr.shape[1] == 4


# levels(cut(X, 4)), as.integer(cut(X, 4)), …
@pytest.mark.parametrize(
    ("term", "levels", "codes"),
    [
        ("cut(x, 4)", ["(0.291,2.57]", "(2.57,4.85]", "(4.85,7.12]", "(7.12,9.41]"], [0, 0, 0, 1, 1, 2, 3, 3]),
        ("cut(x, [0, 2.5, 9.4])", ["(0,2.5]", "(2.5,9.4]"], [0, 0, 0, 1, 1, 1, 1, 1]),
        ("cut(x, [0.3, 2.5, 9.4], include_lowest=True)", ["(0.3,2.5]", "(2.5,9.4]"], [0, 0, 0, 1, 1, 1, 1, 1]),
        ("cut(x, c(0, 3, 10), right=FALSE)", ["[0,3)", "[3,10)"], [0, 0, 0, 0, 1, 1, 1, 1]),
        ("cut(x, [0, 3, 10], labels=['low', 'high'])", ["low", "high"], [0, 0, 0, 0, 1, 1, 1, 1]),
    ],
)
def test_cut(term, levels, codes):
    fixed = design(term).fixed
    assert [name.rpartition("[")[2] if name.endswith("]") else name for name in fixed.names]
    assert [name[name.index(")[") + 2 : -1] for name in fixed.names] == levels
    assert fixed.matrix.argmax(axis=1).tolist() == codes


def test_values_outside_of_the_intervals_are_refused():
    with pytest.raises(DataError, match=r"outside of the intervals.* in 1 row; the first is row 0, where x = 0\.3"):
        design("cut(x, [0.3, 2.5, 9.4])")
    made = design("cut(x, [0, 2.5, 9.4])")
    with pytest.raises(DataError, match=r"2 rows.*x = -1"):
        made.fixed.encode({"x": [1.0, -1.0, 10.0]})


def test_lag_looks_at_the_rows_before_any_are_left_out():
    y = GROUPS["y"].copy()
    y[3] = np.nan
    made = build_design("y ~ lag(x, 2) + (1 | g)", {**GROUPS, "x": X, "y": y})
    assert made.fixed.matrix[:, 1] == pytest.approx(X[[0, 2, 3, 4, 5]])
    assert made.index.tolist() == [2, 4, 5, 6, 7]


def test_lag_forwards_and_of_a_factor():
    data = {**GROUPS, "x": X, "f": list("uvwuvwuv")}
    assert build_design("y ~ lag(x, -1) + (1 | g)", data).fixed.matrix[:, 1] == pytest.approx(X[1:])
    fixed = build_design("y ~ 0 + lag(f) + (1 | g)", data).fixed
    assert fixed.names == ("lag(f)[u]", "lag(f)[v]", "lag(f)[w]")
    assert fixed.matrix.argmax(axis=1).tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert fixed.encode({"f": list("wvw")})[1:].argmax(axis=1).tolist() == [2, 1]


def test_a_missing_value_that_only_a_lag_would_not_see_costs_one_row():
    x = X.copy()
    x[7] = np.nan  # the last value is never looked back at
    assert build_design("y ~ lag(x) + (1 | g)", {**GROUPS, "x": x}).index.tolist() == [1, 2, 3, 4, 5, 6, 7]


def test_learning_inside_of_lag_is_refused():
    with pytest.raises(SpecificationError, match="outside of lag"):
        design("lag(scale(x))")


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ("log(x - 5)", r"log\(x - 5\) is not a number \(NaN\) in 5 rows; the first is row 0, where x = 0\.3"),
        ("I(1 / (x - 2.5))", r"infinite \(inf\) in 1 row; the first is row 2, where x = 2\.5"),
        ("exp(1000 * x)", "infinite"),
        ("log(g)", "g is a factor"),
        ("I(g + 1)", "g is a factor"),
        ("scale(k)", r"scale\(k\): the values are constant"),
        ("bs(k, df=4)", "constant"),
        ("cut(k, 3)", "constant"),
        ("poly(k, 2)", r"needs more than 2 different values"),
        ("ns(twice, df=4)", "knots"),
    ],
)
def test_what_the_data_cannot_give_is_refused_by_name(term, message):
    with pytest.raises(DataError, match=message):
        build_design(f"y ~ {term} + (1 | g)", {**GROUPS, "x": X, "k": np.ones(8), "twice": [0, 0, 0, 0, 0, 0, 0, 1]})


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ("bs(x, df=2)", "df of bs must be at least 3"),
        ("ns(x, df=0)", "df of ns must be at least 1"),
        ("bs(x, df=5, knots=[1])", "either df or knots"),
        ("poly(x, 0)", "at least 1"),
        ("cut(x, 1)", "at least two"),
        ("cut(x, [0, 5, 10], labels=['a'])", "2 intervals but there are 1 labels"),
    ],
)
def test_options_without_meaning_are_refused(term, message):
    with pytest.raises(SpecificationError, match=message):
        design(term)


def test_functions_of_the_user():
    made = design("half(x)", functions={"half": lambda x: x / 2})
    assert made.fixed.matrix[:, 0] == pytest.approx(X / 2)
    assert made.fixed.encode({"x": [4.0]}) == pytest.approx(np.array([[2.0]]))


def test_functions_of_the_user_may_give_several_columns_or_a_factor():
    made = design("both(x)", functions={"both": lambda x: pd.DataFrame({"one": x, "two": x**2})})
    assert made.fixed.names == ("both(x)[one]", "both(x)[two]")
    assert made.fixed.matrix == pytest.approx(np.column_stack([X, X**2]))
    size = {"size": lambda x, limit: np.where(x > limit, "big", "small")}
    made = design("size(x, limit=4)", functions=size)
    assert made.fixed.names == ("size(x, limit=4)[big]", "size(x, limit=4)[small]")
    assert made.fixed.encode({"x": [1.0, 9.0]}).tolist() == [[0, 1], [1, 0]]


def test_constants_of_the_user():
    assert design("I(x * k)", functions={"k": 3.0}).fixed.matrix[:, 0] == pytest.approx(3 * X)


def test_functions_must_return_one_value_a_row():
    with pytest.raises(DataError, match="3 values for 8 rows"):
        design("short(x)", functions={"short": lambda x: x[:3]})


def test_small_integers_do_not_wrap_around():
    data = {**GROUPS, "a": np.arange(8, dtype="uint8"), "b": np.arange(8, dtype="uint8")[::-1] * 30}
    made = build_design("y ~ I(a - b) + I(b**5) + (1 | g)", data)
    a, b = data["a"].astype(float), data["b"].astype(float)
    assert made.fixed.matrix[:, 1:] == pytest.approx(np.column_stack([a - b, b**5]))

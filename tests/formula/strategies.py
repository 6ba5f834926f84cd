"""Random formulas for the property tests."""

from hypothesis import strategies as st

NAMES = st.sampled_from(["x", "z", "w2", "total.fruits", "`my x`", "`a:b`", "log", "C", "class", "`it's`", "Q('q q')"])
GROUPS = st.sampled_from(["g", "h", "`id|2`", "sub.ject", "C", "Q('g g')"])
NUMBERS = st.sampled_from(["2", "0.5", "1e3", "pi", "3.25"])

EXPRESSIONS = st.recursive(
    NAMES,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" + ", " - ", "*", " / ", "^2 + ", " % ", " // "]), NUMBERS).map("".join),
        st.tuples(inner, st.sampled_from(["+", "*", " ** ", " < ", " == "]), inner).map(
            lambda p: f"({p[0]}{p[1]}{p[2]})"
        ),
        st.tuples(st.sampled_from(["log", "np.sqrt", "abs", "scale", "I", "center", "round", "lag"]), inner).map(
            lambda p: f"{p[0]}({p[1]})"
        ),
        inner.map(lambda text: f"(-{text})"),
    ),
    max_leaves=4,
)
FACTORS = st.one_of(
    NAMES,
    EXPRESSIONS.map(lambda text: f"I({text})"),
    st.tuples(NAMES, st.sampled_from(["2", "degree=3", "2, raw=TRUE"])).map(lambda p: f"poly({p[0]}, {p[1]})"),
    st.tuples(NAMES, st.sampled_from(["contr.sum", "Treatment('b')", "contr.poly", "levels=['a', 'b c']"])).map(
        lambda p: f"C({p[0]}, {p[1]})"
    ),
    NAMES.map(lambda name: f"bs({name}, df=4)"),
    st.tuples(NAMES, GROUPS, st.sampled_from(["", ", h"])).map(lambda p: f"wb({p[0]}, {p[1]}{p[2]})"),
    NAMES.map(lambda name: f"I({name} == 'a b')"),
)
TERMS = st.recursive(
    FACTORS,
    lambda inner: st.tuples(inner, st.sampled_from([":", "*", "/", " %in% ", " + "]), inner).map(
        lambda p: f"({p[0]}{p[1]}{p[2]})"
    ),
    max_leaves=3,
)
SUMS = st.tuples(st.sampled_from(["", "0 + ", "1 + ", "-1 + "]), st.lists(TERMS, min_size=1, max_size=3)).map(
    lambda p: p[0] + " + ".join(p[1])
)
GROUPINGS = st.lists(GROUPS, min_size=1, max_size=3, unique=True).flatmap(
    lambda names: st.sampled_from([":", "/", "*"]).map(lambda sign: sign.join(names))
)
BARS = st.one_of(
    st.tuples(
        st.sampled_from(["1", "0 + x", "x", "x*z", "log(w2)", "`my x`", "wb(x, g)"]),
        st.sampled_from(["|", "||"]),
        GROUPINGS,
    ).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
    st.tuples(st.sampled_from(["diag", "cs", "homcs", "ar1", "toep", "us", "hetar1", "homdiag"]), GROUPINGS).map(
        lambda p: f"{p[0]}(0 + z | {p[1]})"
    ),
)
RESPONSES = st.sampled_from(["y", "log(y)", "`the y`", "cbind(s, n - s)", "y/n", "", "y^2", "np.log(y + 1)"])
OFFSETS = st.sampled_from(["", " + offset(log(expo.sure))", " + offset(2*t) + offset(t)"])


@st.composite
def formulas(draw):
    """A formula; most have a meaning, some are refused (the same term twice, one variable on both sides)."""
    bars = draw(st.lists(BARS, max_size=2, unique=True))
    parts = draw(st.permutations([draw(SUMS), *bars]))
    return f"{draw(RESPONSES)} ~ {' + '.join(parts)}{draw(OFFSETS)}"

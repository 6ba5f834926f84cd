# ruff: noqa
# fmt: off
"""Reliability cases for a mixed-effects-model package (LMM/GLMM/ANOVA).

Self-contained: needs numpy and pandas only, imports no package under test.

    from cases import CASES, build, check
    spec = build("NA-01")              # dict: formula, data, family, ..., expect
    outcome = my_adapter(spec)         # see "adapter contract"
    ok, why = check(outcome, spec)

A spec is a dict
    id, category, formula, data         formula is lme4 style; data a pandas DataFrame (or bad on purpose)
    family  "gaussian" | "binomial" | "poisson" | ...      link (None = canonical)
    reml    True/False                  nagq 0/1/k
    weights, offset                     None | array | Series | column name
    newdata, predict_kw                 only for op == "predict"
    op      "fit" | "predict" | "anova" | "meta"
            "meta": needs a hand-written check in the adapter (pickle, threads, seeds, ...); `expect["what"]` says what
    ref     optional second spec (same keys): the fit that must agree (equivariance); `expect["map"]` maps the numbers
    heavy   True: seconds to minutes, or gigabytes
    expect  kind:
        "error"     an exception that is an instance of one of exc (names of built-in classes; a package's own
                    classes must derive from them), whose text matches every regex in mentions (case-insensitive).
                    Never: LinAlgError, IndexError, KeyError-with-bare-name, AssertionError, RecursionError, C-level abort,
                    a silent fit.
        "warn"      a fit, plus a warning or a recorded diagnostic that matches every regex in mentions, plus values
        "ok"        a fit without any warning (singular-fit note allowed if singular=True), plus values
        "same"      result equals that of spec["ref"] after expect["map"]  (rtol in expect)
        "any"       any one of the expectations in `of`
        "meta"      described in words
    values: key -> (number, rtol, atol).  keys: fixef:<name>  se:<name>  sd:<group>:<term>  var:<group>:<term>
            corr:<group>:<t1>:<t2>  sigma  loglik  nobs  ngroups:<g>  pred:<i>  F  MSB  MSW  converged  singular

Adapter contract: return dict(error=None|exception, warnings=[str], fixef={name: v}, se={}, sd={(group, term): v},
    corr={(group,t1,t2): v}, sigma=v, loglik=v, nobs=int, ngroups={g: int}, pred=array, converged=bool, singular=bool, ...)

Determinism: all random numbers come from numpy.random.RandomState (its stream is frozen by NEP 19).
Reference numbers: closed forms are computed here in exact rational arithmetic (fractions); literal numbers state
their source in a comment. NIST: certified values from the StRD .dat files (www.itl.nist.gov/div898/strd/anova).
"""
from __future__ import annotations

import math
import re
from fractions import Fraction

import numpy as np
import pandas as pd

CASES = {}          # id -> (category, function)
NAN, INF = float("nan"), float("inf")


def case(cid, category):
    def deco(f):
        assert cid not in CASES, cid
        CASES[cid] = (category, f)
        return f
    return deco


def build(cid):
    cat, f = CASES[cid]
    s = dict(family="gaussian", link=None, reml=True, nagq=1, weights=None, offset=None, newdata=None,
             predict_kw={}, op="fit", ref=None, heavy=False, kwargs={})
    s.update(f())
    s.update(id=cid, category=cat, doc=(f.__doc__ or "").strip())
    return s


# ------------------------------------------------------------------ expectations
def err(*mentions, exc=("ValueError",)):
    return dict(kind="error", exc=tuple(exc), mentions=list(mentions))


def warn(*mentions, **values):
    return dict(kind="warn", mentions=list(mentions), values=values)


def ok(values=None, singular=None):
    return dict(kind="ok", values=values or {}, singular=singular)


def same(rtol=1e-7, **mp):
    return dict(kind="same", rtol=rtol, map=mp)


def any_of(*of):
    return dict(kind="any", of=list(of))


def meta(what):
    return dict(kind="meta", what=what)


# ------------------------------------------------------------------ data builders
def base(G=12, m=10, seed=1, sb=1.0, se=1.0, slope=0.0, b=(1.0, 2.0)):
    """y = b0 + b1 x + u_g + v_g x + e ; columns y, x, z, f (3-level str), g (str), h (nested str)"""
    r = np.random.RandomState(seed)
    n = G * m
    gi = np.repeat(np.arange(G), m)
    x, z = r.standard_normal(n), r.standard_normal(n)
    u, v, e = r.standard_normal(G), r.standard_normal(G), r.standard_normal(n)
    y = b[0] + b[1] * x + sb * u[gi] + slope * v[gi] * x + se * e
    f = np.array(["a", "b", "c"])[np.arange(n) % 3]
    h = np.array(["p", "q"])[(np.arange(n) // (m // 2 or 1)) % 2]
    return pd.DataFrame({"y": y, "x": x, "z": z, "f": f, "g": np.char.add("g", np.char.zfill(gi.astype(str), 3)).astype(object), "h": h})


def base_bin(G=15, m=20, seed=2, fam="binomial"):
    d = base(G, m, seed)
    r = np.random.RandomState(seed + 100)
    eta = -0.3 + 0.8 * d.x + 0.7 * r.standard_normal(G)[np.repeat(np.arange(G), m)]
    d["y"] = r.binomial(1, 1 / (1 + np.exp(-eta))) if fam == "binomial" else r.poisson(np.exp(eta))
    return d


def balanced(k, n, msb, msw, mean=0, offset=0):
    """Balanced one-way data whose between and within mean squares are EXACTLY msb and msw (up to rounding of the
    stored doubles): group means mean + c_i with sum c_i^2 = (k-1) msb / n, within pattern +-d."""
    assert n % 2 == 0
    c = np.linspace(-1, 1, k)
    c = c * math.sqrt((k - 1) * msb / n / float((c ** 2).sum()))
    d = math.sqrt(msw * k * (n - 1) / (k * n))
    e = np.tile([d, -d], n // 2)
    y = (offset + mean) + (c[:, None] + e[None, :])
    return pd.DataFrame({"y": y.ravel(), "g": np.repeat([f"g{i:03d}" for i in range(k)], n)})


def exact_oneway(y, g):
    """Exact (rational) balanced one-way analysis of the STORED doubles -> dict of floats.
    REML: sigma2 = MSW, sb2 = (MSB-MSW)/n if >= 0; ML: sb2 = (SSB/k - MSW)/n if >= 0 (Searle, Casella & McCulloch 1992,
    ch. 4).  REML logLik as lme4 defines it: -2l = (N-1) log 2pi + log|V| + log|1'V^-1 1| + r'V^-1 r  (no X'X term)."""
    g = np.asarray(g)
    lev = sorted(set(g.tolist()))
    ys = {a: [Fraction(float(v)) for v in np.asarray(y)[g == a]] for a in lev}
    k, n = len(lev), len(ys[lev[0]])
    assert all(len(v) == n for v in ys.values()), "balanced only"
    mu = sum(map(sum, ys.values())) / (k * n)
    ssb = sum(n * (sum(v) / n - mu) ** 2 for v in ys.values())
    ssw = sum(sum(a * a for a in v) - sum(v) ** 2 / n for v in ys.values())
    msb, msw = ssb / (k - 1), ssw / (k * (n - 1))
    out = dict(mean=float(mu), MSB=float(msb), MSW=float(msw), F=float(msb / msw) if msw else INF, SSB=float(ssb), SSW=float(ssw))
    for meth, lam in (("REML", msb), ("ML", ssb / k)):           # lam = n*sb2 + s2 at the interior optimum
        N = k * n
        if lam >= msw:
            s2, l1 = msw, lam
        else:
            s2 = l1 = (ssb + ssw) / (N - 1 if meth == "REML" else N)
        sb2 = (l1 - s2) / n
        q = float(ssb / l1 + ssw / s2)
        ld = k * math.log(float(l1)) + k * (n - 1) * math.log(float(s2))
        m2 = (N - 1 if meth == "REML" else N) * math.log(2 * math.pi) + ld + q
        if meth == "REML":
            m2 += math.log(N) - math.log(float(l1))
        out.update({f"{meth}_s2": float(s2), f"{meth}_sb2": float(sb2), f"{meth}_loglik": -m2 / 2,
                    f"{meth}_se_mean": math.sqrt(float(l1 / N))})
    return out


def oneway_spec(d, reml=True, rtol=1e-6, tag="g", vrtol=1e-4, **kw):
    x = exact_oneway(d.y.values, d[tag].values)
    p = "REML" if reml else "ML"
    v = {"sigma": (math.sqrt(x[p + "_s2"]), rtol, 0), f"sd:{tag}:(Intercept)": (math.sqrt(x[p + "_sb2"]), vrtol, 1e-12),
         "loglik": (x[p + "_loglik"], 1e-9, 1e-6), "fixef:(Intercept)": (x["mean"], 1e-12, 1e-3 * x[p + "_se_mean"]), "se:(Intercept)": (x[p + "_se_mean"], rtol, 0)}
    return dict(formula=f"y ~ 1 + (1|{tag})", data=d, reml=reml, expect=ok(v), **kw)


# ---- public data sets (numbers exported from R lme4 1.1-31) ------------------------------------------------------
DYESTUFF = [1545,1440,1440,1520,1580,1540,1555,1490,1560,1495,1595,1550,1605,1510,1560,1445,1440,1595,1465,1545,1595,1630,1515,1635,1625,1520,1455,1450,1480,1445]
DYESTUFF2 = [7.298,3.846,2.434,9.566,7.99,5.22,6.556,0.608,11.788,-0.892,0.11,10.386,13.434,5.51,8.166,2.212,4.852,7.092,9.288,4.98,0.282,9.014,4.458,9.446,7.198,1.722,4.782,8.106,0.758,3.758]
SLEEP = [249.56,258.7047,250.8006,321.4398,356.8519,414.6901,382.2038,290.1486,430.5853,466.3535,222.7339,205.2658,202.9778,204.707,207.7161,215.9618,213.6303,217.7272,224.2957,237.3142,199.0539,194.3322,234.32,232.8416,229.3074,220.4579,235.4208,255.7511,261.0125,247.5153,321.5426,300.4002,283.8565,285.133,285.7973,297.5855,280.2396,318.2613,305.3495,354.0487,287.6079,285.0,301.8206,320.1153,316.2773,293.3187,290.075,334.8177,293.7469,371.5811,234.8606,242.8118,272.9613,309.7688,317.4629,309.9976,454.1619,346.8311,330.3003,253.8644,283.8424,289.555,276.7693,299.8097,297.171,338.1665,332.0265,348.8399,333.36,362.0428,265.4731,276.2012,243.3647,254.6723,279.0244,284.1912,305.5248,331.5229,335.7469,377.299,241.6083,273.9472,254.4907,270.8021,251.4519,254.6362,245.4523,235.311,235.7541,237.2466,312.3666,313.8058,291.6112,346.1222,365.7324,391.8385,404.2601,416.6923,455.8643,458.9167,236.1032,230.3167,238.9256,254.922,250.7103,269.7744,281.5648,308.102,336.2806,351.6451,256.2968,243.4543,256.2046,255.5271,268.9165,329.7247,379.4445,362.9184,394.4872,389.0527,250.5265,300.0576,269.8939,280.5891,271.8274,304.6336,287.7466,266.5955,321.5418,347.5655,221.6771,298.1939,326.8785,346.8555,348.7402,352.8287,354.4266,360.4326,375.6406,388.5417,271.9235,268.4369,257.2424,277.6566,314.8222,317.2135,298.1353,348.1229,340.28,366.5131,225.264,234.5235,238.9008,240.473,267.5373,344.1937,281.1481,347.5855,365.163,372.2288,269.8804,272.4428,277.8989,281.7895,279.1705,284.512,259.2658,304.6306,350.7807,369.4692,269.4117,273.474,297.5968,310.6316,287.1726,329.6076,334.4818,343.2199,369.1417,364.1236]
SLEEP_SUBJ = "308,309,310,330,331,332,333,334,335,337,349,350,351,352,369,370,371,372".split(",")
CBPP = "1:2:14:1,1:3:12:2,1:4:9:3,1:0:5:4,2:3:22:1,2:1:18:2,2:1:21:3,3:8:22:1,3:2:16:2,3:0:16:3,3:2:20:4,4:2:10:1,4:0:10:2,4:2:9:3,4:0:6:4,5:5:18:1,5:0:25:2,5:0:24:3,5:1:4:4,6:3:17:1,6:0:17:2,6:0:18:3,6:1:20:4,7:8:16:1,7:1:10:2,7:3:9:3,7:0:5:4,8:12:34:1,9:2:9:1,9:0:6:2,9:0:8:3,9:0:6:4,10:1:22:1,10:1:22:2,10:0:18:3,10:2:22:4,11:0:25:1,11:5:27:2,11:3:22:3,11:1:22:4,12:2:10:1,12:1:8:2,12:0:6:3,12:0:5:4,13:1:21:1,13:2:24:2,13:0:19:3,13:0:23:4,14:11:19:1,14:0:2:2,14:0:3:3,14:0:2:4,15:1:19:1,15:1:15:2,15:1:15:3,15:0:15:4"


def dyestuff(v=DYESTUFF):
    return pd.DataFrame({"Yield": np.array(v, float), "Batch": np.repeat(list("ABCDEF"), 5)})


def sleepstudy():
    return pd.DataFrame({"Reaction": SLEEP, "Days": np.tile(np.arange(10.0), 18), "Subject": np.repeat(SLEEP_SUBJ, 10)})


def cbpp():
    t = [list(map(int, r.split(":"))) for r in CBPP.split(",")]
    d = pd.DataFrame(t, columns=["herd", "incidence", "size", "period"])
    d["herd"] = "h" + d.herd.astype(str).str.zfill(2)
    d["period"] = d.period.astype(str)
    d["prop"] = d.incidence / d["size"]
    return d


# =============================================================== A. formula syntax
def _syn(formula, *mentions, exc=("ValueError", "SyntaxError")):
    return dict(formula=formula, data=base(), expect=err(*mentions, exc=exc))


@case("SYN-01", "formula syntax")
def _(): return _syn("y ~ x + (1|g", r"\(|paren|syntax")
@case("SYN-03", "formula syntax")
def _(): return _syn("~ x + (1|g)", r"response|left")
@case("SYN-05", "formula syntax")
def _():
    "bar without parentheses: R reads x + 1|g as ONE random term (x+1|g) and drops x from the fixed part silently"
    return _syn("y ~ x + 1|g", r"paren|\(.*\|")
@case("SYN-06", "formula syntax")
def _(): return _syn("y ~ x + (1|)", r"group|\|")
@case("SYN-07", "formula syntax")
def _(): return _syn("y ~ x + (|g)", r"\||random|empty")
@case("SYN-08", "formula syntax")
def _(): return _syn("y ~ x", r"random|\(1 ?\|")
@case("SYN-10", "formula syntax")
def _():
    "double bar with a factor on the left: lme4 leaves the factor's levels correlated (documented trap)"
    return dict(formula="y ~ x + (f||g)", data=base(G=20, m=15, slope=0),
                expect=any_of(ok({"corr:g:fb:fc": (0.0, 0, 1e-12)}), warn(r"\|\||factor|categor"), err(r"\|\||factor|categor")))
@case("SYN-12", "formula syntax")
def _(): return _syn("y ~ x + * z + (1|g)", r"syntax|operator|\*|parse|expected")
@case("SYN-15", "formula syntax")
def _():
    return dict(formula="y ~ y + x + (1|g)", data=base(), expect=any_of(err(r"response|right|both"), warn(r"response|right|both")))
@case("SYN-16", "formula syntax")
def _():
    "same variable on both sides of the bar (MixedModels.jl: ArgumentError 'Same variable appears on both sides of |')"
    return dict(formula="y ~ x + (f|f)", data=base(), expect=any_of(err(r"both sides|\|"), warn(r"both sides|\|")))
@case("SYN-18", "formula syntax")
def _():
    return dict(formula="y ~ x - 1 + (1|g)", data=base(), ref=dict(formula="y ~ 0 + x + (1|g)", data=base()), expect=same())
@case("SYN-19", "formula syntax")
def _():
    return dict(formula="y ~ x + (1|g/h)", data=base(), ref=dict(formula="y ~ x + (1|g) + (1|g:h)", data=base()), expect=same(1e-5))
@case("SYN-20", "formula syntax")
def _():
    "'.' must be expanded (all other columns but the grouping ones) or refused, never ignored"
    d = base()[["y", "x", "z", "g"]]
    return dict(formula="y ~ . + (1|g)", data=d, expect=any_of(err(r"\."), ok({"n_fixef": (3, 0, 0)})))
@case("SYN-21", "formula syntax")
def _():
    "1000 nested parentheses: a clean refusal or a fit, never RecursionError / stack overflow"
    return dict(formula="y ~ " + "(" * 1000 + "x" + ")" * 1000 + " + (1|g)", data=base(),
                expect=any_of(err(r"nest|deep|complex|long|syntax|paren", exc=("ValueError", "SyntaxError")), ok()))
@case("SYN-22", "formula syntax")
def _(): return _syn("y ~ x\x00 + (1|g)", r"null|character|syntax|invalid|unexpected|token")
@case("SYN-23", "formula syntax")
def _(): return dict(formula=None, data=base(), expect=err(r"formula|str", exc=("TypeError",)))
@case("SYN-24", "formula syntax")
def _():
    "power/term explosion must be bounded"
    d = base()
    for i in range(12): d[f"v{i}"] = np.random.RandomState(i).standard_normal(len(d))
    return dict(formula="y ~ (" + "+".join(f"v{i}" for i in range(12)) + ")**12 + (1|g)", data=d,
                expect=err(r"rank|columns|terms|parameters|observations"))

# =============================================================== B. columns and names
@case("COL-01", "columns")
def _(): return dict(formula="y ~ xx + (1|g)", data=base(), expect=err(r"xx", exc=("ValueError", "KeyError", "NameError")))
@case("COL-02", "columns")
def _(): return dict(formula="y ~ x + (1|gg)", data=base(), expect=err(r"gg", exc=("ValueError", "KeyError", "NameError")))
@case("COL-04", "columns")
def _(): return dict(formula="y ~ x + (1|g)", data=None, expect=err(r"data", exc=("TypeError", "ValueError")))
@case("COL-05", "columns")
def _(): return dict(formula="y ~ x + (1|g)", data=[[1, 2], [3, 4]], expect=err(r"data|frame", exc=("TypeError", "ValueError")))
@case("COL-06", "columns")
def _():
    "a name that is not a column but lives in the caller's / module's globals must not be picked up silently"
    return dict(formula="y ~ x + pi + (1|g)", data=base(), expect=err(r"pi", exc=("ValueError", "KeyError", "NameError")))
@case("COL-08", "columns")
def _():
    d = base().rename(columns={"x": "my x"})
    return dict(formula="y ~ `my x` + (1|g)", data=d, ref=dict(formula="y ~ x + (1|g)", data=base()), expect=same(rename={"my x": "x", "`my x`": "x", "Q('my x')": "x"}))
@case("COL-09", "columns")
def _():
    d = base().rename(columns={"x": "log"})
    return dict(formula="y ~ log + (1|g)", data=d, ref=dict(formula="y ~ x + (1|g)", data=base()), expect=same(rename={"log": "x"}))
@case("COL-12", "columns")
def _():
    d = base().rename(columns={"x": "a:b", "g": "id|2"})
    return dict(formula="y ~ `a:b` + (1|`id|2`)", data=d, ref=dict(formula="y ~ x + (1|g)", data=base()), expect=same(rename={"a:b": "x", "`a:b`": "x", "id|2": "g", "`id|2`": "g"}))
@case("COL-13", "columns")
def _():
    d = base(); d.columns = [0, 1, 2, 3, 4, 5]
    return dict(formula="0 ~ 1 + (1|4)", data=d, expect=err(r"column|name|string|response", exc=("ValueError", "TypeError", "KeyError")))
@case("COL-15", "columns")
def _():
    d = base(); d["X"] = -d.x + d.z
    return dict(formula="y ~ x + X + (1|g)", data=d, expect=ok({"n_fixef": (3, 0, 0)}))
@case("COL-16", "columns")
def _():
    "grouping variable called like a builtin/function"
    d = base().rename(columns={"g": "C"})
    return dict(formula="y ~ x + (1|C)", data=d, ref=dict(formula="y ~ x + (1|g)", data=base()), expect=same(rename={"C": "g"}))

# =============================================================== C. missing and infinite
def _drop(d): return dict(formula="y ~ x + (1|g)", data=d.dropna(subset=["y", "x", "g"]).reset_index(drop=True))


@case("NA-01", "missing/inf")
def _():
    d = base(); d.loc[[3, 50], "y"] = NAN
    return dict(formula="y ~ x + (1|g)", data=d, ref=_drop(d), expect=same(values={"nobs": (118, 0, 0)}))
@case("NA-02", "missing/inf")
def _():
    d = base(); d.loc[[3, 50], "x"] = NAN
    return dict(formula="y ~ x + (1|g)", data=d, ref=_drop(d), expect=same(values={"nobs": (118, 0, 0)}))
@case("NA-05", "missing/inf")
def _():
    d = base(); d["g"] = d.g.astype("string"); d.loc[[3, 50, 51], "g"] = pd.NA; d["x"] = d.x.astype("Float64"); d.loc[7, "x"] = pd.NA
    return dict(formula="y ~ x + (1|g)", data=d, ref=dict(formula="y ~ x + (1|g)", data=d.dropna().assign(x=lambda t: t.x.astype(float), g=lambda t: t.g.astype(object)).reset_index(drop=True)),
                expect=same(values={"nobs": (116, 0, 0), "ngroups:g": (12, 0, 0)}))
@case("NA-06", "missing/inf")
def _():
    d = base(); d.loc[3, "y"] = INF
    return dict(formula="y ~ x + (1|g)", data=d, expect=err(r"inf", r"y"))
@case("NA-08", "missing/inf")
def _():
    d = base(); d["x"] = np.abs(d.x); d.loc[3, "x"] = 0.0
    return dict(formula="y ~ log(x) + (1|g)", data=d, expect=err(r"inf", r"log"))
@case("NA-09", "missing/inf")
def _():
    d = base(); d["x"] = NAN
    return dict(formula="y ~ x + (1|g)", data=d, expect=err(r"missing|no (rows|obs|cases)|0 .*cases|empty"))
@case("NA-10", "missing/inf")
def _():
    "NaN in a column the formula does not use changes nothing"
    d = base(); d.loc[::3, "z"] = NAN
    return dict(formula="y ~ x + (1|g)", data=d, ref=dict(formula="y ~ x + (1|g)", data=base()), expect=same(values={"nobs": (120, 0, 0)}))
@case("NA-11", "missing/inf")
def _():
    d = base(); w = np.ones(120); w[4] = NAN
    d2 = d.drop(index=4).reset_index(drop=True)
    return dict(formula="y ~ x + (1|g)", data=d, weights=w,
                expect=any_of(err(r"weight"), dict(same(values={"nobs": (119, 0, 0)}), ref=dict(formula="y ~ x + (1|g)", data=d2))))
@case("NA-12", "missing/inf")
def _():
    "missing values remove a whole group: the level goes"
    d = base(); d.loc[d.g == "g003", "x"] = NAN
    return dict(formula="y ~ x + (1|g)", data=d, ref=_drop(d), expect=same(values={"ngroups:g": (11, 0, 0), "nobs": (110, 0, 0)}))
@case("NA-14", "missing/inf")
def _():
    "the empty string and 'nan'/'NA'/'None' strings are ordinary levels"
    d = base(); d["g"] = d.g.replace({"g000": "", "g001": "nan", "g002": "NA", "g003": "None"})
    return dict(formula="y ~ x + (1|g)", data=d, ref=dict(formula="y ~ x + (1|g)", data=base()), expect=same(values={"ngroups:g": (12, 0, 0), "nobs": (120, 0, 0)}))
@case("NA-15", "missing/inf")
def _():
    "missing group label for an interaction term a:b"
    d = base(); d.loc[[0, 1], "h"] = None
    return dict(formula="y ~ x + (1|g:h)", data=d, ref=dict(formula="y ~ x + (1|g:h)", data=d.dropna().reset_index(drop=True)), expect=same(values={"nobs": (118, 0, 0)}))

# =============================================================== D. degenerate designs
@case("DEG-01", "degenerate")
def _(): return dict(formula="y ~ x + (1|g)", data=base().iloc[:0], expect=err(r"no (rows|obs|data)|empty|0 "))
@case("DEG-02", "degenerate")
def _(): return dict(formula="y ~ 1 + (1|g)", data=base().iloc[:1], expect=err(r"observ|rows|level|group"))
@case("DEG-03", "degenerate")
def _(): return dict(formula="y ~ x + (1|g)", data=base().assign(g="one"), expect=err(r"g\b", r"level|group"))
@case("DEG-04", "degenerate")
def _():
    d = base(); d["id"] = np.arange(len(d)).astype(str)
    return dict(formula="y ~ x + (1|id)", data=d, expect=err(r"id", r"level|observ|identif"))
@case("DEG-05", "degenerate")
def _():
    "observation-level random effect in a Poisson GLMM is legal"
    d = base_bin(fam="poisson"); d["id"] = np.arange(len(d)).astype(str)
    return dict(formula="y ~ x + (1|id)", data=d, family="poisson", expect=ok({"nobs": (300, 0, 0), "loglik": (-398.93416656, 0, 1e-3)}))   # mixedlm 1.3.0 = lme4 to 2e-6
@case("DEG-07", "degenerate")
def _():
    d = base(); d["g"] = pd.Categorical(d.g, categories=sorted(set(d.g)) + ["zz1", "zz2"])
    return dict(formula="y ~ x + (1|g)", data=d, ref=dict(formula="y ~ x + (1|g)", data=base()), expect=same(values={"ngroups:g": (12, 0, 0)}))
@case("DEG-08", "degenerate")
def _():
    d = base(); d["f"] = pd.Categorical(d.f, categories=["0", "a", "b", "c", "d"])
    return dict(formula="y ~ f + (1|g)", data=d, ref=dict(formula="y ~ f + (1|g)", data=base()), expect=same(values={"n_fixef": (3, 0, 0)}))
@case("DEG-09", "degenerate")
def _():
    d = base().iloc[:111]          # last group: one observation
    return dict(formula="y ~ x + (1|g)", data=d, expect=ok({"ngroups:g": (12, 0, 0), "nobs": (111, 0, 0)}))
@case("DEG-10", "degenerate")
def _():
    "MixedModels.jl: ArgumentError 'The response is constant and thus model fitting has failed'"
    return dict(formula="y ~ x + (1|g)", data=base().assign(y=3.0), expect=err(r"constant"))
@case("DEG-11", "degenerate")
def _():
    d = base().assign(x=7.0)
    return dict(formula="y ~ x + (1|g)", data=d, expect=any_of(err(r"rank|collinear|constant", r"x"), warn(r"rank|collinear|constant|dropp", r"x")))
@case("DEG-13", "degenerate")
def _():
    "exact copies: error, or drop one and say which; never coefficients near +-1e13"
    d = base(); d["z"] = 3 * d.x
    return dict(formula="y ~ x + z + (1|g)", data=d, expect=any_of(err(r"rank|collinear", r"x|z"), warn(r"rank|collinear|dropp", r"x|z")))
@case("DEG-14", "degenerate")
def _():
    d = base(); d["z"] = (d.f == "b").astype(float)
    return dict(formula="y ~ f + z + (1|g)", data=d, expect=any_of(err(r"rank|collinear"), warn(r"rank|collinear|dropp")))
@case("DEG-15", "degenerate")
def _():
    "empty cell in f:h"
    d = base(); d["k"] = np.where(np.arange(len(d)) % 2, "u", "v"); d = d[~((d.f == "c") & (d.k == "v"))].reset_index(drop=True)
    return dict(formula="y ~ f*k + (1|g)", data=d, expect=any_of(err(r"rank|cell|collinear"), warn(r"rank|cell|collinear|dropp")))
@case("DEG-16", "degenerate")
def _():
    d = base(G=5, m=4)
    for i in range(25): d[f"v{i}"] = np.random.RandomState(i).standard_normal(20)
    return dict(formula="y ~ " + "+".join(f"v{i}" for i in range(25)) + " + (1|g)", data=d, expect=any_of(err(r"rank|more .*(columns|param|coef)|observ"), warn(r"rank|dropp")))
@case("DEG-17", "degenerate")
def _():
    "nearly collinear (relative 1e-9): either refused by name or the well determined sum is right"
    d = base(); d["z"] = d.x + 1e-9 * np.random.RandomState(9).standard_normal(len(d))
    return dict(formula="y ~ x + z + (1|g)", data=d, expect=any_of(err(r"rank|collinear"), warn(r"rank|collinear|condition|dropp"), ok()))
@case("DEG-18", "degenerate")
def _():
    return dict(formula="y ~ x + (1|g)", data=base(G=2, m=30), expect=any_of(ok({"ngroups:g": (2, 0, 0)}), warn(r"level|group")))
@case("DEG-21", "degenerate")
def _():
    "the same factor fixed and random: variance not identifiable (REML criterion flat in theta)"
    return dict(formula="y ~ g + (1|g)", data=base(), expect=any_of(err(r"identif|fixed.*random|confound|aliased"), warn(r"identif|singular|fixed.*random|confound|flat|converge")))
@case("DEG-23", "degenerate")
def _():
    "crossed factors that are aliases of each other (g2 is g relabelled)"
    d = base(); d["g2"] = d.g.map({k: f"z{i}" for i, k in enumerate(sorted(set(d.g)))})
    return dict(formula="y ~ x + (1|g) + (1|g2)", data=d, expect=any_of(err(r"identif|alias|same"), warn(r"identif|alias|same|singular|converge")))

# =============================================================== E. scale, location, relabelling (equivariance)
def _eq(d, ref, rtol=1e-6, formula="y ~ x + (1|g)", rformula=None, **mp):
    return dict(formula=formula, data=d, ref=dict(formula=rformula or formula, data=ref), expect=same(rtol, **mp))


@case("SCL-03", "equivariance")
def _(): d = base(); return _eq(d.assign(x=d.x * 1e8), d, scale_x={"x": 1e8})
@case("SCL-04", "equivariance")
def _(): d = base(); return _eq(d.assign(x=d.x * 1e-8), d, scale_x={"x": 1e-8})
@case("SCL-07", "equivariance")
def _(): d = base(); return _eq(d.assign(y=d.y + 1e9), d, 1e-5, only=["fixef:x", "sigma", "sd:g:(Intercept)", "loglik"])
@case("SCL-08", "equivariance")
def _(): d = base(); return _eq(d.sample(frac=1, random_state=np.random.RandomState(0)).reset_index(drop=True), d, 1e-8)
@case("SCL-10", "equivariance")
def _(): d = base(); return _eq(d.assign(g=pd.Categorical(d.g).codes), d, 1e-8)
@case("SCL-11", "equivariance")
def _():
    "other reference level: same likelihood and variance components"
    d = base(); return _eq(d.assign(f=pd.Categorical(d.f, categories=["c", "b", "a"])), d, 1e-7, "y ~ f + (1|g)", only=["loglik", "sigma", "sd:g:(Intercept)"])
@case("SCL-12", "equivariance")
def _():
    "ML likelihood invariant under X -> XA"
    d = base(); s = _eq(d.assign(x=2 * d.x + 3 * d.z, z=d.x - d.z), d, 1e-7, "y ~ x + z + (1|g)", only=["loglik", "sigma", "sd:g:(Intercept)"]); s["reml"] = False; s["ref"]["reml"] = False; return s
@case("SCL-13", "equivariance")
def _(): d = base(); return _eq(d.assign(x=d.x.astype("float32"), y=d.y.astype("float32")), d.assign(x=d.x.astype("float32").astype(float), y=d.y.astype("float32").astype(float)), 1e-7)
@case("SCL-14", "equivariance")
def _():
    "adding a term offset c*x must shift the slope by exactly -c"
    d = base(); return dict(formula="y ~ x + (1|g)", data=d, offset=3.0 * d.x.values, ref=dict(formula="y ~ x + (1|g)", data=d), expect=same(1e-7, shift_fixef={"x": -3.0}))

# =============================================================== F. near singular covariance
@case("SNG-01", "singular")
def _():
    "Dyestuff2: the REML optimum is theta = 0 exactly (test of lme4 and MixedModels.jl)"
    return dict(formula="Yield ~ 1 + (1|Batch)", data=dyestuff(DYESTUFF2), expect=ok({"fixef:(Intercept)": (5.6656, 1e-12, 0), "sd:Batch:(Intercept)": (0.0, 0, 1e-3), "sigma": (math.sqrt(np.var(DYESTUFF2, ddof=1)), 1e-6, 0)}, singular=True))
@case("SNG-02", "singular")
def _():
    "lme4 issue 17 (false zero): balanced ML estimate has a closed form > 0"
    r = np.random.RandomState(1); t = r.normal(0, 1.5, 10); d = pd.DataFrame({"y": 2 + np.repeat(t, 5) + r.normal(0, 2, 50), "g": np.repeat([f"g{i}" for i in range(10)], 5)})
    return oneway_spec(d, reml=False)
@case("SNG-05", "singular")
def _():
    "sb/s = 1e5 (closed form)"
    return oneway_spec(balanced(10, 10, 1e11 + 1, 1.0), vrtol=1e-4)
@case("SNG-06", "singular")
def _():
    "maximal model on little data: 5 correlated random terms, 10 groups -> singular, honest flag, finite standard errors"
    r = np.random.RandomState(11); d = base(G=10, m=12, seed=11)
    for i in range(3): d[f"w{i}"] = r.standard_normal(120)
    return dict(formula="y ~ x + w0 + w1 + w2 + (1 + x + w0 + w1 + w2|g)", data=d, expect=ok(singular=True))
@case("SNG-08", "singular")
def _():
    "exactly on the edge: MSB = MSW (gradient zero at zero)"
    s = oneway_spec(balanced(8, 6, 1.0, 1.0)); s["expect"]["values"]["sd:g:(Intercept)"] = (0.0, 0, 5e-3); s["expect"]["singular"] = None; return s

# =============================================================== G. GLMM
@case("GLM-01", "glmm")
def _():
    "complete separation by x: no finite maximum for the slope"
    d = base_bin(); d["y"] = (d.x > 0).astype(int)
    return dict(formula="y ~ x + (1|g)", data=d, family="binomial", expect=any_of(err(r"separat|infinite|diverg"), warn(r"separat|infinite|diverg|0 or 1|converge")))
@case("GLM-02", "glmm")
def _():
    "quasi separation (lme4 test: one row with x2 = 1)"
    r = np.random.RandomState(101); d = pd.DataFrame({"y": r.binomial(1, .5, 1000), "x": r.uniform(size=1000), "g": np.repeat([f"f{i:02d}" for i in range(20)], 50), "x2": np.repeat([0, 1], [999, 1])}); d.loc[999, "y"] = 0
    return dict(formula="y ~ x + x2 + (1|g)", data=d, family="binomial", expect=any_of(err(r"separat"), warn(r"separat|infinite|diverg|converge")))
@case("GLM-03", "glmm")
def _(): return dict(formula="y ~ x + (1|g)", data=base_bin().assign(y=0), family="binomial", expect=err(r"constant|all .*(0|zero|same)|separat"))
@case("GLM-04", "glmm")
def _(): return dict(formula="y ~ x + (1|g)", data=base_bin(fam="poisson").assign(y=0), family="poisson", expect=err(r"constant|all .*(0|zero)"))
@case("GLM-05", "glmm")
def _():
    d = base_bin(fam="poisson"); d.loc[d.g == "g004", "y"] = 0
    return dict(formula="y ~ x + (1|g)", data=d, family="poisson", expect=ok({"converged": (1, 0, 0), "loglik": (-340.630173587, 0, 1e-4), "fixef:(Intercept)": (-0.442506681, 1e-3, 0)}))   # glmmTMB = glmer(tolPwrss=1e-12)
@case("GLM-07", "glmm")
def _():
    "exact Laplace optimum, 30-digit arithmetic (this project): -92.026281864757; glmmTMB and MixedModels.jl agree; lme4 DEFAULT gives -92.0265664 (tolPwrss 1e-7)"
    d = cbpp(); return dict(formula="prop ~ period + (1|herd)", data=d, family="binomial", weights=d["size"].values.astype(float),
        expect=ok({"loglik": (-92.026281864757, 0, 1e-6), "fixef:(Intercept)": (-1.398532142, 1e-4, 0), "fixef:period2": (-0.9923327349, 1e-4, 0), "fixef:period3": (-1.128672084, 1e-4, 0), "fixef:period4": (-1.580313885, 1e-4, 0), "sd:herd:(Intercept)": (0.6422614484, 1e-4, 0)}))
@case("GLM-07b", "glmm")
def _():
    "cbpp, 25-point AGQ: maximum of the (practically) exact likelihood; lme4 reports logLik up to a constant for nAGQ > 1"
    d = cbpp(); return dict(formula="prop ~ period + (1|herd)", data=d, family="binomial", nagq=25, weights=d["size"].values.astype(float),
        expect=ok({"loglik": (-91.983369037311, 0, 1e-6), "fixef:(Intercept)": (-1.399230444, 1e-4, 0), "fixef:period2": (-0.9914036724, 1e-4, 0), "fixef:period3": (-1.127819467, 1e-4, 0), "fixef:period4": (-1.57947075, 1e-4, 0), "sd:herd:(Intercept)": (0.647518478, 1e-4, 0)}))
@case("GLM-10", "glmm")
def _():
    d = base_bin(); d.loc[3, "y"] = 2
    return dict(formula="y ~ x + (1|g)", data=d, family="binomial", expect=err(r"0.*1|binary|support|trial"))
@case("GLM-11", "glmm")
def _():
    d = base(); d["y"] = np.exp(d.y * .2); d.loc[3, "y"] = 0.0
    return dict(formula="y ~ x + (1|g)", data=d, family="gamma", expect=err(r"positive|support|> ?0|gamma"))
@case("GLM-13", "glmm")
def _():
    d = base_bin(); return dict(formula="y ~ x + (1|g)", data=d.assign(y=d.y.astype(bool)), family="binomial", ref=dict(formula="y ~ x + (1|g)", data=d, family="binomial"), expect=same(1e-8, values={"loglik": (-179.640679769, 0, 1e-5)}))   # glmmTMB
@case("GLM-14", "glmm")
def _():
    d = base_bin(); d["y"] = pd.Categorical(np.array(["a", "b", "c"])[np.arange(len(d)) % 3])
    return dict(formula="y ~ x + (1|g)", data=d, family="binomial", expect=err(r"level|binary|two|2|categor|numeric", exc=("ValueError", "TypeError")))
@case("GLM-15", "glmm")
def _():
    "a row with 0 trials carries no information"
    d = cbpp(); d2 = pd.concat([d, d.iloc[[0]].assign(incidence=0, size=0, prop=0.0)], ignore_index=True)
    return dict(formula="prop ~ period + (1|herd)", data=d2, family="binomial", weights=d2["size"].values.astype(float),
                expect=any_of(err(r"trial|weight|zero|0"), dict(same(1e-5), ref=dict(formula="prop ~ period + (1|herd)", data=d, family="binomial", weights=d["size"].values.astype(float)))))
@case("GLM-16", "glmm")
def _():
    d = cbpp(); d.loc[0, "prop"] = 1.5
    return dict(formula="prop ~ period + (1|herd)", data=d, family="binomial", weights=d["size"].values.astype(float), expect=err(r"\[0, ?1\]|0 .*1|proportion|trial|support"))
@case("GLM-17", "glmm")
def _():
    d = base_bin(); return dict(formula="y ~ x + (1|g) + (1|h)", data=d, family="binomial", nagq=5, expect=err(r"nagq|quadrature", r"single|one|scalar"))
@case("GLM-19", "glmm")
def _():
    "expected counts ~1e6: Laplace and AGQ agree, no overflow"
    r = np.random.RandomState(5); d = base(G=10, m=10); d["y"] = r.poisson(np.exp(14 + .1 * d.x + .2 * np.repeat(r.standard_normal(10), 10)))
    return dict(formula="y ~ x + (1|g)", data=d, family="poisson", expect=ok({"fixef:x": (0.1, 0.02, 0), "loglik": (-912.129362858, 0, 1e-4), "converged": (1, 0, 0)}))
@case("GLM-20", "glmm")
def _():
    d = base_bin(fam="poisson"); o = np.zeros(len(d)); o[3] = 800.0
    return dict(formula="y ~ x + (1|g)", data=d, family="poisson", offset=o, expect=any_of(err(r"offset|overflow|finite"), warn(r"offset|overflow|converge|finite")))
@case("GLM-23", "glmm")
def _():
    d = base_bin(fam="poisson"); ex = np.ones(len(d)); ex[3] = 0
    with np.errstate(divide="ignore"): o = np.log(ex)
    return dict(formula="y ~ x + (1|g)", data=d, family="poisson", offset=o, expect=err(r"offset", r"inf|finite"))
@case("GLM-24", "glmm")
def _():
    "binary response, each group constant (all 0 or all 1): variance -> infinity"
    d = base_bin(); d["y"] = (pd.Categorical(d.g).codes % 2).astype(int)
    return dict(formula="y ~ 1 + (1|g)", data=d, family="binomial", expect=any_of(err(r"separat|varianc|diverg"), warn(r"separat|varianc|diverg|converge")))
@case("GLM-25", "glmm")
def _():
    "rare events: 3 ones in 2000"
    d = base_bin(G=40, m=50); d["y"] = 0; d.loc[[5, 700, 1500], "y"] = 1
    return dict(formula="y ~ 1 + (1|g)", data=d, family="binomial", expect=any_of(ok(), warn(r"singular|boundary|converge|few")))

# =============================================================== H. weights and offsets
@case("WTS-02", "weights/offset")
def _(): w = np.ones(120); w[3] = -1.0; return dict(formula="y ~ x + (1|g)", data=base(), weights=w, expect=err(r"weight", r"negativ|positive|>"))
@case("WTS-03", "weights/offset")
def _(): w = np.ones(120); w[3] = INF; return dict(formula="y ~ x + (1|g)", data=base(), weights=w, expect=err(r"weight", r"inf|finite"))
@case("WTS-06", "weights/offset")
def _(): o = np.zeros(120); o[3] = INF; return dict(formula="y ~ x + (1|g)", data=base(), offset=o, expect=err(r"offset", r"inf|finite"))
@case("WTS-08", "weights/offset")
def _():
    "a Series whose index is a permutation of the data index: align by label or refuse; never use by position silently"
    d = base(); w = pd.Series(np.linspace(.5, 2, 120), index=d.index); ws = w.sample(frac=1, random_state=np.random.RandomState(0))
    return dict(formula="y ~ x + (1|g)", data=d, weights=ws, expect=any_of(err(r"index|align"), dict(same(1e-7), ref=dict(formula="y ~ x + (1|g)", data=d, weights=w.values))))
@case("WTS-09", "weights/offset")
def _():
    "rows dropped for NaN: the weights must be subset in step"
    d = base(); w = np.linspace(.5, 2, 120); d.loc[[0, 60], "x"] = NAN; k = d.x.notna().values
    return dict(formula="y ~ x + (1|g)", data=d, weights=w, ref=dict(formula="y ~ x + (1|g)", data=d[k].reset_index(drop=True), weights=w[k]), expect=same(1e-7))
@case("WTS-12", "weights/offset")
def _():
    d = base(); return dict(formula="y ~ x + (1|g) + offset(z)", data=d, ref=dict(formula="y ~ x + (1|g)", data=d, offset=d.z.values), expect=same(1e-8))

# =============================================================== I. index and dtypes
def _idx(f):
    d = base(); d2 = d.copy(); d2.index = f(d2); return _eq(d2, d, 1e-10)


@case("IDX-01", "index/dtype")
def _(): return _idx(lambda d: np.random.RandomState(0).permutation(len(d)))
@case("IDX-03", "index/dtype")
def _(): return _idx(lambda d: pd.MultiIndex.from_arrays([np.arange(len(d)) // 10, np.arange(len(d)) % 10], names=["g", "k"]))
@case("IDX-04", "index/dtype")
def _(): return _idx(lambda d: pd.date_range("2020-01-01", periods=len(d), tz="UTC"))
@case("IDX-05", "index/dtype")
def _():
    d = base(); d.loc[10, "x"] = NAN; d2 = d[d.z > -1]
    return _eq(d2, d2.dropna().reset_index(drop=True), 1e-10)
@case("IDX-09", "index/dtype")
def _(): return dict(formula="y ~ x + (1|g)", data=base().assign(x=pd.date_range("2020", periods=120)), expect=err(r"x", r"date|time|dtype|type", exc=("ValueError", "TypeError")))
@case("IDX-10", "index/dtype")
def _(): d = base(); return dict(formula="y ~ x + (1|g)", data=d.assign(x=d.x + 1j), expect=err(r"x", r"complex|dtype|type", exc=("ValueError", "TypeError")))
@case("IDX-12", "index/dtype")
def _():
    d = base(); k = np.arange(120) % 7; return _eq(d.assign(x=pd.array(k, dtype="Int64"), y=pd.array(d.y, dtype="Float64"), z=pd.array(k % 2 == 0, dtype="boolean")), d.assign(x=k.astype(float)), 1e-9)
@case("IDX-13", "index/dtype")
def _(): d = base(); return _eq(d.assign(g=d.g.astype("string")), d, 1e-10)
@case("IDX-14", "index/dtype")
def _():
    "a categorical with integer categories is a factor (3 dummies), not a number"
    d = base(); k = np.arange(120) % 4 + 1; return dict(formula="y ~ k + (1|g)", data=d.assign(k=pd.Categorical(k)), expect=ok({"n_fixef": (4, 0, 0)}))
@case("IDX-15", "index/dtype")
def _(): d = base(); c = pd.Categorical(d.g).codes.astype("int64"); return _eq(d.assign(g=c + (2**63 - 100)), d, 1e-9)
@case("IDX-17", "index/dtype")
def _():
    "large integers stored as float group labels 2**53, 2**53+2 stay distinct"
    d = base(); c = pd.Categorical(d.g).codes; return _eq(d.assign(g=(2.0 ** 53) + 2.0 * c), d, 1e-9, values={"ngroups:g": (12, 0, 0)})
@case("IDX-18", "index/dtype")
def _():
    "a:b with labels that contain ':' -- ('x:y','z') and ('x','y:z') are different cells"
    r = np.random.RandomState(3); cells = [("x:y", "z"), ("x", "y:z"), ("p", "q"), ("p", "z"), ("x:y", "q"), ("x", "z"), ("p", "y:z"), ("x", "q")]
    u = [3., -3., 1, -1, .5, -.5, 2, -2]; rows = [(a, b, uu + r.standard_normal()) for (a, b), uu in zip(cells, u) for _ in range(10)]
    d = pd.DataFrame(rows, columns=["a", "b", "y"]); d2 = d.assign(cell=[f"c{i // 10}" for i in range(80)])
    return dict(formula="y ~ 1 + (1|a:b)", data=d, ref=dict(formula="y ~ 1 + (1|cell)", data=d2), expect=same(1e-6, only=["loglik", "sigma"], values={"ngroups:a:b": (8, 0, 0)}))
@case("IDX-19", "index/dtype")
def _(): d = base(); return _eq(d.assign(g=d.g.str[:-1] + d.g.str[-1].map(lambda s: s + " " if int(s) % 2 else s)), d, 1e-9)
@case("IDX-20", "index/dtype")
def _(): return dict(formula="y ~ x + (1|g)", data=base(), op="meta", expect=meta("the caller's frame is bit-identical after fit/predict/anova (values, dtypes, index, attrs); the arrays may be read-only; pandas copy-on-write on and off"))
@case("IDX-21", "index/dtype")
def _(): return dict(formula="y ~ x + (1|g)", data=base(), op="meta", expect=meta("polars.DataFrame and pyarrow Table (if accepted) give bit-identical numbers to pandas; polars null == missing, polars NaN in a float column == missing or refused, documented"))
@case("IDX-22", "index/dtype")
def _():
    "uint8 arithmetic inside the formula must not wrap around"
    d = base(); a = (np.arange(120) * 7 % 251).astype("uint8"); b = (np.arange(120) * 13 % 241).astype("uint8"); d = d.assign(a=a, b=b)
    return _eq(d, d.assign(a=a.astype(float), b=b.astype(float)), 1e-9, "y ~ I(a - b) + (1|g)", only=["loglik", "sigma"])
@case("IDX-23", "index/dtype")
def _():
    "int32 power overflow: I(k**5) with k up to 120 exceeds 2**31"
    d = base().assign(k=np.arange(120, dtype="int32")); return _eq(d, d.assign(k=d.k.astype(float)), 1e-9, "y ~ I(k**5) + (1|g)", only=["loglik", "sigma"])
@case("IDX-24", "index/dtype")
def _(): d = base(); return _eq(d.assign(y=pd.arrays.SparseArray(d.y.round(0)), x=pd.arrays.SparseArray((d.x > 0).astype(float))), d.assign(y=d.y.round(0), x=(d.x > 0).astype(float)), 1e-9)
@case("IDX-26", "index/dtype")
def _():
    "unhashable / nested objects as labels"
    d = base(); d["g"] = [[s] for s in d.g]; return dict(formula="y ~ x + (1|g)", data=d, expect=err(r"g", r"type|hash|list|label", exc=("ValueError", "TypeError")))

# =============================================================== J. predict
def _prd(newdata, expect, formula="y ~ x + f + (1|g)", d=None, **kw):
    return dict(formula=formula, data=base() if d is None else d, op="predict", newdata=newdata, predict_kw=kw, expect=expect)


@case("PRD-02", "predict")
def _(): return _prd(base().iloc[[0, 40]].assign(g=["NEW1", "NEW2"]), dict(kind="predsame", to="population"), allow_new_levels=True)
@case("PRD-03", "predict")
def _(): return _prd(base().drop(columns="x").head(), err(r"x", exc=("ValueError", "KeyError", "NameError")))
@case("PRD-04", "predict")
def _():
    "other category order in newdata: same rows, same predictions"
    d = base(); return _prd(d.head(9).assign(f=pd.Categorical(d.f.head(9), categories=["c", "b", "a"])), dict(kind="predsame", to="fitted", rows=list(range(9))))
@case("PRD-05", "predict")
def _():
    "only one (non-reference) level of f in newdata; a freshly built design would drop its column"
    d = base(); r = list(np.flatnonzero(d.f == "c")[:4]); return _prd(d.iloc[r], dict(kind="predsame", to="fitted", rows=[int(i) for i in r]))
@case("PRD-06", "predict")
def _():
    "only levels b, c: a rebuilt treatment coding would make b the reference"
    d = base(); r = list(np.flatnonzero(d.f != "a")[:6]); return _prd(d.iloc[r], dict(kind="predsame", to="fitted", rows=[int(i) for i in r]))
@case("PRD-08", "predict")
def _():
    "scale()/center() must use the training mean and sd"
    d = base(); return _prd(d.head(5), dict(kind="predsame", to="fitted", rows=list(range(5))), formula="y ~ scale(x) + (1|g)")
@case("PRD-09", "predict")
def _(): d = base(); return _prd(d.head(5), dict(kind="predsame", to="fitted", rows=list(range(5))), formula="y ~ poly(x, 2) + (1|g)")
@case("PRD-10", "predict")
def _(): d = base(); return _prd(d.head(8), dict(kind="predsame", to="fitted", rows=list(range(8))), formula="y ~ bs(x, df=4) + (1|g)")
@case("PRD-11", "predict")
def _():
    d = base().head(4).copy(); d.loc[1, "x"] = NAN
    return _prd(d, any_of(err(r"missing|nan", r"x|newdata"), dict(kind="predsame", to="fitted", rows=[0, None, 2, 3])))
@case("PRD-13", "predict")
def _(): d = base().iloc[[5, 3]]; d.index = ["u", "v"]; return _prd(d, dict(kind="predsame", to="fitted", rows=[5, 3], index=["u", "v"]))
@case("PRD-14", "predict")
def _(): return _prd(base().drop(columns=["y"]).head(5), dict(kind="predsame", to="fitted", rows=list(range(5))))
@case("PRD-15", "predict")
def _(): return _prd(base().drop(columns=["g"]).head(5), dict(kind="predsame", to="population"), re_form="none")
@case("PRD-16", "predict")
def _():
    "categorical group in newdata whose codes mean other levels"
    d = base(); return _prd(d.tail(5).assign(g=pd.Categorical(d.g.tail(5))), dict(kind="predsame", to="fitted", rows=list(range(115, 120))))
@case("PRD-17", "predict")
def _():
    "rank-deficient training design: predictions equal those of the reduced model"
    d = base(); d["z"] = 3 * d.x; return _prd(d.head(5), dict(kind="predsame", to="fitted", rows=list(range(5))), formula="y ~ x + z + (1|g)", d=d)
@case("PRD-18", "predict")
def _():
    "integer-typed new x, and x as int where training was float"
    d = base(); return _prd(pd.DataFrame({"x": [1, 2], "f": ["a", "b"], "g": ["g000", "g001"]}), dict(kind="meta", what="equals prediction with x = 1.0, 2.0"))

# =============================================================== K. big
@case("BIG-01", "big")
def _():
    "1e6 rows, 1e5 levels, random intercept: peak memory < 2 GB, < 60 s on one core"
    r = np.random.RandomState(0); n, q = 10**6, 10**5; g = r.randint(q, size=n); x = r.standard_normal(n)
    return dict(formula="y ~ x + (1|g)", data=pd.DataFrame({"y": 1 + x + r.standard_normal(q)[g] + r.standard_normal(n), "x": x, "g": g}), heavy=True, expect=ok({"sigma": (1.0, 5e-3, 0), "sd:g:(Intercept)": (1.0, 1e-2, 0), "fixef:x": (1.0, 5e-3, 0)}))
@case("BIG-03", "big")
def _():
    "a 1e5-level factor put into the FIXED part by mistake: refuse before allocating 80 GB"
    r = np.random.RandomState(2); n = 10**5
    return dict(formula="y ~ id + (1|g)", data=pd.DataFrame({"y": r.standard_normal(n), "id": [f"s{i}" for i in range(n)], "g": r.randint(50, size=n).astype(str)}), heavy=True, expect=err(r"id", r"level|column|memory|rank", exc=("ValueError", "MemoryError")))
@case("BIG-04", "big")
def _():
    "random slopes for a 300-level factor: 45150 covariance parameters: refuse or warn, do not hang"
    r = np.random.RandomState(3); n = 6000
    return dict(formula="y ~ 1 + (f|g)", data=pd.DataFrame({"y": r.standard_normal(n), "f": [f"f{i % 300:03d}" for i in range(n)], "g": r.randint(10, size=n).astype(str)}), heavy=True, expect=any_of(err(r"parameter|random effect|observ|identif"), warn(r"parameter|random effect")))
@case("BIG-05", "big")
def _():
    "interaction codes: 60000 x 60000 levels > 2**31; the number of observed cells is 60000"
    r = np.random.RandomState(4); k = 60000; i = np.repeat(np.arange(k), 2); p = r.permutation(k)
    return dict(formula="y ~ 1 + (1|a:b)", data=pd.DataFrame({"y": r.standard_normal(k)[i] + r.standard_normal(2 * k), "a": i.astype("int32"), "b": p[i].astype("int32")}), heavy=True, expect=ok({"ngroups:a:b": (60000, 0, 0), "sigma": (1.0, 2e-2, 0)}))

# =============================================================== L. convergence, determinism, life cycle
@case("CNV-01", "convergence")
def _(): return dict(formula="Reaction ~ Days + (Days|Subject)", data=sleepstudy(), kwargs={"max_iter": 1}, op="meta", expect=meta("evaluation limit of 1-3: result says converged=False and a ConvergenceWarning mentions the limit (MixedModels test 'MAXEVAL_REACHED'; lme4 test maxeval=3)"))
@case("CNV-02", "convergence")
def _():
    "sleepstudy REML; optimum by Newton in 40-digit arithmetic (mpmath, this project): -2 logLik 1743.6282719584908. lme4 with all tolerances at 1e-12 is still 8e-6 (relative) off in sd(Subject)"
    return dict(formula="Reaction ~ Days + (Days|Subject)", data=sleepstudy(), expect=ok({"loglik": (-1743.6282719584908 / 2, 0, 1e-7), "fixef:(Intercept)": (251.4051048484848, 1e-10, 0), "fixef:Days": (10.46728595959596, 1e-10, 0), "se:(Intercept)": (6.8245565320691, 1e-5, 0), "se:Days": (1.5457888962947, 1e-5, 0), "sd:Subject:(Intercept)": (24.740451464404, 2e-5, 0), "sd:Subject:Days": (5.9221331037319, 2e-5, 0), "corr:Subject:(Intercept):Days": (0.065551319655, 1e-3, 0), "sigma": (25.5918156267253, 1e-5, 0)}))
@case("CNV-03", "convergence")
def _():
    "sleepstudy ML; 40-digit optimum 1751.9393444631976 (MixedModels.jl test: 1751.9393444636682)"
    return dict(formula="Reaction ~ Days + (Days|Subject)", data=sleepstudy(), reml=False, expect=ok({"loglik": (-1751.9393444631976 / 2, 0, 1e-7), "sd:Subject:(Intercept)": (23.780566999193, 2e-5, 0), "sd:Subject:Days": (5.7168345425077, 2e-5, 0), "sigma": (25.5918156267253, 1e-5, 0)}))
@case("CNV-04", "convergence")
def _():
    "zero correlation; MixedModels.jl test: objective 1752.003255140962"
    return dict(formula="Reaction ~ Days + (Days||Subject)", data=sleepstudy(), reml=False, expect=ok({"loglik": (-1752.003255140962 / 2, 0, 1e-6), "sd:Subject:(Intercept)": (24.171269957611873, 5e-5, 0), "sd:Subject:Days": (5.79939919963132, 5e-5, 0), "sigma": (25.55613836753517, 1e-5, 0)}))
@case("CNV-07", "convergence")
def _():
    "penalty-free large-n model: lme4-type gradient tests give false alarms from ~1e4-1e5 rows on"
    d = base(G=200, m=250, slope=0.5, seed=7); return dict(formula="y ~ x + (1 + x|g)", data=d, expect=ok({"converged": (1, 0, 0)}))
for _i, _w in enumerate([
        "two fits of the same data in one process are bit-identical (also after an unrelated fit in between)",
        "bootstrap/simulate(seed=1) twice gives identical arrays; numpy's global random state is unchanged before/after",
        "bootstrap with 1 worker and with 2 workers and the same seed gives identical arrays",
        "4 threads fit 4 different data sets at once: same numbers as one after the other",
        "fit in a forked child after a fit in the parent: no deadlock (OpenMP/BLAS), same numbers",
        "pickle.loads(pickle.dumps(result)): same summary text, same predict(); size < 3 x data + O(parameters)",
        "loading a pickle runs code: docs warn; a JSON/npz save/load round trip exists that does not",
        "data changed in place after fit: result.fitted, result.predict(), result.anova() unchanged",
        "warnings.simplefilter('error') and numpy.errstate(all='raise') around a fit of good data: no exception",
        "KeyboardInterrupt during a long fit is raised within 1 s and leaves no corrupted global state",
        "anova(m1, m2) with different rows, or REML fits with different fixed effects, is refused or refitted by ML and says so",
        "refit/profile/bootstrap where some replicates fail: number of failures is reported, not dropped silently",
        "repr/summary/_repr_html_ with levels '<script>alert(1)</script>', ANSI escapes, '%s {0}' are escaped / harmless",
        ], start=8):
    def _f(_w=_w): return dict(formula="y ~ x + (1|g)", data=base(), op="meta", expect=meta(_w))
    CASES[f"CNV-{_i:02d}"] = ("life cycle", _f)

# =============================================================== M. security
SENTINEL = __import__("os").path.join(__import__("tempfile").gettempdir(), "mixedfx_pwned")


def _sec(formula, data=None):
    return dict(formula=formula, data=base() if data is None else data, sentinel=SENTINEL,
                expect=err(r".", exc=("ValueError", "SyntaxError", "NameError", "TypeError")))


@case("SEC-01", "security")
def _(): return _sec(f"y ~ x + I(__import__('os').system('touch {SENTINEL}')) + (1|g)")
@case("SEC-02", "security")
def _(): return _sec(f"y ~ x + I(open('{SENTINEL}', 'w').close() or x) + (1|g)")
@case("SEC-03", "security")
def _(): return _sec("y ~ I([c for c in ().__class__.__base__.__subclasses__()] and x) + (1|g)")
@case("SEC-04", "security")
def _(): return _sec(f"y ~ exec(\"open('{SENTINEL}','w')\") + (1|g)")
@case("SEC-06", "security")
def _():
    "attribute access on a data column reaches methods such as to_csv / to_pickle"
    return _sec(f"y ~ I(x.to_csv('{SENTINEL}') or x) + (1|g)")
@case("SEC-09", "security")
def _():
    "a column NAME that looks like code is data"
    n = f"__import__('os').system('touch {SENTINEL}')"; d = base().rename(columns={"x": n})
    return dict(formula=f"y ~ `{n}` + (1|g)", data=d, sentinel=SENTINEL, ref=dict(formula="y ~ x + (1|g)", data=base()), expect=same(1e-9, rename={n: "x", f"`{n}`": "x"}))
@case("SEC-10", "security")
def _():
    "integer bomb: must not build a number of 10**8 digits"
    return _sec("y ~ I(x * 10**10**8) + (1|g)")

# =============================================================== N. NIST StRD one-way ANOVA  (also as LMM: closed form)
# Certified values: header of each StRD .dat file (scipy ships verbatim copies: scipy/stats/tests/data/nist_anova/*.dat)
# name -> (k, n per cell, certified MSB, certified MSW, certified F, certified R2, certified residual SD)
NIST = {
    "SiRstv":  (5, 5, 1.27865654000000e-02, 1.08318280000000e-02, 1.18046237440255e+00, 1.90999039051129e-01, 1.04076068334656e-01),
    "AtmWtAg": (2, 24, 3.63834187500000e-09, 2.28155932971014e-10, 1.59467335677930e+01, 2.57426544538321e-01, 1.51048314446410e-05),
    "SmLs01": (9, 21, .21, .01, 21.0, 4.82758620689655e-01, .1), "SmLs02": (9, 201, 2.01, .01, 201.0, 4.71830985915493e-01, .1), "SmLs03": (9, 2001, 20.01, .01, 2001.0, 4.70712773465067e-01, .1),
    "SmLs04": (9, 21, .21, .01, 21.0, 4.82758620689655e-01, .1), "SmLs05": (9, 201, 2.01, .01, 201.0, 4.71830985915493e-01, .1), "SmLs06": (9, 2001, 20.01, .01, 2001.0, 4.70712773465067e-01, .1),
    "SmLs07": (9, 21, .21, .01, 21.0, 4.82758620689655e-01, .1), "SmLs08": (9, 201, 2.01, .01, 201.0, 4.71830985915493e-01, .1), "SmLs09": (9, 2001, 20.01, .01, 2001.0, 4.70712773465067e-01, .1),
}
# Best log relative error of F that ANY algorithm working on IEEE doubles can have against the certified F
# (exact rational arithmetic on the rounded inputs; computed in this project from the StRD files)
NIST_CEILING = {"SiRstv": 13.07, "AtmWtAg": 10.15, "SmLs01": 16.15, "SmLs02": 15.93, "SmLs03": 15.91, "SmLs04": 10.43, "SmLs05": 10.21, "SmLs06": 10.19, "SmLs07": 4.41, "SmLs08": 4.19, "SmLs09": 4.17}
SIRSTV = "196.3052 196.1240 196.1890 196.2569 196.3403|196.3042 196.3825 196.1669 196.3257 196.0422|196.1303 196.2005 196.2889 196.0343 196.1811|196.2795 196.1748 196.1494 196.1485 195.9885|196.2119 196.1051 196.1850 196.0052 196.2090"
ATMWTAG = "107.8681568 107.8681465 107.8681572 107.8681785 107.8681446 107.8681903 107.8681526 107.8681494 107.8681616 107.8681587 107.8681519 107.8681486 107.8681419 107.8681569 107.8681508 107.8681672 107.8681385 107.8681518 107.8681662 107.8681424 107.8681360 107.8681333 107.8681610 107.8681477|107.8681079 107.8681344 107.8681513 107.8681197 107.8681604 107.8681385 107.8681642 107.8681365 107.8681151 107.8681082 107.8681517 107.8681448 107.8681198 107.8681482 107.8681334 107.8681609 107.8681101 107.8681512 107.8681469 107.8681360 107.8681254 107.8681261 107.8681450 107.8681368"


def nist_data(name, as_text=False):
    """SmLs0x by the construction of Simon & Lesage (1989): treatment means c+.4 (t=1), c+.3 (t even), c+.5 (t odd > 1); in each
    cell first the mean, then mean-.1, mean+.1 alternating; c = 1, 1e6, 1e12 for sets 1-3, 4-6, 7-9; cell sizes 21, 201, 2001.
    The decimal TEXT is built first and then converted, as a reader of the file would do (checked equal to the .dat files)."""
    if name.startswith("SmLs"):
        i = int(name[4:]) - 1
        c, n = ["1", "1000000", "1000000000000"][i // 3], [21, 201, 2001][i % 3]
        t, y = [], []
        for k in range(1, 10):
            md = 4 if k == 1 else (3 if k % 2 == 0 else 5)
            t += [k] * n
            y += [f"{c}.{md}"] + [f"{c}.{md - 1}", f"{c}.{md + 1}"] * ((n - 1) // 2)
    else:
        blocks = (SIRSTV if name == "SiRstv" else ATMWTAG).split("|")
        t = [i + 1 for i, b in enumerate(blocks) for _ in b.split()]
        y = [v for b in blocks for v in b.split()]
    return pd.DataFrame({"y": y if as_text else [float(v) for v in y], "g": [f"t{k}" for k in t]})


def lre(value, certified):
    """log relative error = number of correct significant digits (McCullough 1998), capped at 15"""
    if not math.isfinite(value): return 0.0
    e = abs(value - certified) / abs(certified) if certified else abs(value)
    return 15.0 if e == 0 else max(0.0, min(15.0, -math.log10(e)))


def _nist_case(name):
    def f():
        k, n, msb, msw, F, r2, sd = NIST[name]
        d = nist_data(name); x = exact_oneway(d.y.values, d.g.values)
        tol = max(1e-9, 10 ** -(NIST_CEILING[name] - .5))
        return dict(formula="y ~ g", data=d, op="anova", certified=dict(F=F, MSB=msb, MSW=msw, R2=r2, sigma=sd), exact_binary64=x,
                    expect=ok({"F": (F, tol, 0), "MSB": (msb, tol, 0), "MSW": (msw, tol, 0), "F_binary64": (x["F"], 1e-9, 0)}))
    f.__doc__ = f"NIST StRD {name}: one-way ANOVA"
    return f


def _nist_lmm(name):
    def f():
        d = nist_data(name); s = oneway_spec(d, rtol=1e-6 if NIST_CEILING[name] > 5 else 1e-4, vrtol=1e-4)
        if NIST_CEILING[name] < 5:       # y ~ 1e12: the likelihood is known to the same digits as MSB, MSW
            s["expect"]["values"]["loglik"] = (s["expect"]["values"]["loglik"][0], 1e-5, 1e-3)
        s["heavy"] = len(d) > 10000
        return s
    f.__doc__ = f"NIST StRD {name} as y ~ 1 + (1|g): REML sigma2 = MSW, sb2 = (MSB-MSW)/n exactly"
    return f


for _n in NIST:
    CASES[f"NIST-{_n}"] = ("NIST anova", _nist_case(_n))
    CASES[f"NIST-LMM-{_n}"] = ("NIST as LMM", _nist_lmm(_n))


# =============================================================== O. numerically hard LMMs with a reference optimum
def _hard(G, m, seed, corr=0.0, sd=(1.0, 0.5), se=1.0, drop=False):
    r = np.random.RandomState(seed); gi = np.repeat(np.arange(G), m); x = r.standard_normal(G * m)
    a = r.standard_normal(G); b = corr * a + math.sqrt(1 - corr ** 2) * r.standard_normal(G)
    d = pd.DataFrame({"y": 1 + x + sd[0] * a[gi] + sd[1] * b[gi] * x + se * r.standard_normal(G * m), "x": x, "g": [f"g{i:03d}" for i in gi]})
    if drop:
        keep = np.concatenate([np.arange(i * m, i * m + 1 + (i * 7) % m) for i in range(G)]); d = d.iloc[keep].reset_index(drop=True)
    return d


HARD = {      # id -> (builder, formula, reml); reference numbers in HARD_REF: Newton in 40-digit arithmetic (mpmath), this project
    "NUM-01": (lambda: _hard(40, 12, 1, corr=0.9), "y ~ x + (1 + x|g)", True),
    "NUM-02": (lambda: _hard(60, 30, 2, corr=0.999, sd=(2.0, 2.0)), "y ~ x + (1 + x|g)", True),
    "NUM-03": (lambda: _hard(40, 10, 3, corr=-0.5, drop=True), "y ~ x + (1 + x|g)", False),
    "NUM-04": (lambda: _hard(30, 10, 4, corr=0.3, sd=(100.0, 50.0), se=1e-3), "y ~ x + (1 + x|g)", True),
    "NUM-05": (lambda: _hard(50, 8, 5, corr=0.2, sd=(0.3, 0.2)), "y ~ x + (1 + x|g)", True),
}
HARD_REF = {'NUM-01': {'beta': [0.9791189608478325, 0.9881259033778464],
            'corr': 0.813769258149,
            'm2ll': 1483.1143278418954,
            'sd': [0.92559039228961, 0.48537613265394],
            'se': [0.15344870866076, 0.09159205666807],
            'sigma': 0.991398925272684,
            'theta': [0.933620532254488, 0.398410937640038, 0.284542195543159]},
 'NUM-02': {'beta': [1.082513667781363, 1.063411814482472],
            'corr': 0.997701708372,
            'm2ll': 5543.016428795529,
            'sd': [1.8871001245495, 1.8923642650069],
            'se': [0.24485513933243, 0.24560529125797],
            'sigma': 1.02921525913756,
            'theta': [1.83353298330494, 1.83442194749614, 0.124585187433458]},
 'NUM-03': {'beta': [1.228782033239895, 0.9608902294226591],
            'corr': -0.313551504417,
            'm2ll': 714.1639321541741,
            'sd': [0.90166416688397, 0.36091781198757],
            'se': [0.16634571086886, 0.098873429914204],
            'sigma': 1.02727731503148,
            'theta': [0.877722260280163, -0.110161415290536, 0.33361698243969]},
 'NUM-04': {'beta': [39.76554287398322, 7.109719903067366],
            'corr': 0.311970782526,
            'm2ll': -1882.8710850847476,
            'sd': [100.06272572656, 43.700431646065],
            'se': [18.268870682052, 7.978570728688],
            'sigma': 0.000931509551504655,
            'theta': [107419.967476377, 14635.6608317393, 44572.186245907]},
 'NUM-05': {'beta': [1.025354864484366, 0.9365296779575857],
            'corr': 1.0,
            'm2ll': 1203.8923571954433,
            'sd': [0.36435065614031, 0.14310583344791],
            'se': [0.073056085499078, 0.057533477424688],
            'sigma': 1.03163195486227,
            'theta': [0.353178916592353, 0.138717914633626, -1.55236108469481e-28]}}


def _mk_hard(cid):
    def f():
        b, fo, reml = HARD[cid]; v = {}
        if cid in HARD_REF:
            q = HARD_REF[cid]
            v = {"loglik": (-q["m2ll"] / 2, 0, 1e-6), "fixef:(Intercept)": (q["beta"][0], 1e-6, 1e-9), "fixef:x": (q["beta"][1], 1e-6, 1e-9), "se:x": (q["se"][1], 1e-4, 0),
                 "sd:g:(Intercept)": (q["sd"][0], 1e-4, 0), "sd:g:x": (q["sd"][1], 1e-4, 0), "corr:g:(Intercept):x": (q["corr"], 1e-3, 1e-4), "sigma": (q["sigma"], 1e-4, 0)}
        return dict(formula=fo, data=b(), reml=reml, expect=ok(v, singular=True if cid == "NUM-05" else None))
    return f


for _c in HARD: CASES[_c] = ("hard LMM", _mk_hard(_c))


@case("NUM-06", "hard LMM")
def _():
    "NUM-01 with x shifted by 1e3: same likelihood, slope and sigma as NUM-01 (reference optimum known)"
    d = HARD["NUM-01"][0](); q = HARD_REF.get("NUM-01"); d["x"] = d.x + 1000.0
    return dict(formula="y ~ x + (1 + x|g)", data=d, expect=ok({"loglik": (-q["m2ll"] / 2, 0, 1e-4), "fixef:x": (q["beta"][1], 1e-5, 0), "sd:g:x": (q["sd"][1], 1e-3, 0), "sigma": (q["sigma"], 1e-4, 0)} if q else {}))


def _crossed(a, b, ea, eb, s2, seed=0):
    """balanced a x b crossed, one observation a cell, with MSA, MSB, MSE exactly ea, eb, s2 (up to rounding)"""
    r = np.random.RandomState(seed); A = r.standard_normal(a); A -= A.mean(); A *= math.sqrt((a - 1) * ea / b / (A @ A))
    B = r.standard_normal(b); B -= B.mean(); B *= math.sqrt((b - 1) * eb / a / (B @ B))
    E = r.standard_normal((a, b)); E -= E.mean(0); E -= E.mean(1)[:, None]; E *= math.sqrt((a - 1) * (b - 1) * s2 / (E ** 2).sum())
    return pd.DataFrame({"y": (20 + A[:, None] + B[None] + E).ravel(), "a": np.repeat([f"a{i:02d}" for i in range(a)], b), "b": [f"b{i:02d}" for i in range(b)] * a})


def _crossed_case(a, b, ea, eb, s2, seed):
    N = a * b; sa2, sb2 = (ea - s2) / b, (eb - s2) / a
    m2 = (N - 1) * math.log(2 * math.pi) + (a - 1) * math.log(ea) + (b - 1) * math.log(eb) + (a - 1) * (b - 1) * math.log(s2) + math.log(N) + (N - 1)
    return dict(formula="y ~ 1 + (1|a) + (1|b)", data=_crossed(a, b, ea, eb, s2, seed), expect=ok({"loglik": (-m2 / 2, 0, 1e-6), "sigma": (math.sqrt(s2), 1e-4, 0),
        "sd:a:(Intercept)": (math.sqrt(sa2), 1e-4, 0), "sd:b:(Intercept)": (math.sqrt(sb2), 1e-4, 0), "fixef:(Intercept)": (20.0, 1e-8, 0), "se:(Intercept)": (math.sqrt((ea + eb - s2) / N), 1e-4, 0)}))


@case("NUM-07", "hard LMM")
def _():
    "balanced crossed 24 x 6 (Penicillin shape), REML closed form (ANOVA estimators)"
    return _crossed_case(24, 6, 5.0, 40.0, 0.3, 0)
@case("NUM-08", "hard LMM")
def _():
    "balanced crossed, variance ratio 1e6 : 1e-2"
    return _crossed_case(20, 15, 1e6, 2.0, 1.0, 1)
@case("NUM-09", "hard LMM")
def _():
    "balanced crossed, tiny second component: MSB/MSE = 1 + 1e-3"
    s = _crossed_case(30, 20, 3.0, 1.001, 1.0, 2); s["expect"]["values"]["sd:b:(Intercept)"] = (math.sqrt(0.001 / 30), 5e-2, 0); return s
@case("NUM-11", "hard LMM")
def _():
    "balanced one-way in units of 1e-12"
    d = balanced(10, 10, 12.0, 1.0); d["y"] *= 1e-12; return oneway_spec(d)
@case("NUM-12", "hard LMM")
def _():
    "1000 groups of 2, ML"
    return oneway_spec(balanced(1000, 2, 1.8, 1.0), reml=False)
@case("NUM-14", "hard LMM")
def _():
    "three-level nested with the same number of labels re-used inside each outer group: (1|g/h) must not treat h as crossed"
    d = base(); r = np.random.RandomState(2); c = pd.Categorical(d.g + d.h).codes; d["y"] = d.y + 2 * r.standard_normal(24)[c]
    return dict(formula="y ~ x + (1|g/h)", data=d, ref=dict(formula="y ~ x + (1|g) + (1|gh)", data=d.assign(gh=d.g + "_" + d.h)), expect=same(1e-5, only=["loglik", "sigma", "fixef:x"]))

@case("NUM-15", "hard LMM")
def _():
    "sleepstudy with Days coded as calendar years (Days + 2000): the likelihood, slope, its se, sd(Days) and sigma are those of CNV-02"
    d = sleepstudy(); d["Days"] = d.Days + 2000.0
    return dict(formula="Reaction ~ Days + (Days|Subject)", data=d, expect=ok({"loglik": (-1743.6282719584908 / 2, 0, 1e-4), "fixef:Days": (10.46728595959596, 1e-6, 0), "se:Days": (1.5457888962947, 1e-3, 0), "sd:Subject:Days": (5.9221331037319, 1e-3, 0), "sigma": (25.5918156267253, 1e-4, 0)}))
@case("NUM-16", "hard LMM")
def _():
    "sleepstudy, quadratic trend with uncentred years: 1 + t + t^2, t = 2000..2009; fitted values equal those of the centred parametrisation"
    d = sleepstudy(); d["t"] = d.Days + 2000.0; c = d.assign(t=d.Days)
    return dict(formula="Reaction ~ t + I(t**2) + (1|Subject)", data=d, ref=dict(formula="Reaction ~ t + I(t**2) + (1|Subject)", data=c), expect=same(1e-6, only=["loglik", "sigma", "sd:Subject:(Intercept)"]))


# ------------------------------------------------------------------ checker
def _lookup(o, key):
    if key in o: return o[key]
    k = key.split(":", 1)
    try:
        if k[0] == "n_fixef": return len(o["fixef"])
        if k[0] in ("fixef", "se", "df", "ngroups"):
            t = o[k[0]]; t = {**{re.sub(r"\[(?:T\.)?(.*?)\]", r"\1", n): v for n, v in t.items()}, **t}
            return t[k[1]] if k[1] in t else (t[{"(Intercept)": "Intercept", "Intercept": "(Intercept)"}[k[1]]])
        if k[0] in ("sd", "var"):
            g, t = k[1].rsplit(":", 1); sd = o["sd"]; t2 = {"(Intercept)": "Intercept"}.get(t, t)
            v = sd.get((g, t), sd.get((g, t2))); return None if v is None else (v if k[0] == "sd" else v * v)
        if k[0] == "corr":
            g, a, b = k[1].split(":"); c = o["corr"]
            return next((c[q] for q in [(g, a, b), (g, b, a), (g, "Intercept", b)] if q in c), None)
        if k[0] == "loglik_ml_invariant": return o.get("loglik")
    except (KeyError, TypeError):
        return None
    return None


def _close(v, t):
    ref, rtol, atol = t
    return v is not None and not (isinstance(v, float) and math.isnan(v)) and abs(float(v) - float(ref)) <= atol + rtol * abs(ref)


def check(outcome, spec, run=None, expect=None):
    """-> (passed: True | False | None (needs a hand-written check), explanation). run(spec) fits a reference spec."""
    e = expect or spec["expect"]; ex = outcome.get("error"); k = e["kind"]
    if spec.get("sentinel"):
        import os
        if os.path.exists(spec["sentinel"]): return False, "SECURITY: code in the formula was executed"
    if k == "any":
        rs = [check(outcome, spec, run, q) for q in e["of"]]
        return (any(r[0] for r in rs), " | ".join(str(r[1]) for r in rs))
    if k == "meta": return None, e["what"]
    if k == "error":
        if ex is None: return False, "no error"
        names = {c.__name__ for c in type(ex).__mro__}
        if not names & set(e["exc"]): return False, f"error class {type(ex).__name__} is none of {e['exc']}"
        miss = [m for m in e["mentions"] if not re.search(m, str(ex), re.I)]
        return (not miss, f"message lacks {miss}" if miss else "ok")
    if ex is not None: return False, f"unexpected {type(ex).__name__}: {str(ex)[:120]}"
    if k == "warn":
        text = " ".join(outcome.get("warnings", [])); miss = [m for m in e["mentions"] if not re.search(m, text, re.I)]
        if miss: return False, f"no warning that mentions {miss}"
    if k == "ok":
        ww = outcome.get("warnings", [])
        if e.get("singular"): ww = [w for w in ww if not re.search(r"singular|boundary|zero or near-zero", w, re.I)]
        if ww: return False, f"unwanted warning: {ww[0][:100]}"
    if k == "ok" and e.get("singular") is not None and outcome.get("singular") is not None and bool(outcome["singular"]) != e["singular"]:
        return False, f"singular flag {outcome['singular']}, expected {e['singular']}"
    for key, t in e.get("values", {}).items():
        if key == "F_binary64": v = outcome.get("F")
        else: v = _lookup(outcome, key)
        if not _close(v, t): return False, f"{key} = {v}, expected {t[0]!r} (rtol {t[1]}, atol {t[2]})"
    if k == "same":
        if run is None: return None, "needs run()"
        ref = dict(family="gaussian", link=None, reml=True, nagq=1, weights=None, offset=None, newdata=None, predict_kw={}, op="fit", kwargs={}, expect=dict(kind="meta", what=""), id=spec.get("id", "") + "-ref")
        ref.update(e.get("ref") or spec["ref"]); o2 = run(ref); m = e.get("map", {})
        m = dict(m); vals = m.pop("values", {})
        for key, t in vals.items():
            if not _close(_lookup(outcome, key), t): return False, f"{key} = {_lookup(outcome, key)}, expected {t[0]}"
        if o2.get("error") is not None: return None, f"reference fit failed: {o2['error']}"
        sy, sx, ren, only = m.get("scale_y", 1.0), m.get("scale_x", {}), m.get("rename", {}), m.get("only")
        inv = {v: kk for kk, v in ren.items()}

        def nm(s): return ren.get(s, s)
        n = o2.get("nobs") or 0; p = len(o2.get("fixef", {})); rtol = e["rtol"]; exp = {}
        for kk, v in o2.get("fixef", {}).items(): exp["fixef:" + kk] = v * sy / sx.get(kk, 1.0) + m.get("shift_fixef", {}).get(kk, 0.0)
        for (g, t), v in o2.get("sd", {}).items(): exp[f"sd:{g}:{t}"] = v * sy / sx.get(t, 1.0)
        if o2.get("sigma") is not None: exp["sigma"] = o2["sigma"] * sy * m.get("scale_sigma", 1.0)
        if o2.get("loglik") is not None and not sx and not m.get("scale_sigma"):
            exp["loglik"] = o2["loglik"] - (n - (p if spec.get("reml") else 0)) * math.log(sy)
        exp["n_fixef"] = p
        o1 = dict(outcome); o1["fixef"] = {nm(kk): v for kk, v in outcome.get("fixef", {}).items()}
        o1["sd"] = {(nm(g), nm(t)): v for (g, t), v in outcome.get("sd", {}).items()}
        scale = max([abs(v) for kk, v in exp.items() if kk.startswith("fixef")] + [1e-300])
        for key, v in exp.items():
            if only and key not in only: continue
            w = _lookup(o1, key)
            if w is None: return False, f"{key} missing"
            if key == "loglik": tol = max(rtol * abs(v), 1e-5)
            elif key.startswith("fixef"): tol = rtol * max(abs(v), scale if not sx else abs(v))
            elif key.startswith("sd"): tol = max(100 * rtol, 1e-4) * max(abs(v), 1e-3 * exp.get("sigma", 0))
            else: tol = max(rtol, 1e-6) * abs(v)
            if not (abs(w - v) <= tol + 1e-300): return False, f"{key} = {w!r}, reference implies {v!r}"
    if k == "predsame":
        p = np.asarray(outcome.get("pred"), float).ravel()
        if e["to"] == "fitted":
            f = np.asarray(outcome["fitted"], float); ref = np.array([NAN if r is None else f[r] for r in e["rows"]])
        else: ref = np.asarray(outcome["population"], float)
        if p.shape != ref.shape: return False, f"prediction shape {p.shape}, expected {ref.shape}"
        if not np.allclose(p, ref, rtol=1e-7, atol=1e-9, equal_nan=True): return False, f"predictions {p[:4]}, expected {ref[:4]}"
        if e.get("index") is not None and outcome.get("pred_index") is not None and list(outcome["pred_index"]) != e["index"]: return False, "index of newdata lost"
    return True, "ok"


if __name__ == "__main__":
    from collections import Counter
    c = Counter()
    for cid in CASES:
        if CASES[cid][0] != "big": build(cid)
        c[CASES[cid][0]] += 1
    print(len(CASES), "cases", dict(c))

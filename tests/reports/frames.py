"""Generated data of the cases that were rebuilt from public reports."""

import numpy as np
import pandas as pd


def labels(letter, codes, width=1):
    return [f"{letter}{code:0{width}d}" for code in codes]


def counts():
    """Counts by site with an effort in every row."""
    r = np.random.default_rng(1)
    site, n = np.repeat(np.arange(20), 10), 200
    x, effort = r.uniform(0, 3, n), r.integers(1, 20, n).astype(float)
    trt = np.array(list("abc"))[r.integers(0, 3, n)]
    u = r.normal(0, 0.5, 20)[site]
    mean = np.exp(-0.5 + 0.4 * x + np.select([trt == "b", trt == "c"], [0.3, -0.4], 0) + u) * effort
    return pd.DataFrame({"y": r.poisson(mean), "x": x, "effort": effort, "trt": trt, "site": labels("s", site, 2)})


def poisson_counts():
    """Counts without overdispersion."""
    r = np.random.default_rng(13)
    g, n = np.repeat(np.arange(20), 10), 200
    x = r.normal(size=n)
    return pd.DataFrame({"y": r.poisson(np.exp(1 + 0.3 * x + r.normal(0, 0.4, 20)[g])), "x": x, "g": labels("g", g, 2)})


def unequal_variances():
    """Three experiments whose residual standard deviations are .5, 1 and 2.5."""
    r = np.random.default_rng(6)
    rows = [(e, t, f"{e}{t}") for e in "123" for t in "CABDEFGH" for _ in range(3)]
    data = pd.DataFrame(rows, columns=["expt", "trt", "unit"])
    experiment = dict(zip("123", r.normal(0, 1, 3), strict=True))
    unit = dict(zip(data["unit"].unique(), r.normal(0, 0.7, 24), strict=True))
    sd = data["expt"].map({"1": 0.5, "2": 1.0, "3": 2.5})
    effects = 1.2 * (data["trt"] == "A") + data["expt"].map(experiment) + data["unit"].map(unit)
    data["obs"] = 10 + effects + sd * r.normal(size=len(data))
    return data


def missing_cell():
    """A factorial in which A was never seen in ref1."""
    r = np.random.default_rng(3)
    levels = [list("ABCD"), ["exp", "ref1", "ref2"], range(8), range(3)]
    data = pd.MultiIndex.from_product(levels, names=["time", "lake", "block", "rep"]).to_frame(index=False)
    minutes, u = r.uniform(4.5, 5.5, len(data)), r.normal(0, 0.3, 8)
    mean = minutes * np.exp(0.7 + 0.3 * (data["time"] == "C") - 0.4 * (data["lake"] == "ref2") + u[data["block"]])
    data["count"] = r.negative_binomial(5, 5 / (5 + mean))
    data["block"] = labels("b", data["block"])
    return data[~((data["time"] == "A") & (data["lake"] == "ref1"))].reset_index(drop=True)


def positive_counts():
    """Counts above zero."""
    r = np.random.default_rng(7)
    g, n = np.repeat(np.arange(25), 12), 300
    x, f = r.normal(size=n), np.array(["lo", "hi"])[(np.arange(n) // 2) % 2]
    mean = np.exp(0.8 + 0.4 * x - 0.5 * (f == "hi") + r.normal(0, 0.5, 25)[g])
    zero = r.random(n) < 1 / (1 + np.exp(-(-0.8 + 0.9 * (f == "hi"))))
    data = pd.DataFrame({"y": np.where(zero, 0, r.poisson(mean)), "x": x, "f": f, "g": labels("g", g)})
    return data[data["y"] > 0]


def three_conditions():
    """A condition of three levels with random slopes, a factor and a covariate."""
    r = np.random.default_rng(14)
    g, n = np.repeat(np.arange(40), 24), 960
    c, h = np.array(["con", "inc", "neu"])[r.integers(0, 3, n)], np.array(["n", "y"])[r.integers(0, 2, n)]
    z, b = r.normal(size=n), r.normal(0, 1, (40, 3))
    effects = 0.5 * (c == "inc") + 0.3 * z + 0.2 * (h == "y") + b[g, 0] + 0.6 * b[g, 1] * (c == "inc")
    y = 1 + effects + 0.5 * b[g, 2] * z + r.normal(0, 1.5, n)
    return pd.DataFrame({"y": y, "cong": c, "isH": h, "z": z, "subj": labels("s", g, 2)})


def pain():
    """Five ordered categories, as numbers."""
    r = np.random.default_rng(11)
    g, n = np.repeat(np.arange(30), 8), 240
    names = ["bef", "dur", "aft1", "aft2"]
    t, c = np.array(names)[np.arange(n) % 4], np.array(["no", "yes"])[(np.arange(n) // 4) % 2]
    eta = np.select([t == "dur", t == "aft1", t == "aft2"], [0.8, 1.5, 0.4], 0) + 0.9 * (c == "yes")
    eta = eta + r.normal(0, 1, 30)[g] + r.logistic(size=n)
    time = pd.Categorical(t, names, ordered=True)
    return pd.DataFrame({"pain": np.digitize(eta, [-1, 0.5, 2, 3.5]), "time": time, "arm": c, "id": labels("i", g)})


def separated():
    """No failure under one of four treatments."""
    r = np.random.default_rng(5)
    nest, names = np.repeat(np.arange(30), 4), ["none", "ctrl", "prot", "sucr"]
    trt = np.tile(names, 30)
    p = 1 / (1 + np.exp(-(1.5 - 0.8 * (trt == "ctrl") + r.normal(0, 0.8, 30)[nest])))
    y = (r.random(len(p)) < p).astype(int)
    y[trt == "sucr"] = 1
    return pd.DataFrame({"y": y, "trt": pd.Categorical(trt, names), "nest": labels("n", nest)})


def unbalanced_conditions():
    """Three conditions seen 2 to 13 times in 20 subjects."""
    r, rows = np.random.default_rng(43), []
    for i in range(20):
        u = r.normal(0, [1, 1.2, 0.3])
        times = (r.integers(2, 14), r.integers(1, 5), r.integers(2, 14))
        for c, k in zip(("con", "inc", "neu"), times, strict=True):
            mean = u[0] + (c == "inc") * (u[1] + 0.6) + (c == "neu") * (u[2] + 0.1)
            rows += [(f"s{i:02d}", c, mean + r.normal()) for _ in range(k)]
    return pd.DataFrame(rows, columns=["subj", "cong", "y"])


def bcg():
    """Thirteen trials of a vaccine: log relative risks and their variances (Colditz et al. 1994, JAMA 271, 698)."""
    yi = [-0.9387, -1.6662, -1.3863, -1.4564, -0.2191, -0.9581, -1.6338, 0.0120, -0.4717, -1.4012, -0.3408, 0.4466]
    vi = [0.3571, 0.2081, 0.4334, 0.0203, 0.0520, 0.0099, 0.2270, 0.0040, 0.0570, 0.0754, 0.0125, 0.5342]
    return pd.DataFrame({"trial": np.arange(13), "yi": [*yi, -0.0173], "vi": [*vi, 0.0716]})

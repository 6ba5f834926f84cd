"""A small world in which every piece of code that a message names can run, and what else is needed to run it."""

import re
from functools import cached_property

import numpy as np
import pandas as pd
import scipy
from matplotlib import pyplot

import mixedfx as mfx
from mixedfx._suggestions import tables, words

CODE = re.compile(r"`([^`]+)`")
FORMULA = "y ~ x + f + sex + (1 | group)"


def table():
    """Return everything that the tables say: (place, words, what the owner has, sentence)."""
    return [
        (place, together, hint.has, hint.says)
        for place, entries in tables().items()
        for together, entry in entries.items()
        for hint in ([words.Hint("", entry)] if isinstance(entry, str) else entry)
    ]


class World:
    """Data of 240 rows with every column that is named, and fits to them."""

    def __init__(self):
        self.ran = set()

    @cached_property
    def data(self):
        rng = np.random.default_rng(7)
        g, n = np.repeat(np.arange(40), 6), 240
        x = rng.normal(size=n)
        eta = 0.4 * x + 0.5 * rng.normal(size=40)[g]
        rt = 300 + 100 * np.exp(0.3 * eta + 0.2 * rng.normal(size=n))
        share = rng.beta(2, 2, n)
        frame = {
            "g": g.astype(str),
            "group": [f"g{i:02d}" for i in g],
            "x": np.round(np.abs(x) + 0.1, 1),
            "z": rng.uniform(1, 3, n),
            "y": np.exp(eta),
        }
        frame["y"] *= np.exp(0.5 * rng.normal(size=n))
        frame |= {"f": np.tile(list("abc"), 80), "sex": np.repeat(["m", "w"], 120), "h": np.tile(list("pqrs"), 60)}
        frame |= {"part": np.tile(["l", "r"], 120), "time": np.tile(np.arange(1.0, 7.0), 40), "rt": rt, "share": share}
        frame |= {"count": rng.poisson(np.exp(eta)), "event": rng.random(n) < 0.4, "k": 1 + np.arange(n) % 2}
        frame |= {"period": np.tile(list("ABCD"), 60), "passed": rng.random(n) < 0.6, "step": np.tile(list("12"), 120)}
        frame |= {"w": rng.uniform(1, 2, n), "vi": rng.uniform(0.1, 0.2, n), "trials": 10}
        frame["rating"] = pd.cut(eta + rng.normal(size=n), [-9, -0.5, 0.5, 9], labels=["low", "mid", "high"])
        frame["won"] = rng.binomial(10, share) / 10
        frame["zeros"], frame["shares"] = rt * (share > 0.3), share * (share > 0.3)
        frame["zero_counts"] = frame["count"] * (share > 0.3)
        return pd.DataFrame(frame)

    @cached_property
    def fit(self):
        return mfx.lmer(FORMULA, self.data)

    @cached_property
    def fit0(self):
        return mfx.lmer("y ~ x + (1 | group)", self.data, reml=False)

    @cached_property
    def fit1(self):
        return mfx.lmer(FORMULA, self.data, reml=False)

    @cached_property
    def counts(self):
        return mfx.glmer("count ~ x + f + sex + (1 | group)", self.data, family="poisson")

    @cached_property
    def studies(self):
        levels = sorted(set(self.data["group"]))
        return pd.DataFrame({"d": self.data["y"][:40], "vi": self.data["vi"][:40], "study": levels})

    @cached_property
    def fits(self):
        """What a fit in a message may be: one of them will do."""
        meta = mfx.lmer("d ~ 1 + (1 | study)", self.studies, residual=mfx.KnownVariance("vi"))
        return [self.fit, self.counts, meta, mfx.lmer("y ~ wb(x, group) + (1 | group)", self.data)]

    @cached_property
    def aov(self):
        return mfx.aov("y ~ f + Error(group)", self.data)

    @cached_property
    def objects(self):
        """Things of which a name may be asked."""
        means = mfx.emmeans(self.fit, "f")
        return [self.fit, self.counts, self.aov, means, self.fit.summary(), mfx.anova(self.fit), mfx.check(self.fit)]

    @cached_property
    def pooled(self):
        return mfx.pool([self.fit, mfx.lmer(FORMULA, self.data.assign(x=self.data["x"] + 0.1 * self.data["z"]))])

    def names(self, fit):
        """Return what stands in the code of messages."""
        levels = sorted(set(self.data["group"]))
        names = {"mfx": mfx, "np": np, "pandas": pd, "scipy": scipy, "data": self.data, "formula": FORMULA}
        names |= {"imputed": [self.data, self.data], "pooled": self.pooled, "robust": self.fit.robust()}
        names |= {"fit": fit, "fit0": self.fit0, "fit1": self.fit1, "aov": self.aov, "model": fit.model}
        return names | {"studies": self.studies, "K": pd.DataFrame(np.eye(40), index=levels, columns=levels)}

    def run(self, pieces, place, has):
        """Run pieces of code of one message, each with the first of the fits for which it is."""
        it = next((one for one in self.objects if has and hasattr(one, has)), self.fit)
        for code in pieces:
            statement = written_out(f"it{code}" if code.startswith(".") else code, place)
            if statement in self.ran and not code.startswith("."):
                continue
            self.ran.add(statement)
            errors = []
            for fit in self.fits if re.search(r"\b(fit|model)\b", statement) else self.fits[:1]:
                try:
                    exec(statement, self.names(fit) | {"it": it})
                except (ValueError, TypeError) as error:
                    errors.append(error)
                else:
                    break
            else:
                raise errors[0]
            pyplot.close("all")


RESPONSES = {
    "gaussian": "y",
    "student_t": "y",
    "gamma": "rt",
    "inverse_gaussian": "rt",
    "lognormal": "rt",
    "tweedie": "zeros",
    "beta": "share",
    "binomial": "event",
    "ordinal": "rating",
    "beta_binomial": "won",
}
CALLS = {
    "reml": "mfx.lmer(formula, data, {})",
    "residual": "mfx.lmer('y ~ x + (1 | group)', data, {})",
    "data": "mfx.lmer('y ~ x + (1 | group)', {})",
    "missing": "mfx.lmer(formula, data, {})",
    "control": "mfx.lmer('y ~ x + f + sex + (1 | group)', data, {})",
    "max_iter": "mfx.Control({})",
    "starts": "mfx.Control({})",
    "zero_inflation": "mfx.glmer('zero_counts ~ x + (1 | group)', data, family='poisson', {})",
    "dispersion": "mfx.glmer('count ~ x + (1 | group)', data, family='nbinom2', {})",
    "penalty": "mfx.glmer('event ~ x + (1 | group)', data, family='binomial', {})",
    "offset": "mfx.glmer('count ~ x + (1 | group)', data, family='poisson', {})",
    "weights": "mfx.glmer('count ~ x + (1 | group)', data, family='poisson', {})",
    "cluster": "mfx.bootstrap(fit, n=20, method='cluster', {})",
    "random": "fit.predict(data, {})",
    "new_levels": "fit.predict(data, {})",
    "which": "fit.predict(data, {})",
    "alpha": "fit.conf_int({})",
    "ddf": "fit.t_test('x', {})",
    "exp": "fit.summary({})",
    "n": "mfx.bootstrap(fit, seed=1, {})",
    "seed": "mfx.bootstrap(fit, n=20, {})",
    "scale": "mfx.emmeans(fit, 'f', {})",
    "variable": "mfx.trends(fit, {})",
    "adjust": "mfx.emmeans(fit, 'f').pairs({})",
}
"""The call to which an argument belongs."""


def written_out(code, place):
    """Return a statement: an argument within its call, a term or a formula within a model."""
    argument = re.match(r"(\w+)=[^=]", code)
    if argument and argument[1] == "family":
        family = re.search(r"family='(\w+)'", code)[1]
        response = RESPONSES.get(family, "count")
        if "zero_inflation" in code:
            response = {"beta": "shares", "gamma": "zeros", "lognormal": "zeros", "binomial": "won"}.get(
                family, response
            )
        rows = "data[data['count'] > 0]" if family.startswith("truncated") else "data"
        weights = ", weights='trials'" if response == "won" else ""
        return f"mfx.glmer('{response} ~ x + (1 | group)', {rows}, {code}{weights})"
    if argument and argument[1] == "functions":
        if "'K'" in code:
            return f"mfx.lmer('y ~ x + known(1 | group, K)', data, {code})"
        function, column = re.search(r"'(\w+)'", code)[1], "share"
        return f"mfx.lmer('y ~ {function}({column}) + (1 | group)', data.query('share != 0.5'), {code})"
    if argument and argument[1] == "link":
        family, response = (
            ("poisson", "count") if "logit" not in code and "cloglog" not in code else ("binomial", "event")
        )
        family, response = ("gamma", "rt") if "inverse" in code or "sqrt" in code else (family, response)
        return f"mfx.glmer('{response} ~ x + (1 | group)', data, family='{family}', {code})"
    if argument and argument[1] in CALLS:
        return CALLS[argument[1]].format(code)
    if "~" in code and not re.match(r"\w+\.|\w+ = ", code):
        if code.startswith("count"):
            return f'mfx.glmer("""{code}""", data, family="poisson")'
        return f'mfx.lmer("""{code}""", data, functions={{"K": K}})'
    if place in ("function", "functions", "structure", "basis", "argument") and not re.match(
        r"(mfx|fit|data|pandas|scipy)\b", code
    ):
        random = "" if "|" in code else " + (1 | group)"
        return f'mfx.lmer("""y ~ x + {code}{random}""", data)'
    if re.fullmatch(r"\(.*\|.*\)|\w+\(.*\|.*\)|s\(.*\)", code):
        return f'mfx.lmer("""y ~ x + {code}""", data)'
    return code

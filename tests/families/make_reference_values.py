"""Make reference_values.json and ../calculus/reference_special.json with mpmath: densities and special functions.

Textbook formulas and their derivatives, with 50 digits and more.

Nothing of mixedfx is used. Run ``python make_reference_values.py`` (needs mpmath); the tests read the JSON only.
Keys of a row: family, link, y, trials, eta (one number a linear predictor), phi (unbounded scale), and ``partials``:
from a multi-index over (eta..., phi...) to the partial derivative, ``"0"*m`` being the value.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import mpmath as mp

mp.mp.dps = 50
H = mp.mpf(1) / 2

INVERSE = {
    "logit": lambda x: 1 / (1 + mp.exp(-x)),
    "probit": lambda x: mp.erfc(-x / mp.sqrt(2)) / 2,
    "cloglog": lambda x: -mp.expm1(-mp.exp(x)),
    "cauchit": lambda x: H + mp.atan(x) / mp.pi if x > -1e5 else -1 / (mp.pi * x),
    "log": mp.exp,
    "identity": lambda x: x,
    "inverse": lambda x: 1 / x,
    "inverse_squared": lambda x: 1 / mp.sqrt(x),
    "sqrt": lambda x: x**2,
}
COMPLEMENT = {
    "logit": lambda x: 1 / (1 + mp.exp(x)),
    "probit": lambda x: mp.erfc(x / mp.sqrt(2)) / 2,
    "cloglog": lambda x: mp.exp(-mp.exp(x)),
    "cauchit": lambda x: H - mp.atan(x) / mp.pi,
    "log": lambda x: -mp.expm1(x),
    "identity": lambda x: 1 - x,
}


def log_beta(a, b):
    return mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)


def gaussian(y, n, m, q, t):
    return -H * mp.log(2 * mp.pi) - t / 2 - (y - m) ** 2 / (2 * mp.exp(t))


def student_t(y, n, m, q, t, k):
    nu, scale = mp.exp(k), mp.exp(t / 2)
    z = (y - m) / scale
    return (
        mp.loggamma((nu + 1) / 2)
        - mp.loggamma(nu / 2)
        - mp.log(nu * mp.pi) / 2
        - mp.log(scale)
        - (nu + 1) / 2 * mp.log1p(z**2 / nu)
    )


def gamma(y, n, m, q, t):
    a = mp.exp(-t)
    return (a - 1) * mp.log(y) - a * y / m - a * mp.log(m / a) - mp.loggamma(a)


def inverse_gaussian(y, n, m, q, t):
    lam = mp.exp(-t)
    return H * mp.log(lam / (2 * mp.pi * y**3)) - lam * (y - m) ** 2 / (2 * m**2 * y)


def lognormal(y, n, m, q, t):
    v = mp.exp(t)
    return -mp.log(y) - H * mp.log(2 * mp.pi * v) - (mp.log(y) - mp.log(m) + v / 2) ** 2 / (2 * v)


def tweedie(y, n, m, q, t, k):
    p, phi = 1 + 1 / (1 + mp.exp(-k)), mp.exp(t)
    rate = m ** (2 - p) / (phi * (2 - p))
    if y == 0:
        return -rate
    shape, scale = (2 - p) / (p - 1), phi * (p - 1) * m ** (p - 1)
    centre = int(y ** (2 - p) / (phi * (2 - p)))
    reach = int(25 * mp.sqrt(centre + 1)) + 120
    total = mp.mpf(0)
    for j in range(max(1, centre - reach), centre + reach):
        a = j * shape
        total += mp.exp(
            -rate
            + j * mp.log(rate)
            - mp.loggamma(j + 1)
            + (a - 1) * mp.log(y)
            - y / scale
            - a * mp.log(scale)
            - mp.loggamma(a)
        )
    return mp.log(total)


def poisson(y, n, m, q):
    return y * mp.log(m) - m - mp.loggamma(y + 1)


def nbinom(y, size, m):
    return (
        mp.loggamma(y + size)
        - mp.loggamma(size)
        - mp.loggamma(y + 1)
        + size * mp.log(size / (size + m))
        + y * mp.log(m / (size + m))
    )


def nbinom2(y, n, m, q, t):
    return nbinom(y, mp.exp(t), m)


def nbinom1(y, n, m, q, t):
    return nbinom(y, m / mp.exp(t), m)


def binomial(y, n, m, q):
    choose = mp.loggamma(n + 1) - mp.loggamma(y + 1) - mp.loggamma(n - y + 1)
    return choose + (y * mp.log(m) if y else 0) + ((n - y) * mp.log(q) if n - y else 0)


def beta_binomial(y, n, m, q, t):
    choose = mp.loggamma(n + 1) - mp.loggamma(y + 1) - mp.loggamma(n - y + 1)
    a, b = m * mp.exp(t), q * mp.exp(t)
    return choose + log_beta(y + a, n - y + b) - log_beta(a, b)


def beta(y, n, m, q, t):
    a, b = m * mp.exp(t), q * mp.exp(t)
    return (a - 1) * mp.log(y) + (b - 1) * mp.log1p(-y) - log_beta(a, b)


def truncated(base):
    return lambda y, n, m, q, *p: base(y, n, m, q, *p) - mp.log(-mp.expm1(base(mp.mpf(0), n, m, q, *p)))


def zero_inflated(base):
    def density(y, n, m, q, *p):
        *inner, z = p
        share = 1 / (1 + mp.exp(-z))
        inside = (1 - share) * mp.exp(base(y, n, m, q, *inner))
        return mp.log(share + inside) if y == 0 else mp.log(inside)

    return density


def hurdle(base):
    def density(y, n, m, q, *p):
        *inner, z = p
        return -mp.log1p(mp.exp(-z)) if y == 0 else -mp.log1p(mp.exp(z)) + base(y, n, m, q, *inner)

    return density


DENSITIES = {
    "gaussian": gaussian,
    "student_t": student_t,
    "gamma": gamma,
    "inverse_gaussian": inverse_gaussian,
    "lognormal": lognormal,
    "tweedie": tweedie,
    "poisson": poisson,
    "nbinom2": nbinom2,
    "nbinom1": nbinom1,
    "binomial": binomial,
    "beta_binomial": beta_binomial,
    "beta": beta,
    "truncated_poisson": truncated(poisson),
    "truncated_nbinom2": truncated(nbinom2),
    "truncated_nbinom1": truncated(nbinom1),
    "zero_inflated_poisson": zero_inflated(poisson),
    "zero_inflated_nbinom2": zero_inflated(nbinom2),
    "zero_inflated_nbinom1": zero_inflated(nbinom1),
    "hurdle_poisson": hurdle(truncated(poisson)),
    "hurdle_nbinom2": hurdle(truncated(nbinom2)),
    "hurdle_nbinom1": hurdle(truncated(nbinom1)),
}

ANY = [-2.5, -0.3, 0.8, 3.1]
POSITIVE = [0.05, 0.7, 3.2]
UNIT = [0.02, 0.4, 0.97]
WIDE = [-700.0, -40.0, -6.0, -0.4, 1.3, 9.0, 40.0]
COUNTS = [(0, 1), (1, 1), (7, 1), (250, 1)]
POSITIVE_COUNTS = COUNTS[1:]
BINARY = [(0, 1), (1, 1), (3, 10), (0, 25), (25, 25)]
REALS = [(-2.2, 1), (0.0, 1), (4.5, 1)]
POSITIVES = [(1e-4, 1), (0.8, 1), (42.0, 1)]
NON_NEGATIVES = [(0.0, 1), *POSITIVES]
SHARES = [(1e-6, 1), (0.3, 1), (0.9999, 1)]
DISPERSIONS = [(-9.0,), (-0.7,), (1.6,), (12.0,)]
MILD = [(-1.5,), (0.4,), (3.0,)]


def grids():
    for link, eta in {"identity": ANY, "log": ANY, "inverse": ANY, "sqrt": POSITIVE, "probit": ANY}.items():
        yield "gaussian", link, REALS, eta, DISPERSIONS
    for link, eta in {"identity": ANY, "log": ANY}.items():
        yield "student_t", link, REALS, eta, [(-3.0, 0.1), (0.3, 1.4), (1.0, 7.0), (0.2, 20.0)]
    for name, dispersions in {"gamma": DISPERSIONS, "inverse_gaussian": MILD, "lognormal": MILD}.items():
        for link in ("log", "inverse", "identity", "inverse_squared", "sqrt"):
            yield name, link, POSITIVES, (ANY if link == "log" else POSITIVE), dispersions
    for link in ("log", "identity", "inverse"):
        eta = [-0.3, 0.8] if link == "log" else [0.7, 3.2]
        yield "tweedie", link, NON_NEGATIVES, eta, [(-3.0, 0.2), (0.3, -1.8), (0.8, 2.5)]
    for link in ("log", "identity", "sqrt"):
        eta = [-300.0, *ANY, 8.0] if link == "log" else POSITIVE
        yield "poisson", link, COUNTS, eta, [()]
        yield "truncated_poisson", link, POSITIVE_COUNTS, ([-30.0, *ANY] if link == "log" else POSITIVE), [()]
        for name in ("nbinom2", "nbinom1"):
            eta = [-30.0, -0.3, 0.8, 6.0] if link == "log" else POSITIVE
            yield name, link, COUNTS, eta, DISPERSIONS
            yield f"truncated_{name}", link, POSITIVE_COUNTS, ([-0.3, 2.0] if link == "log" else POSITIVE), MILD
    for link in ("logit", "probit", "cloglog", "cauchit", "log", "identity"):
        eta = {"log": [-40.0, -2.0, -0.01], "identity": UNIT, "cloglog": [-40.0, -3.0, -0.4, 1.3, 5.0]}.get(link, WIDE)
        yield "binomial", link, BINARY, eta, [()]
        eta = {"log": [-3.0, -0.2], "identity": UNIT}.get(link, [-3.0, -0.4, 1.3])
        yield "beta_binomial", link, BINARY, eta, DISPERSIONS
        yield "beta", link, SHARES, eta, MILD
    for kind, name in product(("zero_inflated", "hurdle"), ("poisson", "nbinom2", "nbinom1")):
        phi = [()] if name == "poisson" else [(-0.8,), (1.7,)]
        yield f"{kind}_{name}", "log", [(0, 1), (1, 1), (9, 1)], [(-1.2, 0.4), (1.5, -2.0), (3.0, 6.0)], phi


def partials(density, link, y, n, eta, phi):
    """All partial derivatives up to the third order: any number in eta, one at most in phi."""
    point = tuple(mp.mpf(v) for v in (*eta, *phi))

    def f(*values):
        x, *rest = values
        q = COMPLEMENT[link](x) if link in COMPLEMENT else None
        others, parameters = rest[: len(eta) - 1], rest[len(eta) - 1 :]
        return density(mp.mpf(y), mp.mpf(n), INVERSE[link](x), q, *parameters, *others)

    result = {}
    for orders in product(range(4), repeat=len(point)):
        if sum(orders) <= 3 and sum(orders[len(eta) :]) <= 1:
            h = mp.mpf(10) ** -10
            value = mp.diff(f, point, orders, h=h) if len(point) > 1 else mp.diff(f, point[0], orders[0], h=h)
            result["".join(map(str, orders))] = float(value)
    return result


def stirling(x):
    a = mp.exp(x)
    return mp.loggamma(a) - (a - H) * x + a - mp.log(2 * mp.pi) / 2


def rising(y):
    return lambda x: mp.loggamma(y + mp.exp(x)) - mp.loggamma(mp.exp(x)) - y * x


LINE = [-700, -100, -40.5, -36.1, -35.9, -20, -6, -1.5, -0.2, 0, 0.3, 1, 2.4, 5.1, 9, 30, 100]
SPECIAL = {
    "softplus": (lambda x: mp.log1p(mp.exp(x)), LINE),
    "log_expit": (lambda x: -mp.log1p(mp.exp(-x)), LINE),
    "log_softplus": (lambda x: mp.log(mp.log1p(mp.exp(x))), LINE),
    "log_ndtr": (lambda x: mp.log(mp.erfc(-x / mp.sqrt(2)) / 2), [-1000, -100, -20, -5.1, -4.9, -3, 0, 0.5, 3, 7, 30]),
    "cloglog_log_mean": (lambda x: mp.log(-mp.expm1(-mp.exp(x))), [-700, -31, -29, -5, -0.7, -0.68, 0, 0.5, 2, 4, 5]),
    "log1m_exp": (lambda x: mp.log(-mp.expm1(-x)), [1e-3, 0.1, 0.69, 0.7, 1, 5, 20, 100]),
    "exp_excess": (lambda x: mp.expm1(x) - x, [-100, -5, -0.11, -0.09, -1e-3, -1e-8, 1e-8, 0.09, 0.11, 1, 10]),
    "log1p_ratio": (lambda x: mp.log1p(mp.exp(x)) / mp.exp(x), [-500, -20, -7, -6.8, -3, 0, 1, 5, 20, 100]),
    "stirling": (stirling, [-40, -10, -3, -1, 0, 1, 2, 2.3, 2.31, 3, 5, 10]),
    **{f"log_rising {y}": (rising(y), [-40, -10, -3, -1, 0, 1, 2, 3, 5, 10, 20, 30]) for y in (0, 1, 2, 7, 100, 10**4)},
}


def special_functions():
    mp.mp.dps = 140
    rows = []
    for name, (function, points) in SPECIAL.items():
        for x in points:
            at = mp.mpf(x)
            slopes = [mp.diff(function, at, order, h=mp.mpf(10) ** -25) for order in (1, 2, 3)]
            rows.append({"function": name, "x": x, "derivatives": [float(v) for v in (function(at), *slopes)]})
    return rows


def save(name, rows):
    text = "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"
    (Path(__file__).parent / name).write_text(text)


def main():
    save("../calculus/reference_special.json", special_functions())
    rows = []
    for name, link, responses, etas, phis in grids():
        for (y, n), eta, phi in product(responses, etas, phis):
            predictors = eta if isinstance(eta, tuple) else (eta,)
            mp.mp.dps = 90
            found = partials(DENSITIES[name], link, y, n, predictors, phi)
            rows.append(
                {"family": name, "link": link, "y": y, "trials": n, "eta": predictors, "phi": phi, "partials": found}
            )
        print(name, link, len(rows), flush=True)
    save("reference_values.json", rows)


if __name__ == "__main__":
    main()

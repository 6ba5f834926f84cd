"""The functions of formulas and the kind of each of their parameters: the closed list."""

from __future__ import annotations

CONSTANTS: dict[str, float] = {"pi": 3.141592653589793}

ELEMENTWISE = frozenset(
    {"log", "log10", "log2", "log1p", "exp", "expm1", "sqrt", "abs", "sin", "cos", "tan", "floor", "ceil"}
)
"""Functions of one argument; ``np.`` may stand before them."""

_KNOTS = {"df": "count", "knots": "numbers"}
_BOUNDS = {"lower_bound": "number", "upper_bound": "number"}
_CUBIC = {**_KNOTS, **_BOUNDS, "constraints": "constraint", "extrapolation": "outside"}

SIGNATURES: dict[str, dict[str, str]] = {
    **{name: {} for name in sorted(ELEMENTWISE)},
    "round": {"decimals": "count"},
    "I": {},
    "C": {"contrasts": "contrasts", "levels": "labels"},
    "scale": {"center": "flag", "scale": "flag", "ddof": "count"},
    "center": {},
    "poly": {"degree": "count", "raw": "flag"},
    "bs": {**_KNOTS, "degree": "count", "include_intercept": "flag", **_BOUNDS, "extrapolation": "outside"},
    "ns": {**_KNOTS, "include_intercept": "flag", **_BOUNDS},
    "cr": _CUBIC,
    "cs": _CUBIC,
    "cut": {"breaks": "breaks", "labels": "labels", "right": "flag", "include_lowest": "flag"},
    "lag": {"k": "count"},
    "cbind": {},
    "wb": {},
}
"""Parameters after the first one (an expression of columns) and their kinds."""

FUNCTIONS = frozenset(SIGNATURES)
KEYWORD_ONLY = frozenset({"levels"})
"""Parameters that must be named."""

WHOLE = frozenset({"C", "poly", "bs", "ns", "cr", "cs", "cbind", "wb"})
"""Functions that give categories or several columns: a whole factor, never part of an expression."""

CONTRASTS: dict[str, dict[str, str]] = {
    "treatment": {"base": "label"},
    "sum": {},
    "helmert": {},
    "poly": {"scores": "numbers"},
    "sdif": {},
}
"""``contr.NAME`` and its parameters."""

PATSY_CONTRASTS = {
    "Treatment": "contr.treatment",
    "Sum": "contr.sum",
    "Helmert": "contr.helmert",
    "Poly": "contr.poly",
    "Diff": "contr.sdif",
}
"""Names that statsmodels' users write inside ``C(…)``."""

CHOICES = {"constraint": ("center",), "outside": ("raise", "clip", "na", "zero", "extend")}
"""Words that an argument of the kind may be."""

REPLACEMENTS = {
    "factor": "C(x)",
    "as.factor": "C(x)",
    "log10p": "log10(1 + x)",
    "standardize": "scale(x)",
    "ifelse": "a column made beforehand",
    "as.numeric": "a numeric column made beforehand",
    "relevel": "C(x, contr.treatment(base='b'))",
    "s": "bs(x, df=5) or cr(x, df=5)",
}
"""What to write instead of functions known from elsewhere."""

"""Formulas: text in, frozen values out; what may stand in a formula is decided here.

`parse` gives a `Formula` of `Expression` values: text with the syntax tree that it was read from. They are safe to
evaluate where the columns stand under the identifiers of ``formula.names`` beside the functions of `FUNCTIONS`,
``contr`` with the names of `CONTRASTS`, `CONSTANTS` and the user's functions.
"""

from mixedfx.formula.names import coefficient_name, display, factors_of, identifier, quote
from mixedfx.formula.parse import parse, parse_predictors, update
from mixedfx.formula.terms import (
    Expression,
    Formula,
    Members,
    RandomTerm,
    Term,
    as_expression,
    columns_in,
    is_smooth,
    smooth_by,
    smooth_label,
)
from mixedfx.formula.whitelist import CONSTANTS, CONTRASTS, FUNCTIONS

__all__ = [
    "CONSTANTS",
    "CONTRASTS",
    "FUNCTIONS",
    "Expression",
    "Formula",
    "Members",
    "RandomTerm",
    "Term",
    "as_expression",
    "coefficient_name",
    "columns_in",
    "display",
    "factors_of",
    "identifier",
    "is_smooth",
    "parse",
    "parse_predictors",
    "quote",
    "smooth_by",
    "smooth_label",
    "update",
]

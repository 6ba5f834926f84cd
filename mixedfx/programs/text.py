"""What the programs have in common: comments, data, and the refusal of families that a language lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from mixedfx._typing import AnyArray, Array
from mixedfx.exceptions import SpecificationError
from mixedfx.programs.description import THRESHOLDS, Description, Parameter
from mixedfx.programs.names import remark

__all__ = ["check_family", "heading", "python_data", "variables", "vector_dims"]

CODE = ("PyMC", "NumPyro", "Stan")
SIMPLE = ("gaussian", "binomial", "poisson", "nbinom2", "gamma", "beta", "beta_binomial", "student_t")
FURTHER = ("ordinal", "zero_inflated_poisson", "zero_inflated_nbinom2")
FAMILIES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(CODE, (*SIMPLE, *FURTHER, "nbinom1", "lognormal", "inverse_gaussian")),
    "Bambi": SIMPLE,
    "brms": (*SIMPLE, *FURTHER),
}
METHODS = {name: f"to_{name.lower()}" for name in FAMILIES}


def check_family(model: Description, language: str) -> None:
    """Refuse a family that the language lacks, or a link of it.

    Raises
    ------
    SpecificationError
        It says which of the others have the family.
    """
    family = model.family
    if family.name not in FAMILIES[language]:
        others = [METHODS[name] for name, known in FAMILIES.items() if family.name in known]
        instead = f"{', '.join(others)} have it" if others else "nor has any of the other programs"
        raise SpecificationError(f"{METHODS[language]} has no family {family.name!r}: {instead}")
    if family.has_categories and family.link.name not in ("logit", "probit"):
        raise SpecificationError(
            f"{METHODS[language]} writes ordinal models with a logit or a probit link; found {family.link.name!r}"
        )


def heading(model: Description, comment: str, lines: Iterator[str] | tuple[str, ...] = ()) -> str:
    """Return the comments at the head of a program."""
    text = [model.formula, model.title, *lines, *model.notes]
    return "".join(f"{comment} {remark(line)}\n" for line in text)


def variables(model: Description, names: Mapping[str, str]) -> dict[str, str]:
    """Return names in the program by keys of the priors; ``names`` has those of correlations, by key."""
    found = {p.key: p.name for p in model.parameters}
    if model.thresholds:
        found[THRESHOLDS] = "thresholds"
    return found | dict(names)


def aside(parameter: Parameter) -> str:
    """The name of a parameter here, as a comment after its line."""
    return remark(parameter.key)


def python_data(model: Description) -> dict[str, Any]:
    """Return the data of a Python program: arrays, and labels of levels."""
    found: dict[str, Any] = {"y": _counts(model)}
    for predictor in model.predictors:
        if predictor.columns:
            found[predictor.name] = predictor.matrix
    if model.mean.offset is not None:
        found["offset"] = model.mean.offset
    if model.trials is not None and not model.is_binary:
        found["trials"] = model.trials.astype(np.int64)
    if model.weights is not None:
        found["weights"] = model.weights
    for term in model.terms:
        found[term.code] = np.asarray(term.codes, dtype=np.int64)
        if not term.is_plain:
            found[term.columns] = _columns(term.matrix)
        if term.loading is not None:
            found[term.loading_name] = term.loading
        found[f"levels_{term.name}"] = list(term.levels)
    return found


def _counts(model: Description) -> AnyArray:
    """The response, whole numbers as such."""
    whole = model.family.support.atoms == "integers"
    return model.y.astype(np.int64) if whole else model.y


def _columns(matrix: Array) -> Array:
    return np.ascontiguousarray(matrix[:, 0] if matrix.shape[1] == 1 else matrix)


def vector_dims(model: Description, *, standardised: bool) -> dict[str, tuple[str, ...]]:
    """Return the coordinates of every vector."""
    found: dict[str, tuple[str, ...]] = {p.vector: (p.dim,) for p in model.predictors if p.columns}
    for term in model.terms:
        own = (term.dim,) if term.size == 1 else (term.dim, term.effect_dim)
        found[term.effect] = own
        if standardised:
            found[term.raw] = own
        if term.size > 1:
            found[term.sd] = (term.effect_dim,)
    return found

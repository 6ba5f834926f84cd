"""Sums over rows as what a model was built from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mixedfx._typing import AnyArray
from mixedfx.exceptions import SpecificationError
from mixedfx.formula import Expression, Formula, parse
from mixedfx.matrices.encoder import Settings
from mixedfx.matrices.frame import Frame
from mixedfx.matrices.values import codings_for
from mixedfx.models.inputs import index_of, index_parts, value_of, value_parts
from mixedfx.scale import CrossProducts
from mixedfx.scale.pieces import GeneralizedRecipe
from mixedfx.scale.recipe import Numeric, Recipe, learnt_from
from mixedfx.scale.sums import Cells, KeyLevels, Moments, Sums, Tally

__all__ = ["SumsInputs", "check_arguments", "sums_of_parts", "sums_parts"]

CELLS = ("codes", "count", "weight", "mean", "slopes")


@dataclass(frozen=True)
class SumsInputs:
    """The sums that a model was built from, in the place of data.

    Attributes
    ----------
    sums : CrossProducts
    options : dict
        Further keyword arguments of the model.
    """

    sums: CrossProducts
    options: dict[str, Any]

    given = None

    @property
    def stated(self) -> dict[str, Any]:
        """What was said of the model beside its formula, to the sums or to the model."""
        recipe = self.sums.recipe
        said = {"weights": recipe.weights, "offset": recipe.offset}
        return {
            **self.options,
            **said,
            "contrasts": recipe.contrasts or None,
            "functions": recipe.settings.functions or None,
        }

    @property
    def arguments(self) -> tuple[None, CrossProducts, dict[str, Any]]:
        """Formula, data and options of the model."""
        return None, self.sums, self.options

    def to_parts(self) -> tuple[dict[str, Any], dict[str, AnyArray]]:
        """Return JSON-ready values and named arrays."""
        parts, arrays = sums_parts(self.sums)
        return {"sums": parts, "options": self.options}, arrays

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any], arrays: Mapping[str, AnyArray]) -> SumsInputs:
        """Rebuild from what :meth:`to_parts` gave."""
        return cls(sums_of_parts(parts["sums"], arrays), dict(parts["options"]))

    @property
    def formula(self) -> str:
        """The formula of the sums."""
        return self.sums.formula.source

    @property
    def frame(self) -> Frame:
        """Rows with the factors of every cell; the numbers are means, for their kind only."""
        return self.sums.frame

    @property
    def source(self) -> Frame:
        """Refused: there are no data.

        Raises
        ------
        SpecificationError
        """
        self.sums.design().need_rows("the data")
        return self.frame


def sums_parts(stats: CrossProducts) -> tuple[dict[str, Any], dict[str, AnyArray]]:
    """Return sums over rows as JSON-ready values and named arrays."""
    recipe, sums = stats.recipe, stats.sums
    arrays: dict[str, AnyArray] = {name: getattr(sums.cells, name) for name in CELLS}
    arrays |= {"combos": sums.combos, "within": sums.within}
    parts: dict[str, Any] = {
        "formula": recipe.formula.source,
        "functions": value_parts("functions", recipe.settings.functions, arrays),
        "contrasts": value_parts("contrasts", recipe.contrasts, arrays),
        "weights": recipe.weights,
        "offset": recipe.offset,
        "kinds": dict(recipe.kinds),
        "logical": sorted(recipe.logical),
        "coded": list(recipe.coded),
        "numerics": [
            [str(n.expression), n.columns, n.spans_constant, n.degree, n.shift, n.unit]
            for n in recipe.numerics.values()
        ],
        "keys": [_key_parts(f"key{j}", key, arrays) for j, key in enumerate(sums.keys)],
        "moments": {name: _moments_parts(f"moments.{name}", one, arrays) for name, one in sums.moments.items()},
        "tally": asdict(sums.tally),
        "min_cell": stats.min_cell,
    }
    if isinstance(recipe, GeneralizedRecipe):
        parts["generalized"] = [recipe.kind, recipe.missing]
    return parts, arrays


def sums_of_parts(parts: Mapping[str, Any], arrays: Mapping[str, AnyArray]) -> CrossProducts:
    """Return the sums that :func:`sums_parts` described."""
    functions, contrasts = value_of(parts["functions"], arrays), value_of(parts["contrasts"], arrays)
    formula = parse(parts["formula"], columns=tuple(parts["kinds"]), functions=functions)
    factors = {str(factor): factor for factor in formula.expressions}
    numerics = {}
    for text, columns, spans, degree, shift, unit in parts["numerics"]:
        inner = learnt_from(factors[text]) if degree else Expression()
        named = None if columns is None else tuple(columns)
        numerics[text] = Numeric(factors[text], named, spans, degree, inner, shift, unit)
    settings = Settings(functions, codings_for(contrasts))
    recipe = Recipe(
        formula,
        settings,
        contrasts,
        parts["weights"],
        parts["offset"],
        parts["kinds"],
        frozenset(parts["logical"]),
        numerics,
        tuple(parts["coded"]),
    )
    if "generalized" in parts:
        recipe = GeneralizedRecipe.of(recipe, *parts["generalized"])
    sums = Sums(
        tuple(_key_of(key, arrays) for key in parts["keys"]),
        len(recipe.coded),
        Cells(**{name: np.asarray(arrays[name]) for name in CELLS}),
        np.asarray(arrays["combos"]),
        np.asarray(arrays["within"]),
        {name: _moments_of(part, arrays) for name, part in parts["moments"].items()},
        Tally(**parts["tally"]),
    )
    return CrossProducts(recipe, sums, parts["min_cell"])


def _key_parts(name: str, key: KeyLevels, arrays: dict[str, AnyArray]) -> dict[str, Any]:
    categories = None if key.categories is None else index_parts(f"{name}.categories", key.categories, arrays)
    return {"levels": index_parts(f"{name}.levels", key.levels, arrays), "categories": categories}


def _key_of(part: Mapping[str, Any], arrays: Mapping[str, AnyArray]) -> KeyLevels:
    given = part["categories"]
    return KeyLevels(index_of(part["levels"], arrays), None if given is None else index_of(given, arrays))


def _moments_parts(name: str, one: Moments, arrays: dict[str, AnyArray]) -> dict[str, Any]:
    arrays[f"{name}.powers"] = one.powers
    if one.distinct is not None:
        arrays[f"{name}.distinct"] = one.distinct
    return {"low": one.low, "high": one.high, "key": name, "distinct": one.distinct is not None}


def _moments_of(part: Mapping[str, Any], arrays: Mapping[str, AnyArray]) -> Moments:
    key = part["key"]
    distinct = np.asarray(arrays[f"{key}.distinct"]) if part["distinct"] else None
    return Moments(np.asarray(arrays[f"{key}.powers"]), part["low"], part["high"], distinct)


def check_arguments(formula: str | Formula | None, sums: CrossProducts, said: Mapping[str, Any]) -> None:
    """Refuse what the sums have settled, or cannot have.

    Raises
    ------
    SpecificationError
    """
    if formula is not None:
        written = parse(formula, columns=sums.columns, functions=sums.functions)
        if written != sums.formula:
            raise SpecificationError(
                f"the sums are those of {sums.formula}, not of {written}: leave the formula out, lmer(None, stats), "
                "or sum again"
            )
    if said.get("residual") is not None:
        raise SpecificationError(
            "residuals with a structure need the rows one by one, which sums over rows are not: fit the rows themselves"
        )
    for name in ("weights", "offset", "contrasts", "functions"):
        if said.get(name) is not None:
            raise SpecificationError(f"{name} are part of the sums: give them to mfx.cross_products, not to lmer")

"""What PyMC and NumPyro programs have in common: the two are Python, with different names of the same functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mixedfx.programs.description import Description, Number, Predictor, Term
from mixedfx.programs.names import quoted, remark
from mixedfx.programs.priors import number

__all__ = ["Python", "coordinate_lines", "indented", "listed"]

PLAIN_PREDICTORS = ("ordinal",)


def indented(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines one step further right."""
    return (f"    {line}" if line else "" for line in lines)


def listed(values: Sequence[float] | Any) -> str:
    """Return numbers as a Python list."""
    return f"[{', '.join(map(number, values))}]"


def coordinate_lines(model: Description) -> Iterator[str]:
    """Yield the statement that names the coordinates; levels are in the data."""
    levels = {term.dim: f'data["levels_{term.name}"]' for term in model.terms}
    yield "coords = {"
    for dim, labels in model.coordinates.items():
        named = f"[{', '.join(map(quoted, labels))}]"
        yield f'    "{dim}": {levels.get(dim, named)},'
    yield "}"


@dataclass(frozen=True)
class Python:
    """Names of functions in one of the two.

    Attributes
    ----------
    exp, sqrt, log, expit, ndtr, arctan, pi : str
    """

    exp: str
    sqrt: str
    log: str
    expit: str
    ndtr: str
    arctan: str
    pi: str

    def title(self, term: Term) -> str:
        """Return the comment above a term."""
        return remark(f"effects {term.text}: {len(term.levels)} levels")

    def predictor_lines(self, mean: Predictor, terms: Sequence[Term]) -> Iterator[str]:
        """Yield the linear predictor of the mean."""
        parts = [f'data["{mean.name}"] @ {mean.vector}'] if mean.columns else []
        parts += ['data["offset"]'] if mean.offset is not None else []
        for term in terms:
            effects = f'{term.effect}[data["{term.code}"]]'
            if term.is_plain:
                parts.append(effects)
            elif term.size == 1:
                parts.append(f'data["{term.columns}"] * {effects}')
            else:
                parts.append(f'(data["{term.columns}"] * {effects}).sum(axis=1)')
        yield f"eta = {parts[0] if parts else '0.0 * data[' + repr('y') + ']'}"
        yield from (f"eta = eta + {part}" for part in parts[1:])

    def mean_lines(self, model: Description) -> Iterator[str]:
        """Yield the mean as a function of the linear predictor, where the response is written with it."""
        family, link = model.family.name, model.family.link.name
        if family not in PLAIN_PREDICTORS and not (family == "binomial" and link == "logit"):
            yield f"mu = {self.inverse(link)}"

    def inverse(self, link: str) -> str:
        """Return the inverse link at ``eta``."""
        return {
            "identity": "eta",
            "log": f"{self.exp}(eta)",
            "logit": f"{self.expit}(eta)",
            "probit": f"{self.ndtr}(eta)",
            "cloglog": f"1.0 - {self.exp}(-{self.exp}(eta))",
            "cauchit": f"0.5 + {self.arctan}(eta) / {self.pi}",
            "inverse": "1.0 / eta",
            "inverse_squared": f"1.0 / {self.sqrt}(eta)",
            "sqrt": "eta**2",
        }[link]

    def number_lines(self, own: Number) -> Iterator[str]:
        """Yield a parameter of the family that is known or has a linear predictor."""
        name = own.number.name
        if own.known is not None:
            yield f"{name} = {number(own.known)}  # known"
        if own.predictor is not None:
            eta = f'data["{own.predictor.name}"] @ {own.predictor.vector}'
            power = own.number.power
            scaled = eta if power == 1.0 else f"({eta}) / {number(power)}"
            yield f"{name} = {self.exp}({scaled})" if power else f"{name} = {self.expit}({eta})"

    def weighted(self, model: Description, name: str, *, divided: bool) -> str:
        """Return a parameter with the weights of the rows, which divide the dispersion."""
        if model.weights is None:
            return name
        return f'{name} / {self.sqrt}(data["weights"])' if divided else f'{name} * data["weights"]'

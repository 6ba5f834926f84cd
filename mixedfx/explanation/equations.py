"""The model as LaTeX: for one observation, as hierarchy, and in matrices."""

from __future__ import annotations

from dataclasses import dataclass

from mixedfx.design import RandomEffects
from mixedfx.results.base import MixedResults

__all__ = ["Equations", "equations"]

ESCAPED = {c: "\\" + c for c in "#$%&_{}"} | {"~": r"\sim ", "^": r"\hat{\ }", "\\": r"\backslash "}


def _text(name: str) -> str:
    return r"\text{" + "".join(ESCAPED.get(c, c) for c in name) + "}"


@dataclass(frozen=True)
class Equations:
    """A model in LaTeX.

    Attributes
    ----------
    scalar : str
        One observation.
    hierarchical : str
        Level by level.
    matrix : str
        All observations at once.
    """

    scalar: str
    hierarchical: str
    matrix: str

    def __str__(self) -> str:
        return "\n\n".join([self.scalar, self.hierarchical, self.matrix])

    def _repr_latex_(self) -> str:
        return "$$" + "$$\n$$".join([self.scalar, self.hierarchical, self.matrix]) + "$$"


def equations(fit: MixedResults, family: str = "gaussian", link: str = "identity") -> Equations:
    """Return the model of a fit as LaTeX.

    Parameters
    ----------
    fit : fitted mixed model
    family, link : str
        Distribution and link, for the left side.
    """
    design = fit.design
    y = _text(design.response.name)
    fixed = _sum([f"\\beta_{{{i}}}" + _factor(name) for i, name in enumerate(design.fixed.names)])
    random = [_term(k, term) for k, term in enumerate(design.random)]
    linear = _sum([fixed, *(body for body, _ in random)])
    gaussian = family == "gaussian" and link == "identity"
    left = f"{y}_i" if gaussian else f"{_text(link)}\\,\\mu_i"
    scalar = f"{left} = {linear}" + (r" + \varepsilon_i" if gaussian else "")
    laws = [law for _, law in random]
    top = r"\varepsilon_i \sim N(0, \sigma^2)" if gaussian else f"{y}_i \\sim {_text(family)}(\\mu_i)"
    hierarchy = r"\begin{aligned} " + r" \\ ".join([top, *laws]) + r" \end{aligned}"
    matrix = (
        r"y = X\beta + Zb + \varepsilon,\quad b \sim N(0, \sigma^2 \Lambda\Lambda'),\quad "
        r"\varepsilon \sim N(0, \sigma^2 W^{-1})"
    )
    if not gaussian:
        matrix = f"g(\\mu) = X\\beta + Zb,\\quad b \\sim N(0, \\Lambda\\Lambda'),\\quad g = {_text(link)}"
    return Equations(scalar, hierarchy, matrix)


def _factor(name: str) -> str:
    return "" if name == "Intercept" else rf"\,{_text(name)}_i"


def _sum(parts: list[str]) -> str:
    return " + ".join(part for part in parts if part)


def _term(k: int, term: RandomEffects) -> tuple[str, str]:
    """The term's part of the linear predictor, and the law of its effects."""
    letter = chr(ord("b") + k) if k < 8 else f"b^{{({k})}}"
    at = f"[{_text(term.group)}_i]"
    symbols = [f"{letter}_{{{j}}}" for j in range(len(term.names))]
    body = _sum([symbol + at + _factor(name) for symbol, name in zip(symbols, term.names, strict=True)])
    if len(symbols) == 1:
        return body, rf"{symbols[0]} \sim N(0, \sigma_{{{letter}}}^2)"
    vector = r"(" + ", ".join(symbols) + r")'"
    kind = r"\Sigma" if "||" not in term.term else r"\mathrm{diag}(\sigma^2)"
    return body, rf"{vector} \sim N(0, {kind}_{{{letter}}})"

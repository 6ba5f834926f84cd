"""Everything that helps to read a fitted model, in one object."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

from mixedfx.explanation.equations import Equations, equations
from mixedfx.explanation.translations import translations
from mixedfx.explanation.words import sentences
from mixedfx.results.base import MixedResults
from mixedfx.results.linear import LinearMixedResults

__all__ = ["Explanation", "explain"]


@dataclass(frozen=True)
class Explanation:
    """A fitted model explained; made by :func:`explain`.

    Attributes
    ----------
    equations : Equations
        LaTeX: ``scalar``, ``hierarchical``, ``matrix``.
    sentences : tuple of str
        One for each line of the summary.
    code : dict
        Program to the same model in its language.
    """

    equations: Equations
    sentences: tuple[str, ...]
    code: dict[str, str]

    def __str__(self) -> str:
        lines = [
            "In words",
            *(f"  * {s}" for s in self.sentences),
            "",
            "As equations",
            f"  {self.equations.scalar}",
            "",
        ]
        return "\n".join([*lines, "In other programs", *(f"  {name:8s} {text}" for name, text in self.code.items())])

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{escape(s)}</li>" for s in self.sentences)
        code = "".join(f"<dt>{escape(k)}</dt><dd><code>{escape(v)}</code></dd>" for k, v in self.code.items())
        return f"<ul>{items}</ul><p>$${escape(self.equations.scalar)}$$</p><dl>{code}</dl>"


def explain(fit: Any) -> Explanation:
    """Explain a fitted model: in words, as equations, and as code for other programs.

    Parameters
    ----------
    fit : fitted mixed model

    Returns
    -------
    Explanation
        Prints as text; ``equations``, ``sentences`` and ``code`` hold the parts.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (1 | Subject)", mfx.load_dataset("sleepstudy"))
    >>> explanation = mfx.explain(fit)
    >>> explanation.code["lme4"]
    'lmer(Reaction ~ 1 + Days + (1 | Subject), data = d)'
    >>> explanation.sentences[0]
    '180 observations of Reaction in 18 levels of Subject.'
    """
    if not isinstance(fit, MixedResults):
        raise TypeError(f"explain takes a fitted mixed model, found {type(fit).__name__}")
    if isinstance(fit, LinearMixedResults):
        family, link, reml = "gaussian", "identity", fit.reml
    else:
        model: Any = fit
        family, link, reml = str(model.model.family.name), str(model.model.family.link.name), False
    return Explanation(equations(fit, family, link), tuple(sentences(fit, link)), translations(fit, family, reml))

"""What counts as success in a model of proportions, in words."""

from __future__ import annotations

from mixedfx.results.base import MixedResults

__all__ = ["success_of"]


def success_of(fit: MixedResults) -> str:
    """Return what counts as success in a model of proportions, in words."""
    response = fit.design.response
    if response.categories is not None:
        return f"{response.name} = {response.categories[1]!r}"
    counts = counted(response.name)
    if counts is not None:
        return counts
    return f"{response.name} = 1" if response.trials is None else "success"


def counted(name: str) -> str | None:
    """Return the first argument of ``cbind(a, b)``; None for another response."""
    if not (name.startswith("cbind(") and name.endswith(")")):
        return None
    depth = 0
    for place, sign in enumerate(name):
        depth += (sign in "([") - (sign in ")]")
        if sign == "," and depth == 1:
            return name[len("cbind(") : place].strip()
    return None

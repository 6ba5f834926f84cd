"""Covariance structures that users register."""

from collections.abc import Callable
from typing import Any

import numpy as np

import mixedfx as mfx
from mixedfx import SpecificationError as S
from tests.messages.helpers import Case, data


def powers(rho: Any, size: int) -> Any:
    return rho[0] ** np.abs(np.subtract.outer(np.arange(size), np.arange(size)))


def equal(rho: Any, size: int) -> Any:
    return rho[0] + (1 - rho[0]) * np.eye(size)


def assigned(rho: Any, size: int) -> Any:
    matrix = np.eye(size)
    matrix[0, 1] = matrix[1, 0] = rho[0]
    return matrix


def used(function: Any, **options: Any) -> Callable[[], Any]:
    def call() -> Any:
        mfx.register_covariance("mine", function, **options)
        return mfx.lmer("y ~ x + mine(0 + f | g)", data())

    return call


CASES: dict[str, Case] = {
    "name": (lambda: mfx.register_covariance("my structure", powers), S, ("'my structure'", "'decay'")),
    "a keyword of ours": (lambda: mfx.register_covariance("cs", powers), S, ("'cs'", "another name")),
    "names": (used(powers, parameters="rho"), S, ("mine", "'rho'", "['rho']")),
    "limits": (used(powers, upper=np.inf), S, ("mine", "upper", "inf", "finite")),
    "order": (used(powers, lower=1, upper=-1), S, ("mine", "lower is below upper")),
    "start": (used(powers, start=1.0), S, ("mine", "start", "1.0", "between lower and upper")),
    "not a correlation": (used(lambda rho, size: 2.0 * powers(rho, size)), S, ("mine", "rho", "ones on its diagonal")),
    "not positive definite": (used(equal), S, ("mine", "rho = -0.98", "3 columns", "lower")),
    "not differentiated": (used(assigned), S, ("mine", "cannot be differentiated", "np.array")),
    "shape": (used(lambda rho, size: rho[0]), S, ("mine", "shape")),
    "not finite": (used(lambda rho, size: powers(rho, size) * np.nan), S, ("mine", "rho", "not finite")),
}

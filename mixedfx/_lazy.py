"""What is done when it is first asked for: imports of modules and of functions of higher floors, and attributes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

__all__ = ["HIGHER", "cached_property", "higher", "names", "submodules"]

if TYPE_CHECKING or sys.version_info >= (3, 12):
    from functools import cached_property
else:
    import functools

    class cached_property(functools.cached_property):
        """An attribute that is computed when it is first asked for, as in Python 3.12.

        Before, a lock for all objects of a class kept threads from computing at the same time.
        """

        def __get__(self, instance: Any, owner: Any = None) -> Any:
            if instance is None:
                return self
            value = instance.__dict__[self.attrname] = self.func(instance)
            return value


# Methods that call a function of a higher floor, or of a module that needs theirs, do it in one line through this
# table; tests/test_architecture.py allows no other import against the order of the rooms.
HIGHER = {
    "anova": "analysis_of_variance",
    "bootstrap": "results.bootstrap",
    "check": "diagnostics",
    "confidence_intervals": "results.intervals",
    "correlogram": "plots.diagnostics",
    "dashboard": "plots.diagnostics",
    "deconvolved": "deconvolution.fits",
    "deconvolution": "plots.deconvolution",
    "diagram_of": "explanation.layered",
    "emmeans": "marginal_means",
    "explain": "explanation.explain",
    "fit_source": "models.partitioned",
    "generalized_without": "fitting.without",
    "influence": "diagnostics",
    "influence_picture": "plots.diagnostics:influence",
    "linear_without": "fitting.without",
    "mismeasured": "models.errors_in_variables",
    "plate_diagram": "plots.diagram",
    "plot_batches": "plots.estimates",
    "plot_bootstrap": "plots.parameters",
    "plot_marginal_means": "plots.means",
    "plot_profile": "plots.parameters",
    "pooling_panels": "plots.pooling",
    "power_curve": "plots.planning",
    "profile": "results.profile",
    "quantiles": "plots.diagnostics",
    "refit_many": "results.many_files",
    "report": "explanation.report",
    "robust": "results.robust",
    "suited": "plots.suited",
    "to_bambi": "programs.write",
    "to_brms": "programs.write",
    "to_numpyro": "programs.write",
    "to_pymc": "programs.write",
    "to_stan": "programs.write",
    "write_sums": "models.storage",
}


def higher(name: str) -> Callable[..., Any]:
    """Return the function of this name in ``HIGHER`` (of another name after a colon); its module is imported now."""
    module, _, called = HIGHER[name].partition(":")
    function: Callable[..., Any] = getattr(import_module(f"mixedfx.{module}"), called or name)
    return function


def names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for ``package`` that imports a public name when it is first used.

    Parameters
    ----------
    package : str
        ``__name__`` of the package.
    homes : mapping of str to str
        Name to the module of the package that has it.
    """
    others = submodules(package)

    def named(name: str) -> Any:
        if name not in homes:
            return others(name)
        value = getattr(import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return named


def submodules(package: str) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for ``package`` that knows its modules.

    Parameters
    ----------
    package : str
        ``__name__`` of the package.
    """

    def module(name: str) -> Any:
        if name.startswith("_") or not name.isidentifier() or find_spec(f"{package}.{name}") is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return import_module(f"{package}.{name}")

    return module

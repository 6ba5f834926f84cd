"""A program: its text, the data and starting values that it needs, its priors, and its log density."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_mapping
from mixedfx._suggestions import hinting_methods
from mixedfx.programs.density import log_densities, start_values
from mixedfx.programs.description import Description

__all__ = ["Program"]

EXAMPLE = '{"b_Days": 10.0, "sigma": 25.0, …}'


@hinting_methods
@dataclass(frozen=True, eq=False, repr=False)
class Program:
    """A fitted model written for a probabilistic programming language. ``str()`` and ``print`` give its text.

    Made by ``fit.to_pymc()``, ``fit.to_numpyro()``, ``fit.to_stan()``, ``fit.to_bambi()`` and ``fit.to_brms()``.

    Attributes
    ----------
    language : str
        ``"PyMC"``, ``"NumPyro"``, ``"Stan"``, ``"Bambi"`` or ``"brms"``.
    code : str
        The program. It needs the name ``data`` (of Python programs :attr:`data` itself) and nothing else.
    data : dict
        Arrays and labels that the program reads.
    start : dict
        The estimates by the program's names, to start a sampler from (``initvals=`` of ``pymc.sample``, ``init=`` of
        Stan). Standard deviations of zero and correlations of one, which no sampler can start from, are moved inside.
    priors : dict
        Every prior by the name of its parameter, ``{"Days": "normal(0.0, 48.9)", …}``: change what you like and give
        the dict, or the changed entries alone, to ``priors=``.
    variables : dict
        Name of a parameter here, as in :attr:`priors`, to its name in the program.
    coords : dict
        Labels of the coordinates of its vectors, for ArviZ.
    dims : dict
        Coordinates of its vectors, for ArviZ.
    notes : tuple of str
        What the program leaves out or changes.
    """

    language: str
    code: str
    data: dict[str, Any]
    start: dict[str, Any]
    variables: dict[str, str]
    coords: dict[str, list[str]]
    dims: dict[str, tuple[str, ...]]
    notes: tuple[str, ...]
    model: Description = field(repr=False)

    def __post_init__(self) -> None:
        for name, values in self.data.items():
            if isinstance(values, np.ndarray):  # some are those of the fit, which nobody shall change through here
                self.data[name] = values.view()
                self.data[name].flags.writeable = False

    @property
    def states_all(self) -> bool:
        """Whether :attr:`start` has all that :meth:`log_densities` asks for; a formula's language has its own names."""
        return bool(self.coords)

    @property
    def priors(self) -> dict[str, str]:
        """Every prior by the name of its parameter."""
        return {key: str(prior) for key, prior in self.model.priors.items()}

    def log_densities(self, values: Mapping[str, Any] | None = None) -> pd.Series[float]:
        """Return the logarithms of the factors of the joint density: likelihood, every prior, the random effects.

        Parameters
        ----------
        values : mapping, optional
            Parameters by the names that the PyMC, NumPyro and Stan programs share, as :attr:`start` of these has them.
            They are on the scales on which they are named: standard deviations as such, correlations by the
            ``L_g`` (q, q) of their Cholesky factor (PyMC: ``partial_g``, the partial correlations mapped to (0, 1)).
            Effects may be given as such, ``u_g`` (m, q), or standardised, ``z_g``. The estimates if omitted.

        Returns
        -------
        Series
            All constants are in; there are no Jacobians. Minus infinity where a value is out of range.

        Raises
        ------
        SpecificationError
            If a parameter has no value, or a single number several.

        Notes
        -----
        This is what the programs say, written once more in NumPy: the generated models have the same log density (in
        PyMC ``model.compile_logp(jacobian=False)``, ``numpyro.infer.util.log_density``, in Stan ``log_prob`` without
        the adjustment of the transforms).

        Examples
        --------
        >>> import mixedfx as mfx
        >>> program = mfx.lmer("Reaction ~ Days + (1 | Subject)", mfx.load_dataset("sleepstudy")).to_pymc()
        >>> print(program.log_densities().round(2).to_string())
        likelihood               -864.53
        Intercept                  -6.50
        Days                       -4.83
        sd_Intercept|Subject       -5.30
        sigma                      -4.53
        effects: (1 | Subject)    -89.54
        """
        if values is None:
            values = self.start if self.states_all else start_values(self.model, centered=True, partial=False)
        return pd.Series(log_densities(self.model, checked_mapping("values", values, EXAMPLE)), dtype=float)

    def log_density(self, values: Mapping[str, Any] | None = None) -> float:
        """Return the joint log density of data and parameters: the sum of :meth:`log_densities`."""
        return float(np.sum(self.log_densities(values).to_numpy()))

    def __str__(self) -> str:
        return self.code

    def __repr__(self) -> str:
        head = self.model.formula if len(self.model.formula) < 60 else f"{self.model.formula[:57]}…"
        return f"<{self.language} program: {head}, {len(self.code.splitlines())} lines; print it, or see .code>"

    def _repr_markdown_(self) -> str:
        kind = {"brms": "r", "Stan": "stan"}.get(self.language, "python")
        return f"```{kind}\n{self.code}```\n"

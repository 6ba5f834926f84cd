"""A fitted generalised model whose rows stay where they are: what it knows of them are sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from mixedfx._typing import AnyArray, Array, IntArray
from mixedfx._workers import Workers
from mixedfx.criterion.partitioned import (
    Largest,
    PartitionedEvaluation,
    PartitionedProblem,
    Sums,
)
from mixedfx.criterion.partitioned_separation import (
    divided_factors,
    looks_separated,
    nearly_folded,
    separating_direction,
)
from mixedfx.fitting.control import Control
from mixedfx.fitting.generalized import GeneralizedFit
from mixedfx.fitting.generalized_search import fit_generalized
from mixedfx.fitting.likelihood import inverse_information
from mixedfx.fitting.obstacles import obstacle_at
from mixedfx.matrices import Design

__all__ = ["PartitionedFit", "fit_partitioned", "sums_arrays", "sums_of_arrays"]


@dataclass(frozen=True, repr=False)
class PartitionedFit(GeneralizedFit):
    """A fitted generalised model of rows that are read piece by piece."""

    kind = "partitioned"

    problem: PartitionedProblem
    at: PartitionedEvaluation

    @property
    def robust_kinds(self) -> tuple[str, ...]:
        """None: scores need rows."""
        return ()

    @property
    def unprofilable(self) -> str:
        """Why the likelihood cannot be profiled."""
        return (
            "a profile fits the model again and again, which takes too many passes over rows that are read piece by "
            'piece: take method="wald", or fit a data frame'
        )

    # ---------------------------------------------------------------- what needs rows
    def weighted_rows(self, matrix: Any) -> Any:
        """Refuse."""
        self.design.need_rows("working weights")
        return matrix

    @property
    def cross_product_root(self) -> Array:
        """``R`` (p, p) with ``R'R = X'WX``, W the working weights."""
        inverse = np.linalg.inv(self.problem.bases[0].matrix)
        information = inverse.T @ self.at.state.fixed_information @ inverse
        return np.asarray(np.linalg.cholesky(information).T)

    def leverages(self) -> tuple[Array, Array]:
        """Refuse."""
        self.design.need_rows("leverages")
        return super().leverages()

    def drawn_predictor(self, effects: Array, rng: np.random.Generator) -> Array:
        """Refuse."""
        self.design.need_rows("draws given the data")
        return super().drawn_predictor(effects, rng)

    def with_response(self, y: Array) -> Any:
        """Refuse."""
        self.design.need_rows("a fit to another response")
        return super().with_response(y)

    def on_rows(self, design: Design, rows: AnyArray) -> Any:
        """Refuse."""
        self.design.need_rows("a fit to some of the rows")
        return super().on_rows(design, rows)

    def without(self, sets: IntArray, columns: pd.DataFrame | None, workers: Workers) -> Any:
        """Refuse."""
        self.design.need_rows("estimates without some of the rows")
        return super().without(sets, columns, workers)

    # ---------------------------------------------------------------- storage
    def stored(self) -> tuple[dict[str, Any], dict[str, AnyArray]]:
        """Return what every fit stores, and the sums over the rows at the mode."""
        state, arrays = super().stored()
        for name, sums in (("curves", self.at.state.curves), ("leverages", self.at.state.leverages)):
            state[name] = sums_arrays(name, sums, arrays)
        verdicts = {"separating": self._separating, "divided": np.array(self._divided, dtype=np.int64)}
        for name, values in verdicts.items():
            if values is not None:
                arrays[name] = values
        state["obstacle"] = "" if self.certificate.converged else self._obstacle()
        return state, arrays

    def with_verdicts(self, state: Mapping[str, Any], arrays: Mapping[str, AnyArray]) -> PartitionedFit:
        """Return this fit with what was found in the rows when it was stored."""
        known = {"_divided": tuple(int(f) for f in arrays["divided"]), "_run_into": state["obstacle"]}
        known["_separating"] = arrays.get("separating")
        self.__dict__.update(known)
        return self

    # ---------------------------------------------------------------- verdicts
    @cached_property
    def _divided(self) -> tuple[int, ...]:
        return divided_factors(self.at.state)

    @cached_property
    def divided(self) -> tuple[str, ...]:
        """Names of the grouping factors none of whose levels has more than one outcome: infinite variances."""
        slots, terms = self.problem.covariance.terms, self.problem.design.random
        chosen = (t.group for t, slot in zip(terms, slots, strict=True) if slot.factor in self._divided)
        return tuple(dict.fromkeys(chosen))

    @cached_property
    def _inner_direction(self) -> Array | None:
        p = self.problem.model.n_fixed
        if p == 0:
            return None
        with np.errstate(invalid="ignore"):  # a separated fit may have no covariance
            inner = np.sqrt(2.0 * inverse_information(self.hessian[np.ix_(self.free, self.free)]).diagonal()[:p])
        return separating_direction(self.at.state) if looks_separated(self.at.state, inner) else None

    @cached_property
    def _separating(self) -> Array | None:
        direction = self._inner_direction
        return None if direction is None else np.asarray(self.problem.bases[0].matrix @ direction)

    def _obstacle(self) -> str:
        """What a search that found no optimum ran into, in words."""
        return self._run_into

    @cached_property
    def _run_into(self) -> str:
        return obstacle_at(self.problem, self.x, lambda: nearly_folded(self.at.state))


def fit_partitioned(problem: PartitionedProblem, control: Control) -> PartitionedFit:
    """Fit by the Laplace approximation, the rows read again whenever they are needed."""
    fit = fit_generalized(problem, control, PartitionedEvaluation)  # type: ignore[arg-type]
    return PartitionedFit(**{field.name: getattr(fit, field.name) for field in fields(GeneralizedFit)})


# ---------------------------------------------------------------- sums as arrays
def sums_arrays(prefix: str, sums: Sums, arrays: dict[str, AnyArray]) -> dict[str, Any]:
    """Put the arrays of ``sums`` beside others, and return what they are."""
    return {name: _part(f"{prefix}.{name}", value, arrays) for name, value in sums.items()}


def _part(key: str, value: Any, arrays: dict[str, AnyArray]) -> Any:
    if isinstance(value, Largest):
        return {"largest": value.value}
    if isinstance(value, list):
        return {"list": [_part(f"{key}.{k}", one, arrays) for k, one in enumerate(value)]}
    if sp.issparse(value):
        matrix: Any = sp.csr_array(value)  # type: ignore[call-overload]
        arrays |= {f"{key}.data": matrix.data, f"{key}.columns": matrix.indices, f"{key}.starts": matrix.indptr}
        return {"sparse": key, "shape": list(matrix.shape)}
    if isinstance(value, np.ndarray):
        arrays[key] = value
        return {"array": key}
    return {"number": float(value)}


def sums_of_arrays(parts: Mapping[str, Any], arrays: Mapping[str, AnyArray]) -> Sums:
    """Return the sums that :func:`sums_arrays` described."""
    return {name: _value(part, arrays) for name, part in parts.items()}


def _value(part: Mapping[str, Any], arrays: Mapping[str, AnyArray]) -> Any:
    if "largest" in part:
        return Largest(float(part["largest"]))
    if "list" in part:
        return [_value(one, arrays) for one in part["list"]]
    if "sparse" in part:
        key: str = part["sparse"]
        stored: Sequence[AnyArray] = (arrays[f"{key}.data"], arrays[f"{key}.columns"], arrays[f"{key}.starts"])
        return sp.csr_array(tuple(stored), shape=tuple(part["shape"]))
    return arrays[part["array"]] if "array" in part else float(part["number"])

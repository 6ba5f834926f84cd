"""What a model was built from, so that a saved fit can be rebuilt: text and numbers only, never code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import reduce
from operator import mul
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._lazy import higher
from mixedfx._typing import AnyArray
from mixedfx.covariance import residual
from mixedfx.covariance.residual.structure import Combined, ResidualStructure
from mixedfx.exceptions import SpecificationError
from mixedfx.formula import Formula
from mixedfx.formula.measured import has_measured
from mixedfx.matrices.columns import DataColumn, FactorColumn, NumberColumn, TimeColumn
from mixedfx.matrices.frame import Frame, as_frame

__all__ = [
    "ModelInputs",
    "StoredFrame",
    "fit_mismeasured",
    "index_of",
    "index_parts",
    "is_mismeasured",
    "value_of",
    "value_parts",
]


def fit_mismeasured(*arguments: Any, **options: Any) -> Any:
    """Fit a model with predictors that are measured with error: see ``mixedfx.models.errors_in_variables``."""
    return higher("mismeasured")(*arguments, **options)


def is_mismeasured(formula: Any, functions: Any, method: Any) -> bool:
    """Whether a formula has predictors that are measured with error, ``me(…)``.

    Raises
    ------
    SpecificationError
        If a ``method`` is given to correct for errors that there are none of.
    """
    found = has_measured(formula, functions or ())
    if method is not None and not found:
        raise SpecificationError(
            "errors_in_variables= is for predictors measured with error, and the formula has none: write me(w, sd=…), "
            "or me(w1, w2) for replicates"
        )
    return found


class StoredFrame(Frame):
    """Columns that were converted before: those of a saved model."""

    def __init__(self, columns: Mapping[str, DataColumn], index: pd.Index[Any]) -> None:
        super().__init__(tuple(columns), index)
        self._columns.update(columns)

    def _convert(self, name: str) -> DataColumn:
        return self._columns[name]


@dataclass(frozen=True)
class ModelInputs:
    """The arguments of a model, with the data reduced to the columns that it uses.

    Attributes
    ----------
    formula : str
    frame : Frame
    options : dict
        Further keyword arguments of the model.
    given : Frame or None
        The data with all their columns, for ``fit.update``; neither saved nor pickled.
    """

    formula: str
    frame: Frame
    options: dict[str, Any]
    given: Frame | None = None

    @property
    def source(self) -> Frame:
        """The data as they were given; the columns that the model uses if no more was kept."""
        return self.frame if self.given is None else self.given

    @property
    def stated(self) -> dict[str, Any]:
        """What was said of the model beside its formula."""
        return self.options

    @property
    def arguments(self) -> tuple[str, Frame, dict[str, Any]]:
        """Formula, data and options of the model."""
        return self.formula, self.frame, self.options

    def __reduce__(self) -> tuple[type[ModelInputs], tuple[str, Frame, dict[str, Any]]]:
        return ModelInputs, (self.formula, self.frame, self.options)

    @classmethod
    def of(cls, formula: Formula, data: Any, options: Mapping[str, Any], extra: tuple[str, ...] = ()) -> ModelInputs:
        """Keep the columns that ``formula`` and the ``extra`` names use."""
        frame = as_frame(data)
        named = [value for key in ("weights", "offset") if isinstance(value := options.get(key), str)]
        named += list(options.get("contrasts") or ())
        used = dict.fromkeys([*formula.variables, *named, *extra])
        columns = {name: frame.column(name) for name in used if name in frame}
        given = None if isinstance(frame, StoredFrame) else frame
        return cls(formula.source, StoredFrame(columns, frame.index), dict(options), given)

    def to_parts(self) -> tuple[dict[str, Any], dict[str, AnyArray]]:
        """Return JSON-ready values and named arrays."""
        arrays: dict[str, AnyArray] = {}
        columns = {
            name: _column_parts(f"column{i}", self.frame.column(name), arrays)
            for i, name in enumerate(self.frame.names)
        }
        index = index_parts("index", self.frame.index, arrays)
        options = {key: value_parts(f"option.{key}", value, arrays) for key, value in self.options.items()}
        return {"formula": self.formula, "columns": columns, "index": index, "options": options}, arrays

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any], arrays: Mapping[str, AnyArray]) -> ModelInputs:
        """Rebuild from what :meth:`to_parts` gave."""
        columns = {name: _column_of(name, part, arrays) for name, part in parts["columns"].items()}
        options = {key: value_of(part, arrays) for key, part in parts["options"].items()}
        return cls(parts["formula"], StoredFrame(columns, index_of(parts["index"], arrays)), options)


def _column_parts(key: str, column: DataColumn, arrays: dict[str, AnyArray]) -> dict[str, Any]:
    kind = "time" if isinstance(column, TimeColumn) else "factor" if column.is_factor else "number"
    if kind == "number":
        arrays[key] = column.numbers if column.labels.levels.dtype.kind == "f" else _exact(column)
        return {"kind": kind, "dtype": column.dtype, "key": key}
    arrays[key] = column.labels.codes
    return {
        "kind": kind,
        "dtype": column.dtype,
        "key": key,
        "levels": index_parts(f"{key}.levels", column.labels.levels, arrays),
    }


def _exact(column: DataColumn) -> AnyArray:
    """Integers and booleans in their own type, unless some are missing."""
    labels = column.labels
    if labels.codes.min(initial=0) < 0:
        return column.numbers
    return np.asarray(labels.levels.to_numpy())[labels.codes]


def _column_of(name: str, part: Mapping[str, Any], arrays: Mapping[str, AnyArray]) -> DataColumn:
    values = arrays[part["key"]]
    if part["kind"] == "number":
        return NumberColumn(name, part["dtype"], values, is_logical="bool" in part["dtype"])
    levels = index_of(part["levels"], arrays)
    if part["kind"] == "time":
        return TimeColumn(name, part["dtype"], levels.take(np.maximum(values, 0)).where(values >= 0).array)
    return FactorColumn(name, part["dtype"], values, levels)


def index_parts(key: str, index: pd.Index[Any], arrays: dict[str, AnyArray]) -> dict[str, Any]:
    """Return labels as JSON has them, numbers and times as an array ``key``."""
    if isinstance(index, pd.RangeIndex):
        return {"kind": "range", "range": [index.start, index.stop, index.step], "name": _json_name(index.name)}
    if isinstance(index, pd.MultiIndex):
        levels = [index_parts(f"{key}.{i}", index.get_level_values(i), arrays) for i in range(index.nlevels)]
        return {"kind": "multi", "levels": levels, "names": [_json_name(name) for name in index.names]}
    values = index.to_numpy()
    name = _json_name(index.name)
    if values.dtype.kind in "fiub":
        arrays[key] = values
        return {"kind": "number", "key": key, "name": name}
    if values.dtype.kind in "mM":
        arrays[key] = values.view(np.int64)
        return {"kind": "time", "key": key, "dtype": str(values.dtype), "name": name}
    return {"kind": "text", "values": [_json_label(value) for value in values.tolist()], "name": name}


def _json_name(name: Any) -> str | None:
    return None if name is None else str(name)


def _json_label(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return None if pd.isna(value) else str(value)


def index_of(part: Mapping[str, Any], arrays: Mapping[str, AnyArray]) -> pd.Index[Any]:
    """Return the labels that :func:`index_parts` described."""
    kind = part["kind"]
    if kind == "multi":
        return pd.MultiIndex.from_arrays([index_of(level, arrays) for level in part["levels"]], names=part["names"])
    if kind == "range":
        start, stop, step = part["range"]
        return pd.RangeIndex(start, stop, step, name=part["name"])
    values = part["values"] if kind == "text" else arrays[part["key"]]
    index: pd.Index[Any] = pd.Index(values.view(part["dtype"]) if kind == "time" else values, name=part["name"])
    return index


def value_parts(key: str, value: Any, arrays: dict[str, AnyArray]) -> Any:
    """One option: plain values as they are, arrays and frames by key, dicts item by item."""
    if value is None or isinstance(value, str | bool | int | float):
        return {"plain": value}
    if isinstance(value, ResidualStructure):
        return {
            "residual": [
                _structure_parts(part) for part in (value.factors if isinstance(value, Combined) else (value,))
            ]
        }
    if isinstance(value, Mapping):
        return {"dict": {str(k): value_parts(f"{key}.{k}", v, arrays) for k, v in value.items()}}
    if isinstance(value, pd.DataFrame):
        arrays[key] = value.to_numpy(dtype=float)
        rows, columns = (
            index_parts(f"{key}.rows", value.index, arrays),
            index_parts(f"{key}.columns", value.columns, arrays),
        )
        return {"frame": key, "rows": rows, "columns": columns}
    numbers = _numbers(value)
    if numbers is not None and isinstance(value, pd.Series):
        arrays[key] = numbers
        return {"series": key, "rows": index_parts(f"{key}.rows", value.index, arrays)}
    if numbers is not None:
        arrays[key] = numbers
        return {"array": key}
    raise SpecificationError(
        f"{key.removeprefix('option.')} is a {type(value).__name__}, which cannot be saved without saving code; "
        "pickle the fit instead (and load pickles only from people you trust)"
    )


def _numbers(value: Any) -> AnyArray | None:
    """Numbers in their own type, those in an array of objects as floats with nan where missing; None for the rest."""
    if not isinstance(value, pd.Series | np.ndarray | np.generic | list | tuple):
        return None
    numbers = value.to_numpy() if isinstance(value, pd.Series) else np.asarray(value)
    if numbers.dtype.kind in "fiub":
        return np.asarray(numbers)
    try:
        return np.asarray(pd.to_numeric(numbers), dtype=float)
    except (ValueError, TypeError):
        return None


def _structure_parts(structure: ResidualStructure) -> dict[str, Any]:
    values = {field.name: getattr(structure, field.name) for field in fields(structure)}  # type: ignore[arg-type]
    return {"type": type(structure).__name__, "fields": values}


def _structure_of(parts: Sequence[Mapping[str, Any]]) -> ResidualStructure:
    structures = []
    for part in parts:
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in part["fields"].items()}
        structures.append(_structure(part["type"])(**values))
    combined: ResidualStructure = reduce(mul, structures)
    return combined


def _structure(name: str) -> Any:
    """The class of this name; a file can name no other attribute."""
    if name not in _STRUCTURES:
        raise KeyError(name)
    return getattr(residual, name)


_STRUCTURES = ("AR1", "CAR1", "CompoundSymmetry", "KnownVariance", "Unstructured", "VarExp", "VarIdent", "VarPower")


def value_of(part: Mapping[str, Any], arrays: Mapping[str, AnyArray]) -> Any:
    """Return the option that :func:`value_parts` described."""
    if "dict" in part:
        return {key: value_of(value, arrays) for key, value in part["dict"].items()}
    if "residual" in part:
        return _structure_of(part["residual"])
    if "frame" in part:
        rows, columns = index_of(part["rows"], arrays), index_of(part["columns"], arrays)
        return pd.DataFrame(arrays[part["frame"]], index=rows, columns=columns)
    if "series" in part:
        return pd.Series(arrays[part["series"]], index=index_of(part["rows"], arrays))
    return arrays[part["array"]] if "array" in part else part["plain"]

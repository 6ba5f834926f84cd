"""The corpus on disk: cases, their data frames, and names that R and mixedfx can both be brought to."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Case:
    """One JSON file of ``fits/``."""

    name: str
    folder: Path
    content: Mapping[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.content[key]

    def __contains__(self, key: object) -> bool:
        return key in self.content

    def get(self, key: str, default: Any = None) -> Any:
        return self.content.get(key, default)

    def __hash__(self) -> int:
        return hash((self.folder, self.name))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Case) and (self.folder, self.name) == (other.folder, other.name)

    @property
    def engine(self) -> str:
        return str(self.content["engine"])

    @property
    def singular(self) -> bool:
        return bool(self.content.get("is_singular", False))

    @property
    def frame(self) -> pd.DataFrame:
        return read_frame(self.folder, self.content["data"])

    @property
    def levels(self) -> dict[str, list[str]]:
        """Levels of the categorical columns."""
        frame = self.frame
        factors = frame.select_dtypes("category")
        return {name: [str(level) for level in factors[name].cat.categories] for name in factors}

    @property
    def ordered(self) -> set[str]:
        factors = self.frame.select_dtypes("category")
        return {name for name in factors if factors[name].cat.ordered}


def load_cases(folder: Path = HERE) -> list[Case]:
    """All cases of a folder with ``fits/`` and ``data/``, in alphabetical order."""
    files = sorted((folder / "fits").glob("*.json"))
    if not files:
        raise FileNotFoundError(f"no fits/*.json in {folder}")
    return [Case(file.stem, folder, json.loads(file.read_text(encoding="utf-8"))) for file in files]


@lru_cache
def _schema(folder: Path) -> dict[str, Any]:
    tables = json.loads((folder / "data" / "schema.json").read_text(encoding="utf-8"))
    return {table["file"]: table for table in tables.values()}


@lru_cache
def read_frame(folder: Path, file: str) -> pd.DataFrame:
    """A data file with the factor levels, their order and the orderedness of ``data/schema.json``."""
    columns = _schema(folder)[file]["columns"]
    factors = {column["name"]: column for column in columns if column["type"] in ("factor", "ordered")}
    frame = pd.read_csv(
        folder / "data" / file, dtype=dict.fromkeys(factors, str), na_values=["NA"], keep_default_na=False
    )
    for name, column in factors.items():
        ordered = column["type"] == "ordered"
        frame[name] = pd.Categorical(frame[name], categories=[str(v) for v in column["levels"]], ordered=ordered)
    return frame


# --------------------------------------------------------------------------- names
def _pieces(name: str) -> list[str]:
    """Split an interaction at its colons, but not inside brackets."""
    out, depth, piece = [], 0, ""
    for character in name:
        depth += (character in "([") - (character in ")]")
        if character == ":" and depth == 0:
            out.append(piece)
            piece = ""
        else:
            piece += character
    return [*out, piece]


def _coding(variable: str, coded: str, levels: Mapping[str, list[str]]) -> str:
    """``f[T.b] -> fb``; sum and Helmert columns are numbered by R."""
    kind, dot, level = coded.partition(".")
    known = levels.get(variable, [])
    if dot and kind == "T":
        return variable + level
    if dot and kind in ("S", "H") and level in known:
        return variable + str(known.index(level) + (kind == "S"))
    return variable + coded


def _piece(text: str, levels: Mapping[str, list[str]]) -> str:
    text = text.replace("`", "").replace("**", "^")
    if text in ("(Intercept)", "1"):
        return "Intercept"
    variable, bracket, coded = text.removesuffix("]").rpartition("[") if text.endswith("]") else (text, "", "")
    variable = re.sub(r"^C\(\s*([^,)]+)\s*(,.*)?\)$", r"\1", variable)
    joined = _coding(variable, coded, levels) if bracket else variable
    return re.sub(r"\s+", "", joined)


def canonical(name: str, levels: Mapping[str, list[str]]) -> frozenset[str]:
    """A coefficient's name without the accidents of R or formulaic: ``f[T.b]:x``, ``x:fb`` are the same."""
    return frozenset(_piece(piece, levels) for piece in _pieces(name))


def group_of(name: str) -> frozenset[str]:
    """``cask:batch`` and ``batch:cask`` are one grouping; R's second term ``g.1`` belongs to ``g``."""
    return frozenset(re.sub(r"\.\d+$", "", name).split(":"))


def match(ours: Iterable[str], theirs: Iterable[str], levels: Mapping[str, list[str]]) -> dict[str, str]:
    """R name -> our name, for all of theirs; a missing or ambiguous one is an error that shows both lists."""
    ours = list(ours)
    index: dict[frozenset[str], str] = {canonical(name, levels): name for name in ours}
    if len(index) < len(ours):
        raise LookupError(f"two of our names are one for R: {ours}")
    out = {}
    for name in theirs:
        key = canonical(name, levels)
        if key not in index:
            raise LookupError(f"R's {name!r} is not among {ours}")
        out[name] = index[key]
    return out

"""Optional libraries, imported when they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mixedfx.exceptions import SpecificationError

__all__ = ["needed"]

# The extra of this package that installs a library.
EXTRAS = {"pyarrow": "parquet", "duckdb": "duckdb", "polars": "polars", "dask": "dask", "networkx": "graph"}


def needed(module: str, for_what: str) -> Any:
    """Import an optional library, or say what to install."""
    try:
        return import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise SpecificationError(
            f"{for_what} needs {library}, which is not installed: pip install 'mixedfx[{EXTRAS[library]}]'"
        ) from error

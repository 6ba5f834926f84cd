"""Classic data sets, bundled with their descriptions and sources."""

from mixedfx.datasets.loading import list_datasets, load_dataset

__all__ = ["list_datasets", "load_dataset"]

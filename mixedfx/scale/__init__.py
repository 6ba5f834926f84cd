"""Sums over rows: all that a linear mixed model needs of its data, made chunk by chunk, anywhere, and added."""

from mixedfx.scale.statistics import CrossProducts, cross_products

__all__ = ["CrossProducts", "cross_products"]

"""Fitted models in statsmodels' vocabulary."""

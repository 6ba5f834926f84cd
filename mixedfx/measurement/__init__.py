"""Straight lines through points that have errors in both coordinates."""

from mixedfx.measurement.lines import Line, deming, york

__all__ = ["Line", "deming", "york"]

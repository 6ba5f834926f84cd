"""Programs for PyMC, NumPyro, Stan, Bambi and brms, written from a fit, and draws of theirs beside its estimates."""

from __future__ import annotations

from mixedfx._lazy import names

__all__ = ["Program", "compare_draws"]

__getattr__ = names(__name__, {"Program": "program", "compare_draws": "draws"})

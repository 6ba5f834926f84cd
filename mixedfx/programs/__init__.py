"""Programs for PyMC, NumPyro, Stan, Bambi and brms, written from a fit, and draws of theirs beside its estimates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixedfx._lazy import names

if TYPE_CHECKING:
    from mixedfx.programs.draws import compare_draws as compare_draws
    from mixedfx.programs.program import Program as Program

__all__ = ["Program", "compare_draws"]

__getattr__ = names(__name__, {"Program": "program", "compare_draws": "draws"})

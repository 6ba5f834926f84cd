"""The engines: each module fits one problem with one package, and tells what it estimated."""

from __future__ import annotations

PYTHON = ("mixedfx", "glmm", "mixedlm", "statsmodels", "gpboost", "interlace")
R = ("lme4", "glmmTMB")
ENGINES = (*PYTHON, *R)

"""mixedfx: linear and generalised linear mixed models from R-like formulas."""

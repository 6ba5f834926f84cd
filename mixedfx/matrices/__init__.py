"""Design: a formula and data become matrices, names and codes; the same columns can be made of new data."""

from mixedfx.matrices.build import Design, Predictors, Represented, build_design, build_predictors, identified_twin
from mixedfx.matrices.encoder import Encoder, Variable
from mixedfx.matrices.fixed import FixedEffects
from mixedfx.matrices.frame import Frame, as_frame
from mixedfx.matrices.identification import Undetermined, verdict_of
from mixedfx.matrices.labels import nested_in
from mixedfx.matrices.quadratic_forms import NO_NOISE, Noise
from mixedfx.matrices.random import RandomEffects
from mixedfx.matrices.response import Response
from mixedfx.matrices.rows import OffsetEncoder

__all__ = [
    "NO_NOISE",
    "Design",
    "Encoder",
    "FixedEffects",
    "Frame",
    "Noise",
    "OffsetEncoder",
    "Predictors",
    "RandomEffects",
    "Represented",
    "Response",
    "Undetermined",
    "Variable",
    "as_frame",
    "build_design",
    "build_predictors",
    "identified_twin",
    "nested_in",
    "verdict_of",
]

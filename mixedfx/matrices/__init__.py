"""Design: a formula and data become matrices, names and codes; the same columns can be made of new data."""

from mixedfx.matrices.build import Design, Predictors, build_design, build_predictors
from mixedfx.matrices.encoder import Encoder
from mixedfx.matrices.fixed import FixedEffects
from mixedfx.matrices.frame import Frame, as_frame
from mixedfx.matrices.identification import NO_NOISE, Noise, Undetermined, verdict_of
from mixedfx.matrices.labels import nested_in
from mixedfx.matrices.random import RandomEffects
from mixedfx.matrices.response import Response
from mixedfx.matrices.twin import identified_twin
from mixedfx.matrices.variables import Variable
from mixedfx.matrices.weights import OffsetEncoder

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

"""Design: a formula and data become matrices, names and codes; the same columns can be made of new data."""

from mixedfx.design.build import Design, Predictors, build_design, build_predictors
from mixedfx.design.encoder import Encoder
from mixedfx.design.fixed import FixedEffects
from mixedfx.design.frame import Frame, as_frame
from mixedfx.design.identification import NO_NOISE, Noise, Undetermined, verdict_of
from mixedfx.design.labels import nested_in
from mixedfx.design.random import RandomEffects
from mixedfx.design.response import Response
from mixedfx.design.twin import identified_twin
from mixedfx.design.variables import Variable
from mixedfx.design.weights import OffsetEncoder

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

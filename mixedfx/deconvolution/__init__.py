"""Deconvolution: the law of what varies between groups, estimated from groups that are seen with error."""

from mixedfx.deconvolution.deconvolve import deconvolve
from mixedfx.deconvolution.normality import NormalityTest
from mixedfx.deconvolution.results import Deconvolution

__all__ = ["Deconvolution", "NormalityTest", "deconvolve"]

"""Studies before there are data: designs, larger designs, and the power of tests."""

from mixedfx.planning.designs import design, extend
from mixedfx.planning.power import Power, power

__all__ = ["Power", "design", "extend", "power"]

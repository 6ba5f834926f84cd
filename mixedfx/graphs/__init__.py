"""Directed graphs of models: which variable depends on which, and what follows from that."""

from mixedfx.graphs.dag import Graph, Independence
from mixedfx.graphs.elimination import Elimination
from mixedfx.graphs.model import graph

__all__ = ["Elimination", "Graph", "Independence", "graph"]

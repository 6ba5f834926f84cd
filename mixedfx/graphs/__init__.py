"""Directed graphs of models: which variable depends on which, and what follows from that."""

from mixedfx.graphs.dag import Graph, Independence
from mixedfx.graphs.model import graph

__all__ = ["Graph", "Independence", "graph"]

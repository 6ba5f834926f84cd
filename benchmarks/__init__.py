"""Times, memory and objectives of mixedfx beside its peers: ``python -m benchmarks``."""

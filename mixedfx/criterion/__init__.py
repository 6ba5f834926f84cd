"""Functions of the parameters that an optimiser minimises, with their exact derivatives."""

"""A page on how a model was fitted and how good it is."""

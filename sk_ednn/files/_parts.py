"""The names of the parts of model files."""

WEIGHTS = "weights.safetensors"

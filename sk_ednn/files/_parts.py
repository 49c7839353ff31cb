"""The schema of model files, and the names of their parts."""

# Since schema 2, common estimators of scikit-learn are encoded in config.json.
SCHEMA = 3
WEIGHTS = "weights.safetensors"

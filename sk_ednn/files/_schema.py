"""The schema of model files: which there is, and which this version reads."""

from __future__ import annotations

from ..exceptions import ModelFileError

# Since schema 2, common estimators of scikit-learn are encoded in config.json.
SCHEMA = 3


def require_known_schema(path, schema) -> None:
    """Raise ModelFileError for a file of a newer version.

    Parameters
    ----------
    path : path-like
    schema : int
        That of the file.
    """
    if schema > SCHEMA:
        raise ModelFileError(
            f"{path} has schema {schema}, but this version of sk_ednn reads schemas up to "
            f"{SCHEMA}. Upgrade it: pip install --upgrade sk-ednn."
        )

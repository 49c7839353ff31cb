"""Save and load models without pickle, and export them to other programs."""

from .._utils.optional import later
from ._load import describe, load
from ._save import save

__all__ = ["describe", "export_onnx", "load", "save"]

# Imported lazily, since it needs torch.
__getattr__ = later(__name__, {"export_onnx": "._onnx"}, extra="onnx")

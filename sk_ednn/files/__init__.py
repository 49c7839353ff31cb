"""Models in files: written and read without pickle, and handed on to other programs."""

from .._utils.optional import later
from ._save import describe, load, save

__all__ = ["describe", "export_onnx", "load", "save"]

# It needs torch, which reading a kernel ridge does not.
__getattr__ = later(__name__, {"export_onnx": "._onnx"}, extra="onnx")

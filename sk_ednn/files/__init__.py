"""Models in files: written and read without pickle, and handed on to other programs."""

from importlib import import_module

from ._save import describe, load, save

__all__ = ["describe", "export_onnx", "load", "save"]


def __getattr__(name):
    # Imported when it is asked for: it needs torch, which reading a kernel ridge does not.
    if name == "export_onnx":
        return import_module("._onnx", __name__).export_onnx
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Models that were trained already, with what they were trained on and how well they do."""

from ._sheets import load_sheets_model

__all__ = ["load_sheets_model"]

"""Pretrained models, with their training data and their errors."""

from ._sheets import load_sheets_model

__all__ = ["load_sheets_model"]

"""Record fits, predictions and searches in a folder, and list, compare and repeat them."""

from ._export import export_csv, export_mlflow, export_zip
from ._folder import Comparison, RunFolder
from ._launch import Repetition, launch, repeat, resume
from ._recorder import Recorder, record
from ._run import Run

__all__ = [
    "Comparison",
    "Recorder",
    "Repetition",
    "Run",
    "RunFolder",
    "export_csv",
    "export_mlflow",
    "export_zip",
    "launch",
    "record",
    "repeat",
    "resume",
]

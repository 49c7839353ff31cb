"""Describe the environment of a run: libraries, machine, threads, process."""

from __future__ import annotations

import os
import platform
import socket
import sys
from typing import Any

import psutil

from .._utils.versions import versions_of

# Those that change numbers, or the way to them.
_LIBRARIES = (
    "numpy", "scipy", "scikit-learn", "joblib", "torch", "skorch", "dask", "ase", "vesin",
    "sphericart", "sphericart-torch", "skops", "tifffile", "pillow",
)  # fmt: skip
_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_CORETYPE",
    "CUDA_VISIBLE_DEVICES", "PYTHONHASHSEED",
)  # fmt: skip
# Clocks of the system may be set while a process runs, which shifts its time of creation.
_SAME_SECONDS = 3.0


def versions() -> dict[str, str]:
    """Return the versions of the package, of Python, and of installed libraries."""
    return versions_of(_LIBRARIES)


def machine() -> dict[str, Any]:
    """Return the properties of the machine that may change the last bits of results."""
    return {
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": _cores(),
        "threads": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
    }


def process() -> dict[str, Any]:
    """Return what identifies this process on its host."""
    current = psutil.Process()
    return {"pid": current.pid, "created": current.create_time(), "host": socket.gethostname()}


def is_here(process) -> bool:
    """Return True if a process is, or was, on this host."""
    return process.get("host") == socket.gethostname()


def is_alive(process) -> bool:
    """Return True if a process of this host still runs; process numbers are used again."""
    try:
        running = psutil.Process(process["pid"])
        if running.status() == psutil.STATUS_ZOMBIE:
            return False
        return abs(running.create_time() - process["created"]) < _SAME_SECONDS
    except psutil.AccessDenied:
        return True
    except (psutil.Error, KeyError, TypeError, ValueError, OverflowError):
        return False


def gpu_bytes() -> int | None:
    """Return the memory that torch has on GPUs; None where it uses none."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is None or not cuda.is_initialized():
        return None
    return sum(cuda.memory_reserved(k) for k in range(cuda.device_count()))


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()

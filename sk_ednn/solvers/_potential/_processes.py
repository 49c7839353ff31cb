"""Processes that train one network together, each on a share of every batch."""

from __future__ import annotations

import os

import torch
from torch import Tensor, distributed

from ...exceptions import TileModelError


class Alone:
    """A single process, with nothing to exchange."""

    rank, size = 0, 1

    def agree(self, value: float) -> float:
        """Return the value of the first process."""
        return value

    def add_up(self, tensors: list[Tensor]) -> None:
        """Replace tensors by their sums over all processes."""

    def share(self, chosen):
        """Return the part of a batch that this process works on."""
        return chosen


class Together:
    """The processes of ``torch.distributed``, as `torchrun` starts them.

    Parameters
    ----------
    device : str
        With "cuda", each process takes the GPU of its local rank.

    Raises
    ------
    TileModelError
        If the processes have not been started.
    """

    def __init__(self, device="cpu"):
        if not distributed.is_available():
            raise TileModelError("This torch was built without torch.distributed.")
        if not distributed.is_initialized():
            if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
                raise TileModelError(
                    "distributed=True needs several processes: start the script by "
                    "`torchrun --nproc-per-node N script.py`, or call "
                    "torch.distributed.init_process_group in each."
                )
            backend = "nccl" if str(device).startswith("cuda") else "gloo"
            distributed.init_process_group(backend)
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        self.device = device_of(device)

    def agree(self, value: float) -> float:
        """Return the value of the first process."""
        shared = torch.tensor([value], dtype=torch.float64, device=self.device)
        distributed.broadcast(shared, 0)
        return float(shared)

    def add_up(self, tensors: list[Tensor]) -> None:
        """Replace tensors by their sums over all processes, in one message for each type."""
        for dtype in {tensor.dtype for tensor in tensors}:
            same = [tensor for tensor in tensors if tensor.dtype == dtype]
            flat = torch.cat([tensor.reshape(-1) for tensor in same])
            distributed.all_reduce(flat)
            parts = flat.split([tensor.numel() for tensor in same])
            for tensor, part in zip(same, parts, strict=True):
                tensor.copy_(part.view_as(tensor))

    def share(self, chosen):
        """Return the part of a batch that this process works on; it may be empty."""
        return chosen[self.rank :: self.size]


def device_of(device) -> str:
    """Return the device of this process: with "cuda", one GPU for each process."""
    if str(device) != "cuda":
        return str(device)
    return f"cuda:{int(os.environ.get('LOCAL_RANK', 0)) % max(torch.cuda.device_count(), 1)}"

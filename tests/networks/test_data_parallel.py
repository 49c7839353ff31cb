"""Data-parallel training: gradients of two processes equal those of one."""

import os
import socket

import pytest

torch = pytest.importorskip("torch")

from torch import distributed, multiprocessing, nn  # noqa: E402

from sk_ednn import GridTiling  # noqa: E402
from sk_ednn.networks import SumOverTiles  # noqa: E402

pytestmark = pytest.mark.skipif(not distributed.is_available(), reason="torch without processes")


def sums(form):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.SiLU(), nn.Flatten(), nn.Linear(144, 1))
    return SumOverTiles(net.double(), GridTiling(focus=4, context=2), (8, 8), form=form)


def loss(model, chosen):
    fields = torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(1)).double()
    totals = (fields**2).sum(dim=(1, 2, 3))[:, None]
    return ((model(fields[chosen]) - totals[chosen]) ** 2).mean()


def work(rank, port, form, path):
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    distributed.init_process_group("gloo", rank=rank, world_size=2)
    try:
        model = nn.parallel.DistributedDataParallel(sums(form))
        loss(model, slice(4 * rank, 4 * rank + 4)).backward()
        if rank == 0:
            torch.save([p.grad for p in model.parameters()], path)
    finally:
        distributed.destroy_process_group()


@pytest.mark.slow  # two processes that import torch
@pytest.mark.parametrize("form", ["dense", "tiled"])
def test_distributed_data_parallel(form, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = tmp_path / "gradients.pt"
    multiprocessing.start_processes(work, (port, form, path), nprocs=2, start_method="spawn")
    model = sums(form)
    loss(model, slice(None)).backward()
    for parameter, result in zip(model.parameters(), torch.load(path), strict=True):
        torch.testing.assert_close(result, parameter.grad, rtol=1e-10, atol=1e-12)

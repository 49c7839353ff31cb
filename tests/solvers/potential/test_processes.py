"""Two processes train the network that one trains with the whole batch."""

import os
import socket
import time

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("vesin")
pytest.importorskip("sphericart.torch")

from torch import distributed, multiprocessing  # noqa: E402

from sk_ednn.exceptions import TileModelError  # noqa: E402
from sk_ednn.solvers import LossWeights  # noqa: E402
from sk_ednn.solvers._potential import PotentialLabels, PotentialTrainer  # noqa: E402
from sk_ednn.structures import Structures  # noqa: E402
from tests._potentials import NETWORKS, morse, structure  # noqa: E402

pytestmark = pytest.mark.skipif(not distributed.is_available(), reason="torch without processes")


def data():
    """Return structures with and without labels of each kind; the last batch is of one."""
    rng = np.random.default_rng(0)
    structures = Structures.of([structure(rng, "cubic", n=3 + k % 3) for k in range(13)])
    energies, forces, stress = morse(structures)
    energies[2], stress[4] = np.nan, np.nan
    forces[structures.offsets[5] : structures.offsets[7]] = np.nan
    return structures, PotentialLabels.of(structures, energies, forces, stress)


def trained(**params):
    structures, labels = data()
    held = np.arange(10, 13)
    params = {
        "max_epochs": 3, "max_seconds": None, "batch_size": 4, "dtype": "float64",
        "random_state": 0, "weighting": LossWeights(1.0), "early_stopping": True,
    } | params  # fmt: skip
    seen = []
    result = PotentialTrainer(callback=lambda record: seen.append(record), **params).fit(
        structures, labels, lambda species: NETWORKS["spectrum"](species, 2),
        validation=(structures.take(held), labels.take(structures, held)),
    )  # fmt: skip
    assert len(seen) == (3 if int(os.environ.get("RANK", 0)) == 0 else 0)
    return result


def work(rank, port, folder):
    torch.set_num_threads(1)
    os.environ.update(
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE="2"
    )
    try:
        result = trained(distributed=True, checkpoint=os.path.join(folder, "run.ckpt"))
        history = [{k: v for k, v in r.items() if k != "seconds"} for r in result.history]
        torch.save((result.potential.network.state_dict(), history), f"{folder}/{rank}.pt")
        # One that ends first would close the connection of the other's last message.
        for _ in range(1200):
            if os.path.exists(f"{folder}/{1 - rank}.pt"):
                break
            time.sleep(0.1)
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


@pytest.mark.slow  # two processes that import torch
@pytest.mark.timeout(300)
def test_two_processes_train_what_one_does(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.start_processes(work, (port, str(tmp_path)), nprocs=2, start_method="spawn")
    alone = trained()
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    for name, value in alone.potential.network.state_dict().items():
        torch.testing.assert_close(parts[0][0][name], value, rtol=1e-6, atol=1e-8)
        assert torch.equal(parts[0][0][name], parts[1][0][name])
    for record, first, second in zip(alone.history, parts[0][1], parts[1][1], strict=True):
        assert first == second
        assert {k: record[k] for k in first} == pytest.approx(first, rel=1e-6)


def test_a_single_process_names_the_launcher(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(TileModelError, match="torchrun"):
        trained(distributed=True)

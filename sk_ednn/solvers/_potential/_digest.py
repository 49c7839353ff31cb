"""A hash of all that a training depends on."""

from __future__ import annotations

import hashlib

import numpy as np

# Parameters that may change between the parts of one training, since they change no number.
_FREE = {
    "checkpoint", "cache_megabytes", "callback", "device", "distributed", "n_threads",
    "random_state",
}  # fmt: skip


def training_digest(trainer, structures, labels, weight, network, seed) -> str:
    """Hash structures, labels, parameters and the network that a training starts from.

    Parameters
    ----------
    trainer : PotentialTrainer
    structures : Structures
    labels : PotentialLabels
    weight : ndarray or None
    network : AbstractAtomicNetwork
        Before the first step.
    seed : int

    Returns
    -------
    str
    """
    digest = hashlib.sha256()
    params = {k: repr(v) for k, v in sorted(trainer.get_params().items()) if k not in _FREE}
    digest.update(repr((params, seed)).encode())
    arrays = [
        structures.numbers, structures.positions, structures.cells, structures.pbc,
        structures.offsets, labels.energies, labels.forces, labels.stress,
    ]  # fmt: skip
    if weight is not None:
        arrays.append(weight)
    arrays += [value.detach().cpu().numpy() for value in network.state_dict().values()]
    for array in arrays:
        digest.update(repr((array.shape, str(array.dtype))).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()

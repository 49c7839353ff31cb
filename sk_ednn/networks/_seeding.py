"""Seeds of torch's random generators."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(random_state):
    """Seed torch's global generators within the context, and restore them afterwards.

    Parameters
    ----------
    random_state : RandomState
        The seed is drawn from it.
    """
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(int(random_state.randint(np.iinfo(np.int32).max)))
        yield

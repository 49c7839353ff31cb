"""The networks of the paper have the paper's sizes."""

import pytest

torch = pytest.importorskip("torch")

from sk_ednn.networks import PaperDenseNet  # noqa: E402


@pytest.mark.parametrize(("context", "n_parameters"), [(1, 25_601), (3, 183_041)])
def test_dense_net_has_the_published_number_of_parameters(context, n_parameters):
    net = PaperDenseNet((1 + 2 * context,) * 2)
    assert sum(p.numel() for p in net.parameters()) == n_parameters


def test_dense_net_takes_channels_and_outputs():
    net = PaperDenseNet((4, 4), n_channels=2, n_outputs=3)
    assert net(torch.zeros(5, 2, 4, 4)).shape == (5, 3)

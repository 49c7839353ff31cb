"""Threads are limited for a while, whatever happens meanwhile, and then as before."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

pytest.importorskip("torch")

import torch
from threadpoolctl import threadpool_info

from sk_ednn._utils.threads import limited_threads


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def pools():
    return [each["num_threads"] for each in threadpool_info()]


def test_all_pools_are_limited_and_restored():
    before = pools()
    with limited_threads(1):
        assert torch.get_num_threads() == 1 and set(pools()) == {1}
        with limited_threads(1):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1 and set(pools()) == {1}
    assert torch.get_num_threads() == 2 and pools() == before


def test_none_changes_nothing():
    before = pools()
    with limited_threads(None):
        assert torch.get_num_threads() == 2 and pools() == before


def test_an_error_restores_too():
    before = pools()
    with pytest.raises(KeyError), limited_threads(1):
        raise KeyError
    assert torch.get_num_threads() == 2 and pools() == before


def test_the_last_of_calls_at_the_same_time_restores():
    before, barrier = pools(), Barrier(2)

    def first():
        with limited_threads(1):
            barrier.wait(60)  # both are inside
        barrier.wait(60)  # the first is out

    def second():
        with limited_threads(1):
            barrier.wait(60)
            barrier.wait(60)
            return torch.get_num_threads()

    with ThreadPoolExecutor(2) as executor:
        one, other = executor.submit(first), executor.submit(second)
        one.result(60)
        assert other.result(60) == 1
    assert torch.get_num_threads() == 2 and pools() == before

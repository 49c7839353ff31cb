"""Tasks whose scheduler is lost end, whatever their client makes of them."""

import sys
import threading
from concurrent.futures import Executor, Future

import pytest

from sk_ednn.search._tasks import KINDS, Pools, pools_of


class Silent(Executor):
    """It takes tasks and never runs them."""

    def submit(self, function, /, *args, **kwargs):
        return Future()


class Client:
    """A client that loses its scheduler when told, for some seconds or for good."""

    status = "running"

    def lose(self, status, seconds=None):
        self.status = status
        if seconds is not None:
            threading.Timer(seconds, setattr, (self, "status", "running")).start()


def pools(**clients):
    return Pools(dict.fromkeys(KINDS, Silent()), dict.fromkeys(KINDS, 1), clients)


@pytest.mark.parametrize("n_workers", [1, 2])
def test_searches_without_a_client_need_no_dask(n_workers, monkeypatch):
    monkeypatch.setitem(sys.modules, "dask", None)
    with pools_of(None, n_workers) as own:
        future = own.submit("label", len, "abc")
        assert own.wait([future], 60) == {future}
    assert future.result()[0] == 3


@pytest.mark.parametrize("status", ["closed", "closing", "connecting"])
def test_a_lost_scheduler_is_an_error_though_its_tasks_stay_pending(status, monkeypatch):
    monkeypatch.setattr("sk_ednn.search._tasks._patience", lambda: 0.1)
    client = Client()
    lost = pools(label=client)
    future = lost.submit("label", len, ())
    client.lose(status)
    with pytest.raises(ConnectionError, match=r"scheduler of Dask was lost.*resume"):
        lost.wait([future], 0.01)


def test_a_scheduler_that_came_back_has_lost_its_own_tasks_only():
    client = Client()
    back = pools(relax=Client(), label=client)
    futures = {kind: back.submit(kind, len, ()) for kind in ("relax", "label", "train")}
    assert back.wait(futures.values(), 0.01) == set()
    client.lose("connecting", seconds=0.3)
    assert back.wait(futures.values(), 0.01) == {futures["label"]}
    assert futures["label"].cancelled()
    assert not futures["relax"].done() and not futures["train"].done()

"""Pools of batch jobs: scripts as the queue gets them, and a search on local clusters."""

import signal
import sys

import pytest

pytest.importorskip("ase_ga")
pytest.importorskip("distributed")

from sk_ednn.search import SearchStore, job_pools
from sk_ednn.search._clusters import cluster_options, interrupts_kept, seconds_of
from tests.search.test_search import search

NODE = {"cores": 4, "processes": 1, "memory": "8GB", "walltime": "08:00:00"}


def test_job_scripts_name_the_queue_and_end_workers_before_the_wall_time():
    with interrupts_kept():
        jobqueue = pytest.importorskip("dask_jobqueue")
    options = cluster_options({**NODE, "queue": "long", "maximum": 3, "minimum": 1}, "label")
    with jobqueue.SLURMCluster(**options, scheduler_options={"dashboard_address": None}) as made:
        script = made.job_script()
    assert "#SBATCH -p long" in script and "#SBATCH -t 08:00:00" in script
    assert "sk-ednn-label" in script
    assert f"--lifetime {8 * 3600 - 300}s --lifetime-stagger 150s" in script


def test_ctrl_c_stays_an_interrupt(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "dask_jobqueue"]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "dask_jobqueue.py").write_text(
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, lambda *_: sys.exit())\n"
        "def SLURMCluster(**options):\n"
        "    raise RuntimeError('imported')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    before = signal.getsignal(signal.SIGINT)
    node = {**NODE, "maximum": 1}
    pools = job_pools({"label": node, "relax": node, "train": node})
    try:
        with pytest.raises(RuntimeError, match="imported"), pools:
            pass
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGINT, before)
        sys.modules.pop("dask_jobqueue", None)


@pytest.mark.parametrize(
    ("text", "seconds"), [("00:30:00", 1800), ("2-00:00:00", 172800), ("10:30", 37800)]
)
def test_wall_times(text, seconds):
    assert seconds_of(text) == seconds


def test_wrong_pools_are_named():
    node = {**NODE, "maximum": 1}
    with (
        pytest.raises(ValueError, match="Expected pools for relax, label, train"),
        job_pools({"label": node}),
    ):
        pass
    with (
        pytest.raises(ValueError, match="'train' needs a maximum"),
        job_pools({"label": node, "relax": node, "train": NODE}),
    ):
        pass
    with pytest.raises(ValueError, match="more than ten minutes"):
        cluster_options({"walltime": "00:08:00"}, "label")
    with pytest.raises(ValueError, match="such as 08:00:00"):
        seconds_of("eight hours")


def test_a_search_runs_on_a_cluster_for_each_pool(tmp_path):
    from distributed import LocalCluster

    made, adapted = [], []

    class Watched(LocalCluster):
        def adapt(self, **options):
            adapted.append(options)
            return super().adapt(**options)

    def local(**options):
        made.append(options)
        return Watched(n_workers=0, threads_per_worker=1, processes=False, dashboard_address=None)

    pools = {
        "label": {"maximum": 2}, "relax": {"maximum": 1, "idle_seconds": 60},
        "train": {"maximum": 1, "minimum": 1},
    }  # fmt: skip
    with job_pools(pools, local) as clients:
        addresses = {client.scheduler.address for client in clients.values()}
        result = search(tmp_path / "a.db").run(12, clients, n_workers={"label": 2, "relax": 1})
    assert len(addresses) == 3 == len(made) and made == [{}] * 3
    assert [(each["minimum"], each["maximum"]) for each in adapted] == [(0, 2), (0, 1), (1, 1)]
    # Workers end after so many looks at which they had nothing to do.
    idle = [each["wait_count"] * float(each["interval"].rstrip("s")) for each in adapted]
    assert idle == [300, 60, 300]
    assert result.n_labels == 12
    with SearchStore(tmp_path / "a.db") as store:
        assert store.counts() == {"queued": 0, "labelled": 12, "failed": 0}
        assert all(seconds is not None for *_, seconds, _ in store.tasks("label"))
    with pytest.raises(ValueError, match="lacks an entry for train"):
        search(tmp_path / "b.db").run(8, {"label": None, "relax": None})

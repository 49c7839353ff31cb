"""Files of a run that are read while they grow."""

import sys
import threading

import pytest

from sk_ednn.runs._files import JsonLines, to_line


@pytest.fixture
def eager_threads():
    """Let threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def test_records_are_read_once_by_several_threads(tmp_path, eager_threads):
    path = tmp_path / "metrics.jsonl"
    file = JsonLines(path)
    n_threads, steps = 4, []
    for _ in range(60):
        with open(path, "ab") as added:
            for _ in range(20):
                steps.append(len(steps))
                added.write(to_line({"step": steps[-1]}))
        barrier = threading.Barrier(n_threads)

        def read(barrier=barrier):
            barrier.wait()
            file.read()

        threads = [threading.Thread(target=read) for _ in range(n_threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [row["step"] for row in file.read()] == steps

"""One holder at a time, and none that is dead."""

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from sk_ednn._utils import locking
from sk_ednn._utils.locking import Lock

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and forks")

HOLD = """
    import signal, sys
    from sk_ednn._utils.locking import Lock
    # Ignored where the tests run in the background of a shell.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    lock = Lock(sys.argv[1])
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Start a process that has the lock."""
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLD), str(tmp_path / "a")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout.readline().strip() == b"held"
        yield process
        process.kill()


def test_a_second_lock_fails_until_the_first_is_released(tmp_path):
    first = Lock(tmp_path / "a")
    for path in (tmp_path / "a", f"{tmp_path}/./a"):
        with pytest.raises(BlockingIOError, match="this process"):
            Lock(path)
    Lock(tmp_path / "b").release()
    first.release()
    first.release()
    second = Lock(tmp_path / "a")
    first.release()  # does not take it from the second
    with pytest.raises(BlockingIOError):
        Lock(tmp_path / "a")
    second.release()
    assert list(tmp_path.iterdir()) == []


@posix
def test_links_to_a_file_have_its_lock(tmp_path):
    (tmp_path / "link").symlink_to("a")
    lock = Lock(tmp_path / "link")
    with pytest.raises(BlockingIOError):
        Lock(tmp_path / "a")
    lock.release()


@posix
def test_another_process_is_named(tmp_path, other):
    for _ in range(2):  # the refusal itself releases nothing
        with pytest.raises(BlockingIOError, match=rf"process {other.pid} on ."):
            Lock(tmp_path / "a")


@posix
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_lock_ends_with_its_process(tmp_path, other, how):
    other.send_signal(how)
    other.wait()
    lock = Lock(tmp_path / "a")
    lock.release()


@posix
def test_forked_children_do_not_keep_the_lock(tmp_path):
    """Such as workers that load data, which live on for a while when their parent is killed."""
    ready, done = os.pipe(), os.pipe()
    parent = os.fork()
    if parent == 0:
        Lock(tmp_path / "a")
        if os.fork() == 0:
            os.write(ready[1], b"x")
            os.read(done[0], 1)
            os._exit(0)
        signal.pause()
        os._exit(0)
    os.read(ready[0], 1)
    with pytest.raises(BlockingIOError):
        Lock(tmp_path / "a")
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    Lock(tmp_path / "a").release()
    os.write(done[1], b"x")
    for end in (*ready, *done):
        os.close(end)


@posix
def test_a_forked_child_does_not_hold_the_lock_of_its_parent(tmp_path):
    lock = Lock(tmp_path / "a")
    child = os.fork()
    if child == 0:
        try:
            lock.release()  # neither may it release it
            Lock(tmp_path / "a")
        except BlockingIOError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    with pytest.raises(BlockingIOError):
        Lock(tmp_path / "a")
    lock.release()


def test_one_of_many_threads_gets_the_lock(tmp_path):
    start, locks, refused = threading.Barrier(8), [], []

    def take():
        start.wait()
        try:
            locks.append(Lock(tmp_path / "a"))
        except BlockingIOError:
            refused.append(1)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(locks), len(refused)) == (1, 7)
    locks[0].release()


def test_a_lock_file_removed_meanwhile_is_created_again(tmp_path, monkeypatch):
    """Whoever had it removes it between our opening and our locking it."""
    fcntl = pytest.importorskip("fcntl")
    take, path = fcntl.lockf, tmp_path / "a.lock"

    def take_and_remove(file, *args):
        take(file, *args)
        if len(taken) == 0:
            path.unlink()
        taken.append(file)

    taken = []
    monkeypatch.setattr(fcntl, "lockf", take_and_remove)
    lock = Lock(tmp_path / "a")
    assert len(taken) == 2
    assert path.exists()
    lock.release()


@pytest.mark.parametrize("number", sorted(locking._NO_LOCKS))
def test_without_file_locks_threads_of_this_process_are_excluded(tmp_path, monkeypatch, number):
    def none(*args):
        raise OSError(number, "no locks")

    monkeypatch.setattr(pytest.importorskip("fcntl"), "lockf", none)
    lock = Lock(tmp_path / "a")
    with pytest.raises(BlockingIOError):
        Lock(tmp_path / "a")
    lock.release()


@posix
def test_links_in_the_place_of_the_lock_are_not_followed(tmp_path):
    (tmp_path / "victim").write_bytes(b"victim")
    (tmp_path / "a.lock").symlink_to("victim")
    os.mkfifo(tmp_path / "b.lock")
    for name in ("a", "b"):
        with pytest.raises(OSError, match=rf"{name}\.lock"):
            Lock(tmp_path / name)
    assert (tmp_path / "victim").read_bytes() == b"victim"


def test_a_checkpoint_is_copied_without_its_lock(tmp_path):
    checkpoint = pytest.importorskip("sk_ednn.solvers._checkpoint").Checkpoint
    first = checkpoint(tmp_path / "a", "digest")
    assert first.open(3) == 3
    assert pickle.loads(pickle.dumps(first))._lock is None
    first.close()


@pytest.mark.skipif(not hasattr(os, "pread"), reason="locks of POSIX")
def test_a_file_of_others_in_the_place_of_the_lock_is_kept(tmp_path):
    """It was emptied, and removed with the lock."""
    for name, text in (("a", "notes\n"), ("b", "process 7\nand more"), ("c", "process 7 on h\nx")):
        (tmp_path / f"{name}.lock").write_text(text)
        with pytest.raises(FileExistsError, match=rf"{name}\.lock is needed for a lock, but cont"):
            Lock(tmp_path / name)
        assert (tmp_path / f"{name}.lock").read_text() == text
    (tmp_path / "real").touch()
    os.link(tmp_path / "real", tmp_path / "d.lock")
    with pytest.raises(FileExistsError, match="something else"):
        Lock(tmp_path / "d")
    for text in ("", "process 999999 on another host\n", "process 7 on h"):  # left by a kill
        (tmp_path / "e.lock").write_text(text)
        Lock(tmp_path / "e").release()
        assert not (tmp_path / "e.lock").exists()

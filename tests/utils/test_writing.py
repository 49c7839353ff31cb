"""A file is replaced in one step, or not at all."""

import errno
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap

import pytest

from sk_ednn._utils.writing import (
    check_writable,
    replacing,
    replacing_folder,
    replacing_path,
)

posix = pytest.mark.skipif(sys.platform == "win32", reason="links, pipes and permissions of POSIX")


def _through_path(path):
    with replacing_path(path) as made:
        made.write_bytes(b"new")


def _through_file(path):
    with replacing(path) as file:
        file.write(b"new")


WAYS = pytest.mark.parametrize("way", [_through_file, _through_path])
REFUSALS = pytest.mark.parametrize("way", [_through_file, _through_path, check_writable])


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "old.bin"
    path.write_bytes(b"old")
    return path


@WAYS
def test_new_content_replaces_the_old(old, way):
    way(old)
    assert old.read_bytes() == b"new"
    assert list(old.parent.iterdir()) == [old]


@WAYS
def test_new_file_has_the_permissions_of_the_umask(tmp_path, way):
    before = os.umask(0o027)
    try:
        way(tmp_path / "new.bin")
    finally:
        os.umask(before)
    if sys.platform != "win32":
        assert stat.S_IMODE((tmp_path / "new.bin").stat().st_mode) == 0o640


@posix
@WAYS
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o755])
def test_permissions_are_kept(old, way, mode):
    old.chmod(mode)
    way(old)
    assert stat.S_IMODE(old.stat().st_mode) == mode


@posix
@WAYS
def test_a_link_is_kept_and_its_target_replaced(old, way, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    first, second = folder / "first", folder / "second"
    first.symlink_to("second")
    second.symlink_to(os.path.join("..", old.name))
    way(first)
    assert first.is_symlink()
    assert second.is_symlink()
    assert not old.is_symlink()
    assert old.read_bytes() == b"new"
    assert sorted(folder.iterdir()) == [first, second]


@posix
@WAYS
def test_the_target_of_a_dangling_link_is_created(tmp_path, way):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "goal")
    check_writable(link)
    way(link)
    assert link.is_symlink()
    assert (tmp_path / "goal").read_bytes() == b"new"


@posix
@REFUSALS
def test_a_dangling_link_into_a_missing_folder_is_rejected(tmp_path, way):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere" / "goal")
    with pytest.raises(FileNotFoundError, match=r"folder .*nowhere for goal.*link is a link"):
        way(link)


@posix
@REFUSALS
def test_links_in_a_circle_are_refused(tmp_path, way):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match=r"a'?$"):
        way(tmp_path / "a")


@REFUSALS
def test_folders_are_refused(tmp_path, way):
    with pytest.raises(IsADirectoryError, match="is a folder, not a file"):
        way(tmp_path)
    with pytest.raises(IsADirectoryError, match="is the name of a folder"):
        way(f"{tmp_path / 'new'}/")
    with pytest.raises(FileNotFoundError, match=r"The folder .*nowhere"):
        way(tmp_path / "nowhere" / "new")
    assert list(tmp_path.iterdir()) == []


@posix
@REFUSALS
@pytest.mark.parametrize("linked", [False, True])
def test_pipes_sockets_and_devices_are_refused(tmp_path, way, linked, monkeypatch):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        for name, kind in (("pipe", "a named pipe"), ("socket", "a socket"),
                           ("/dev/null", "a device")):  # fmt: skip
            given = name
            if linked:
                given = f"link-to-{os.path.basename(name)}"
                os.symlink(name, given)
            with pytest.raises(FileExistsError, match=f"{given} is {kind}, not a file"):
                way(given)
    assert stat.S_ISFIFO(os.stat("pipe").st_mode)


@posix
@pytest.mark.parametrize("redirected", [True, False])
def test_standard_output_is_refused(tmp_path, redirected):
    code = """
        from sk_ednn._utils.writing import replacing
        try:
            with replacing("/dev/stdout") as file:
                file.write(b"lost")
        except FileExistsError as error:
            print("refused", error)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    path = tmp_path / "out.txt"
    with path.open("w") as out:
        subprocess.run(command, stdout=out if redirected else subprocess.DEVNULL, check=True)
    assert path.read_text().startswith("refused /dev/stdout is the file" if redirected else "")


@posix
@WAYS
def test_hard_link_keeps_the_old_content(old, way, tmp_path):
    os.link(old, tmp_path / "other")
    way(old)
    assert (tmp_path / "other").read_bytes() == b"old"


@WAYS
def test_names_of_maximal_length(tmp_path, way):
    path = tmp_path / ("n" * 250 + ".bin")
    way(path)
    assert path.read_bytes() == b"new"
    with pytest.raises(OSError, match="nnn"):
        check_writable(tmp_path / ("n" * 300))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError])
def test_failure_leaves_the_old_file(old, error):
    with pytest.raises(error), replacing(old) as file:
        file.write(b"new")
        raise error
    with pytest.raises(error), replacing_path(old) as made:
        made.write_bytes(b"new")
        raise error
    assert old.read_bytes() == b"old"
    assert list(old.parent.iterdir()) == [old]


@pytest.mark.parametrize("stage", ["flush", "fsync", "replace"])
def test_full_disk_leaves_the_old_file(old, monkeypatch, stage):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=r"No space left on device: '.*old\.bin'"):
        with replacing(old) as file:
            file.write(b"new")
            if stage == "flush":
                full()
            monkeypatch.setattr(os, stage, full)
    monkeypatch.undo()
    assert old.read_bytes() == b"old"
    assert list(old.parent.iterdir()) == [old]


@posix
def test_link_in_the_place_of_the_temporary_file_is_not_followed(old, monkeypatch, tmp_path):
    monkeypatch.setattr("secrets.token_hex", lambda n: "known")
    victim = tmp_path / "victim"
    victim.write_bytes(b"victim")
    (tmp_path / f".{old.name}.known.tmp").symlink_to(victim)
    with pytest.raises(FileExistsError), replacing(old):
        pass
    assert victim.read_bytes() == b"victim"


@posix
def test_temporary_file_of_a_private_one_is_private(old):
    old.chmod(0o600)
    with replacing(old) as file:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600


@posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
@REFUSALS
def test_files_without_permission_are_rejected(old, way):  # pragma: no cover
    old.chmod(0o400)
    with pytest.raises(PermissionError, match="permission denied"):
        way(old)
    old.chmod(0o600)
    old.parent.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match=r"not writable|Permission denied"):
            way(old)
    finally:
        old.parent.chmod(0o700)


def test_check_writable_creates_a_file(old, monkeypatch):
    def refused(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    check_writable(old)
    assert list(old.parent.iterdir()) == [old]
    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(OSError, match=r"folder .* is not writable \(Read-only file system\)"):
        check_writable(old)


@posix
@pytest.mark.parametrize("way", ["replacing", "replacing_path"])
def test_kill_leaves_the_old_file(old, way):
    code = f"""
        import sys, time
        from pathlib import Path
        from sk_ednn._utils.writing import {way}
        with {way}(sys.argv[1]) as made:
            file = made.open("wb") if isinstance(made, Path) else made
            file.write(b"n" * 10_000)
            file.flush()
            print("writing", flush=True)
            time.sleep(60)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(old)], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"writing\n"
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    assert old.read_bytes() == b"old"
    _through_file(old)
    assert old.read_bytes() == b"new"


def test_a_folder_replaces_nothing_that_exists(tmp_path):
    with replacing_path(tmp_path / "new.zarr") as made:
        made.mkdir()
        (made / "part").write_bytes(b"new")
    assert (tmp_path / "new.zarr" / "part").read_bytes() == b"new"
    with pytest.raises(IsADirectoryError), replacing_path(tmp_path / "new.zarr"):
        pass


@pytest.fixture
def old_folder(tmp_path):
    path = tmp_path / "old.zarr"
    path.mkdir()
    (path / "part").write_bytes(b"old")
    return path


def test_a_folder_replaces_a_folder_whole(old_folder):
    with replacing_folder(old_folder) as made:
        (made / "other").write_bytes(b"new")
        assert (old_folder / "part").read_bytes() == b"old"
    assert [path.name for path in old_folder.iterdir()] == ["other"]
    assert list(old_folder.parent.iterdir()) == [old_folder]


@pytest.mark.parametrize("at", ["write", "rename"])
def test_the_old_folder_outlives_errors(old_folder, monkeypatch, at):
    rename = os.replace

    def replace(source, goal):
        if at == "rename" and os.path.basename(os.path.dirname(source)).endswith(".tmp"):
            if os.path.basename(source) == old_folder.name:
                raise OSError(errno.ENOSPC, "No space left on device")
        rename(source, goal)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OSError, match="No space left"), replacing_folder(old_folder) as made:
        (made / "part").write_bytes(b"new")
        if at == "write":
            raise OSError(errno.ENOSPC, "No space left on device")
    assert (old_folder / "part").read_bytes() == b"old"
    assert list(old_folder.parent.iterdir()) == [old_folder]


def test_a_folder_replaces_no_file_and_needs_a_place(old):
    with pytest.raises(FileExistsError, match="is a file, not a folder"), replacing_folder(old):
        pass
    with (
        pytest.raises(FileNotFoundError, match="does not exist"),
        replacing_folder(old.parent / "nowhere" / "new"),
    ):
        pass
    assert old.read_bytes() == b"old"


def test_text(tmp_path):
    with replacing(tmp_path / "text", "w", encoding="utf-8") as file:
        file.write("Å")
    assert (tmp_path / "text").read_bytes() == "Å".encode()

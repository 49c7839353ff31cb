"""Attacks on a server that runs: its guard with real requests, and what is behind."""

import http.client
import os
import socket

import pytest

from sk_ednn.runs import RunFolder, record

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def asked(server, path, *, method="GET", headers=None, body=None, cookie=True, origin=True):
    """Send one request as it is; return the status, the headers and the body."""
    given = {"Host": f"127.0.0.1:{server.port}"}
    if cookie:
        given["Cookie"] = f"sk_ednn_{server.port}={server.token}"
    if origin:
        given["Origin"] = server.base
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in (given | (headers or {})).items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def run(server, place):
    """Return a run with files, and links that lead out of it."""
    with record(place / "runs", "fit", settings={"fields": "a.npz"}) as recorder:
        (recorder.folder / "model.ednn").write_bytes(b"model")
        (recorder.folder / "report.html").write_text("<script>alert(1)</script>")
        (recorder.folder / "page.svg").write_text("<svg onload='alert(1)'/>")
        (recorder.folder / ".hidden").write_text("secret")
        os.symlink("/etc/passwd", recorder.folder / "link.txt")
        os.symlink(place / "data", recorder.folder / "folder")
    return RunFolder(place / "runs")[recorder.id]


def test_own_files_are_downloaded_and_never_act_as_pages(server, run):
    base = f"/runs/{run.id}/files"
    status, headers, body = asked(server, f"{base}/model.ednn")
    assert (status, body) == (200, b"model")
    assert headers["content-disposition"].startswith("attachment")
    status, headers, _ = asked(server, f"{base}/page.svg")
    assert headers["content-disposition"].startswith("attachment")
    status, headers, _ = asked(server, f"{base}/report.html")
    assert headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert asked(server, f"/runs/{run.id}/all.zip")[2][:2] == b"PK"


@pytest.mark.parametrize(
    "path",
    [
        "/../../../etc/passwd",
        "/..%2f..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/data/spins.npz",
        "/..%5c..%5cdata%5cspins.npz",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
        "/link.txt",
        "/folder/spins.npz",
        "/.hidden",
        "/..%2f.ui-token",
        "/model.ednn%00.txt",
        "/nothing",
        "/",
    ],
)
def test_paths_out_of_a_run_are_not_served(server, run, path):
    status, _, body = asked(server, f"/runs/{run.id}/files{path}")
    assert status in (400, 404, 307)
    assert b"root:" not in body and b"secret" not in body and not body.startswith(b"PK")


@pytest.mark.parametrize("name", ["..", "%2e%2e", "..%2fdata", "uploads", "x" * 300])
def test_other_folders_are_no_runs(server, run, name):
    status, _, body = asked(server, f"/runs/{name}/files/spins.npz")
    assert status == 404 and not body.startswith(b"PK")
    assert asked(server, f"/runs/{name}/all.zip")[0] == 404
    assert asked(server, f"/search/{name}/structures.extxyz")[0] == 404


@pytest.mark.parametrize(
    "path", ["/", "/runs", "/_nicegui_ws/socket.io/?EIO=4&transport=polling", "/favicon.ico"]
)
def test_nothing_is_served_without_the_token(server, run, path):
    assert asked(server, path, cookie=False)[0] == 403
    assert asked(server, path, headers={"Origin": "http://evil.example"})[0] == 403
    assert asked(server, path, headers={"Host": "evil.example"})[0] == 421
    assert asked(server, path)[0] == 200


def test_answers_tell_browsers_to_ask_nobody_else(server):
    _, headers, _ = asked(server, "/")
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy and "object-src 'none'" in policy
    assert "http:" not in policy.replace(server.base, "")
    assert headers["x-content-type-options"] == "nosniff"
    assert "server" not in {name.lower() for name in headers}


def test_socket_of_another_page_is_closed(server):
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    request = (
        "GET /_nicegui_ws/socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{server.port}\r\nOrigin: http://evil.example\r\n"
        f"Cookie: sk_ednn_{server.port}={server.token}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {key}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(request.encode())
        assert b" 403 " in connection.recv(4096).splitlines()[0]


def test_five_gigabytes_are_refused_before_they_are_read(server):
    status, _, _ = asked(
        server, "/_nicegui/upload", method="POST", headers={"Content-Length": "5000000000"}
    )
    assert status == 413


def test_forged_upload_address_takes_nothing(server):
    status, _, _ = asked(
        server, "/_nicegui/client/x/upload/1", method="POST",
        headers={"Content-Length": "3"}, body=b"abc",
    )  # fmt: skip
    assert status in (404, 405)


def test_server_is_bound_to_this_machine_alone(server):
    import psutil

    listening = [c.laddr for c in psutil.Process(server.process.pid).net_connections()
                 if c.status == psutil.CONN_LISTEN]  # fmt: skip
    assert {address.ip for address in listening} == {"127.0.0.1"}


def test_runs_are_started_without_a_shell(server, place):
    from sk_ednn.ui import Site, Tools

    site = Site(place / "runs2", (place / "data",), Tools(lambda name: None, lambda name: False))
    with pytest.raises(ValueError, match="Commands that can be recorded"):
        site.start(["ui", "/"])
    with pytest.raises(ValueError, match="--run"):
        site.start(["fit", "a.npz", "--run", "/elsewhere"])
    marker = place / "marker"
    run = site.start(["fit", f"$(touch {marker});`touch {marker}`.npz"])
    while run.status == "running":
        pass
    assert run.status == "failed" and not marker.exists()

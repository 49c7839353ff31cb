"""The guard of the server rejects fifty attacks, and admits the requests of its pages."""

import asyncio
import stat

import pytest

from sk_ednn.ui._security import MAX_UPLOAD_BYTES, Guard, token_of

TOKEN = "a" * 43
HOST = "127.0.0.1:8765"
COOKIE = f"sk_ednn_8765={TOKEN}"
SAME = {"host": HOST, "origin": f"http://{HOST}", "cookie": COOKIE}


class Inner:
    """An application that notes what reached it."""

    def __init__(self):
        self.reached = 0
        self.body = b""
        self.gone = False

    async def __call__(self, scope, receive, send):
        self.reached += 1
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            return
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone = True
                return
            self.body += message.get("body", b"")
            if not message.get("more_body"):
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"secret"})


def asked(
    headers,
    path="/",
    method="GET",
    query=b"",
    kind="http",
    body=(b"",),
    max_bytes=1000,
    repeated=(),
):
    """Send a request to a guard; return the inner application, the status, and the headers."""
    inner = Inner()
    guard = Guard(inner, token=TOKEN, hosts=[HOST, "localhost:8765"], max_bytes=max_bytes)
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    pairs += [(name.encode(), value.encode("latin-1")) for name, value in repeated]
    scope = {"type": kind, "path": path, "query_string": query, "headers": pairs}
    if kind == "http":
        scope["method"] = method
    parts = [
        {"type": "http.request", "body": part, "more_body": k + 1 < len(body)}
        for k, part in enumerate(body)
    ]
    parts = [{"type": "websocket.connect"}] if kind == "websocket" else parts
    sent = []

    async def receive():
        return parts.pop(0) if parts else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    asyncio.run(guard(scope, receive, send))
    first = sent[0] if sent else {}
    return inner, first.get("status", first.get("type")), dict(first.get("headers", []))


def without(*names):
    return {name: value for name, value in SAME.items() if name not in names}


ATTACKS = {
    # --- no token, or a wrong one
    "no cookie": (without("cookie"), {}),
    "empty cookie": ({**SAME, "cookie": ""}, {}),
    "empty token": ({**SAME, "cookie": "sk_ednn_8765="}, {}),
    "wrong token": ({**SAME, "cookie": f"sk_ednn_8765={'b' * 43}"}, {}),
    "beginning of the token": ({**SAME, "cookie": f"sk_ednn_8765={TOKEN[:-1]}"}, {}),
    "token and more": ({**SAME, "cookie": f"sk_ednn_8765={TOKEN}a"}, {}),
    "token of another port": ({**SAME, "cookie": f"sk_ednn_8766={TOKEN}"}, {}),
    "token in a header": ({**without("cookie"), "authorization": f"Bearer {TOKEN}"}, {}),
    "token in another case": ({**SAME, "cookie": f"sk_ednn_8765={TOKEN.upper()}"}, {}),
    "broken cookie": ({**SAME, "cookie": "\x00;;=;\xff"}, {}),
    "cookie that hides another": ({**SAME, "cookie": f"x=sk_ednn_8765={TOKEN}"}, {}),
    "wrong token in the address": (without("cookie"), {"query": b"token=b"}),
    "empty token in the address": (without("cookie"), {"query": b"token="}),
    "two tokens in the address": (without("cookie"), {"query": b"token=b&token=" + TOKEN.encode()}),
    "token posted": (without("cookie"), {"method": "POST", "query": f"token={TOKEN}".encode()}),
    "files without a cookie": (without("cookie"), {"path": "/runs/x/files/model.ednn"}),
    "nicegui without a cookie": (without("cookie"), {"path": "/_nicegui/3.0/static/nicegui.js"}),
    "upload without a cookie": (without("cookie"), {"method": "POST", "path": "/_nicegui/x"}),
    # --- names of other machines, pointed at this one
    "foreign host": ({**SAME, "host": "evil.example:8765"}, {}),
    "no host": (without("host"), {}),
    "host without port": ({**SAME, "host": "127.0.0.1"}, {}),
    "host of another port": ({**SAME, "host": "127.0.0.1:80"}, {}),
    "host that begins alike": ({**SAME, "host": f"{HOST}.evil.example"}, {}),
    "host with user": ({**SAME, "host": f"evil.example@{HOST}"}, {}),
    "host as a number": ({**SAME, "host": "2130706433:8765"}, {}),
    "host of all addresses": ({**SAME, "host": "0.0.0.0:8765"}, {}),
    "two hosts": (SAME, {"repeated": [("host", "evil.example")]}),
    "forwarded host": ({**without("host"), "x-forwarded-host": HOST}, {}),
    # --- other pages in the same browser
    "foreign origin": ({**SAME, "origin": "http://evil.example"}, {}),
    "origin of another port": ({**SAME, "origin": "http://127.0.0.1:9000"}, {}),
    "origin by the other name": ({**SAME, "origin": "http://localhost:8765"}, {}),
    "no origin of a sandbox": ({**SAME, "origin": "null"}, {}),
    "origin of a file": ({**SAME, "origin": "file://"}, {}),
    "empty origin": ({**SAME, "origin": ""}, {}),
    "two origins": (SAME, {"repeated": [("origin", "http://evil.example")]}),
    "origin that begins alike": ({**SAME, "origin": f"http://{HOST}.evil.example"}, {}),
    "cross-site picture": ({**without("origin"), "sec-fetch-site": "cross-site"}, {}),
    "same-site page": ({**without("origin"), "sec-fetch-site": "same-site"}, {}),
    "cross-site form": ({**SAME, "sec-fetch-site": "cross-site"}, {"method": "POST"}),
    "post without origin": (without("origin"), {"method": "POST"}),
    "foreign token link": (
        {**without("cookie"), "origin": "http://evil.example"},
        {"query": f"token={TOKEN}".encode()},
    ),
    # --- websockets, which browsers open to anywhere
    "socket without cookie": (without("cookie"), {"kind": "websocket"}),
    "socket without origin": (without("origin"), {"kind": "websocket"}),
    "foreign socket": ({**SAME, "origin": "http://evil.example"}, {"kind": "websocket"}),
    "socket of a foreign host": ({**SAME, "host": "evil.example:8765"}, {"kind": "websocket"}),
    "token in the address of a socket": (
        without("cookie"),
        {"kind": "websocket", "query": f"token={TOKEN}".encode()},
    ),
    # --- methods and sizes
    "put": (SAME, {"method": "PUT"}),
    "delete": (SAME, {"method": "DELETE"}),
    "options": (SAME, {"method": "OPTIONS"}),
    "trace": (SAME, {"method": "TRACE"}),
    "five gigabytes": ({**SAME, "content-length": "5000000000"}, {"method": "POST"}),
    "negative length": ({**SAME, "content-length": "-1"}, {"method": "POST"}),
    "length in words": ({**SAME, "content-length": "1e3"}, {"method": "POST"}),
    "two lengths": (
        {**SAME, "content-length": "1"},
        {"method": "POST", "repeated": [("content-length", "900000")]},
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_does_not_reach_the_pages(name):
    headers, options = ATTACKS[name]
    inner, status, _ = asked(headers, **options)
    assert inner.reached == 0
    assert status in (403, 405, 413, 421, "websocket.close")


def test_there_are_fifty_attacks():
    assert len(ATTACKS) >= 50


@pytest.mark.parametrize("host", [HOST, "localhost:8765", "LOCALHOST:8765"])
def test_own_page_is_admitted(host):
    headers = {"host": host, "cookie": f"other=1; {COOKIE}", "sec-fetch-site": "none"}
    inner, status, answer = asked(headers)
    assert (inner.reached, status) == (1, 200)
    assert b"frame-ancestors" in answer[b"content-security-policy"]
    assert f"ws://{host.lower()}".encode() in answer[b"content-security-policy"]
    assert answer[b"x-content-type-options"] == b"nosniff"


def test_own_post_and_socket_are_admitted():
    assert asked(SAME, method="POST", body=(b"12", b"3"))[0].body == b"123"
    assert asked(SAME, kind="websocket")[1] == "websocket.accept"


def test_token_in_the_address_becomes_a_cookie():
    query = f"run=a%20b&token={TOKEN}".encode()
    inner, status, answer = asked({"host": HOST}, path="/runs", query=query)
    assert (inner.reached, status) == (0, 303)
    assert answer[b"location"] == b"/runs?run=a+b"
    cookie = answer[b"set-cookie"].decode()
    assert cookie.startswith(COOKIE) and "HttpOnly" in cookie and "SameSite=Strict" in cookie


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", "///evil.example"])
def test_token_does_not_lead_elsewhere(path):
    _, _, answer = asked({"host": HOST}, path=path, query=f"token={TOKEN}".encode())
    assert not answer[b"location"][1:].startswith((b"/", b"\\"))


def test_line_breaks_do_not_get_into_headers():
    path = "/a\r\nset-cookie: x=1"
    _, _, answer = asked({"host": HOST}, path=path, query=f"token={TOKEN}".encode())
    assert b"\r" not in answer[b"location"] and b"\n" not in answer[b"location"]


def test_body_is_counted_where_no_length_is_given():
    inner, _, _ = asked(SAME, method="POST", body=[b"x" * 400] * 4, max_bytes=1000)
    assert inner.gone and len(inner.body) <= 1000


def test_uploads_have_a_limit():
    assert 0 < MAX_UPLOAD_BYTES < 5_000_000_000


# --- the file of the token


def test_token_is_kept_for_its_owner_alone(tmp_path):
    token = token_of(tmp_path)
    (path,) = tmp_path.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert token_of(tmp_path) == token and len(token) >= 32


def test_token_that_others_may_know_is_replaced(tmp_path):
    token = token_of(tmp_path)
    (path,) = tmp_path.iterdir()
    path.chmod(0o644)
    assert token_of(tmp_path) != token


def test_token_is_not_read_through_a_link(tmp_path):
    (tmp_path / "known").write_text("k" * 43)
    (tmp_path / "known").chmod(0o600)
    (tmp_path / ".ui-token").symlink_to(tmp_path / "known")
    assert token_of(tmp_path) != "k" * 43
    assert (tmp_path / "known").read_text() == "k" * 43  # and not written through it


@pytest.mark.parametrize("content", ["", "short", "é" * 43])
def test_token_that_is_none_is_replaced(tmp_path, content):
    (tmp_path / ".ui-token").write_text(content)
    (tmp_path / ".ui-token").chmod(0o600)
    assert len(token_of(tmp_path)) == 43

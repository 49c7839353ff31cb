"""Admit only requests of these pages (host, origin, token, size) and paths in opened folders.

The guard is the outermost layer of the server and sees every request, those of the websocket
included, before any other code does.
"""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from collections.abc import Iterable
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode

# Maximum size of a request: uploads are files of data, and a page sends a few kB.
MAX_UPLOAD_BYTES = 2 * 1024**3
_TOKEN_FILE = ".ui-token"
_TOKEN_BYTES = 32
_SAFE_METHODS = ("GET", "HEAD", "POST")

# What the browser may load and whom it may ask: this server alone. NiceGUI compiles its templates
# in the browser, which needs 'unsafe-eval'.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' {sockets}; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'self'"
)


class Refused(Exception):
    """A request or a path that is not admitted.

    Parameters
    ----------
    status : int
        Status of HTTP.
    why : str
        One sentence, shown as plain text.
    """

    def __init__(self, status, why):
        super().__init__(why)
        self.status, self.why = status, why


# --- token ----------------------------------------------------------------------------------------


def token_of(folder) -> str:
    """Return the secret of a run folder; make it on first use.

    It is kept in a file that its owner alone may read, so that an open page continues after
    the server was restarted.

    Parameters
    ----------
    folder : path-like

    Returns
    -------
    str

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sk_ednn.ui._security import token_of
    >>> with TemporaryDirectory() as folder:
    ...     token_of(folder) == token_of(folder), len(token_of(folder))
    (True, 43)
    """
    path = Path(folder) / _TOKEN_FILE
    kept = _kept(path)
    if kept is not None:
        return kept
    with suppress(FileNotFoundError):
        path.unlink()
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token)
    return token


def _kept(path) -> str | None:
    """Return the secret in a file; None if others could read it, or if it is invalid."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        mine = not hasattr(os, "getuid") or status.st_uid == os.getuid()
        if not (stat.S_ISREG(status.st_mode) and mine) or status.st_mode & 0o077:
            return None
        token = file.read(200).decode("ascii", "replace")
    return token if len(token) >= _TOKEN_BYTES and token.isascii() else None


# --- requests -------------------------------------------------------------------------------------


class Guard:
    """An ASGI application that passes on what is admitted, and refuses the rest in plain text.

    Parameters
    ----------
    app : ASGI application
    token : str
    hosts : iterable of str
        Names and addresses with port by which the server may be called, such as
        ``"127.0.0.1:8765"``. Others are refused, so that no foreign name can be pointed at it.
    max_bytes : int, default=MAX_UPLOAD_BYTES
        Limit of the body of one request.
    """

    def __init__(self, app, *, token, hosts: Iterable[str], max_bytes=MAX_UPLOAD_BYTES):
        self.app = app
        self.token = token
        self.hosts = frozenset(host.lower() for host in hosts)
        self.max_bytes = max_bytes
        self.cookie = "sk_ednn_" + next(iter(sorted(self.hosts))).rpartition(":")[2]

    async def __call__(self, scope, receive, send):
        """Serve one request."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = _headers(scope)
        try:
            host = self._host(headers)
            self._check_origin(scope, headers, host)
            given = self._given(scope)
            if given is not None:
                await self._welcome(scope, given, send)
                return
            self._check_cookie(headers)
            self._check_size(scope, headers)
        except Refused as refused:
            await _refuse(scope, receive, send, refused)
            return
        await self.app(scope, self._counted(scope, receive), self._with_headers(scope, send, host))

    # Each of these raises where a request is not admitted.

    def _host(self, headers) -> str:
        host = headers.get("host", "").lower()
        if host not in self.hosts:
            raise Refused(421, "This address does not belong to this server.")
        return host

    def _check_origin(self, scope, headers, host):
        if scope["type"] == "http" and scope["method"] not in _SAFE_METHODS:
            raise Refused(405, "Only GET, HEAD and POST are supported.")
        origin = headers.get("origin")
        if origin is None:
            if scope["type"] == "websocket" or scope["method"] == "POST":
                # Browsers send it with both. A program without it could send any.
                raise Refused(403, "Requests without an origin are rejected.")
        elif origin.lower() not in (f"http://{host}", f"https://{host}"):
            raise Refused(403, "Requests from other pages are rejected.")
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            raise Refused(403, "Requests from other pages are rejected.")

    def _given(self, scope) -> str | None:
        """Return the token in the address of a page."""
        if scope["type"] != "http" or scope["method"] != "GET":
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"))
        given = next((value for name, value in query if name == "token"), None)
        if given is not None and not self._is_token(given):
            raise Refused(403, "The token in the address is not that of this server.")
        return given

    def _check_cookie(self, headers):
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            cookies = SimpleCookie()
        if self.cookie not in cookies or not self._is_token(cookies[self.cookie].value):
            raise Refused(
                403,
                "Open the address that `sk-ednn ui` printed, with its token: this browser has not "
                "shown it yet.",
            )

    def _is_token(self, given) -> bool:
        return hmac.compare_digest(given.encode(), self.token.encode())

    def _check_size(self, scope, headers):
        length = headers.get("content-length")
        if length is not None and (not length.isdecimal() or int(length) > self.max_bytes):
            raise Refused(413, f"More than {self.max_bytes} bytes are not accepted at once.")

    def _counted(self, scope, receive):
        """Count received bytes, since a declared length may be missing or false."""
        if scope["type"] != "http":
            return receive
        n_bytes = 0

        async def counted():
            nonlocal n_bytes
            message = await receive()
            n_bytes += len(message.get("body", b""))
            # To the application as if the browser were gone.
            return {"type": "http.disconnect"} if n_bytes > self.max_bytes else message

        return counted

    def _with_headers(self, scope, send, host):
        if scope["type"] != "http":
            return send
        policy = _POLICY.format(sockets=f"ws://{host} wss://{host}")
        added = {
            b"referrer-policy": b"no-referrer",
            b"x-content-type-options": b"nosniff",
            b"cross-origin-opener-policy": b"same-origin",
            b"cross-origin-resource-policy": b"same-origin",
        }

        async def sent(message):
            if message["type"] == "http.response.start":
                headers = [(k, v) for k, v in message.get("headers", []) if k.lower() not in added]
                if all(name.lower() != b"content-security-policy" for name, _ in headers):
                    headers.append((b"content-security-policy", policy.encode()))
                message = {**message, "headers": [*headers, *added.items()]}
            await send(message)

        return sent

    async def _welcome(self, scope, token, send):
        """Keep the token as a cookie, and lead to the address without it."""
        query = parse_qsl(scope["query_string"].decode("latin-1"))
        rest = urlencode([(name, value) for name, value in query if name != "token"])
        # From the root: `//elsewhere/` would be another machine.
        path = "/" + quote(scope["path"].lstrip("/\\"), safe="/~-._")
        cookie = f"{self.cookie}={token}; HttpOnly; SameSite=Strict; Path=/; Max-Age=31536000"
        await send(
            {
                "type": "http.response.start",
                "status": 303,
                "headers": [
                    (b"location", (path + (f"?{rest}" if rest else "")).encode()),
                    (b"set-cookie", cookie.encode()),
                    (b"cache-control", b"no-store"),
                    (b"referrer-policy", b"no-referrer"),
                ],
            }
        )
        await send({"type": "http.response.body", "body": b""})


def _headers(scope) -> dict[str, str]:
    """Return headers by their names; a repeated host, origin or length is empty."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        if key in ("host", "origin", "content-length") and key in headers:
            text = ""
        elif key == "cookie" and key in headers:
            text = f"{headers[key]}; {text}"
        headers[key] = text
    return headers


async def _refuse(scope, receive, send, refused):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": ""})
        return
    await send(
        {
            "type": "http.response.start",
            "status": refused.status,
            "headers": [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"x-content-type-options", b"nosniff"),
                (b"cache-control", b"no-store"),
                (b"connection", b"close"),
            ],
        }
    )
    await send({"type": "http.response.body", "body": f"{refused.why}\n".encode()})


# --- paths ----------------------------------------------------------------------------------------


def within(roots, name) -> Path:
    """Return the file or folder that a path leads to, links followed, in an opened folder.

    Parameters
    ----------
    roots : sequence of Path
        Opened folders.
    name : str or Path
        Absolute, or relative to the first of them.

    Returns
    -------
    Path

    Raises
    ------
    Refused
        If it leads elsewhere, does not exist, or is hidden.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sk_ednn.ui._security import Refused, within
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "spins.npz").write_bytes(b"")
    ...     print(within([Path(folder)], "spins.npz").name)
    ...     try:
    ...         within([Path(folder)], "../../etc/passwd")
    ...     except Refused as refused:
    ...         print(refused.status)
    spins.npz
    404
    """
    wrong = Refused(404, "There is no such file in the folders that were opened.")
    try:
        goal = (Path(roots[0]) / name).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        raise wrong from None
    for root in roots:
        root = Path(root).resolve()
        if goal.is_relative_to(root):
            if any(part.startswith(".") for part in goal.relative_to(root).parts):
                raise wrong
            return goal
    raise wrong


def plain_name(name: str) -> str:
    """Return the name for an uploaded file: no folders, no hidden files, nothing to escape.

    Examples
    --------
    >>> from sk_ednn.ui._security import plain_name
    >>> plain_name("../../.ssh/id"), plain_name("spins 8x8 (1).npz"), plain_name("<img src=x>.csv")
    ('id', 'spins 8x8 (1).npz', '_img src=x_.csv')
    """
    last = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(c if c.isalnum() or c in " ._-()+=," else "_" for c in last)
    kept = kept.strip().lstrip(".-").strip()
    encoded = kept.encode()
    if len(encoded) > 180:  # file systems take 255 bytes, and suffixes may be added
        stem, dot, ending = kept.rpartition(".")
        ending = ending if len(ending) <= 12 else ""
        stem = (stem or kept).encode()[: 170 - len(ending)].decode(errors="ignore")
        kept = f"{stem}{dot if ending else ''}{ending}"
    return kept or "file"

"""The server of the pages: one process, bound to this machine by default."""

from __future__ import annotations

import asyncio
import logging
import mimetypes
import socket
import threading
import webbrowser
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from .._utils.optional import needing
from ._security import Guard, Refused, token_of, within
from ._site import Site

# The report of a model: it runs no scripts and loads nothing from elsewhere.
_REPORT_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
# Shown in the browser. All else is downloaded, so that no file of a run can act as a page of ours.
_SHOWN = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def build(site: Site, *, token, hosts, max_bytes=None) -> Any:
    """Return the whole server as one ASGI application, its guard outermost.

    Parameters
    ----------
    site : Site
    token : str
    hosts : sequence of str
        With port.
    max_bytes : int, default=None
        Limit of one upload.
    """
    with needing("The pages"):
        from fastapi import FastAPI
        from nicegui import ui

    from . import _pages

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    _add_files(app, site)
    _pages.register(site)
    ui.run_with(
        app,
        title="sk-ednn",
        favicon=_ICON,
        dark=None,
        language="en-US",
        tailwind=False,
        show_welcome_message=False,
        reconnect_timeout=5.0,
    )
    options = {} if max_bytes is None else {"max_bytes": max_bytes}
    return Guard(app, token=token, hosts=hosts, **options)


def serve(folder, *, data=(), tools, port=8765, host="127.0.0.1", show=True, scheduler=None, say):
    """Serve the pages until the process ends.

    Runs that were started continue in their own processes.

    Parameters
    ----------
    folder : path-like
        Folder of the runs.
    data : sequence of path-like
        Folders whose files may be chosen.
    tools : Tools
    port : int, default=8765
        0 for any that is free.
    host : str, default="127.0.0.1"
        Address that is bound.
    show : bool, default=True
        Open the page in a browser.
    scheduler : str, default=None
        Address of a Dask scheduler.
    say : function
        Called with the address, once the server can be called.
    """
    with needing("The pages"):
        import nicegui  # noqa: F401
        import uvicorn
    site = Site(Path(folder), tuple(Path(path) for path in data), tools, scheduler)
    bound = _bound(host, port)
    port = bound.getsockname()[1]
    token = token_of(site.folder)
    app = build(site, token=token, hosts=hosts_of(host, port))
    name = "127.0.0.1" if host in ("0.0.0.0", "localhost") else host
    name = f"[{name}]" if ":" in name else name
    address = f"http://{name}:{port}/?token={token}"
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=2,
        ws_max_size=16 * 1024**2,
    )
    server = uvicorn.Server(config)
    # Thousands of runs take a moment to read, which nobody has to wait for.
    threading.Thread(target=site.rows.read, name="runs", daemon=True).start()
    asyncio.run(_run(server, bound, address, show, say))


async def _run(server, bound, address, show, say):
    serving = asyncio.ensure_future(server.serve(sockets=[bound]))
    while not (server.started or serving.done()):
        await asyncio.sleep(0.02)
    if server.started:
        say(address)
        if show:
            webbrowser.open(address)
    await serving


def hosts_of(host, port) -> list[str]:
    """Return the names, with port, by which a server bound to an address may be called.

    Examples
    --------
    >>> from sk_ednn.ui._app import hosts_of
    >>> hosts_of("127.0.0.1", 8765)
    ['127.0.0.1:8765', 'localhost:8765', '[::1]:8765']
    """
    names = list(_LOOPBACK)
    if host in ("0.0.0.0", "::"):
        from psutil import net_if_addrs

        names += [socket.gethostname(), socket.getfqdn()]
        names += [
            each.address if each.family == socket.AF_INET else f"[{each.address.split('%')[0]}]"
            for addresses in net_if_addrs().values()
            for each in addresses
            if each.family in (socket.AF_INET, socket.AF_INET6)
        ]
    elif host not in ("127.0.0.1", "localhost", "::1"):
        names.append(f"[{host}]" if ":" in host else host)
    return [f"{name}:{port}" for name in dict.fromkeys(names)]


def _bound(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise OSError(
            f"Port {port} of {host} cannot be used ({error.strerror}). Is a server running "
            "there? Choose another with --port, or 0 for any that is free."
        ) from error
    bound.set_inheritable(False)
    return bound


def _add_files(app, site):
    """Add the addresses of files of runs: pictures and reports are shown, others downloaded."""
    from fastapi.responses import FileResponse, PlainTextResponse
    from starlette.background import BackgroundTask

    from ..search import SearchStore
    from ._search import store_of

    def answer(root, name):
        try:
            path = within([root], name)
            if not path.is_file():
                raise Refused(404, "There is no such file.")
        except Refused as refused:
            return PlainTextResponse(f"{refused.why}\n", refused.status)
        ending = path.suffix.lower()
        if ending in _SHOWN:
            return FileResponse(path, media_type=_SHOWN[ending], headers=_NOT_KEPT)
        if ending == ".html":
            headers = {"content-security-policy": _REPORT_POLICY, **_NOT_KEPT}
            return FileResponse(path, media_type="text/html; charset=utf-8", headers=headers)
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return FileResponse(path, media_type=kind, filename=path.name, headers=_NOT_KEPT)

    @app.get("/runs/{run}/files/{name:path}")
    def file_of_run(run: str, name: str):
        if site.run(run) is None:
            return PlainTextResponse("There is no such run.\n", 404)
        return answer(site.folder / run, name)

    @app.get("/runs/{run}/all.zip")
    def all_files(run: str):
        from ..runs import export_zip

        record = site.run(run)
        if record is None:
            return PlainTextResponse("There is no such run.\n", 404)
        folder = Path(mkdtemp(prefix="sk-ednn-"))
        path = folder / f"{record.id}.zip"
        export_zip([record], path)
        done = BackgroundTask(rmtree, folder, ignore_errors=True)
        return FileResponse(path, filename=path.name, headers=_NOT_KEPT, background=done)

    @app.get("/search/{run}/structures.extxyz")
    def structures(run: str):
        from ..search import export

        record = site.run(run)
        if record is None or record.kind != "search":
            return PlainTextResponse("There is no such search.\n", 404)
        folder = Path(mkdtemp(prefix="sk-ednn-"))
        path = folder / f"{record.id}.extxyz"
        try:
            with SearchStore(store_of(site, record)) as store:
                export(store, path)
        except (Refused, ValueError, OSError) as error:
            rmtree(folder, ignore_errors=True)
            return PlainTextResponse(f"{error}\n", 404)
        done = BackgroundTask(rmtree, folder, ignore_errors=True)
        return FileResponse(path, filename=path.name, headers=_NOT_KEPT, background=done)


_NOT_KEPT = {"cache-control": "no-store"}
_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" '
    'rx="3" fill="#005f99"/><g fill="#fff"><rect x="3" y="3" width="4" height="4"/>'
    '<rect x="9" y="3" width="4" height="4" opacity=".55"/><rect x="3" y="9" width="4" height="4" '
    'opacity=".55"/><rect x="9" y="9" width="4" height="4"/></g></svg>'
)

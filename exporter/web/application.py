"""HTTP: sends the exposition, answers the probes, takes the reload. Nothing here asks Help Scout.

The routes are those of docs/behaviour.md#http. `access` has TLS and passwords, `connection` the
deadlines and sizes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.exposition import OPENMETRICS, TEXT, Exposition
from exporter.settings import WebSettings

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of what a browser shows; the status page brings a policy of its own."""


@dataclass(frozen=True, slots=True)
class Backend:
    """What the routes need of the rest. `reload` returns what is wrong, nothing if it went well.

    `page` makes the status page for the query's parameters, the last value of each: its HTML, and
    the Content-Security-Policy to send it with. It may take a while and is called in a thread.
    """

    exposition: Exposition
    configuration: Callable[[], str]
    healthy: Callable[[], bool]
    ready: Callable[[], bool]
    reload: Callable[[], tuple[str, ...]]
    page: Callable[[Mapping[str, str]], tuple[str, str]]


class _Metrics:
    """The telemetry path, as plain ASGI: this is the one that is asked all the time."""

    def __init__(self, exposition: Exposition) -> None:
        self._exposition = exposition

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        accept = encoding = b""
        for name, value in scope["headers"]:
            if name == b"accept":
                accept = accept + b"," + value if accept else value
            elif name == b"accept-encoding":
                encoding = encoding + b"," + value if encoding else value
        content_type = negotiate(accept.decode("latin-1"))
        if scope["query_string"]:
            names = parse_qs(scope["query_string"].decode("latin-1")).get("name[]")
            if names:
                body = await run_in_threadpool(self._exposition.selected, names, content_type)
                await Response(body, media_type=content_type)(scope, receive, send)
                return
        gzipped = accepts_gzip(encoding.decode("latin-1"))
        headers = [(b"content-type", content_type.encode()), (b"vary", b"accept, accept-encoding")]
        if gzipped:
            headers.append((b"content-encoding", b"gzip"))
        body_ = self._exposition.body(content_type, gzipped=gzipped)
        pieces = body_.ready()
        if pieces is None:
            pieces = await run_in_threadpool(body_.made)
        headers.append((b"content-length", b"%d" % sum(map(len, pieces))))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        *first, last = pieces  # uvicorn sends none of it where only the head was asked for
        for piece in first:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": last})


@lru_cache(maxsize=64)
def negotiate(accept: str) -> str:
    """Return the content type for an Accept header: OpenMetrics 1.0 where it is preferred."""
    best = {TEXT: 0.0, OPENMETRICS: 0.0}
    for item in accept.split(","):
        kind, *parameters = (part.strip() for part in item.split(";"))
        values = {
            name.strip().lower(): value.strip(' "')
            for name, _, value in (parameter.partition("=") for parameter in parameters)
        }
        quality = _quality(values.get("q", "1"))
        if kind.lower() == "application/openmetrics-text":
            if values.get("version", "1.0.0") == "1.0.0":
                best[OPENMETRICS] = max(best[OPENMETRICS], quality)
        elif kind.lower() in ("text/plain", "text/*", "*/*") and values.get("version", "0.0.4") in (
            "0.0.4",
            "1.0.0",
        ):
            best[TEXT] = max(best[TEXT], quality)
    return OPENMETRICS if best[OPENMETRICS] > 0 and best[OPENMETRICS] >= best[TEXT] else TEXT


@lru_cache(maxsize=64)
def accepts_gzip(encoding: str) -> bool:
    """Return whether an Accept-Encoding header allows gzip."""
    qualities = {}
    for item in encoding.split(","):
        name, _, parameter = item.partition(";")
        _, _, quality = parameter.partition("=")
        qualities[name.strip().lower()] = _quality(quality.strip() or "1")
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def application(settings: WebSettings, backend: Backend) -> ASGIApp:
    """Return the ASGI application with every route."""

    async def page(request: Request) -> Response:
        query = {name: values[-1] for name, values in parse_qs(request.url.query).items()}
        html, policy = await run_in_threadpool(backend.page, query)
        return HTMLResponse(html, headers=_HEADERS | {"Content-Security-Policy": policy})

    async def configuration(_request: Request) -> Response:
        return PlainTextResponse(backend.configuration(), headers=_HEADERS)

    async def healthy(_request: Request) -> Response:
        return _probe(backend.healthy(), "healthy", "a loop of the exporter has stopped")

    async def ready(_request: Request) -> Response:
        return _probe(backend.ready(), "ready", "not ready yet: logging in and listing mailboxes")

    async def reload(_request: Request) -> Response:
        if not settings.enable_lifecycle:
            return PlainTextResponse(
                "reloading over HTTP is off: set web.enable_lifecycle, or send SIGHUP\n", 403
            )
        problems = await run_in_threadpool(backend.reload)
        if problems:
            return PlainTextResponse("\n".join(problems) + "\n", 400)
        return PlainTextResponse("reloaded\n")

    metrics = _Metrics(backend.exposition)
    router = Router(
        [
            Route(settings.telemetry_path, metrics, methods=["GET"]),
            Route("/", page),
            Route("/config", configuration),
            Route("/-/healthy", healthy),
            Route("/-/ready", ready),
            Route("/-/reload", reload, methods=["POST"]),
        ],
        redirect_slashes=False,
    )

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        # A scrape goes past the router: that is a twentieth of the time of a gzipped one.
        scraped = scope["path"] == settings.telemetry_path and scope["method"] == "GET"
        await (metrics if scraped else router)(scope, receive, send)

    return routed


def _probe(good: bool, word: str, otherwise: str) -> Response:
    return PlainTextResponse(f"{word if good else otherwise}\n", 200 if good else 503)

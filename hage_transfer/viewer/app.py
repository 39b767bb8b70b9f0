"""Answers to the viewer's page: its files, what a run holds, tiles of slides, tissue, and values of tiles.

Slides are asked for by the names of the run's own table and by nothing else; no part of a request becomes a path.
Only GET is answered, only to this machine's own name (else a page elsewhere could read slides by DNS rebinding), and no
page may load anything from elsewhere or be framed.
"""

import logging
import re
from dataclasses import asdict
from typing import Any, NoReturn

from jaxtyping import Float32
from numpy import ndarray
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hage_transfer.errors import HageError
from hage_transfer.viewer.contents import ListedSlide
from hage_transfer.viewer.described import described_run, described_slide, described_tiles, outlines
from hage_transfer.viewer.layer import KINDS, Layer, NoSuchLayerError, layer_values
from hage_transfer.viewer.opened_run import NoSuchTileError, OpenedRun, slide_path
from hage_transfer.viewer.page_files import INDEX, PageFile, read_page_files
from hage_transfer.viewer.tile_table import TileTable

log = logging.getLogger(__name__)

HOSTS = ("127.0.0.1", "localhost")
_TILE = re.compile(r"(\d{1,7})_(\d{1,7})\.jpg", re.ASCII)
_LEVEL = re.compile(r"\d{1,2}", re.ASCII)
_EMPTY_STYLE = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
"""Hash of no text: index.html has an empty style that keeps OpenSeadragon from adding its own."""
_HEADERS = {
    "content-security-policy": f"default-src 'none'; script-src 'self'; style-src 'self' {_EMPTY_STYLE}; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
_KEPT, _NOT_KEPT = {"cache-control": "private, max-age=3600"}, {"cache-control": "no-store"}
_SHORTLY = {"cache-control": "private, max-age=60"}


def make_app(run: OpenedRun) -> Starlette:
    """The application that answers for one run.

    Raises:
        DataError: the installation lacks a file of the page.
    """
    answers = _Answers(run, read_page_files())
    routes = [
        Route("/", answers.index, methods=["GET"]),
        Route("/assets/{name:path}", answers.asset, methods=["GET"]),
        Route("/api/run", answers.contents, methods=["GET"]),
        Route("/api/range", answers.range, methods=["GET"]),
        Route("/api/slides/{slide}", answers.slide, methods=["GET"]),
        Route("/api/slides/{slide}/tissue", answers.tissue, methods=["GET"]),
        Route("/api/slides/{slide}/tiles", answers.tiles, methods=["GET"]),
        Route("/api/slides/{slide}/boxes", answers.boxes, methods=["GET"]),
        Route("/api/slides/{slide}/values", answers.values, methods=["GET"]),
        Route("/slides/{slide}/thumbnail.jpg", answers.thumbnail, methods=["GET"]),
        Route("/slides/{slide}/{level}/{tile}", answers.tile, methods=["GET"]),
    ]
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(_SecurityHeaders),
            Middleware(TrustedHostMiddleware, allowed_hosts=list(HOSTS), www_redirect=False),
        ],
        exception_handlers={
            HTTPException: _refused,
            HageError: _failed,
            NoSuchTileError: _absent,
            NoSuchLayerError: _absent,
        },
    )


class _Answers:
    """The answers; each is a plain function, so that Starlette runs it in a thread."""

    def __init__(self, run: OpenedRun, files: dict[str, PageFile]) -> None:
        self._run, self._files = run, files

    def index(self, request: Request) -> Response:
        return self._file(INDEX)

    def asset(self, request: Request) -> Response:
        return self._file(request.path_params["name"])

    def contents(self, request: Request) -> Response:
        return JSONResponse(described_run(self._run.reread()), headers=_NOT_KEPT)

    def slide(self, request: Request) -> Response:
        listed = self._listed(request)
        with self._run.pool.borrow(slide_path(listed), mpp_um_per_px=listed.mpp_um_per_px) as opened:
            return JSONResponse(described_slide(opened), headers=_NOT_KEPT)

    def tissue(self, request: Request) -> Response:
        return JSONResponse(outlines(self._run.tissue(self._listed(request))), headers=_NOT_KEPT)

    def tiles(self, request: Request) -> Response:
        return JSONResponse(described_tiles(self._table(request), self._run.gene_sets), headers=_NOT_KEPT)

    def boxes(self, request: Request) -> Response:
        return _binary(self._table(request).boxes)

    def values(self, request: Request) -> Response:
        return _binary(layer_values(self._table(request), _layer(request), self._run.gene_sets))

    def range(self, request: Request) -> Response:
        source = request.query_params.get("source", "")
        return JSONResponse(asdict(self._run.cohort_range(source, _layer(request))), headers=_NOT_KEPT)

    def thumbnail(self, request: Request) -> Response:
        picture = self._run.thumbnail(self._listed(request))
        if picture is None:
            return Response(status_code=204, headers=_NOT_KEPT)
        return Response(picture, media_type="image/jpeg", headers=_SHORTLY)

    def tile(self, request: Request) -> Response:
        listed = self._listed(request)
        place = _TILE.fullmatch(request.path_params["tile"])
        level = _LEVEL.fullmatch(request.path_params["level"])
        if place is None or level is None:
            _refuse("no such tile")
        tile = self._run.tile(listed, level=int(level[0]), column=int(place[1]), row=int(place[2]))
        return Response(tile, media_type="image/jpeg", headers=_KEPT)

    def _listed(self, request: Request) -> ListedSlide:
        listed = self._run.contents.slides.get(request.path_params["slide"])
        if listed is None:
            _refuse("no such slide in this run")
        return listed

    def _table(self, request: Request) -> TileTable:
        listed = self._listed(request)
        path = listed.overlays.get(request.query_params.get("source", ""))
        if path is None:
            _refuse("no such source, or it has no tiles of this slide")
        table = self._run.table(path)
        if request.query_params.get("v", table.stamp) != table.stamp:
            raise HTTPException(409, f"the tiles of {listed.name} were made again meanwhile; choose the slide again")
        return table

    def _file(self, name: str) -> Response:
        file = self._files.get(name)
        if file is None:
            _refuse("no such file")
        return Response(file.content, media_type=file.media_type, headers={"cache-control": "no-cache"})


class _SecurityHeaders:
    """Adds the headers to every answer, refusals included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in _HEADERS.items()),
                ]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _binary(values: Float32[ndarray, "..."]) -> Response:
    """Numbers as little-endian float32, which a browser takes as they are."""
    return Response(values.astype("<f4").tobytes(), media_type="application/octet-stream", headers=_NOT_KEPT)


def _layer(request: Request) -> Layer:
    """The layer that a request names by the first of its keys that says a kind."""
    kind = next((kind for kind in KINDS if kind in request.query_params), "")
    return Layer(kind, request.query_params.get(kind, ""))


def _refuse(reason: str) -> NoReturn:
    raise HTTPException(404, reason)


def _told(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status_code=status, headers=_NOT_KEPT)


def _refused(request: Request, error: Any) -> Response:
    return _told(error.status_code, error.detail)


def _absent(request: Request, error: Exception) -> Response:
    return _told(404, str(error))


def _failed(request: Request, error: Exception) -> Response:
    log.warning("%s", error)
    return _told(422, str(error))

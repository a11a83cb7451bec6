"""The local gallery's server: the study's data, thumbnails and images by plain requests; the page by Gradio.

It reads the study folder only, while a sweep may be writing to it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse

from bench.address import check_address
from bench.errors import InputError
from bench.gallery import page
from bench.gallery.document import REFERENCE, gallery_document, to_json
from bench.gallery.study_index import StudyIndex, open_index
from bench.report.images.thumbnails import thumbnail
from bench.store.study_folder import StudyFolder

SIDE = 256
"""Longest side of a thumbnail, pixels."""
CACHED = 64 * 2**20
"""Bytes of thumbnails kept in memory: about 8,000 of them."""
FOREVER = "private, max-age=31536000, immutable"
"""An image's address holds part of its hash."""


class Thumbnails:
    """The most recently used thumbnails, up to `capacity` bytes; safe to call from several threads."""

    def __init__(self, capacity: int = CACHED) -> None:
        self._kept: OrderedDict[tuple[Path, str], bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._capacity, self._size = capacity, 0

    def get(self, path: Path, version: str) -> bytes | None:
        """WebP bytes; None: there is no readable image there."""
        with self._lock:
            if (path, version) in self._kept:
                self._kept.move_to_end((path, version))
                return self._kept[path, version]
        made = thumbnail(path, SIDE)
        if isinstance(made, str):
            return None
        with self._lock:
            if (path, version) not in self._kept:
                self._kept[path, version] = made[0]
                self._size += len(made[0])
            while self._size > self._capacity:
                self._size -= len(self._kept.popitem(last=False)[1])
        return made[0]


class LiveIndex:
    """The index and its document, renewed when rows were appended."""

    def __init__(self, folder: StudyFolder) -> None:
        self.index: StudyIndex = open_index(folder)
        self.revision = 1
        self._document: tuple[int, bytes] = (0, b"")
        self._lock = threading.Lock()

    def renew(self) -> int:
        """Read what was appended; the number of the index's present state."""
        with self._lock:
            self.revision += self.index.refresh()
            return self.revision

    def document(self) -> bytes:
        """The gallery's data as JSON."""
        self.renew()
        with self._lock:
            if self._document[0] != self.revision:
                data = gallery_document(self.index, thumbnails="gallery/thumbs", images="gallery/images")
                self._document = (self.revision, to_json(data).encode())
            return self._document[1]


def create_app(folder: StudyFolder) -> FastAPI:
    """The gallery of a study folder, page and data. Raises InputError: there is no study in it."""
    live = LiveIndex(folder)
    app = data_app(live)
    page.mount(app, live.index)
    return app


def data_app(live: LiveIndex) -> FastAPI:
    """The server without the page: the study's data, thumbnails, images, and the page's script."""
    thumbnails = Thumbnails()
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.exception_handler(InputError)
    def refused(request: Request, error: InputError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 422)

    @app.get("/gallery/state")
    def state() -> JSONResponse:
        return JSONResponse({"revision": live.renew()}, headers={"Cache-Control": "no-store"})

    @app.get("/gallery/data.json")
    def data() -> Response:
        return Response(live.document(), media_type="application/json", headers={"Cache-Control": "no-store"})

    @app.get("/gallery/thumbs/{contender}/{name}")
    def thumb(contender: str, name: str, v: str = "") -> Response:
        path = image_path(live.index, contender, name)
        thumbnail = None if path is None else thumbnails.get(path, v)
        if thumbnail is None:
            return JSONResponse({"error": "there is no such image"}, 404)
        return Response(thumbnail, media_type="image/webp", headers={"Cache-Control": FOREVER})

    @app.get("/gallery/images/{contender}/{name}")
    def image(contender: str, name: str) -> Response:
        path = image_path(live.index, contender, name)
        if path is None or not path.is_file():
            return JSONResponse({"error": "there is no such image"}, 404)
        return FileResponse(path, media_type="image/webp", headers={"Cache-Control": FOREVER})

    @app.get("/gallery/{name}")
    def asset(name: str) -> Response:
        if name not in page.ASSETS:
            return JSONResponse({"error": "not found"}, 404)
        return FileResponse(page.STATIC / name, media_type=page.ASSETS[name])

    return app


def image_path(index: StudyIndex, contender: str, name: str) -> Path | None:
    """The file of `<prompt>-<replicate>.webp` of a contender; None: the study has no such image.

    Names are looked up in the study, never joined to a path as they came.
    """
    prompt_id, _, replicate = name.removesuffix(".webp").rpartition("-")
    if prompt_id not in index.prompt_index or not replicate.isdecimal():
        return None
    if contender == REFERENCE:
        return index.folder.reference(prompt_id) if index.references else None
    if contender not in index.contender_index or int(replicate) >= index.replicates:
        return None
    return index.folder.image(contender, prompt_id, int(replicate))


def serve(folder: StudyFolder, *, host: str, port: int, browser: bool) -> None:
    """Serve until interrupted.

    Parameters
    ----------
    folder : the study.
    host, port : where the server listens.
    browser : open the page in the user's browser once the server answers.
    """
    import uvicorn

    check_address(host, port)
    app = create_app(folder)
    address = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}/"
    print(f"{address}  (Ctrl+C ends)")
    if browser:
        import webbrowser

        threading.Timer(1.0, webbrowser.open, [address]).start()
    uvicorn.run(app, host=host, port=port, log_level="warning", server_header=False, access_log=False)

"""The server of the live page: pictures by plain requests, everything else of the page by Gradio.

A keystroke is one POST whose answer is the picture, rather than a Gradio event: an event travels through a queue, a
stream of server events and a file of its own, and takes about five times as long (44 against 205 ms, median of 60 on
two busy cores: `tests/performance/live_transport.py`).
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from bench.errors import InputError
from bench.live import page
from bench.live.security import SameSite
from bench.live.studio import Asked, Drawn, Studio
from bench.live.turns import PEOPLE, Busy, Turns
from bench.prompts.formats import LONGEST_TEXT
from bench.store.images import resize
from bench.store.references import read_reference

UPLOAD = 24 * 1024 * 1024
"""Bytes of a reference."""
SIDE = 1024
"""Pixels a side that are kept of a reference."""


class Ask(BaseModel):
    """What the page sends at a keystroke."""

    model_config = ConfigDict(extra="forbid", strict=True)
    person: Annotated[str, Field(min_length=8, max_length=64)]
    key: Annotated[int, Field(ge=0)] = 0
    """Counts the page's requests: a later one wins however it travels."""
    seat: Annotated[int, Field(ge=0, le=1)]
    """Which picture of the page."""
    text: Annotated[str, Field(max_length=LONGEST_TEXT)]
    steps: Annotated[int, Field(ge=1, le=1000)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**53)] = 0
    strength: Annotated[float, Field(gt=0, le=1)] | None = None
    """None: from the text alone, whatever reference there is."""
    keep: bool = False


def serve(studio: Studio, host: str, port: int) -> None:
    """Until it is interrupted."""
    import uvicorn

    app = create_app(studio, host)
    try:
        uvicorn.run(app, host=host, port=port, log_level="warning", server_header=False, access_log=False)
    finally:
        app.state.close()
        studio.close()


class Foreign(Exception):
    """A request of another site's page."""


def create_app(studio: Studio, host: str = "127.0.0.1") -> FastAPI:
    """The live page of a studio; `app.state.close()` stops the thread that generates. host: as it was started."""
    app = pictures(studio, host=host)
    page.mount(app, studio)
    return app


def pictures(studio: Studio, *, people: int = PEOPLE, host: str = "127.0.0.1") -> FastAPI:
    """The page's server without the page."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(SameSite, host=host)
    turns: Turns[Asked, Drawn] = Turns(studio.draw, people=people)
    references: dict[str, Any] = {}
    app.state.close = turns.close
    ours = APIRouter(prefix="/live", dependencies=[Depends(_same_site)])

    _mount_drawing(ours, studio, turns, references)
    _mount_references(ours, turns, references)
    _errors(app)

    @app.get("/live/{name}")
    def asset(name: str) -> Response:
        if name not in page.ASSETS:
            return JSONResponse({"error": "not found"}, 404)
        return FileResponse(page.STATIC / name, media_type=page.ASSETS[name])

    app.include_router(ours)
    return app


def _errors(app: FastAPI) -> None:
    """Every refusal is one line of JSON."""

    @app.exception_handler(Foreign)
    def foreign(request: Request, error: Foreign) -> JSONResponse:
        return JSONResponse({"error": "this request came from another site"}, 403)

    @app.exception_handler(Busy)
    def busy(request: Request, error: Busy) -> JSONResponse:
        return JSONResponse({"error": f"Busy: {error}", "busy": True}, 503, {"Retry-After": "3"})

    @app.exception_handler(InputError)
    def refused(request: Request, error: InputError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 422)

    @app.exception_handler(RequestValidationError)
    def unreadable(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"error": _what_is_wrong(error)}, 422)


def _mount_drawing(
    ours: APIRouter, studio: Studio, turns: Turns[Asked, Drawn], references: dict[str, Any]
) -> None:
    @ours.post("/draw")
    async def draw(ask: Ask) -> Response:
        received = time.perf_counter()
        if ask.seat >= len(studio.contenders):
            raise InputError(f"this page has {len(studio.contenders)} contenders")
        reference = references.get(ask.person) if ask.strength is not None else None
        asked = Asked(
            contender=studio.choose(ask.seat, ask.steps),
            text=ask.text,
            seed=ask.seed,
            reference=reference,
            strength=ask.strength,
            keep=ask.keep,
        )
        if problem := studio.problem(asked):
            raise InputError(problem)
        drawn = await asyncio.wrap_future(turns.ask(ask.person, (ask.seat, ask.keep), asked, ask.key))
        if drawn is None:
            return Response(status_code=204)  # newer text has taken its place
        return _picture(drawn, received, turns.people())


def _mount_references(ours: APIRouter, turns: Turns[Asked, Drawn], references: dict[str, Any]) -> None:
    """The picture that a person starts from; it is forgotten when the person leaves."""

    @ours.post("/reference/{person}")
    async def take(person: str, request: Request) -> Response:
        data = bytearray()
        async for part in request.stream():
            data += part
            if len(data) > UPLOAD:
                raise InputError(f"the picture is larger than {UPLOAD // 2**20} MiB: make it smaller")
        turns.enter(person)
        pixels = await run_in_threadpool(_reference, bytes(data))
        _forget_gone(references, turns)
        references[person] = pixels
        return JSONResponse({"side": len(pixels)})

    @ours.delete("/reference/{person}")
    def drop(person: str) -> Response:
        references.pop(person, None)
        return Response(status_code=204)

    @ours.post("/leave/{person}")
    def leave(person: str) -> Response:
        references.pop(person, None)
        turns.leave(person)
        return Response(status_code=204)


def _what_is_wrong(error: RequestValidationError) -> str:
    """The first fault of a request in one line; its value is not repeated, for it may not be text at all."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    if place == "text" and first["type"] == "string_too_long":
        return f"the text is longer than {LONGEST_TEXT:,} characters, the most that is read: shorten it"
    if place == "text":
        return "the text holds a character that cannot be read (half of a surrogate pair): remove it"
    return f"the page sent '{place or 'a body'}' that cannot be read: {first['msg'].lower()}"


def _same_site(request: Request) -> None:
    """No form or script of another site can send our header without asking us first."""
    if request.headers.get("x-live") != "1":
        raise Foreign


def _reference(data: bytes) -> Any:
    import numpy as np

    picture = read_reference(data)
    return np.asarray(resize(picture, min(SIDE, picture.width)))


def _forget_gone(references: dict[str, Any], turns: Turns[Asked, Drawn]) -> None:
    """One reference a person who has a place, none beyond."""
    for person in [p for p in references if not turns.has(p)]:
        del references[person]


def _picture(drawn: Drawn, received: float, people: int) -> Response:
    stages = {stage: drawn.seconds[stage] for stage in ("encode", "denoise", "decode")}
    server = time.perf_counter() - received
    about = {
        "contender": drawn.contender,
        **{stage: round(1000 * value, 3) for stage, value in stages.items()},
        # What is left of the time here: until the device was free, and a thread's hand-over back.
        "wait": round(1000 * (server - sum(stages.values())), 3),
        "server": round(1000 * server, 3),
        "truncated": drawn.truncated,
        "people": people,
    }
    headers = {"X-Picture": json.dumps(about), "Cache-Control": "no-store"}
    return Response(drawn.data, media_type=drawn.kind, headers=headers)

"""Time to picture as it is felt: a real browser types prompts into the live page, and the page's clock is read.

`interactive.json` is `{"protocol": …, "fingerprint": …, "typed": …, "rows": [FeltPicture…]}`.
"""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from bench.device import default_dtype, device_name, threads
from bench.errors import InputError
from bench.live.app import create_app
from bench.live.studio import Studio, open_studio
from bench.models.registry import Model
from bench.records import FELT_STAGES, FeltPicture, KeyWait, settings_hash

PACE = 0.15
"""Seconds from key to key: 6.7 keys a second, a fast typist's 80 words a minute."""
VIEWPORT = {"width": 1280, "height": 800}
TIMEOUT = 120.0
"""Seconds that the last picture of a prompt may take."""
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
)
WINDOW = (
    "keystroke: the browser's input event. network: to the server and back, the page's own handling included; wait: at "
    "the server until the device was free, hand-overs included; encode, denoise: as in latency.json; decode: latents "
    "to the bytes that are sent; paint: bytes in the browser to the first frame that shows them. keys: every keystroke "
    "to the first frame whose picture reflects it, those that newer text replaced included. One person, text alone."
)


def measure(
    names: Sequence[str],
    models: Mapping[str, Model],
    texts: Sequence[str],
    *,
    device: str,
    dtype: str | None = None,
    optimize: str = "none",
    weights: str = "pretrained",
    pace: float = PACE,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Type the texts for each contender alone, on a page of its own; the document of interactive.json.

    Raises InputError: no browser here, or what `studio.open_studio` refuses.
    """
    rows: list[FeltPicture] = []
    waits: list[KeyWait] = []
    typed: dict[str, Any] = {}
    with browser() as opened:
        for name in names:
            studio = open_studio(
                [name], models, device=device, dtype=dtype, optimize=optimize, weights=weights
            )
            try:
                studio.warm_up(report)
                report(f"typing for {name}")
                with serving(studio) as address:
                    pictures, keys, typed[name] = type_texts(opened, address, texts, pace)
            finally:
                studio.close()
            rows += pictures
            waits += keys
        version = opened.version
    about = {
        "window": WINDOW,
        "device": device_name(device),
        "browser": f"Chromium {version}, headless, {VIEWPORT['width']} × {VIEWPORT['height']}",
        "dtype": {n: dtype or default_dtype(models[n.partition("@")[0]].dtype, device) for n in names},
        "optimize": optimize,
        "weights": {
            n: "random" if weights == "random" else models[n.partition("@")[0]].weights for n in names
        },
        "threads": threads(device),
        "pace_seconds": pace,
        "texts": settings_hash(list(texts)),
        "prompts": len(texts),
    }
    return {
        "protocol": about,
        "fingerprint": settings_hash(about),
        "typed": typed,
        "rows": [asdict(row) for row in rows],
        "keys": [asdict(wait) for wait in waits],
    }


def type_texts(
    opened: Any, address: str, texts: Sequence[str], pace: float
) -> tuple[list[FeltPicture], list[KeyWait], dict[str, Any]]:
    """One visit: each text replaces the one before, key by key; its last picture is waited for."""
    page = opened.new_page(viewport=VIEWPORT)
    try:
        page.goto(address)
        page.wait_for_function("window.live && live.ready()", timeout=1000 * TIMEOUT)
        seconds = 0.0
        for text in texts:
            page.click("#prompt textarea")
            page.keyboard.press("Control+A")
            began = time.perf_counter()
            page.keyboard.type(text, delay=1000 * pace)
            # Every contender's frame reflects every key: the first to show the newest text is not the last.
            page.wait_for_function(
                "live.keys() > 0 && live.pending().every((keys) => keys === 0)", timeout=1000 * TIMEOUT
            )
            seconds += time.perf_counter() - began
        raw, waited, keys = page.evaluate("[live.rows, live.waits, live.keys()]")
    finally:
        page.close()
    rows = [
        FeltPicture(
            contender=row["contender"], behind=row["behind"], **{s: row[s] / 1000 for s in FELT_STAGES}
        )
        for row in raw
    ]
    waits = [
        KeyWait(contender=wait["contender"], seconds=wait["wait"] / 1000, replaced=wait["replaced"])
        for wait in waited
    ]
    return rows, waits, {"keystrokes": keys, "pictures": len(rows), "seconds": round(seconds, 3)}


def summary(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row a contender: from key to picture, of pictures alone, rates, and each stage; milliseconds.

    `key`: every keystroke to the first frame that reflects it. `picture`: pictures that were painted, from their own
    key; it leaves out the keys that newer text replaced.
    """
    table = []
    for name, typed in document["typed"].items():
        rows = [FeltPicture(**row) for row in document["rows"] if row["contender"] == name]
        waits = [KeyWait(**wait) for wait in document["keys"] if wait["contender"] == name]
        keyed = _quantiles([wait.seconds for wait in waits])
        totals = _quantiles([row.total for row in rows])
        stages = {
            f"{stage} ms": _quantiles([getattr(row, stage) for row in rows])[0] for stage in FELT_STAGES
        }
        table.append(
            {
                "contender": name,
                "key p50 ms": keyed[0],
                "key p95 ms": keyed[1],
                "replaced %": round(100 * sum(wait.replaced for wait in waits) / max(len(waits), 1)),
                "picture p50 ms": totals[0],
                "picture p95 ms": totals[1],
                "keys a second": round(typed["keystrokes"] / typed["seconds"], 1),
                "pictures a second": round(typed["pictures"] / typed["seconds"], 1),
                "behind at most": max(row.behind for row in rows),
                **stages,
                "keys": len(waits),
                "pictures": len(rows),
            }
        )
    return table


def _quantiles(seconds: Sequence[float]) -> tuple[int | None, int | None]:
    """p50 and p95 in milliseconds; None of nothing."""
    import numpy as np

    if not seconds:
        return None, None
    half, most = np.quantile(np.asarray(seconds), (0.5, 0.95))
    return round(1000 * float(half)), round(1000 * float(most))


@contextmanager
def serving(studio: Studio) -> Iterator[str]:
    """The live page of a studio on a free port of this machine; its address."""
    import uvicorn

    app = create_app(studio)
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        port.listen(64)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [port]}, daemon=True)
        thread.start()
        try:
            while not server.started:
                if not thread.is_alive():
                    raise RuntimeError("the server of the live page did not start")
                time.sleep(0.01)
            yield f"http://127.0.0.1:{port.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join()
            app.state.close()


@contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium: the system's, else playwright's own. Raises InputError where there is none."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        raise InputError(
            "--measure needs a browser: install turbo-preference-bench[live], and chromium"
        ) from None
    with sync_playwright() as running:
        path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        try:
            opened = running.chromium.launch(executable_path=path, args=list(FLAGS))
        except Error as error:
            first = str(error).strip().splitlines()[0]
            raise InputError(f"--measure needs a browser ({first}): `playwright install chromium`") from None
        try:
            yield opened
        finally:
            opened.close()

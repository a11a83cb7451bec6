"""What a picture costs on its way: one POST of the live page beside one event of Gradio, in the same run.

`PYTHONPATH=. python tests/performance/live_transport.py [--calls 100]`. Both hand out the same 64-pixel picture that
is already drawn, to clients in Python on the same machine, so that the way is all there is to measure.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import threading
import time

import httpx
import numpy as np

from bench.live.app import pictures
from bench.live.studio import Drawn, _encoded


class Ready:
    """A studio whose picture is always there."""

    def __init__(self) -> None:
        self.contenders = (None,)
        self.pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)

    def choose(self, number, steps):
        return None

    def problem(self, asked):
        return ""

    def draw(self, asked):
        data, kind = _encoded(self.pixels, asked)
        stages = dict.fromkeys(("encode", "denoise", "decode", "began"), 0.0)
        return Drawn(contender="ready", data=data, kind=kind, seconds=stages, truncated=False)


def timed(call, count: int) -> float:
    """Median milliseconds of a call, after ten to warm up."""
    for _ in range(10):
        call()
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        call()
        taken.append(1000 * (time.perf_counter() - began))
    return statistics.median(taken)


def main() -> None:
    import gradio as gr
    import uvicorn
    from gradio_client import Client

    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=100)
    count = parser.parse_args().calls
    ready = Ready()
    app = pictures(ready)  # pyright: ignore[reportArgumentType]
    with gr.Blocks(analytics_enabled=False) as blocks:
        text, image = gr.Textbox(), gr.Image(format="png")
        text.input(lambda text: ready.pixels, text, image, api_name="draw")
    gr.mount_gradio_app(app, blocks, path="/gradio", ssr_mode=False)
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        port.listen()
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [port]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        address = f"http://127.0.0.1:{port.getsockname()[1]}"
        with httpx.Client(headers={"X-Live": "1"}) as http:
            body = {"person": "somebody-1", "seat": 0, "text": "a fox"}
            ours = timed(lambda: http.post(f"{address}/live/draw", json=body).raise_for_status(), count)
        client = Client(f"{address}/gradio", verbose=False)
        theirs = timed(lambda: client.predict("a fox", api_name="/draw"), count)
        server.should_exit = True
        thread.join()
    app.state.close()
    print(
        f"one POST {ours:.1f} ms, one Gradio event {theirs:.1f} ms: {theirs / ours:.1f} times as long ({count} calls)"
    )


if __name__ == "__main__":
    main()

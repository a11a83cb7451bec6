"""Pairs in one loop on a GPU: the general family beside the stock call, `none` beside it, and the live page's server.

Each is a note of `gpu.json`; goals: the general family at most 1.1 times the stock call's time, `none` at batch 1 no
slower than it, the live page at least 30 images a second.
"""

from __future__ import annotations

import copy
import json
import statistics
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import torch

from bench.device import now
from bench.models.architectures import random_pipeline
from bench.models.families import library_class
from bench.models.general import GeneralPipeline
from bench.models.load import load
from bench.models.pipeline import Pipeline, placed
from bench.models.registry import MODELS, contender

PROMPT = "a photograph of a red fox in the snow"
PAIRS = 20


def in_one_loop(device: str, name: str = "sdxl-turbo@1", dtype: str = "bfloat16") -> dict[str, Any]:
    """Milliseconds of the stock call, of `none` by stage, and of the general family, taken in turns.

    The order changes from round to round, so that clocks, caches and heat favour nobody.
    """
    who = contender(name, MODELS)
    model = MODELS[who.model]
    if model.repository.startswith("tiny:"):
        dtype = "float32"
        staged: Any = load(model, device=device, dtype=dtype)
        pipe = copy.copy(staged.pipe)
    else:
        pipe = random_pipeline(model, device, dtype)
        pipe.set_progress_bar_config(disable=True)
        staged = Pipeline(model, placed(copy.copy(pipe), device), device, dtype)
    pipe.__class__ = library_class(model)  # the stock call is the library's own, untouched
    general = GeneralPipeline(model, placed(copy.copy(pipe), device), device, dtype)
    stages: dict[str, list[float]] = {"encode": [], "denoise": [], "decode": []}

    def stock(seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        with torch.inference_mode():
            pipe(
                PROMPT,
                num_inference_steps=who.steps,
                guidance_scale=who.guidance,
                height=who.size,
                width=who.size,
                generator=generator,
                output_type="np",
            )

    def whole(seed: int) -> None:
        general.decode(general.denoise(general.encode([PROMPT], who), [seed], who))

    def parts(seed: int) -> None:
        marks = [now(device)]
        embeddings = staged.encode([PROMPT], who)
        marks.append(now(device))
        latents = staged.denoise(embeddings, [seed], who)
        marks.append(now(device))
        staged.decode(latents)
        marks.append(now(device))
        for stage, a, b in zip(stages, marks, marks[1:], strict=False):
            stages[stage].append(1000 * (b - a))

    calls: dict[str, Callable[[int], None]] = {"stock": stock, "none": parts, "general": whole}
    taken: dict[str, list[float]] = {call: [] for call in calls}
    for number in range(PAIRS + 3):
        order = list(calls)[number % 3 :] + list(calls)[: number % 3]
        for call in order:
            began = now(device)
            calls[call](number)
            if number >= 3:
                taken[call].append(1000 * (now(device) - began))
    against = {
        call: round(statistics.median(b / a for a, b in zip(taken["stock"], taken[call], strict=True)), 4)
        for call in ("none", "general")
    }
    return {
        "contender": name,
        "dtype": dtype,
        "pairs": PAIRS,
        "ms": {call: round(statistics.median(values), 3) for call, values in taken.items()},
        "time over the stock call's": against,
        "none by stage, ms": {
            stage: round(statistics.median(values[3:]), 3) for stage, values in stages.items()
        },
    }


def live(
    device: str, name: str = "sdxl-turbo@1", seconds: float = 10.0, optimize: str = "max"
) -> dict[str, Any]:
    """Images a second that the live page's server gives one person who asks again at once; no browser."""
    import socket
    import threading

    import uvicorn

    from bench.live.app import pictures
    from bench.live.studio import Studio

    who = contender(name, MODELS)
    weights = "pretrained" if MODELS[who.model].repository.startswith("tiny:") else "random"
    pipeline = load(MODELS[who.model], device=device, optimize=optimize, weights=weights)
    studio = Studio([who], {who.model: pipeline})
    studio.warm_up()
    app = pictures(studio)
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        port.listen(8)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [port]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        address = f"http://127.0.0.1:{port.getsockname()[1]}/live/draw"
        waits: list[float] = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            body = {"person": "somebody-01", "seat": 0, "text": f"{PROMPT} {len(waits)}", "key": len(waits)}
            request = urllib.request.Request(
                address, json.dumps(body).encode(), {"Content-Type": "application/json", "X-Live": "1"}
            )
            began = time.perf_counter()
            with urllib.request.urlopen(request, timeout=60) as answer:
                answer.read()
            waits.append(time.perf_counter() - began)
        server.should_exit = True
        thread.join()
        app.state.close()
    studio.close()
    return {
        "contender": name,
        "optimize": optimize,
        "images a second": round(len(waits) / sum(waits), 2),
        "p50 ms": round(1000 * statistics.median(waits), 2),
        "images": len(waits),
    }


def fp8(device: str, name: str = "sdxl@20", batch: int = 8) -> dict[str, Any]:
    """SDXL with float8 weights and activations, named as such: images a second, compiled whole."""
    import numpy as np
    from torchao.quantization import Float8DynamicActivationFloat8WeightConfig, quantize_

    who = contender(name, MODELS)
    pipeline = load(MODELS[who.model], device=device, dtype="bfloat16", weights="random")
    quantize_(pipeline.pipe.unet, Float8DynamicActivationFloat8WeightConfig())
    pipeline.pipe.unet.compile(mode="reduce-overhead", dynamic=False)
    seconds = []
    for number in range(5):
        began = now(device)
        embeddings = pipeline.encode([PROMPT] * batch, who)
        pixels = pipeline.decode(pipeline.denoise(embeddings, list(range(batch)), who))
        assert np.isfinite(pixels).all()
        if number >= 2:
            seconds.append(now(device) - began)
    return {"contender": f"{name}, fp8", "batch": batch, "images a second": round(batch / min(seconds), 3)}

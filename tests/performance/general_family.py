"""What holding a call in a greenlet costs: the general family beside the class's own call, in one loop.

    python -m tests.performance.general_family

Prints, for each class, the median over pairs of (stock seconds / our seconds) with a 95% order-statistic interval;
goal: at least 0.98 on a CPU. Both sides generate the same image, encode the prompt each time and fetch the pixels.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from bench.models.load import load
from bench.models.model import Model
from bench.models.selfcheck import stock_call
from bench.records import Contender
from tests.support import folders

PAIRS = 24


def cases(root: Path) -> dict[str, Model]:
    plain = {"variant": None, "steps": (4,)}
    binning = {"use_resolution_binning": False, "clean_caption": False}
    return {
        "QwenImagePipeline": Model(
            name="qwen", repository=str(folders.qwen_image(root / "qwen")), pipeline="QwenImagePipeline", size=128,
            options={"true_cfg_scale": 1.0}, **plain,
        ),
        "PixArtAlphaPipeline": Model(
            name="pixart", repository=str(folders.pixart(root / "pixart")), pipeline="PixArtAlphaPipeline", size=256,
            guidance=4.5, options=binning, **plain,
        ),
        "Flux2KleinPipeline": Model(
            name="klein", repository=str(folders.flux2_klein(root / "klein")), pipeline="Flux2KleinPipeline",
            size=128, guidance=1.0, options={"max_sequence_length": 128}, **plain,
        ),
    }  # fmt: skip


def pairs_of(model: Model) -> list[tuple[float, float]]:
    who = Contender(
        name=f"{model.name}@4", model=model.name, steps=4, guidance=model.guidance, size=model.size
    )
    theirs, pipeline = stock_call(model, who, "cpu", "float32"), load(model)

    def ours(text: str, seed: int) -> np.ndarray:
        return pipeline.decode(pipeline.denoise(pipeline.encode([text], who), [seed], who))[0]

    found = []
    for number in range(PAIRS + 3):
        seconds = {}
        pair = [("stock", theirs), ("ours", ours)]
        for name, call in pair if number % 2 else reversed(pair):
            began = time.perf_counter()
            call("a red dog on a table", number)
            seconds[name] = time.perf_counter() - began
        found.append((seconds["stock"], seconds["ours"]))
    return found[3:]


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as work:
        os.environ["TURBO_BENCH_CACHE"] = str(Path(work) / "tiny")
        for name, model in cases(Path(work)).items():
            pairs = pairs_of(model)
            found = sorted(stock / ours for stock, ours in pairs)
            held = 1000 * np.median([ours - stock for stock, ours in pairs])
            call = 1000 * np.median([stock for stock, _ in pairs])
            low, high = (
                found[round(PAIRS * 0.5 - 0.98 * PAIRS**0.5)],
                found[round(PAIRS * 0.5 + 0.98 * PAIRS**0.5)],
            )
            print(
                f"{name}: stock / ours {np.median(found):.3f} ({low:.3f} to {high:.3f}), {PAIRS} pairs; "
                f"a call takes {call:.0f} ms, holding it {held:+.1f} ms"
            )


if __name__ == "__main__":
    main()

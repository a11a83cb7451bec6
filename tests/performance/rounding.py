"""How far the pictures of each `--optimize` level are from those of `none`, and both from float32's.

A level may move a pixel as far as the dtype itself does, and no further. On a CPU, compiled by torch's compiler
for it as a GPU's levels are by the one for GPUs: the graphs are the same, the kernels are not.
PYTHONPATH=. python tests/performance/rounding.py [--out FOLDER]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from bench.models import optimize
from bench.models.load import load
from bench.models.registry import MODELS, contender
from bench.records import Contender

CONTENDERS = ("mini-turbo@1", "mini-sdxl@4", "tiny-turbo@1", "tiny-sdxl@4")
TEXTS = ("a red circle left of a blue square", "two green triangles", "a photograph of a horse", "a cat")
NOTE = """# Rounding of the levels

Mean and largest difference in 255ths over four pictures of each contender, on a CPU, the network and the decoder
compiled as on a GPU. `tiny` has SDXL's architecture and random weights, `mini` is the trained miniature family. Made by
`PYTHONPATH=. python tests/performance/rounding.py --out results/speed`.
"""


def pictures(who: Contender, dtype: str, level: str) -> np.ndarray:
    pipeline = load(MODELS[who.model], dtype=dtype, optimize="none" if level == "none" else "exact")
    if level != "none":
        optimize.compile_denoiser(pipeline.denoiser, whole=level == "max")
        optimize.compile_decoder(pipeline.pipe.vae, whole=level == "max")
    found = pipeline.decode(pipeline.denoise(pipeline.encode(TEXTS), range(len(TEXTS)), who))
    torch.compiler.reset()
    return found.astype(int)


def apart(one: np.ndarray, other: np.ndarray) -> str:
    difference = np.abs(one - other)
    return f"{difference.mean():.3f}, {difference.max()}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    lines = [
        "| contender | dtype | level | from `none` | from float32 | `none` from float32 |",
        "|---|---|---|---|---|---|",
    ]
    for name in CONTENDERS:
        who = contender(name, MODELS)
        truth = pictures(who, "float32", "none")
        for dtype in ("float32", "bfloat16", "float16"):
            plain = pictures(who, dtype, "none")
            for level in ("exact", "max"):
                found = pictures(who, dtype, level)
                cells = (apart(found, plain), apart(found, truth), apart(plain, truth))
                lines.append(f"| {name} | {dtype} | {level} | {' | '.join(cells)} |")
                print(lines[-1], flush=True)
    if asked.out:
        (asked.out / "rounding.md").write_text(NOTE + "\n" + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

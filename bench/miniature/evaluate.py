"""Measures the family, writes evaluation.json, draws the grid: `python -m bench.miniature.evaluate`."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from bench.miniature import captions, instruments, prompt_set, world
from bench.miniature.instruments import WEIGHTS

HERE = Path(__file__).parent
CONTENDERS = {  # unet and scheduler folder, steps, guidance scale
    "mini-sdxl@50": ("sdxl", 50, 5.0),
    "mini-sdxl@4": ("sdxl", 4, 5.0),
    "mini-turbo@1": ("turbo", 1, 0.0),
    "mini-turbo@2": ("turbo", 2, 0.0),
    "mini-turbo@4": ("turbo", 4, 0.0),
    "mini-lcm@4": ("lcm", 4, 5.0),
}
BATCH = 40


def wilson(right: int, n: int) -> tuple[float, float]:
    """The 95% Wilson score interval of a proportion."""
    z, p = 1.959964, right / n
    middle, half = p + z * z / (2 * n), z * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def pipeline(folder: str) -> Any:
    """The family's StableDiffusionXLPipeline with one member's denoiser and scheduler, on the CPU."""
    import torch
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import StableDiffusionXLPipeline

    from bench.miniature import export

    pipe = StableDiffusionXLPipeline.from_pretrained(WEIGHTS / "sdxl", torch_dtype=torch.float32)
    if folder != "sdxl":
        pipe.unet = UNet2DConditionModel.from_pretrained(WEIGHTS / folder / "unet", torch_dtype=torch.float32)
        kind = type(export.lcm_scheduler() if folder == "lcm" else export.turbo_scheduler())
        pipe.scheduler = kind.from_pretrained(WEIGHTS / folder / "scheduler")
    pipe.set_progress_bar_config(disable=True)
    return pipe


def draw(contender: str, ids: list[str], texts: list[str]) -> np.ndarray:
    """One image a caption: (n, 64, 64, 3) uint8; the same starting noise for every contender."""
    import torch

    folder, steps, guidance = CONTENDERS[contender]
    pipe = pipeline(folder)
    out = []
    for i in range(0, len(texts), BATCH):
        seeds = [
            int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") for name in ids[i : i + BATCH]
        ]
        images = pipe(
            texts[i : i + BATCH],
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            output_type="np",
        ).images
        out.append((images * 255).round().astype(np.uint8))
    return np.concatenate(out)


def proportion(right: np.ndarray) -> dict:
    """A measured share with its interval."""
    low, high = wilson(int(right.sum()), len(right))
    return {"value": float(right.mean()), "low": low, "high": high, "n": len(right)}


def accuracies(images: np.ndarray, texts: list[str]) -> dict:
    """Each answer of the scene classifier as a share of the images."""
    seen = instruments.scene_accuracy(images, texts)
    names = ("all", "objects", "colours", "count", "relation", "textures")
    return {name: proportion(getattr(seen, name)) for name in names}


def real_pictures(texts: list[str], seed: int) -> np.ndarray:
    """The captions' scenes as the world draws them: the classifier's ceiling."""
    rng = np.random.default_rng(seed)
    return np.stack([world.draw(captions.parse(text), rng)[0] for text in texts])


def retrieval(images: np.ndarray, texts: list[str], seed: int, choices: int = 16) -> np.ndarray:
    """Does mini-clip prefer an image's own caption to 15 others of the list? (n,) bool."""
    import open_clip
    import torch

    net: Any = open_clip.create_model(f"local-dir:{WEIGHTS / 'clip'}").eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{WEIGHTS / 'clip'}")
    with torch.no_grad():
        x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
        image = torch.cat([net.encode_image(part, normalize=True) for part in x.split(128)])
        text = net.encode_text(tokenizer(texts), normalize=True)
        scores = (image @ text.T).numpy()
    rng = np.random.default_rng(seed)
    right = []
    for i in range(len(texts)):
        others = rng.choice([j for j in range(len(texts)) if j != i], size=choices - 1, replace=False)
        right.append(scores[i, i] > scores[i, others].max())
    return np.array(right)


def chosen_prompts(per_category: int) -> tuple[list[str], list[str]]:
    """Ids and texts: the first of each category of the prompt set."""
    rows = [line.split("\t") for line in prompt_set.lines()[1:]]
    rows = [row for i, row in enumerate(rows) if i % prompt_set.PER_CATEGORY < per_category]
    return [row[0] for row in rows], [row[1] for row in rows]


def draw_grid(images: dict[str, np.ndarray], texts: list[str], index: list[int], path: Path) -> None:
    """Held-out captions down, contenders across."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(index), len(images), figsize=(9, 12.2))
    for row, i in enumerate(index):
        for column, (name, drawn) in enumerate(images.items()):
            axis = axes[row, column]
            axis.imshow(drawn[i], interpolation="nearest")
            axis.set_axis_off()
            if row == 0:
                axis.text(0.5, 1.22, name, fontsize=11, ha="center", transform=axis.transAxes)
        axes[row, 0].text(0, 1.04, texts[i], fontsize=9, transform=axes[row, 0].transAxes)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.95, bottom=0.01, wspace=0.05, hspace=0.2)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def draw_losses(work: Path, path: Path) -> None:
    """One panel a stage: the minimised loss against the step, smoothed over five logged values."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    logs = sorted(work.glob("*.jsonl"))
    figure, axes = plt.subplots(1, len(logs), figsize=(2.3 * len(logs), 2.4))
    for axis, log in zip(axes, logs, strict=True):
        rows = [json.loads(line) for line in log.read_text().splitlines()]
        loss = np.convolve([row["loss"] for row in rows], np.ones(5) / 5, mode="valid")
        axis.plot([row["step"] for row in rows][4:], loss, linewidth=1)
        axis.set_title(log.stem, fontsize=9)
        axis.tick_params(labelsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)


def costs(work: Path) -> dict:
    """Steps and seconds of every stage, from its log."""
    rows = {log.stem: json.loads(log.read_text().splitlines()[-1]) for log in sorted(work.glob("*.jsonl"))}
    return {name: {"steps": row["step"], "seconds": row["seconds"]} for name, row in rows.items()}


def main() -> None:
    """Measure, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--per-category", type=int, default=40, help="prompts of each of the five categories")
    parser.add_argument(
        "--work", type=Path, default=Path("results/.miniature-training"), help="training logs"
    )
    parser.add_argument("--out", type=Path, default=HERE, help="where evaluation.json and the figures go")
    args = parser.parse_args()
    ids, texts = chosen_prompts(args.per_category)
    real = real_pictures(texts, seed=1)
    result = {
        "prompts": len(texts),
        "real scenes": accuracies(real, texts),
        "mini-clip 16-way on real scenes": proportion(retrieval(real, texts, seed=2)),
        "contenders": {},
    }
    images = {}
    for name in CONTENDERS:
        images[name] = draw(name, ids, texts)
        result["contenders"][name] = accuracies(images[name], texts)
        print(
            name,
            json.dumps({k: round(v["value"], 3) for k, v in result["contenders"][name].items()}),
            flush=True,
        )
    step = len(texts) // 8
    draw_grid(images, texts, [step * i + 1 for i in range(8)], args.out / "grid.png")
    if args.work.is_dir():
        result["training"] = costs(args.work)
        draw_losses(args.work, args.out / "losses.png")
    (args.out / "evaluation.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

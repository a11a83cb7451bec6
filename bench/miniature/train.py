"""Makes the whole miniature family from nothing: `python -m bench.miniature.train`.

Every stage is seeded, logs its losses and checkpoints to the work folder, and goes on where it was stopped.
A stage that is finished is only loaded; give it more steps and it trains on. A student knows nothing of a
teacher that trained on after it: `--again lcm turbo` starts those anew.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

WEIGHTS = Path(__file__).parent / "weights"
WORK = Path("results/.miniature-training")
SCENES = 48_000
ENCODED = 30_000  # of them, for the teacher and its students
STAGES = {  # steps, batch
    "classifier": (2500, 64),
    "clip": (1250, 128),
    "vae": (2200, 16),
    "decoder": (1000, 16),
    "teacher": (2600, 32),
    "lcm": (500, 16),
    "turbo": (400, 16),
}


def encoded(work: Path, vae, images: np.ndarray, device: str):
    """The latents of training pictures, kept in the work folder."""
    import torch

    from bench.miniature.autoencoder import latents_of

    path = work / f"latents-{len(images)}.pt"
    if not path.exists():
        torch.save(latents_of(vae, images, device), path.with_suffix(".tmp"))
        path.with_suffix(".tmp").rename(path)
    return torch.load(path, weights_only=True)


def make_family(
    work: Path, weights: Path, stages: dict[str, tuple[int, int]], scenes: int, device: str
) -> None:
    """Train every stage in order and write the weights after each one that others can already use."""
    from bench.miniature import adversarial, autoencoder, classifier, clip, consistency, export, teacher
    from bench.miniature.dataset import cached

    data = cached(work, scenes, seed=0)
    images, tokens = data.images, data.tokens

    def plan(stage: str, seed: int) -> dict:
        steps, batch = stages[stage]
        return {"steps": steps, "batch": batch, "seed": seed, "device": device}

    scene_net = classifier.train(work, images, data.labels, **plan("classifier", 2))
    export.export_classifier(scene_net, weights / "classifier")
    clip.export(clip.train(work, images, tokens, **plan("clip", 3)), weights / "clip")
    vae = autoencoder.train(work, images, **plan("vae", 1))
    latents = encoded(work, vae, images[:ENCODED], device)
    vae = autoencoder.refine(work, vae, images, **plan("decoder", 7))
    master = teacher.train(work, latents, tokens, **plan("teacher", 4)).requires_grad_(False)
    export.export_sdxl(master, vae, weights / "sdxl")
    student = consistency.train(work, master, latents, tokens, **plan("lcm", 5))
    export.export_unet(student, export.lcm_scheduler(), weights / "lcm")
    student = adversarial.train(work, master, vae, scene_net, images, latents, tokens, **plan("turbo", 6))
    export.export_unet(student, export.turbo_scheduler(), weights / "turbo")


def main() -> None:
    """The command line."""
    import torch

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=WORK, help="checkpoints, logs and cached data")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="where the trained folders go")
    parser.add_argument("--scenes", type=int, default=SCENES, help="training scenes")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies every stage's steps")
    parser.add_argument("--again", nargs="*", default=[], choices=sorted(STAGES), help="stages to start anew")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    stages = {name: (max(1, round(steps * args.scale)), batch) for name, (steps, batch) in STAGES.items()}
    for stage in args.again:
        for path in args.work.glob(f"{stage}*"):
            path.unlink()
    make_family(args.work, args.weights, stages, args.scenes, args.device)


if __name__ == "__main__":
    main()

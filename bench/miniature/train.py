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
SCENES = 96_000
CAPTIONS = 120_000  # for the text encoders
STAGES = {  # steps, batch
    "classifier": (2500, 64),
    "clip": (1250, 128),
    "text": (2500, 128),
    "decoder": (4000, 32),
    "encoder": (1500, 32),
    "teacher": (9000, 64),
    "lcm": (1000, 32),
    "turbo": (1500, 32),
}


def make_family(
    work: Path, weights: Path, stages: dict[str, tuple[int, int]], scenes: int, device: str, only: list[str]
) -> None:
    """Train the stages named in `only` in order, with the checkpoints of those they build on."""
    from bench.miniature import adversarial, autoencoder, classifier, clip, consistency, export, reading, teacher
    from bench.miniature.dataset import cached

    data = cached(work, scenes, seed=0)
    images, tokens = data.images, data.tokens
    latents = autoencoder.patch_code(images[:4000]).latents(images)

    def plan(stage: str, seed: int) -> dict:
        """A stage that is not asked for is only loaded."""
        steps, batch = stages[stage]
        return {"steps": steps if stage in only else 0, "batch": batch, "seed": seed, "device": device}

    def wanted(*names: str) -> bool:
        return any(name in only for name in names)

    if wanted("clip"):
        clip.export(clip.train(work, images, tokens, **plan("clip", 3)), weights / "clip")
    if wanted("text", "teacher", "lcm", "turbo"):
        reader = reading.train(work, captions_seen=CAPTIONS, **plan("text", 8))
        master = teacher.train(work, reader, latents, tokens, **plan("teacher", 4)).requires_grad_(False)
    if wanted("classifier", "turbo"):
        scene_net = classifier.train(work, images, data.labels, **plan("classifier", 2))
        export.export_classifier(scene_net, weights / "classifier")
    if wanted("decoder", "encoder", "turbo"):
        vae = autoencoder.train_decoder(work, autoencoder.build(), images, latents, **plan("decoder", 7))
        vae = autoencoder.train_encoder(work, vae, images, latents, **plan("encoder", 1))
    if wanted("teacher", "decoder", "encoder"):
        export.export_sdxl(master, vae, weights / "sdxl")
    if wanted("lcm"):
        student = consistency.train(work, master, latents, tokens, **plan("lcm", 5))
        export.export_unet(student, export.lcm_scheduler(), weights / "lcm")
    if wanted("turbo"):
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

"""Makes the whole miniature family from nothing: `python -m bench.miniature.train`.

Every stage is seeded, logs its losses and checkpoints to the work folder, and goes on where it was stopped.
A stage that is finished is only loaded; give it more steps and it trains on. A student knows nothing of a
teacher that trained on after it: `--again lcm turbo` starts those anew.
"""

from __future__ import annotations

import argparse
from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
WORK = Path("results/.miniature-training")
SCENES = 96_000
PATCH_IMAGES = 4000  # of them, for the patch code
CAPTIONS = 120_000  # for the text encoders
STAGES = {  # steps, batch
    "classifier": (2500, 64),
    "clip": (1250, 128),
    "text": (1500, 128),
    "decoder": (6500, 32),
    "encoder": (600, 32),
    "teacher": (23_000, 64),
    "lcm": (1000, 32),
    "turbo": (2000, 32),
}
SEEDS = {
    "encoder": 1,
    "classifier": 2,
    "clip": 3,
    "teacher": 4,
    "lcm": 5,
    "turbo": 6,
    "decoder": 7,
    "text": 8,
}


def make_family(
    work: Path, weights: Path, stages: dict[str, tuple[int, int]], scenes: int, device: str
) -> None:
    """Train `stages` (steps and batch of each) in order; what they build on must be finished in `work`."""
    from bench.miniature import (
        adversarial,
        autoencoder,
        classifier,
        clip,
        consistency,
        export,
        reading,
        teacher,
    )
    from bench.miniature.dataset import cached
    from bench.miniature.instruments import load_classifier

    data = cached(work, scenes, seed=0)
    images, tokens = data.images, data.tokens
    latents = autoencoder.patch_code(images[:PATCH_IMAGES]).latents(images)

    def plan(stage: str) -> dict:
        """steps 0: only loaded, from its checkpoint."""
        steps, batch = stages.get(stage, (0, STAGES[stage][1]))
        return {"steps": steps, "batch": batch, "seed": SEEDS[stage], "device": device}

    if "classifier" in stages:
        scene_net = classifier.train(work, images, data.labels, **plan("classifier"))
        export.export_classifier(scene_net, weights / "classifier")
    if "clip" in stages:
        clip.export(clip.train(work, images, tokens, **plan("clip")), weights / "clip")
    if not set(stages) - {"classifier", "clip"}:
        return
    reader = reading.train(work, captions_seen=CAPTIONS, **plan("text"))
    vae = autoencoder.train_decoder(work, autoencoder.build().to(device), images, latents, **plan("decoder"))
    vae = autoencoder.train_encoder(work, vae, images, latents, **plan("encoder"))
    master = teacher.train(work, reader, latents, tokens, **plan("teacher")).requires_grad_(False)
    export.export_sdxl(master, vae, weights / "sdxl")
    if "lcm" in stages:
        student = consistency.train(work, master, latents, tokens, **plan("lcm"))
        export.export_unet(student, export.lcm_scheduler(), weights / "lcm")
    if "turbo" in stages:
        critic = load_classifier(device)
        student = adversarial.train(work, master, vae, critic, images, latents, tokens, **plan("turbo"))
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
    parser.add_argument("--stages", nargs="*", default=list(STAGES), choices=list(STAGES), help="only these")
    parser.add_argument("--again", nargs="*", default=[], choices=sorted(STAGES), help="stages to start anew")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    stages = {
        name: (max(1, round(steps * args.scale)), batch)
        for name, (steps, batch) in STAGES.items()
        if name in args.stages
    }
    for stage in args.again:
        for path in args.work.glob(f"{stage}*"):
            path.unlink()
    make_family(args.work, args.weights, stages, args.scenes, args.device)


if __name__ == "__main__":
    main()

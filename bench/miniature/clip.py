"""Stage `clip`: mini-clip, a two-tower model in open_clip's form, trained on scenes and captions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from bench.miniature.autoencoder import to_tensor
from bench.miniature.classifier import roughen
from bench.miniature.loop import batch_indices, onto, train_stage
from bench.miniature.tokens import LENGTH, vocabulary


def config() -> dict:
    """`open_clip_config.json`: a small residual network, a small text transformer, pixels scaled to -1..1."""
    return {
        "model_cfg": {
            "embed_dim": 64,
            "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "head_width": 64},
            "text_cfg": {
                "context_length": LENGTH,
                "vocab_size": len(vocabulary()[0]),
                "hf_tokenizer_name": "tokenizer",
                "width": 96,
                "heads": 4,
                "layers": 3,
            },
        },
        "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "size": 64, "interpolation": "bicubic"},
    }


def build():
    """The untrained model."""
    import open_clip

    cfg = config()["model_cfg"]
    text = {k: v for k, v in cfg["text_cfg"].items() if k != "hf_tokenizer_name"}
    return open_clip.CLIP(embed_dim=cfg["embed_dim"], vision_cfg=cfg["vision_cfg"], text_cfg=text)  # type: ignore[arg-type]


def train(
    folder: Path, images: np.ndarray, tokens: np.ndarray, *, steps: int, batch: int, seed: int, device: str
):
    """Symmetric cross-entropy over the batch, images roughened as for the classifier (arXiv 2103.00020)."""
    import torch
    import torch.nn.functional as F

    torch.manual_seed(seed)
    net = build().to(device)

    def loss_of(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        index = batch_indices(step, batch, len(images), seed)
        said = tokens[index, step % tokens.shape[1]]
        x = roughen(to_tensor(images[index], device), generator)
        image, text, scale = net(x, onto(said, device))
        logits = scale * image @ text.T
        target = torch.arange(batch, device=device)
        loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        return {"loss": loss, "right": (logits.argmax(1) == target).float().mean()}

    return train_stage(
        "clip", folder, net, loss_of, steps=steps, peak=1.5e-3, seed=seed, ema_decay=0.99, device=device
    )


def export(net, folder: Path) -> None:
    """Write the open_clip folder: `open_clip.create_model("local-dir:<folder>")` reads it."""
    from safetensors.torch import save_file

    from bench.miniature.tokens import make_tokenizer

    folder.mkdir(parents=True, exist_ok=True)
    state = {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in net.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps(config(), indent=2) + "\n")
    make_tokenizer().save_pretrained(folder)

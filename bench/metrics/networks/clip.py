"""CLIP towers and what stands on one: open_clip, PickScore in the hub's layout, the aesthetic predictor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import InputError
from bench.metrics.extractors import AESTHETIC_TOWER, LONGEST_RESIZE
from bench.metrics.feature_rows import Array
from bench.metrics.weights import Located, find_open_clip, reading


class OpenClip:
    """A CLIP through open_clip, with its own transform and tokenizer, float32."""

    transform: Any
    model: Any

    def __init__(self, located: Located, device: str = "cpu") -> None:
        import open_clip

        entry, path = located.extractor, located.path
        model: Any
        with reading(path, f"the CLIP {entry.architecture} {entry.weights}"):
            if path.is_dir():
                name = f"local-dir:{path}"
                model, _, self.transform = open_clip.create_model_and_transforms(name)
            else:
                name, tag = entry.architecture, entry.weights
                known = {} if tag.endswith(".pt") else open_clip.get_pretrained_cfg(name, tag)
                model, _, self.transform = open_clip.create_model_and_transforms(
                    name,
                    pretrained=str(path),
                    image_mean=known.get("mean"),
                    image_std=known.get("std"),
                    force_quick_gelu=bool(known.get("quick_gelu")),
                )
            self.tokenizer = open_clip.get_tokenizer(name)
        if entry.resize == LONGEST_RESIZE:
            side = model.visual.image_size
            self.transform = open_clip.image_transform(
                side, is_train=False, resize_mode="longest", fill_color=0
            )
        self.model = model.to(device).eval()
        self.device = device

    def prepare(self, image: Any) -> Any:
        return self.transform(image)

    def images(self, batch: Any) -> Array:
        import torch

        with torch.inference_mode():
            return self.model.encode_image(batch.to(self.device)).float().cpu().numpy()

    def texts(self, captions: Sequence[str]) -> tuple[Array, Array]:
        import torch

        with torch.inference_mode():
            tokens = self.tokenizer(list(captions))
            rows = self.model.encode_text(tokens.to(self.device)).float().cpu().numpy()
        # One longer window than the tower's tells a caption that just fits from one that was cut.
        window = tokens.shape[1]
        longer = self.tokenizer(list(captions), context_length=window + 1)
        hub = getattr(self.tokenizer, "tokenizer", None)
        if hub is None:
            return rows, (longer[:, window] != 0).numpy()
        # The hub's tokenizers may pad with the end token: a cut caption has a word where the tower's end is.
        return rows, ~np.isin(longer[:, window - 1].numpy(), hub.all_special_ids)


class TransformersClip:
    """A CLIPModel folder in hub layout (PickScore); text rows carry the model's logit scale."""

    def __init__(self, path: Path, device: str = "cpu") -> None:
        from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel

        with reading(path, "a whole CLIPModel"):
            model: Any = CLIPModel.from_pretrained(path, local_files_only=True)
            self.processor = CLIPImageProcessor.from_pretrained(path, local_files_only=True)
            self.tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        self.model, self.device = model.to(device).eval(), device
        self.window = self.model.config.text_config.max_position_embeddings

    def prepare(self, image: Any) -> Any:
        return self.processor(images=image, return_tensors="pt")["pixel_values"][0]

    def images(self, batch: Any) -> Array:
        import torch

        with torch.inference_mode():
            vision = self.model.vision_model(pixel_values=batch.to(self.device))
            rows = self.model.visual_projection(vision.pooler_output).float()
        return (rows / rows.norm(dim=-1, keepdim=True)).cpu().numpy()

    def texts(self, captions: Sequence[str]) -> tuple[Array, Array]:
        import torch

        whole = self.tokenizer(list(captions), verbose=False)["input_ids"]
        tokens = self.tokenizer(
            list(captions), padding="max_length", truncation=True, max_length=self.window, return_tensors="pt"
        ).to(self.device)
        with torch.inference_mode():
            rows = self.model.text_projection(self.model.text_model(**tokens).pooler_output).float()
            rows = rows / rows.norm(dim=-1, keepdim=True) * self.model.logit_scale.exp()
        return rows.cpu().numpy(), np.array([len(ids) > self.window for ids in whole])


def linear_head(state: dict[str, Any]) -> Any:
    """Linear layers in a row from `0.weight`, `0.bias`, `2.weight` …; numbers left out are of dropout."""
    from torch import nn

    sizes = {int(n.split(".")[0]): v.shape for n, v in state.items() if n.endswith("weight")}
    layers = [nn.Linear(*reversed(sizes[i])) if i in sizes else nn.Identity() for i in range(max(sizes) + 1)]
    head = nn.Sequential(*layers)
    head.load_state_dict(state)
    return head


class Aesthetic:
    """LAION's aesthetic predictor: five linear layers over unit-length CLIP ViT-L/14 features; (n, 1)."""

    def __init__(self, located: Located, device: str = "cpu") -> None:
        import torch

        tower = find_open_clip(AESTHETIC_TOWER)
        assert tower is not None
        self.tower = OpenClip(Located(name="clip", extractor=AESTHETIC_TOWER, path=tower), device)
        with reading(located.path, "the aesthetic predictor's linear layers"):
            state = torch.load(located.path, map_location="cpu", weights_only=True)
            self.head = linear_head({name.removeprefix("layers."): value for name, value in state.items()})
        self.head.eval()

    def prepare(self, image: Any) -> Any:
        return self.tower.prepare(image)

    def images(self, batch: Any) -> Array:
        import torch

        rows = torch.from_numpy(self.tower.images(batch))
        with torch.inference_mode():
            return self.head(rows / rows.norm(dim=-1, keepdim=True)).numpy()

    def texts(self, captions: Sequence[str]) -> tuple[Array, Array]:
        raise InputError("the aesthetic predictor does not read prompts")

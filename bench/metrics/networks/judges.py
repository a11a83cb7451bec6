"""Networks that read an image and its caption together and give the pair one number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import InputError
from bench.metrics.feature_rows import Array
from bench.metrics.networks.clip import linear_head
from bench.metrics.weights import bert_folder, reading

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class ImageReward:
    """ImageReward-v1.0: BLIP's image encoder and cross-attending text encoder, five linear layers.

    `ImageReward.pt` holds BLIP in its authors' names; they are put into transformers' classes, which the
    package itself no longer runs with.
    Source: Xu et al. 2023, arXiv 2304.05977.
    """

    WINDOW = 35
    """Tokens of a caption it was trained on."""
    MEAN, STD = 0.16717362830052426, 1.0333394966054072
    """Of the raw rewards over the authors' training set."""

    def __init__(self, path: Path, device: str = "cpu") -> None:
        import torch
        from transformers import BertTokenizer

        tokenizer = bert_folder()
        if tokenizer is None:
            raise InputError(
                "image_reward reads captions with the vocabulary of bert-base-uncased, which is not on this "
                "machine: run `bench fetch`"
            )
        with reading(path, "ImageReward"):
            self.tokenizer = BertTokenizer.from_pretrained(tokenizer, local_files_only=True)
            state = torch.load(path, map_location="cpu", weights_only=True)
            self.vision, self.text = _blip(state)
            self.head = linear_head(
                {k.removeprefix("mlp.layers."): v for k, v in state.items() if k.startswith("mlp.")}
            )
        for part in (self.vision, self.text, self.head):
            part.to(device).eval()
        self.device = device

    def prepare(self, image: Any) -> Any:
        from torchvision.transforms import v2

        side = self.vision.config.image_size
        bicubic = v2.InterpolationMode.BICUBIC
        cropped = v2.functional.center_crop(v2.functional.resize(image, [side], bicubic), [side, side])
        pixels = v2.functional.pil_to_tensor(cropped).float() / 255
        return v2.functional.normalize(pixels, list(CLIP_MEAN), list(CLIP_STD))

    def pairs(self, batch: Any, partners: Sequence[str]) -> tuple[Array, Array]:
        """batch: (n, 3, h, w). partners: n captions; cut on the right at WINDOW tokens, end token kept."""
        import torch

        words = self.tokenizer(
            list(partners), padding="max_length", truncation=True, max_length=self.WINDOW, return_tensors="pt"
        ).to(self.device)
        cut = [len(ids) > self.WINDOW for ids in self.tokenizer(list(partners))["input_ids"]]
        with torch.inference_mode():
            seen = self.vision(pixel_values=batch.to(self.device)).last_hidden_state
            read = self.text(
                input_ids=words["input_ids"],
                attention_mask=words["attention_mask"],
                encoder_hidden_states=seen,
                encoder_attention_mask=torch.ones(seen.shape[:2], dtype=torch.long, device=self.device),
            ).last_hidden_state[:, 0]
            rewards = (self.head(read.float()).flatten() - self.MEAN) / self.STD
        return rewards.float().cpu().numpy(), np.array(cut, dtype=bool)


_VISION_NAMES = (
    (r"^cls_token$", "embeddings.class_embedding"),
    (r"^pos_embed$", "embeddings.position_embedding"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embedding."),
    (r"^blocks\.", "encoder.layers."),
    (r"\.attn\.proj\.", ".self_attn.projection."),
    (r"\.attn\.", ".self_attn."),
    (r"\.norm(\d)\.", r".layer_norm\1."),
    (r"^norm\.", "post_layernorm."),
)
"""BLIP's names of its image encoder's weights and transformers', in order of replacement."""


def _blip(state: dict[str, Any]) -> tuple[Any, Any]:
    """transformers' image and text encoder with the weights of ImageReward.pt; sizes from their shapes.

    Raises KeyError, RuntimeError: another state dict.
    """
    from transformers import BlipTextConfig, BlipTextModel, BlipVisionConfig, BlipVisionModel

    vision = _under(state, "blip.visual_encoder.")
    text = {n: v for n, v in _under(state, "blip.text_encoder.").items() if not n.endswith("position_ids")}
    width, patch = vision["cls_token"].shape[-1], vision["patch_embed.proj.weight"].shape[-1]
    side = round((vision["pos_embed"].shape[1] - 1) ** 0.5) * patch
    config = BlipVisionConfig(
        hidden_size=width,
        intermediate_size=vision["blocks.0.mlp.fc1.weight"].shape[0],
        num_hidden_layers=_layers(vision, "blocks"),
        num_attention_heads=width // 64,
        image_size=side,
        patch_size=patch,
        layer_norm_eps=1e-6,
    )
    eye = BlipVisionModel(config)
    for pattern, name in _VISION_NAMES:
        vision = {re.sub(pattern, name, key): value for key, value in vision.items()}
    eye.load_state_dict(vision)
    words, hidden = text["embeddings.word_embeddings.weight"].shape
    reader = BlipTextModel(
        BlipTextConfig(
            vocab_size=words,
            hidden_size=hidden,
            encoder_hidden_size=width,
            intermediate_size=text["encoder.layer.0.intermediate.dense.weight"].shape[0],
            num_hidden_layers=_layers(text, "encoder.layer"),
            num_attention_heads=hidden // 64,
            max_position_embeddings=text["embeddings.position_embeddings.weight"].shape[0],
        ),
        add_pooling_layer=False,
    )
    reader.load_state_dict(text)
    return eye, reader


def _under(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _layers(state: dict[str, Any], stem: str) -> int:
    depth = stem.count(".") + 1
    return 1 + max(int(name.split(".")[depth]) for name in state if name.startswith(f"{stem}."))


class InstructBlip:
    """VQAScore: how probable the answer "yes" is when a vision-language model is asked for the caption.

    exp of the mean log probability of the answer's tokens, the end token among them, as its authors do.
    Source: Lin et al. 2024, arXiv 2404.01291; a folder of InstructBLIP on T5 in the hub's layout.
    """

    ANSWER = "yes"

    def __init__(self, path: Path, question: str, device: str = "cpu") -> None:
        """question: with {} where the caption goes."""
        from transformers import InstructBlipForConditionalGeneration, InstructBlipProcessor

        with reading(path, "a whole InstructBLIP"):
            model: Any = InstructBlipForConditionalGeneration.from_pretrained(path, local_files_only=True)
            self.processor: Any = InstructBlipProcessor.from_pretrained(path, local_files_only=True)
        self.model = model.to(device).eval()
        self.question, self.device = question, device
        self.window = self.model.config.qformer_config.max_position_embeddings

    def prepare(self, image: Any) -> Any:
        return self.processor.image_processor(images=image, return_tensors="pt")["pixel_values"][0]

    def pairs(self, batch: Any, partners: Sequence[str]) -> tuple[Array, Array]:
        """batch: (n, 3, h, w). partners: n captions; one past the Q-Former's window is cut there."""
        import torch

        asked = [self.question.format(caption) for caption in partners]
        reader, writer = self.processor.qformer_tokenizer, self.processor.tokenizer
        cut = [len(ids) > self.window for ids in reader(asked)["input_ids"]]
        query = reader(asked, padding=True, truncation=True, max_length=self.window, return_tensors="pt")
        words = writer(asked, padding=True, padding_side="right", return_tensors="pt")
        answer = writer([self.ANSWER] * len(asked), return_tensors="pt")["input_ids"].to(self.device)
        places = (len(asked), self.model.config.num_query_tokens)
        ids = torch.cat([torch.full(places, self.model.config.image_token_index), words["input_ids"]], 1)
        mask = torch.cat([torch.ones(places, dtype=torch.long), words["attention_mask"]], 1)
        with torch.inference_mode():
            logits = self.model(
                pixel_values=batch.to(self.device),
                qformer_input_ids=query["input_ids"].to(self.device),
                qformer_attention_mask=query["attention_mask"].to(self.device),
                input_ids=ids.to(self.device),
                attention_mask=mask.to(self.device),
                labels=answer,
            ).logits
            logs = logits.float().log_softmax(-1).gather(2, answer[..., None])[..., 0]
        return logs.mean(1).exp().cpu().numpy(), np.array(cut, dtype=bool)

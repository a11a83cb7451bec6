"""CLIP-FlanT5: a T5 whose encoder reads the patches of a CLIP tower among its words; VQAScore's own reader."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.metrics.extractors import FLAN_T5
from bench.metrics.weights import hub_folder, reading

SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions."
)
"""What stands before every question in its training."""


class ClipFlanT5:
    """A CLIP-FlanT5 folder in its authors' layout: T5's weights, `mm_projector` and perhaps `vision_tower`.

    Source: Lin et al. 2024, arXiv 2404.01291; the vocabulary is FLAN-T5's, the tower CLIP's.
    """

    def __init__(self, path: Path, tower: str, device: str = "cpu") -> None:
        """tower: hub id of the CLIP whose picture tower it has."""
        import torch
        from transformers import AutoTokenizer, CLIPImageProcessor

        words, clip = hub_folder(FLAN_T5, "tokenizer_config.json"), hub_folder(tower)
        assert words is not None
        assert clip is not None
        dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
        with reading(path, "a whole CLIP-FlanT5"):
            self.tokenizer: Any = AutoTokenizer.from_pretrained(words, local_files_only=True)
            self.processor: Any = CLIPImageProcessor.from_pretrained(clip, local_files_only=True)
            self.language, self.tower, self.projector, self.layer = _parts(path, clip, dtype)
        for part in (self.language, self.tower, self.projector):
            part.to(device, dtype).eval()
        self.device, self.dtype = device, dtype

    def prepare(self, image: Any) -> Any:
        """Padded to a square with CLIP's mean colour, then CLIP's own transform."""
        from PIL import ImageOps

        side = max(image.size)
        colour = tuple(int(255 * part) for part in self.processor.image_mean)
        square = ImageOps.pad(image.convert("RGB"), (side, side), color=colour)
        return self.processor(images=square, return_tensors="pt")["pixel_values"][0]

    def probabilities(self, images: Sequence[Any], question: str, answers: Sequence[str]) -> list[float]:
        """Of each answer, end token included: exp of the mean log probability of its tokens.

        images: one prepared image. answers: one that is spelled with the same tokens as an earlier one gets 0.
        """
        import torch

        (image,) = images
        before = self.tokenizer(f"{SYSTEM} USER: ")["input_ids"]
        after = self.tokenizer(f"\n{question} ASSISTANT: ")["input_ids"]
        embed = self.language.get_input_embeddings()
        found, known = [], set()
        with torch.inference_mode():
            pixels = image[None].to(self.device, self.dtype)
            patches = self.tower(pixel_values=pixels, output_hidden_states=True).hidden_states[self.layer][
                :, 1:
            ]
            parts = [embed(torch.tensor([ids], device=self.device)) for ids in (before, after)]
            read = self.language.encoder(
                inputs_embeds=torch.cat([parts[0], self.projector(patches), parts[1]], dim=1)
            )
            for answer in answers:
                ids = self.tokenizer(answer)["input_ids"]
                if tuple(ids) in known:
                    found.append(0.0)
                    continue
                known.add(tuple(ids))
                labels = torch.tensor([ids], device=self.device)
                logits = self.language(encoder_outputs=read, labels=labels).logits
                logs = logits[..., : len(self.tokenizer)].float().log_softmax(-1).gather(2, labels[..., None])
                found.append(float(logs.mean().exp()))
        return found


def _parts(path: Path, clip: Path, dtype: Any) -> tuple[Any, Any, Any, int]:
    """T5, CLIP's tower, the projector between them, and the tower's layer that is read.

    Raises ValueError, KeyError, RuntimeError: weights are missing or of another network.
    """
    import json

    from torch import nn
    from transformers import CLIPVisionModel, T5Config, T5ForConditionalGeneration

    about = json.loads((path / "config.json").read_text(encoding="utf-8"))
    state = _state(path)
    own = {n: v for n, v in state.items() if n.startswith(("encoder.", "decoder.", "shared.", "lm_head."))}
    config = T5Config.from_dict({**about, "model_type": "t5"})
    loaded: Any = T5ForConditionalGeneration.from_pretrained(
        None, config=config, state_dict=own, dtype=dtype, output_loading_info=True
    )
    language, report = loaded
    if report["missing_keys"] or report["mismatched_keys"]:
        raise ValueError(
            f"T5's {min(map(str, [*report['missing_keys'], *report['mismatched_keys']]))} is not there"
        )
    tower: Any = CLIPVisionModel.from_pretrained(clip, dtype=dtype, local_files_only=True)
    prefix = "vision_tower.vision_tower."
    if held := {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}:
        tower.load_state_dict(_tower_names(held, [name for name, _ in tower.named_parameters()]))
    wide = state["mm_projector.0.weight"]
    projector = nn.Sequential(
        nn.Linear(wide.shape[1], wide.shape[0]), nn.GELU(), nn.Linear(wide.shape[0], wide.shape[0])
    )
    projector.load_state_dict(
        {n.removeprefix("mm_projector."): v for n, v in state.items() if n.startswith("mm_projector.")}
    )
    return language, tower, projector, int(about.get("mm_vision_select_layer", -2))


def _tower_names(held: dict[str, Any], own: Iterable[str]) -> dict[str, Any]:
    """The held weights under the names that the tower has: `vision_model.` stands before them, or does not."""
    known, inner = set(own), "vision_model."
    plain = {name.removeprefix(inner): value for name, value in held.items() if "position_ids" not in name}
    return {name if name in known else f"{inner}{name}": value for name, value in plain.items()}


def _state(path: Path) -> dict[str, Any]:
    """Every weight of a folder, from safetensors or torch files, in one part or several."""
    import torch
    from safetensors.torch import load_file

    state: dict[str, Any] = {}
    for file in sorted(path.glob("*.safetensors")):
        state |= load_file(file)
    if not state:
        for file in sorted(path.glob("pytorch_model*.bin")):
            state |= torch.load(file, map_location="cpu", weights_only=True)
    return state

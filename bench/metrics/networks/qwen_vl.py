"""Vision-language models of the Qwen family: HPSv3's reward, and the probability of an answer to a question."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.metrics.extractors import HPS_V3_TEXT
from bench.metrics.feature_rows import Array
from bench.metrics.networks.clip import linear_head
from bench.metrics.weights import find_file, hub_folder, reading

REWARD = "<|Reward|>"
"""The token whose hidden state HPSv3 reads its reward from."""
SIDE = 448
"""Pixels of HPSv3's images: 256 patches of 28 x 28."""
CONSTANTS = ("INSTRUCTION", "prompt_with_special_token")
"""Names of the texts in the authors' source that HPSv3 was trained to read, one after the other."""


class Chat:
    """The processor of a Qwen vision-language model: an image and a text to what the network takes, one at a time.

    Sequences are not padded, so that a number does not depend on what stands beside it.
    """

    def __init__(self, path: Path, device: str) -> None:
        from transformers import AutoProcessor

        self.processor: Any = AutoProcessor.from_pretrained(path, local_files_only=True)
        self.device = device

    def inputs(self, images: Sequence[Any], text: str) -> dict[str, Any]:
        """Tensors of one user message, the images before the text, up to where the answer begins."""
        content = [*({"type": "image"} for _ in images), {"type": "text", "text": text}]
        message = [{"role": "user", "content": content}]
        written = self.processor.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        found = self.processor(text=[written], images=list(images), return_tensors="pt")
        return {name: value.to(self.device) for name, value in found.items()}


class HpsV3:
    """HPSv3: Qwen2-VL with six layers over the hidden state of a token of its own, which give a mean and a spread.

    The mean is the reward. `HPSv3.safetensors` holds the whole network in transformers' names; configuration and
    tokenizer are those of Qwen2-VL-7B-Instruct. As in the authors' code, places are numbered in one dimension: the
    image's rows and columns are not told apart by M-RoPE, because their `forward` hands the language model embeddings
    without the image's grid. The head computes in float32, the rest in bfloat16 on a GPU.
    Source: Ma et al. 2025, arXiv 2508.03789; MizzenAI/HPSv3.
    """

    alone = True
    """Reads one image at a time."""

    def __init__(self, path: Path, base: str, device: str = "cpu") -> None:
        """path: `HPSv3.safetensors`. base: hub id of the model whose configuration and tokenizer it takes."""
        import torch
        from safetensors.torch import load_file
        from transformers import AutoConfig, Qwen2VLModel

        folder, source = hub_folder(base), find_file(HPS_V3_TEXT)
        assert folder is not None
        assert source is not None
        with reading(source, "the file with HPSv3's instruction"):
            self.instruction = instruction(source)
        with reading(path, "HPSv3"):
            state = {_base_name(name): value for name, value in load_file(path).items()}
            self.chat = Chat(folder, device)
            self.chat.processor.tokenizer.add_special_tokens({"additional_special_tokens": [REWARD]})
            config: Any = AutoConfig.from_pretrained(folder, local_files_only=True)
            config.text_config.vocab_size = len(state["language_model.embed_tokens.weight"])
            head = {name: value.float() for name, value in state.items() if name.startswith("rm_head.")}
            body = {
                name: value for name, value in state.items() if not name.startswith(("rm_head.", "lm_head."))
            }
            dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
            self.model: Any = _loaded(Qwen2VLModel, config, body, dtype, path)
            self.head = reward_head({name.removeprefix("rm_head."): value for name, value in head.items()})
        self.model.to(device).eval()
        self.head.to(device).eval()
        self.token = self.chat.processor.tokenizer.convert_tokens_to_ids(REWARD)

    def prepare(self, image: Any) -> Any:
        """As `qwen_vl_utils` resizes a square image to 256 patches: PIL's bicubic."""
        return image.convert("RGB").resize((SIDE, SIDE))

    def pairs(self, batch: Sequence[Any], partners: Sequence[str]) -> tuple[Array, Array]:
        """batch: n prepared images. partners: n captions; none is cut."""
        import torch

        rewards = []
        for image, caption in zip(batch, partners, strict=True):
            inputs = self.chat.inputs([image], self.instruction.format(text_prompt=caption))
            ids = inputs["input_ids"]
            places = torch.arange(ids.shape[1], device=ids.device).expand(3, 1, -1)
            with torch.inference_mode():
                hidden = self.model(**inputs, position_ids=places, use_cache=False).last_hidden_state
                at = (ids[0] == self.token).nonzero()[-1, 0]
                rewards.append(float(self.head(hidden[0, at].float())[0]))
        return np.array(rewards, dtype=np.float32), np.zeros(len(rewards), dtype=bool)


def instruction(path: Path) -> str:
    """What HPSv3 reads beside the image, with {text_prompt} where the caption goes; from the authors' source.

    The file is parsed, not run. Raises ValueError: it is not Python; KeyError: a text is not in it.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise ValueError(str(error)) from None
    texts = {
        target.id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return "".join(texts[name] for name in CONSTANTS)


def _base_name(name: str) -> str:
    """A weight's name in `Qwen2VLModel`, from those of transformers before and after 4.52."""
    name = re.sub(r"^model\.(visual|language_model)\.", r"\1.", name)
    return re.sub(r"^model\.", "language_model.", name)


def reward_head(state: dict[str, Any]) -> Any:
    """Linear layers `0`, `3` and `5` with a ReLU after each but the last; `2` is dropout."""
    from torch import nn

    layers = linear_head(state)
    for number in (1, 4):
        layers[number] = nn.ReLU()
    return layers


def _loaded(kind: Any, config: Any, state: dict[str, Any], dtype: Any, path: Path) -> Any:
    """The network with these weights, every one of them. Raises ValueError: one is missing or of another network."""
    model, report = kind.from_pretrained(
        None, config=config, state_dict=state, dtype=dtype, output_loading_info=True
    )
    wrong = [*report["missing_keys"], *report["unexpected_keys"], *report["mismatched_keys"]]
    if wrong:
        raise ValueError(
            f"{len(wrong)} weights of {path.name} do not fit, {sorted(map(str, wrong))[0]} among them"
        )
    return model


class QwenReader:
    """Qwen2-VL, Qwen2.5-VL or Qwen3-VL in the hub's layout: how probable each first word of an answer is.

    As VQAScore's and GenEval 2's authors read these models: the softmax over the whole vocabulary at the place where
    the answer begins.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        import torch
        from transformers import AutoModelForImageTextToText

        dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
        with reading(path, "a whole vision-language model"):
            self.chat = Chat(path, device)
            model: Any = AutoModelForImageTextToText.from_pretrained(path, dtype=dtype, local_files_only=True)
        self.model = model.to(device).eval()

    def prepare(self, image: Any) -> Any:
        return image.convert("RGB")

    def probabilities(self, images: Sequence[Any], question: str, answers: Sequence[str]) -> list[float]:
        """Of each answer, by its first token. images: those that the question is about, in order."""
        import torch

        with torch.inference_mode():
            logits = self.model(**self.chat.inputs(images, question)).logits[0, -1].float()
        shares = logits.softmax(-1)
        encode = self.chat.processor.tokenizer.encode
        return [float(shares[encode(answer, add_special_tokens=False)[0]]) for answer in answers]

"""Tiny vision-language models of the Qwen family in the layout of their repositories."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

AUTHORS_SOURCE = '''from dataclasses import dataclass
from typing import Optional

import torch

INSTRUCTION = """
Judge a tiny picture.
Textual prompt - {text_prompt}


"""

INSTRUCTION_debug = """
{text_prompt}
"""

prompt_with_special_token = """
Rate it: <|Reward|>

END
"""

prompt_without_special_token = """
Rate it:
"""


class QWen2VLDataCollator():
    def __init__(self, processor, max_pixels=256 * 28 * 28):
        self.processor = processor
'''
"""As `hpsv3/dataset/data_collator_qwen.py` is laid out: the texts among imports and classes, which are not run."""
TEMPLATE = (
    "{% for m in messages %}{% if loop.first %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}{% if c['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MARKS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
MERGES = (("Y", "es"), ("e", "s"), ("N", "o"), ("y", "es"), ("n", "o"))
VISION = {
    "depth": 2,
    "num_heads": 2,
    "in_chans": 3,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}


def tokenizer() -> Any:
    """Bytes, a few merges, and the marks of the chat template."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import Qwen2Tokenizer

    words = ["es", "Yes", "No", "yes", "no"]
    letters = [*sorted(ByteLevel.alphabet()), *words, *MARKS]
    merges: Any = [("e", "s"), ("Y", "es"), ("N", "o"), ("y", "es"), ("n", "o")]
    return Qwen2Tokenizer(
        vocab={token: i for i, token in enumerate(letters)},
        merges=merges,
        unk_token="<|endoftext|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(MARKS),
    )


def processor_files(folder: Path) -> int:
    """Tokenizer, chat template and image processor of Qwen2-VL; how many tokens there are."""
    from transformers import Qwen2VLImageProcessor, Qwen2VLProcessor, Qwen2VLVideoProcessor

    words = tokenizer()
    pictures = Qwen2VLImageProcessor(min_pixels=56 * 56, max_pixels=28 * 28 * 1280)
    videos = Qwen2VLVideoProcessor(min_pixels=56 * 56, max_pixels=28 * 28 * 1280)
    Qwen2VLProcessor(pictures, words, videos, chat_template=TEMPLATE).save_pretrained(folder)
    for jinja in folder.glob("*.jinja"):  # the repositories hold it as JSON
        jinja.unlink()
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    return len(words)


def marks() -> dict[str, Any]:
    """The numbers of the tokens that stand for images and videos."""
    ids = tokenizer().convert_tokens_to_ids
    return {
        "image_token_id": ids("<|image_pad|>"),
        "video_token_id": ids("<|video_pad|>"),
        "vision_start_token_id": ids("<|vision_start|>"),
        "vision_end_token_id": ids("<|vision_end|>"),
    }


def flat_config(folder: Path, vocabulary: int) -> None:
    """config.json as Qwen2-VL-7B-Instruct's repository has it: the language model's fields at the top."""
    flat = {
        "architectures": ["Qwen2VLForConditionalGeneration"], "model_type": "qwen2_vl", "hidden_size": 32,
        "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
        "vocab_size": vocabulary, "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]}, "tie_word_embeddings": False,
        "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "bfloat16", **marks(),
        "vision_config": {**VISION, "embed_dim": 32, "hidden_size": 32, "mlp_ratio": 2},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(flat, indent=2))


def reward_state(folder: Path, vocabulary: int) -> dict[str, Any]:
    """The weights of HPSv3's checkpoint, tiny: the whole network, its language head and the reward head."""
    import torch
    from transformers import AutoConfig, Qwen2VLForConditionalGeneration

    config: Any = AutoConfig.from_pretrained(folder)
    config.text_config.vocab_size = vocabulary
    torch.manual_seed(9)
    state = dict(Qwen2VLForConditionalGeneration(config).state_dict())
    state = {name: torch.randn_like(value) * 0.2 for name, value in state.items()}
    for number, (a, b) in {0: (32, 16), 3: (16, 8), 5: (8, 2)}.items():
        state[f"rm_head.{number}.weight"] = torch.randn(b, a)
        state[f"rm_head.{number}.bias"] = torch.randn(b)
    return state


def model_folder(folder: Path, repository: str) -> None:
    """A whole model in the hub's layout: Qwen2.5-VL, or Qwen3-VL where the repository is one."""
    import torch
    import transformers

    count = processor_files(folder)
    text = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "vocab_size": count + 8, "max_position_embeddings": 4096, "bos_token_id": 1,
        "eos_token_id": 2, "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e6},
    }  # fmt: skip
    torch.manual_seed(10)
    if "Qwen3" in repository:
        vision = {**VISION, "patch_size": 14, "hidden_size": 32, "out_hidden_size": 32, "intermediate_size": 48,
                  "num_position_embeddings": 16, "deepstack_visual_indexes": [0]}  # fmt: skip
        text["head_dim"] = 16
        config = transformers.Qwen3VLConfig(text_config=text, vision_config=vision, **marks())
        model: Any = transformers.Qwen3VLForConditionalGeneration(config)
    else:
        vision = {**VISION, "hidden_size": 32, "out_hidden_size": 32, "intermediate_size": 48, "window_size": 56,
                  "fullatt_block_indexes": [1]}  # fmt: skip
        config = transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision, **marks())
        model = transformers.Qwen2_5_VLForConditionalGeneration(config)
    for value in model.parameters():
        torch.nn.init.normal_(value, std=0.2)
    model.save_pretrained(folder)

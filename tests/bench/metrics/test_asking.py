"""HPSv3 and the readers of questions through the real loading code, on tiny folders in the real layout; each number
against the library called by hand, and each form's formula against a few lines of its own."""

from __future__ import annotations

import contextlib
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from bench.errors import InputError
from bench.metrics.networks.asking import QuestionFile
from bench.metrics.networks.loading import load, reader
from bench.metrics.networks.qwen_vl import instruction
from bench.metrics.questions import FORMS, check_covered
from bench.metrics.weights import Located, locate
from tests.support.qwen_vl import AUTHORS_SOURCE
from tests.support.tiny_weights import Home, open_home, write

CAPTIONS = ["a red dog", "two blue squares, one small"]


def images() -> list[Image.Image]:
    random = np.random.default_rng(0)
    coarse = [random.integers(0, 256, (9, 9, 3), dtype=np.uint8) for _ in CAPTIONS]
    return [Image.fromarray(part).resize((112, 112), Image.Resampling.BICUBIC) for part in coarse]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that the tests of this file share."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def home(root: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    return open_home(root, monkeypatch)


def here(home: Home, name: str) -> Located:
    """The extractor, its tiny weights written at the first call."""
    with contextlib.suppress(InputError):
        return locate(name)
    write(home, name)
    return locate(name)


def test_hpsv3_is_the_mean_that_its_head_gives_for_the_reward_token(home: Home) -> None:
    """By hand: tokens with the image's 256 places, embeddings with its patches put in, the language model with places
    counted in one row, three layers with ReLU between, the first of two numbers."""
    from transformers import AutoProcessor, Qwen2VLForConditionalGeneration

    found = load(here(home, "hps-v3"))
    values, cut = found.pairs([found.prepare(image) for image in images()], CAPTIONS)
    assert not cut.any()
    path = locate("hps-v3").path
    state = load_file(path)
    folder = next(path.parents[3].glob("models--Qwen--Qwen2-VL-7B-Instruct/snapshots/*"))
    processor: Any = AutoProcessor.from_pretrained(folder)
    processor.tokenizer.add_special_tokens({"additional_special_tokens": ["<|Reward|>"]})
    model: Any = Qwen2VLForConditionalGeneration.from_pretrained(
        None,
        config=_sized(folder, len(processor.tokenizer)),
        state_dict={n: v for n, v in state.items() if not n.startswith("rm_head")},
        dtype=torch.float32,
    ).eval()
    for image, caption, value in zip(images(), CAPTIONS, values, strict=True):
        text = (
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<|vision_start|>"
            + "<|image_pad|>" * 256
            + f"<|vision_end|>\nJudge a tiny picture.\nTextual prompt - {caption}\n\n\n\nRate it: <|Reward|>\n\nEND\n"
            "<|im_end|>\n<|im_start|>assistant\n"
        )
        ids = processor.tokenizer(text, return_tensors="pt")["input_ids"]
        pixels = processor.image_processor(images=image.resize((448, 448)), return_tensors="pt")
        with torch.inference_mode():
            embeddings = model.get_input_embeddings()(ids)
            seen = model.model.get_image_features(pixels["pixel_values"], pixels["image_grid_thw"])
            patches = seen.pooler_output if hasattr(seen, "pooler_output") else seen
            embeddings[ids == model.config.image_token_id] = torch.cat(list(patches))
            places = torch.arange(ids.shape[1]).expand(3, 1, -1)
            hidden = model.model.language_model(
                inputs_embeds=embeddings, position_ids=places
            ).last_hidden_state
            x = hidden[0, ids[0].tolist().index(processor.tokenizer.convert_tokens_to_ids("<|Reward|>"))]
            for number in (0, 3, 5):
                x = state[f"rm_head.{number}.weight"] @ x + state[f"rm_head.{number}.bias"]
                x = x if number == 5 else x.clip(0)
        assert value == pytest.approx(float(x[0]), rel=1e-3, abs=1e-4)
    assert values[0] != pytest.approx(values[1], abs=1e-3)


def _sized(folder: Path, vocabulary: int) -> Any:
    from transformers import AutoConfig

    config: Any = AutoConfig.from_pretrained(folder)
    config.text_config.vocab_size = vocabulary
    return config


def test_hpsv3_refuses_a_file_that_lacks_a_weight(home: Home, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from bench.metrics.networks.qwen_vl import HpsV3

    state = load_file(here(home, "hps-v3").path)
    name = next(name for name in state if "layers.1" in name and "mlp" in name)
    save_file({n: v for n, v in state.items() if n != name}, tmp_path / "HPSv3.safetensors")
    with pytest.raises(InputError, match="do not fit"):
        HpsV3(tmp_path / "HPSv3.safetensors", "Qwen/Qwen2-VL-7B-Instruct")


def test_the_instruction_is_read_from_the_authors_source_and_nothing_of_it_is_run(tmp_path: Path) -> None:
    path = tmp_path / "source.py"
    path.write_text(AUTHORS_SOURCE + "\nraise SystemExit\n")
    assert instruction(path) == (
        "\nJudge a tiny picture.\nTextual prompt - {text_prompt}\n\n\n\nRate it: <|Reward|>\n\nEND\n"
    )


@pytest.mark.parametrize("name", ["qwen2.5-vl-7b", "qwen3-vl-8b:soft-tifa"])
def test_a_reader_gives_the_softmax_where_the_answer_begins(name: str, home: Home) -> None:
    """By hand: one step of `generate`, as GenEval 2's and VQAScore's authors take it."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    located = here(home, name)
    found = reader(located)
    model: Any = AutoModelForImageTextToText.from_pretrained(located.path).eval()
    processor: Any = AutoProcessor.from_pretrained(located.path)
    for image in images():
        shares = found.probabilities([found.prepare(image)], "Is it red?", ["Yes", " no", "No"])
        message = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Is it red?"}]}]
        text = processor.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        inputs = processor(text=[text], images=[image], return_tensors="pt")
        step = model.generate(
            **inputs, max_new_tokens=1, do_sample=False, output_scores=True, return_dict_in_generate=True
        )
        expected = torch.softmax(step.scores[0][0], -1)
        first = [processor.tokenizer.encode(answer)[0] for answer in ("Yes", " no", "No")]
        assert shares == pytest.approx(expected[first].tolist(), rel=1e-4)
    assert shares[1] != pytest.approx(shares[2])


def test_clip_flan_t5_gives_the_probability_of_yes_and_the_end(home: Home) -> None:
    """By hand: words, patches and words through the encoder, cross entropy of `Yes</s>` over the vocabulary."""
    from transformers import (
        AutoTokenizer,
        CLIPImageProcessor,
        CLIPVisionModel,
        T5Config,
        T5ForConditionalGeneration,
    )

    located = here(home, "clip-flant5-xxl")
    found = load(located)
    values, _ = found.pairs([found.prepare(image) for image in images()], CAPTIONS)
    hub = located.path.parents[2]
    clip = next(hub.glob("models--openai--clip*/snapshots/*"))
    tokenizer = AutoTokenizer.from_pretrained(next(hub.glob("models--google--flan-t5-xxl/snapshots/*")))
    state: dict[str, Any] = {}
    for part in located.path.glob("*.bin"):
        state |= torch.load(part)
    language = T5ForConditionalGeneration(
        T5Config.from_dict(json.loads((located.path / "config.json").read_text()))
    )
    language.lm_head = torch.nn.Linear(
        32, language.config.vocab_size, bias=False
    )  # FLAN-T5 does not share it
    language.load_state_dict({n: v for n, v in state.items() if not n.startswith(("mm_", "embed", "vision"))})
    tower, pictures = CLIPVisionModel.from_pretrained(clip), CLIPImageProcessor.from_pretrained(clip)
    for name, value in tower.named_parameters():
        held = f"vision_tower.vision_tower.vision_model.{name.removeprefix('vision_model.')}"
        value.data = state[held]
    language.eval()
    system = (
        "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
        "detailed, and polite answers to the user's questions. USER: "
    )
    for image, caption, value in zip(images(), CAPTIONS, values, strict=True):
        asked = f'\nDoes this figure show "{caption}"? Please answer yes or no. ASSISTANT: '
        ids = [tokenizer(text, return_tensors="pt").input_ids for text in (system, asked)]
        with torch.inference_mode():
            pixels = pictures(image, return_tensors="pt").pixel_values
            x = tower(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]
            x = torch.nn.functional.gelu(x @ state["mm_projector.0.weight"].T + state["mm_projector.0.bias"])
            x = x @ state["mm_projector.2.weight"].T + state["mm_projector.2.bias"]
            words = [language.shared(part) for part in ids]
            labels = tokenizer("Yes", return_tensors="pt").input_ids
            logits = language(inputs_embeds=torch.cat([words[0], x, words[1]], 1), labels=labels).logits
            loss = torch.nn.functional.cross_entropy(logits[0, :, : len(tokenizer)], labels[0])
        assert value == pytest.approx(float((-loss).exp()), rel=1e-3)
    assert values[0] != pytest.approx(values[1])


class Sure:
    """A reader whose probabilities are looked up."""

    def __init__(self, shares: dict[tuple[str, str], float]) -> None:
        self.shares, self.asked = shares, []

    def prepare(self, image: Any) -> Any:
        return image

    def probabilities(self, images: Any, question: str, answers: Any) -> list[float]:
        self.asked.append(question)
        return [self.shares.get((question, answer), 0.0) for answer in answers]


def test_soft_tifa_is_the_geometric_mean_over_atoms_with_every_spelling(tmp_path: Path) -> None:
    """A line of GenEval 2's own file; the spellings of a number are its word and its digit."""
    from scipy.stats import gmean

    row = {
        "prompt": "four white bicycles",
        "atom_count": 3,
        "vqa_list": [["How many bicycles are in the image?", "four"], ["Are the bicycles white?", "Yes"]],
        "skills": ["count", "attribute"],
    }
    path = tmp_path / "geneval2_data.jsonl"
    path.write_text(json.dumps(row) + "\n")
    many, white = (f"{text} Answer in one word." for text, _ in row["vqa_list"])
    spelled = {
        (many, "four"): 0.2,
        (many, "Four"): 0.1,
        (many, " 4"): 0.05,
        (many, "4"): 0.3,
        (many, "five"): 0.3,
    }
    found = QuestionFile(
        Sure({**spelled, (white, "Yes"): 0.5, (white, " yes"): 0.25}), *_form("soft-tifa", path)
    )
    assert found.value(None, "four white bicycles") == pytest.approx(gmean([0.65, 0.75]))
    nothing = QuestionFile(Sure(spelled), *_form("soft-tifa", path))
    assert nothing.value(None, "four white bicycles") == 0.0


def _form(name: str, path: Path) -> tuple[Any, Any]:
    return FORMS[name], FORMS[name].read(path)


def test_tifa_is_the_share_of_questions_whose_right_choice_is_the_likeliest(tmp_path: Path) -> None:
    common = {"id": "coco_1", "caption": "a dog on grass", "element": "dog", "element_type": "animal/human"}
    rows = [
        {**common, "question": "what animal?", "choices": ["cat", "dog", "cow", "pig"], "answer": "dog"},
        {**common, "question": "is there a dog?", "choices": ["yes", "no"], "answer": "yes"},
    ]
    path = tmp_path / "tifa_v1.0_question_answers.json"
    path.write_text(json.dumps(rows))
    first = "what animal?\nA. cat\nB. dog\nC. cow\nD. pig\nAnswer with the letter of the right choice."
    second = "is there a dog?\nA. yes\nB. no\nAnswer with the letter of the right choice."
    shares = {
        (first, "B"): 0.3,
        (first, " B"): 0.2,
        (first, "A"): 0.4,
        (second, "A"): 0.3,
        (second, "B"): 0.6,
    }
    judge = QuestionFile(Sure(shares), *_form("tifa", path))
    values, cut = judge.pairs([None], ["a dog on grass"])
    assert values.tolist() == [0.5]
    assert judge.reader.asked == [first, second]
    assert not cut.any()


def test_dpg_takes_back_what_rests_on_a_no(tmp_path: Path) -> None:
    """Rows 2 and 3 rest on 1, row 4 on 3; row 3 is a no. Of 5, the first, second and fifth hold."""
    path = tmp_path / "dpg_bench.csv"
    heads = ["item_id", "text", "keywords", "proposition_id", "dependency", "category_broad", "category_detailed",
             "tuple", "question_natural_language"]  # fmt: skip
    needs = {1: "0", 2: "1", 3: "1,2", 4: "3", 5: "0"}
    with path.open("w", newline="", encoding="utf-8-sig") as stream:
        writer = csv.DictWriter(stream, heads)
        writer.writeheader()
        for number, dependency in needs.items():
            row = {head: "" for head in heads} | {"item_id": "7", "text": "A  dense, long\nprompt"}
            row |= {"proposition_id": str(number), "dependency": dependency, "tuple": "entity - whole (x)"}
            writer.writerow(row | {"question_natural_language": f"Is {number} there?"})
    shares = {}
    for number in needs:
        question = f"Is {number} there? Answer yes or no."
        shares |= {(question, "yes"): 0.1 if number == 3 else 0.6, (question, "no"): 0.3}
    judge = QuestionFile(Sure(shares), *_form("dpg", path))
    assert judge.value(None, "A dense, long prompt") == pytest.approx(3 / 5)
    shares["Is 1 there? Answer yes or no.", "yes"] = 0.0
    assert judge.value(None, "A dense, long prompt") == pytest.approx(1 / 5)


def test_prompts_without_questions_are_refused_before_anything_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "geneval2_data.jsonl"
    path.write_text(json.dumps({"prompt": "a cat", "vqa_list": [["Is it a cat?", "Yes"]]}) + "\n")
    questions = FORMS["soft-tifa"].read(path)
    with pytest.raises(InputError, match="no questions about 1 of 2 prompts, 'a dog'"):
        check_covered(questions, ["a cat", "a dog"], path)
    path.write_text(json.dumps({"prompt": "a cat", "vqa": []}) + "\n")
    with pytest.raises(InputError, match=r"geneval2_data.jsonl:1: not a question of this form"):
        FORMS["soft-tifa"].read(path)

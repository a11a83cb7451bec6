"""Hours of the large networks: operations counted from the published sizes, questions from their file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import bench.doctor as doctor
from bench.metrics.extractors import EXTRACTORS
from bench.scoring.cost import REACHED, costs
from bench.study.study import read


def layers(count: int, hidden: int, keys: int, inner: int, gated: bool = True) -> float:
    """Weights of a stack of transformer layers; keys: width of the keys and values."""
    return count * (hidden * (2 * hidden + 2 * keys) + (3 if gated else 2) * hidden * inner)


@pytest.mark.parametrize(
    ("name", "weights", "tokens", "tower", "patches"),
    [
        ("hps-v3", layers(28, 3584, 512, 18944), 730, layers(32, 1280, 1280, 5120, False), 1024),
        ("qwen2.5-vl-7b", layers(28, 3584, 512, 18944), 364, layers(32, 1280, 1280, 3420), 1296),
        (
            "qwen3-vl-8b:soft-tifa",
            layers(36, 4096, 1024, 12288),
            296,
            layers(27, 1152, 1152, 4304, False),
            1024,
        ),
        ("clip-flant5-xxl", layers(24, 4096, 4096, 10240), 641, layers(24, 1024, 1024, 4096, False), 577),
    ],
)
def test_operations_are_two_a_weight_and_token(
    name: str, weights: float, tokens: int, tower: float, patches: int
) -> None:
    """The models' published widths; attention's own products, a few per cent, on top."""
    counted = 2 * (weights * tokens + tower * patches) / 1e12
    assert EXTRACTORS[name].tflop == pytest.approx(counted, rel=0.08)


def test_fifty_thousand_images_with_hpsv3_are_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On 700 TFLOP/s: 50,000 x 11.2 / (0.35 x 700) seconds."""
    (tmp_path / "prompts.txt").write_text("".join(f"prompt {i}\n" for i in range(1250)))
    (tmp_path / "study.toml").write_text(
        'name = "s"\ncontenders = ["tiny-turbo@1", "tiny-sdxl@50"]\nimages_per_prompt = 20\n'
        '[prompts]\nfile = "prompts.txt"\n[metrics]\nnames = ["hpsv3"]\n'
    )
    study = read(tmp_path / "study.toml")
    (cost,) = costs(study)
    assert cost.images == 50_000
    assert cost.hours(700) == pytest.approx(50_000 * 11.2 / (REACHED * 700) / 3600)
    monkeypatch.setattr("bench.doctor.matrix_rate", lambda device, seconds: 700.0)
    (finding,) = doctor._scoring_time(study)
    assert "hpsv3 50,000 images x 11.2 TFLOP, 0.6 h" in finding.message
    assert finding.state == "ok"
    monkeypatch.setattr("bench.doctor.matrix_rate", lambda device, seconds: 0.05)
    assert doctor._scoring_time(study)[0].state == "warning"


def test_questions_are_counted_in_their_file(tmp_path: Path) -> None:
    rows = [{"prompt": "a", "vqa_list": [["q", "Yes"]] * 3}, {"prompt": "b", "vqa_list": [["q", "Yes"]] * 5}]
    (tmp_path / "q.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (tmp_path / "prompts.txt").write_text("a\nb\n")
    (tmp_path / "study.toml").write_text(
        'name = "s"\ncontenders = ["tiny-turbo@1"]\n[prompts]\nfile = "prompts.txt"\n'
        '[metrics]\nnames = ["soft_tifa"]\nquestions = "q.jsonl"\n'
    )
    (cost,) = costs(read(tmp_path / "study.toml"))
    assert (cost.images, cost.forwards) == (2, 4.0)

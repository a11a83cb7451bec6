"""The MLPerf protocol: which study it takes, its own resize and reference, pass and fail."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import bench.metrics.mlperf as mlperf
import bench.study as study_module
from bench.metrics.table import METRICS
from bench.records import InputError, Prompt, Score
from bench.study import Study


@pytest.fixture
def study(tmp_path: Path) -> Study:
    path = tmp_path / "s.toml"
    path.write_text(
        'name = "s"\ncontenders = ["tiny-turbo@1", "sdxl-mlperf@20"]\ndisplay_size = 1024\n'
        '[prompts]\nset = "turbo-264"\nfirst = 2\n'
        '[models.sdxl-mlperf]\nrepository = "stabilityai/stable-diffusion-xl-base-1.0"\n'
        "steps = [20]\nguidance = 8.0\n"
    )
    return study_module.read(path)


def whole(study: Study) -> Study:
    """The same study on 5,000 captions of the protocol's set."""
    choice = study.file.prompts.model_copy(update={"set": mlperf.PROMPT_SET, "first": None})
    prompts = tuple(Prompt(id=str(i), text="a dog") for i in range(mlperf.COUNT))
    return dataclasses.replace(study, file=study.file.model_copy(update={"prompts": choice}), prompts=prompts)


def row(metric: str, contender: str, value: float) -> Score:
    return Score(
        metric=metric, contender=contender, value=value, low=None, high=None, n=5000, interval="none",
        higher_is_better=METRICS[metric].higher_is_better, protocol={}, fingerprint="f",
    )  # fmt: skip


def test_only_the_protocols_captions_are_taken(study: Study) -> None:
    with pytest.raises(InputError, match=r"5,000 captions.*has 2 of 'turbo-264'"):
        mlperf.check(study)
    mlperf.check(whole(study))


def test_verdicts_hold_the_published_limits_at_both_ends(study: Study) -> None:
    rows = [
        row("mlperf_clip", "sdxl-mlperf@20", 31.68632),
        row("mlperf_fid", "sdxl-mlperf@20", 23.95009),
        row("mlperf_clip", "tiny-turbo@1", 31.82),
        row("mlperf_fid", "tiny-turbo@1", 23.01),
    ]
    found = mlperf.verdicts(rows, whole(study))
    assert [one.passed for one in found] == [True, False, False, False]
    assert found[0].departures == ("a seed an image, not MLPerf's one latent",)
    assert any("1 steps, not 20" in text for text in found[2].departures)
    assert [line["verdict"] for line in mlperf.verdict_rows(rows, study)] == ["pass", "FAIL", "FAIL", "FAIL"]


def test_the_reference_is_the_published_file_or_none(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TURBO_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BENCH_SHARED", raising=False)
    with pytest.raises(InputError, match=r"val2014\.npz"):
        mlperf.reference(study)
    (tmp_path / "cache" / "weights").mkdir(parents=True)
    np.savez(tmp_path / "cache" / "weights" / "val2014.npz", mu=np.zeros(4), sigma=np.eye(4))
    assert mlperf.reference(study).statistics is not None


def test_the_resize_is_pytorch_fids() -> None:
    """clean-fid ships pytorch-fid's network, whose first layer is this resize."""
    import torch

    from bench.metrics.networks.inception import torch_resize

    image = torch.randint(
        0, 256, (400, 333, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    expected = torch.nn.functional.interpolate(
        image.permute(2, 0, 1)[None] / 255, size=(299, 299), mode="bilinear", align_corners=False
    )
    torch.testing.assert_close(torch_resize(image)[None] / 127.5 - 1, 2 * expected - 1, atol=1e-6, rtol=0)

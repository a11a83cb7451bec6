"""The MLPerf protocol: its shipped study, which study it takes, its statistics from their home, pass and fail."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import bench.cli.app
import bench.prompts.fetch as prompt_fetch
import bench.scoring.mlperf as mlperf
import bench.study.study as study_module
from bench.errors import InputError
from bench.metrics.references import BUILT_FOLDER, PUBLISHED
from bench.metrics.registry import METRICS
from bench.records import Generation, Prompt, Score
from bench.scoring.requirements import wanting
from bench.store.study_folder import StudyFolder, sha256
from bench.study.study import Study
from tests.support.tiny_weights import open_home, random_inception, write

NEGATIVE = "normal quality, low quality, worst quality, low res, blurry, nsfw, nude"


@pytest.fixture
def study(tmp_path: Path) -> Study:
    path = tmp_path / "s.toml"
    path.write_text(
        'name = "s"\ncontenders = ["tiny-turbo@1", "sdxl-mlperf@20"]\ndisplay_size = 1024\n'
        '[prompts]\nset = "turbo-264"\nfirst = 2\n'
        '[models.sdxl-mlperf]\nrepository = "stabilityai/stable-diffusion-xl-base-1.0"\n'
        f'steps = [20]\nguidance = 8.0\noptions = {{ negative_prompt = "{NEGATIVE}" }}\n'
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
    for part in ("1 steps, not 20", "scheduler", "negative prompt", "64 px"):
        assert any(part in text for text in found[2].departures)
    assert [line["verdict"] for line in mlperf.verdict_rows(rows, study)] == ["pass", "FAIL", "FAIL", "FAIL"]


def test_the_negative_prompt_reaches_the_pipeline_as_the_library_takes_it(tmp_path: Path) -> None:
    """Oracle: one plain call of diffusers with `negative_prompt`, as MLPerf's own backend has it."""
    import torch

    from bench.models.load import load
    from bench.models.user_models import model_from_entry
    from bench.models.weights import own_folder
    from bench.records import Contender

    folder = str(own_folder("tiny:sdxl"))
    entry = {"repository": folder, "size": 64, "steps": [3], "guidance": 8.0, "dtype": "float32"}
    entry["options"] = {"negative_prompt": NEGATIVE}
    pipeline = load(model_from_entry("ours", entry))
    who = Contender(name="ours@3", model="ours", steps=3, guidance=8.0, size=64)
    ours = pipeline.denoise(pipeline.encode(["a dog"], who), [5], who).tensor
    edge = 64 // pipeline.pipe.vae_scale_factor
    noise = torch.randn((1, 4, edge, edge), generator=torch.Generator().manual_seed(5))
    call = {"num_inference_steps": 3, "guidance_scale": 8.0, "height": 64, "width": 64, "latents": noise}
    theirs, plain = (
        pipeline.pipe("a dog", output_type="latent", negative_prompt=negative, **call).images
        for negative in (NEGATIVE, None)
    )
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    assert (ours - plain).abs().max() > 1e-3
    entry |= {"pipeline": "FluxPipeline"}
    with pytest.raises(InputError, match="takes no negative prompt"):
        model_from_entry("ours", entry)


def test_the_shipped_study_is_the_reference_run_but_for_its_noise(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TURBO_BENCH_CACHE", str(tmp_path))
    monkeypatch.delenv("BENCH_SHARED", raising=False)
    prompt_fetch.add(mlperf.PROMPT_SET, shared / "prompts" / "coco2014-captions-mlperf.tsv")
    study = study_module.read("mlperf-sdxl")
    mlperf.check(study)
    assert mlperf.NEGATIVE == NEGATIVE
    (contender,) = study.contenders
    departures = mlperf.departures(study, contender.name, 5000)
    assert departures == ("a seed an image, not MLPerf's one latent",)
    said = wanting(study)
    for name in ("mlperf-clip", "mlperf-inception", "mlperf-val2014"):
        assert any(f"'{name}'" in text and "bench fetch" in text for text in said)


def test_scoring_the_shipped_study_says_pass_or_fail_with_both_ranges(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All 5,000 captions, on a few pictures of noise through networks of random weights."""
    home = open_home(tmp_path, monkeypatch, random_inception(tmp_path / "inception.pth"))
    prompt_fetch.add(mlperf.PROMPT_SET, shared / "prompts" / "coco2014-captions-mlperf.tsv")
    write(home, "mlperf-clip")
    write(home, "mlperf-inception")
    place = tmp_path / BUILT_FOLDER / mlperf.REFERENCE
    place.mkdir(parents=True)
    np.savez(place / PUBLISHED[mlperf.REFERENCE].file, mu=np.zeros(2048), sigma=np.eye(2048))
    study = study_module.read("mlperf-sdxl")
    folder = StudyFolder(tmp_path / "results" / study.name)
    folder.write_study(study.text, study.prompts)
    fill(folder, study)
    done = CliRunner().invoke(
        bench.cli.app.app,
        ["score", "mlperf-sdxl", "--results", str(tmp_path / "results"), "--device", "cpu"],
        env={"COLUMNS": "220"},
        catch_exceptions=False,
    )
    print(done.output)
    assert done.exit_code == 1
    for limits in ("31.68631873 to 31.81331801", "23.01085758 to 23.95007626"):
        assert limits in done.output
    assert done.output.count("FAIL") >= 2


def fill(folder: StudyFolder, study: Study, distinct: int = 6) -> None:
    """An image of the study's contender for every prompt, a few pictures over and over."""
    random = np.random.default_rng(0)
    kept = folder.path / "kept"
    kept.mkdir()
    for i in range(distinct):
        pixels = random.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(kept / f"{i}.webp", lossless=True)
    data = [(kept / f"{i}.webp").read_bytes() for i in range(distinct)]
    rows, name = [], study.contenders[0].name
    for i, prompt in enumerate(study.prompts):
        path = folder.image(name, prompt.id, 0)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(kept / f"{i % distinct}.webp", path)
        rows.append(
            Generation(
                contender=name, prompt_id=prompt.id, replicate=0, seed=i, sha256=sha256(data[i % distinct]),
                bytes=len(data[i % distinct]), width=64, height=64, seconds=0.1, settings="x", black=False,
            )
        )  # fmt: skip
    folder.append(folder.generations_file, rows)

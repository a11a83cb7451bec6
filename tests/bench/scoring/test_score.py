"""A study folder to score rows: what stands in them, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file
from scipy.stats import ttest_rel

import bench.metrics.references as references
from bench.cli.score_rows import difference_rows, score_rows
from bench.doctor import examine
from bench.errors import InputError
from bench.latency.measure import Protocol
from bench.metrics.extractors import EXTRACTORS
from bench.metrics.weights import locate
from bench.models.availability import Availability
from bench.records import (
    Battle,
    Difference,
    ImageScore,
    PromptEffect,
    Reference,
    Score,
    from_dict,
    read_rows,
)
from bench.run import Reporter, run
from bench.scoring.requirements import plan, wanting
from bench.scoring.score import reference_statistics, score
from bench.store.documents import Scores, read_scores
from bench.store.study_folder import sha256, write_rows
from bench.study.study import Study
from bench.sweep.settings import Options
from tests.support.scoring import NAMES, make, put

HERE = Availability(here=True, message="here")


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURBO_BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "score-cache"))
    monkeypatch.delenv("BENCH_SHARED", raising=False)


ALL = 'names = ["clip_score", "fd_clip", "diversity", "near_duplicates"]\nreference = "tiny-sdxl@50"'


def test_rows_carry_n_interval_protocol_and_random_weights(tmp_path: Path) -> None:
    folder, study = make(tmp_path, ALL, replicates=2)
    rows = score(folder, study)
    document = json.loads((folder.path / "scores.json").read_text())
    assert [from_dict(Score, row, "x") for row in document["rows"]] == rows
    assert [(r.metric, r.contender) for r in rows[:4]] == [
        ("clip_score", NAMES[0]),
        ("clip_score", NAMES[1]),
        ("fd_clip", NAMES[0]),
        ("fd_clip", NAMES[1]),
    ]
    by = {(r.metric, r.contender): r for r in rows}
    distance = by["fd_clip", NAMES[0]]
    assert distance.value is not None
    assert distance.low is not None
    assert distance.high is not None
    assert distance.low < distance.value < distance.high
    assert by["fd_clip", NAMES[1]].note.startswith("is the reference")
    for row in rows:
        assert row.n == 12
        assert "random weights" in row.note
        assert len(row.protocol["weights_sha256"]) == 64
        assert row.protocol["display_size"] == 64
    assert len({r.fingerprint for r in rows}) == 4
    assert any("random weights" in text for text in document["warnings"])
    assert any("10 x 32" in text for text in document["warnings"])


def test_few_images_bring_the_kernel_distance_beside_fid(tmp_path: Path) -> None:
    """Not FID∞, which does not hold there; nor against published statistics, where KID cannot be had."""
    _, study = make(tmp_path, 'names = ["fid", "clip_score"]\nreference = "tiny-sdxl@50"')
    assert list(plan(study)) == ["fid", "kid", "clip_score"]
    metrics = study.file.metrics.model_copy(update={"reference": "val.npz"})
    published = dataclasses.replace(study, file=study.file.model_copy(update={"metrics": metrics}))
    assert list(plan(published)) == ["fid", "clip_score"]
    many = dataclasses.replace(study, prompts=study.prompts[:1] * 20480)
    assert list(plan(many)) == ["fid", "clip_score"]


def test_the_fingerprint_moves_with_everything_that_decides_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, study = make(tmp_path, 'names = ["fd_clip"]\nreference = "tiny-sdxl@50"')

    def fingerprint(changed: Study = study, **more: bool) -> str:
        return score(folder, changed, **more)[0].fingerprint

    def with_metrics(**changes: object) -> Study:
        metrics = study.file.metrics.model_copy(update=changes)
        return dataclasses.replace(study, file=study.file.model_copy(update={"metrics": metrics}))

    seen = [fingerprint()]
    assert fingerprint() == seen[0]
    entry = EXTRACTORS["tiny-clip"]
    for field, other in (("resize", "nearest"), ("weights", "another seed")):
        with monkeypatch.context() as patch:
            patch.setitem(EXTRACTORS, "tiny-clip", dataclasses.replace(entry, **{field: other}))
            seen.append(fingerprint())
    for name in ("bench.metrics.weights.PIXELS", "bench.scoring.score.RESIZE"):
        with monkeypatch.context() as patch:
            patch.setattr(name, "otherwise")
            seen.append(fingerprint())
    seen.append(
        fingerprint(dataclasses.replace(study, file=study.file.model_copy(update={"display_size": 32})))
    )
    seen.append(
        fingerprint(with_metrics(clip=str(shutil.copytree(locate("tiny-clip").path, tmp_path / "clip"))))
    )
    weights = load_file(tmp_path / "clip" / "open_clip_model.safetensors")
    save_file({n: v * 1.01 for n, v in weights.items()}, tmp_path / "clip" / "open_clip_model.safetensors")
    seen.append(fingerprint(with_metrics(clip=str(tmp_path / "clip"))))
    photo = tmp_path / "photos" / "0.png"
    photo.parent.mkdir()
    for side in (40, 50):
        Image.fromarray(np.full((side, side, 3), side, np.uint8)).save(photo)
        Image.fromarray(np.full((side, side, 3), 9, np.uint8)).save(photo.with_name("1.png"))
        seen.append(fingerprint(with_metrics(reference=str(photo.parent))))
    folder.image(NAMES[0], study.prompts[0].id, 0).unlink()
    seen.append(fingerprint(allow_missing=True))  # N is 5, not 6
    assert len(set(seen)) == len(seen)


def test_a_second_scoring_gives_the_same_rows_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, study = make(tmp_path, ALL)
    first = score(folder, study)

    def refuse(*_: object) -> None:
        raise AssertionError("the features are there")

    monkeypatch.setattr("bench.metrics.networks.loading.load", refuse)
    assert score(folder, study) == first


def test_missing_black_and_damaged_images_are_counted_and_refused(tmp_path: Path) -> None:
    folder, study = make(tmp_path, 'names = ["clip_score"]')
    ids = [prompt.id for prompt in study.prompts]
    folder.image(NAMES[0], ids[0], 0).unlink()
    folder.image(NAMES[0], ids[1], 0).write_bytes(b"damaged")
    put(folder, NAMES[1], ids[2], 0, np.zeros((64, 64, 3), dtype=np.uint8))
    with pytest.raises(InputError, match=r"1 damaged, 1 missing.*1 black.*--allow-missing"):
        score(folder, study)
    assert not (folder.path / "scores.json").exists()
    rows = score(folder, study, allow_missing=True)
    assert [(r.n, r.missing) for r in rows] == [(3, 2), (3, 1)]
    warnings = json.loads((folder.path / "scores.json").read_text())["warnings"]
    assert "scored on the 3 images that every contender has" in warnings


def test_nothing_in_common_is_refused(tmp_path: Path) -> None:
    folder, study = make(tmp_path, 'names = ["clip_score"]')
    folder.generations_file.unlink()
    with pytest.raises(InputError, match="no prompt"):
        score(folder, study, allow_missing=True)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ('names = ["fd_clip"]\nreference = "nowhere"', "bench reference build"),
        ('names = ["clip_score", "fid"]\nreference = "tiny-sdxl@50"', "bench fetch"),
        ('names = ["mini_fd"]\nreference = "nowhere"', "."),
    ],
)
def test_what_cannot_be_computed_is_refused_first(tmp_path: Path, section: str, message: str) -> None:
    folder, study = make(tmp_path, section, prompts=2)
    with pytest.raises(InputError, match=message):
        score(folder, study)
    assert not folder.features.exists()


def test_long_captions_are_counted(tmp_path: Path) -> None:
    folder, study = make(tmp_path, 'names = ["clip_score"]')
    long = dataclasses.replace(study.prompts[0], text="a dog and a cat " * 30)
    others = [dataclasses.replace(prompt, text="a dog!") for prompt in study.prompts[1:]]
    study = dataclasses.replace(study, prompts=(long, *others))
    assert [row.truncated for row in score(folder, study)] == [1, 1]


def test_clip_score_is_the_mean_of_cosines_by_hand(tmp_path: Path) -> None:
    import open_clip
    import torch

    folder, study = make(tmp_path, 'names = ["clip_score"]')
    row = score(folder, study)[0]
    name = f"local-dir:{locate('tiny-clip').path}"
    model, _, transform = open_clip.create_model_and_transforms(name)
    model.eval()
    tokens = open_clip.get_tokenizer(name)([prompt.text for prompt in study.prompts])
    images = [Image.open(folder.image(NAMES[0], prompt.id, 0)).convert("RGB") for prompt in study.prompts]
    with torch.inference_mode():
        a = model.encode_image(torch.stack([transform(image) for image in images]))
        cosines = torch.nn.functional.cosine_similarity(a, model.encode_text(tokens)).clamp(min=0)
    assert row.value == pytest.approx(100 * float(cosines.mean()), abs=1e-4)


def test_reference_folder_is_built_once_and_gives_the_same_distance(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    random = np.random.default_rng(9)
    for i in range(8):
        Image.fromarray(random.integers(0, 256, (70, 90, 3), dtype=np.uint8)).save(photos / f"{i}.png")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    folder, study = make(
        tmp_path / "a", 'names = ["fd_clip", "kid"]\nreference = "../photos"'.replace(', "kid"', "")
    )
    direct = score(folder, study)
    built = references.build("photos-of-noise", photos)
    assert built.sha256 == direct[0].protocol["reference_sha256"]
    assert direct[0].protocol["reference_n"] == 8
    folder, study = make(tmp_path / "b", 'names = ["fd_clip"]\nreference = "photos-of-noise"')
    assert [r.value for r in score(folder, study)] == [r.value for r in direct]
    assert references.built() == ["photos-of-noise"]
    with pytest.raises(InputError, match="lower-case"):
        references.build("Photos!", photos)


def test_published_statistics_are_checked(tmp_path: Path) -> None:
    good = tmp_path / "good.npz"
    np.savez(good, mu=np.zeros(3), sigma=np.eye(3))
    assert references.load_statistics(good).mean.shape == (3,)
    for number, arrays in enumerate(
        (
            {"mu": np.zeros(3)},
            {"mu": np.zeros(3), "sigma": np.eye(4)},
            {"mu": np.full(3, np.nan), "sigma": np.eye(3)},
            {"mu": np.zeros(2), "sigma": np.array([[1.0, 0.5], [0.0, 1.0]])},
        )
    ):
        np.savez(tmp_path / f"{number}.npz", **arrays)
        with pytest.raises(InputError, match=f"{number}.npz"):
            references.load_statistics(tmp_path / f"{number}.npz")


def vote(left: int, winner: str, prompt: str, rater: str) -> Battle:
    names = (NAMES[left], NAMES[1 - left])
    return Battle(
        left=names[0], right=names[1], outcome=winner, question="quality", rater=rater, prompt_id=prompt
    )


def test_votes_bring_agreement_and_what_each_image_got(tmp_path: Path) -> None:
    folder, study = make(tmp_path, 'names = ["clip_score", "near_duplicates"]')
    score(folder, study)
    assert json.loads((folder.path / "scores.json").read_text())["agreement"] == []
    lines = read_rows(folder.image_scores_file, ImageScore)
    images = {(line.metric, line.contender, line.prompt_id): line.value for line in lines}
    assert len(images) == 2 * 2 * 6
    battles, hits = [], 0.0
    for i, prompt in enumerate(study.prompts):
        battles.append(vote(i % 2, "left", prompt.id, f"r{i % 3}"))
        own, other = (images["clip_score", name, prompt.id] for name in (NAMES[i % 2], NAMES[1 - i % 2]))
        hits += 0.5 * (1 + np.sign(own - other))  # both below 0 count as 0: alike
    write_rows(folder.battles_file, battles)
    rows = score(folder, study)
    scores = read_scores(folder)
    assert scores is not None
    first = scores.agreement[0]
    assert (first.metric, first.question, first.n) == ("clip_score", "quality", 6)
    assert first.fingerprint == rows[0].fingerprint
    assert first.accuracy == pytest.approx(hits / 6)
    assert score_rows(scores)[0]["people"].startswith(f"{100 * hits / 6:.0f}%")
    ranked = dataclasses.replace(first, kendall=2 / 3, kendall_low=-0.5, kendall_high=1.0)
    scores = dataclasses.replace(scores, agreement=(ranked, *scores.agreement[1:]))
    assert score_rows(scores)[0]["people"].endswith("of 6 votes, τ 0.67 (-0.50 to 1.00)")


def test_differences_are_paired_by_prompt_and_read_back(tmp_path: Path) -> None:
    folder, study = make(
        tmp_path, 'names = ["clip_score", "fd_clip"]\nreference = "tiny-sdxl@50"', replicates=2
    )
    score(folder, study)
    scores = read_scores(folder)
    assert scores is not None
    (row,) = scores.differences  # a distance from one of two contenders leaves nothing to compare
    images = read_rows(folder.image_scores_file, ImageScore)
    means = {
        name: np.array(
            [
                np.mean([i.value for i in images if (i.contender, i.prompt_id) == (name, p.id)])
                for p in study.prompts
            ]
        )
        for name in NAMES
    }
    paired = ttest_rel(means[row.a], means[row.b])
    ends = paired.confidence_interval(0.95)
    assert (row.metric, row.a, row.b, row.n, row.prompts) == ("clip_score", *NAMES, 12, 6)
    np.testing.assert_allclose([row.low, row.high], [ends.low, ends.high], rtol=1e-2)
    assert row.estimate == pytest.approx((means[row.a] - means[row.b]).mean())
    effects = read_rows(folder.prompt_effects_file, PromptEffect)
    own = [line.effect for line in effects if (line.metric, line.contender) == ("clip_score", NAMES[0])]
    np.testing.assert_allclose(own, means[NAMES[0]] - means[NAMES[0]].mean(), atol=1e-9)


def test_real_differences_name_the_better_contender_first() -> None:
    def row(metric: str, low: float, high: float) -> Difference:
        return Difference(
            metric=metric, fingerprint="x", a="one", b="two", estimate=(low + high) / 2, low=low, high=high,
            p=0.01, n=9, prompts=9, correction="one pair",
        )  # fmt: skip

    def score_of(metric: str, up: bool) -> Score:
        return Score(
            metric=metric, contender="one", value=1.0, low=0.0, high=2.0, n=9, interval="", protocol={},
            higher_is_better=up, fingerprint="x",
        )  # fmt: skip

    scores = Scores(
        rows=(score_of("up", True), score_of("down", False)),
        differences=(row("up", 1, 3), row("down", 1, 3), row("up", -3, -1), row("up", -1, 3)),
    )
    found = [(r["metric"], r["better"], r["worse"], r["95%, joint"]) for r in difference_rows(scores)]
    assert found == [
        ("up ↑", "one", "two", "1 to 3"),
        ("down ↓", "two", "one", "1 to 3"),
        ("up ↑", "two", "one", "1 to 3"),
    ]


def test_a_protocol_is_known_and_takes_its_own_prompts_alone(tmp_path: Path) -> None:
    folder, study = make(tmp_path, "")
    with pytest.raises(InputError, match="5,000 captions"):
        score(folder, study, protocol="mlperf-sdxl")
    with pytest.raises(InputError, match="did you mean 'mlperf-sdxl'"):
        score(folder, study, protocol="mlperf-sd")


def test_everything_that_is_wanting_is_told_before_images_are_made(tmp_path: Path) -> None:
    _, study = make(
        tmp_path, 'names = ["clip_score", "fid", "kid", "pickscore"]\nreference = "coco-2017-val"'
    )
    said = wanting(study)
    assert all(
        part in text for part, text in zip(("'inception-tf'", "'pickscore'", "'coco"), said, strict=True)
    )
    assert all("bench fetch" in text for text in said)
    (tmp_path / "b").mkdir()
    assert wanting(make(tmp_path / "b", ALL)[1]) == []
    with pytest.raises(InputError, match=r"could not be scored: .*'inception-tf'.*2 more: `bench doctor`"):
        run(study, tmp_path / "none", Options(device="cpu"), Protocol(samples=1, least=1), Reporter())
    assert not list((tmp_path / "none").rglob("*.webp"))
    assert [f.message for f in examine(study, tmp_path, check=lambda _: HERE) if f.what == "metrics"] == said


def test_directions_start_from_the_kept_pictures(tmp_path: Path) -> None:
    folder, study = make(tmp_path, "")
    changes = {
        "task": "image-to-image",
        "metrics": study.file.metrics.model_copy(update={"names": ("clip_direction",)}),
    }
    task = study.file.model_copy(update=changes)
    prompts = tuple(dataclasses.replace(p, reference="x", reference_text="snow") for p in study.prompts)
    study = dataclasses.replace(study, file=task, prompts=prompts)
    with pytest.raises(InputError, match="reference image of prompt"):
        score(folder, study)
    kept = []
    for number, prompt in enumerate(prompts):
        # The first contender's own picture is the source: it did not move at all.
        path = folder.reference(prompt.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(folder.image(NAMES[0], prompt.id, 0).read_bytes())
        kept.append(
            Reference(
                prompt_id=prompt.id,
                source=str(number),
                source_sha256="",
                sha256=sha256(path.read_bytes()),
                side=64,
            )
        )
    write_rows(folder.references_file, kept)
    rows = score(folder, study)
    assert rows[0].value == pytest.approx(0, abs=1e-6)
    assert rows[1].value is not None
    assert -1 <= rows[1].value <= 1
    assert rows[1].value != 0


def test_a_built_reference_keeps_its_statistics_and_notices_changed_images(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    random = np.random.default_rng(3)
    for i in range(40):
        Image.fromarray(random.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(photos / f"{i:02d}.png")
    built = references.build("forty", photos)
    found = reference_statistics(built, "tiny-clip", "cpu")
    assert (found.n, found.mean.shape) == (40, (32,))
    assert built.cache is not None
    (kept,) = built.cache.glob("moments-*.npz")
    np.testing.assert_allclose(references.load_statistics(kept).full(), found.full())
    again = reference_statistics(references.resolve("forty", tmp_path), "tiny-clip", "cpu")
    assert again.n == 40
    (photos / "07.png").write_bytes((photos / "08.png").read_bytes() + b" ")
    with pytest.raises(InputError, match=r"07\.png was changed.*bench reference build forty"):
        references.resolve("forty", tmp_path)

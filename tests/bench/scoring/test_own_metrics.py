"""A user's own metrics: a file, a function, a command, an installed package; each computed by hand beside."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import ttest_rel
from typer.testing import CliRunner

from bench.cli.app import app
from bench.errors import InputError
from bench.records import Battle, ImageScore, read_rows
from bench.scoring.requirements import plan
from bench.scoring.score import score
from bench.store.documents import read_scores
from bench.store.study_folder import StudyFolder, write_rows
from bench.study.study import Study
from tests.support.scored_study import NAMES, PROMPTS, make, pixels

FUNCTION = '''
import numpy as np

CALLS = []

def sharpness(images, prompts):
    """Mean absolute step between neighbouring pixels of a row, and the caption's length."""
    CALLS.append(len(images))
    return [np.abs(np.diff(np.asarray(i, dtype=float), axis=1)).mean() + len(p) for i, p in zip(images, prompts)]
'''
COMMAND = """
import sys
import numpy as np
from PIL import Image

for line in sys.stdin:
    path, prompt = line.rstrip("\\n").split("\\t")
    print(np.asarray(Image.open(path), dtype=float).mean() / 255)
"""


def by_image(folder: StudyFolder, metric: str) -> np.ndarray:
    """(contender, prompt, replicate) of what was written."""
    lines = [line for line in read_rows(folder.image_scores_file, ImageScore) if line.metric == metric]
    return np.array([line.value for line in lines]).reshape(2, len(PROMPTS), -1)


def test_a_function_scores_every_image_once_and_is_bound_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FUNCTION, encoding="utf-8")
    folder, study = make(tmp_path, '[metrics.sharpness]\nfunction = "./mine.py:sharpness"\nbatch = 3\n')
    assert list(plan(study)) == ["sharpness"]
    rows = score(folder, study)
    expected = np.array(
        [
            [
                [
                    np.abs(np.diff(pixels(c, p, r).astype(float), axis=1)).mean() + len(PROMPTS[p])
                    for r in (0, 1)
                ]
                for p in range(4)
            ]
            for c in (0, 1)
        ]
    )
    np.testing.assert_allclose(by_image(folder, "sharpness"), expected, rtol=1e-6)
    first = rows[0]
    assert first.protocol["weights"] == "./mine.py:sharpness"
    assert first.protocol["weights_sha256"] == hashlib.sha256((tmp_path / "mine.py").read_bytes()).hexdigest()
    calls = sys.modules  # the module is not left behind under a name of its own
    assert not [name for name in calls if name.startswith("user_metric")]

    (tmp_path / "mine.py").write_text(FUNCTION.replace("+ len(p)", "+ 2 * len(p)"), encoding="utf-8")
    again = score(folder, study)
    assert again[0].fingerprint != first.fingerprint
    assert again[0].value == pytest.approx(first.value + np.mean([len(p) for p in PROMPTS]), rel=1e-6)


def test_values_of_a_function_are_kept_by_image_and_prompt(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        FUNCTION.replace("CALLS = []", "CALLS = []\nimport builtins\n"), "utf-8"
    )
    folder, study = make(tmp_path, '[metrics.sharpness]\nfunction = "./mine.py:sharpness"\n')
    first = score(folder, study)
    (tmp_path / "prompts.txt").write_text("changed", "utf-8")
    code = (tmp_path / "mine.py").read_bytes()
    stamp = (tmp_path / "mine.py").stat()
    (tmp_path / "mine.py").write_bytes(
        code.replace(b"    CALLS.append", b"    raise ValueError\n    CALLS.append")
    )
    with pytest.raises(InputError, match="metric 'sharpness' failed: ValueError"):
        score(folder, study)
    (tmp_path / "mine.py").write_bytes(code)
    import os

    os.utime(tmp_path / "mine.py", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert score(folder, study) == first


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return [1.0]", r"shape \(1,\) for 8 images"),
        ("return [float('nan')] * len(images)", "gave nan for prompt 'a red fox'"),
        ("return 1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_faulty_function_is_named(tmp_path: Path, body: str, message: str) -> None:
    (tmp_path / "mine.py").write_text(f"def f(images, prompts):\n    {body}\n", encoding="utf-8")
    folder, study = make(tmp_path, '[metrics.mine]\nfunction = "./mine.py:f"\n')
    with pytest.raises(InputError, match=message):
        score(folder, study)
    assert read_scores(folder) is None


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ('[metrics.mine]\nfunction = "./other.py:f"\n', "no file in './other.py:f'"),
        ('[metrics.mine]\ncommand = ["no-such-program"]\n', "'no-such-program' is not on this machine"),
    ],
)
def test_what_is_not_there_is_said_before_anything_is_scored(
    tmp_path: Path, metrics: str, message: str
) -> None:
    folder, study = make(tmp_path, metrics)
    with pytest.raises(InputError, match=message):
        score(folder, study)


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ("[metrics.mine]\n", r"study.toml:\d+: .*exactly one of function, command and file"),
        ('[metrics.mine]\nfile = "a.csv"\nhigher = true\n', "unknown key 'higher'"),
        ('[metrics.fid]\nfile = "a.csv"\n', "is a metric of this suite"),
        ('[metrics]\nname = ["fid"]\n', "unknown key 'name': did you mean 'names'"),
    ],
)
def test_a_wrong_table_is_named_with_its_line(tmp_path: Path, metrics: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(tmp_path, metrics)


def test_a_command_reads_paths_and_prints_numbers(tmp_path: Path) -> None:
    (tmp_path / "bright.py").write_text(COMMAND, encoding="utf-8")
    folder, study = make(
        tmp_path, f'[metrics.bright]\ncommand = ["{sys.executable}", "bright.py"]\nshare = true\n'
    )
    rows = score(folder, study)
    expected = [[[pixels(c, p, r).mean() / 255 for r in (0, 1)] for p in range(4)] for c in (0, 1)]
    np.testing.assert_allclose(by_image(folder, "bright"), expected, rtol=1e-6)
    assert rows[0].interval == "Wilson over 4 prompts"
    (tmp_path / "bright.py").write_text("raise SystemExit('no model here')", encoding="utf-8")
    with pytest.raises(InputError, match="ended with 1: no model here"):
        score(folder, study)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with metrics, as pip lays it out."""
    site = tmp_path / "site"
    about = site / "nice_metrics-1.2.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: nice-metrics\nVersion: 1.2\n")
    (about / "entry_points.txt").write_text(
        "[turbo_preference_bench.metrics]\nredness = nice_metrics:redness\nplain = nice_metrics:plain\n"
    )
    (site / "nice_metrics.py").write_text(
        "from bench.metrics.user_metrics import UserMetric\nimport numpy as np\n"
        "def plain(images, prompts, device):\n    return [len(device)] * len(images)\n"
        "redness = UserMetric(function=lambda images, prompts: [np.asarray(i)[..., 0].mean() for i in images],"
        " higher_is_better=False, tells='how red', source='nowhere 2026')\n"
    )
    monkeypatch.syspath_prepend(str(site))
    yield site
    sys.modules.pop("nice_metrics", None)


def test_a_package_offers_metrics_by_entry_point(tmp_path: Path, package: Path) -> None:
    folder, study = make(tmp_path, '[metrics]\nnames = ["redness", "plain"]\n')
    rows = score(folder, study)
    assert [(row.metric, row.higher_is_better) for row in rows] == [
        ("redness", False),
        ("redness", False),
        ("plain", True),
        ("plain", True),
    ]
    expected = [[[pixels(c, p, r)[..., 0].mean() for r in (0, 1)] for p in range(4)] for c in (0, 1)]
    np.testing.assert_allclose(by_image(folder, "redness"), expected, rtol=1e-6)
    assert rows[2].value == len("cpu")
    assert rows[0].protocol["weights"] == "package nice-metrics 1.2"
    listed = CliRunner().invoke(app, ["metrics", "--json"])
    assert '"from": "package nice-metrics 1.2"' in listed.stdout
    with pytest.raises(InputError, match="did you mean 'redness'"):
        make(tmp_path, '[metrics]\nnames = ["rednes"]\n')


def table(path: Path, study: Study, *, drop: int = 0) -> np.ndarray:
    """Writes scores of both contenders to a file; (contender, prompt, replicate)."""
    values = np.random.default_rng(1).standard_normal((2, 4, 2)) + np.arange(2)[:, None, None]
    mark = "\t" if path.suffix == ".tsv" else ","
    lines = [mark.join(("prompt_id", "contender", "replicate", "value"))]
    for c, name in enumerate(NAMES):
        for p, prompt in enumerate(study.prompts):
            lines += [mark.join((prompt.id, name, str(r), repr(float(values[c, p, r])))) for r in (0, 1)]
    path.write_text("\n".join(lines[: len(lines) - drop]) + "\n", encoding="utf-8")
    return values


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_a_table_gets_intervals_differences_and_agreement(tmp_path: Path, suffix: str) -> None:
    folder, study = make(tmp_path, "")
    values = table(tmp_path / f"theirs.{suffix}", study)
    battles = [
        Battle(
            left=NAMES[0],
            right=NAMES[1],
            outcome="right",
            question="quality",
            rater=f"r{i % 2}",
            prompt_id=prompt.id,
            replicate=1,
        )
        for i, prompt in enumerate(study.prompts)
    ]
    write_rows(folder.battles_file, battles)
    done = CliRunner().invoke(
        app,
        [
            "score",
            str(tmp_path / "study.toml"),
            "--results",
            str(tmp_path / "results"),
            "--scores",
            str(tmp_path / f"theirs.{suffix}"),
            "--lower-is-better",
        ],
    )
    assert done.exit_code == 0, done.output
    scores = read_scores(folder)
    assert scores is not None
    np.testing.assert_allclose([row.value for row in scores.rows], values.mean((1, 2)))
    assert {row.metric for row in scores.rows} == {"theirs"}
    assert not scores.rows[0].higher_is_better
    paired = ttest_rel(values[0].mean(1), values[1].mean(1)).confidence_interval(0.95)
    (difference,) = scores.differences
    np.testing.assert_allclose([difference.low, difference.high], [paired.low, paired.high], rtol=1e-2)
    hits = np.mean(values[1, :, 1] < values[0, :, 1])
    assert scores.agreement[0].accuracy == pytest.approx(hits)


def test_a_table_stays_when_the_study_is_scored_and_when_another_is_added(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FUNCTION, encoding="utf-8")
    folder, study = make(tmp_path, '[metrics.sharpness]\nfunction = "./mine.py:sharpness"\n')
    runner, place = (
        CliRunner(),
        ["score", str(tmp_path / "study.toml"), "--results", str(tmp_path / "results")],
    )
    for name in ("one", "two", "two"):
        table(tmp_path / f"{name}.csv", study)
        done = runner.invoke(app, [*place, "--scores", str(tmp_path / f"{name}.csv")])
        assert done.exit_code == 0, done.output
    alone = read_scores(folder)
    score(folder, study)
    scores = read_scores(folder)
    assert alone is not None
    assert scores is not None
    assert [row.metric for row in scores.rows] == [n for n in ("sharpness", "one", "two") for _ in NAMES]
    assert scores.rows[2:] == alone.rows
    assert scores.differences[1:] == alone.differences


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("value", "vlaue", "unknown column 'vlaue': did you mean 'value'"),
        ("tiny-turbo@1", "tiny-turbo@l", r"theirs.csv:2: unknown contender 'tiny-turbo@l'"),
        ("replicate", "contender", "a column is there twice"),
        (",0,", ",7,", "replicate '7' is not one of 0 to 1"),
        (",1,", ",0,", "has two values"),
    ],
)
def test_a_faulty_table_is_refused_by_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    from bench.scoring.score_file import read_table

    _, study = make(tmp_path, "")
    path = tmp_path / "theirs.csv"
    table(path, study)
    path.write_text(path.read_text().replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_table(path, study)


def test_a_table_that_lacks_images_is_refused_or_cut_for_all(tmp_path: Path) -> None:
    folder, study = make(tmp_path, '[metrics.theirs]\nfile = "theirs.csv"\n')
    table(tmp_path / "theirs.csv", study, drop=1)
    with pytest.raises(InputError, match=r"lacks values \(tiny-sdxl@50 1 of 8 images\)"):
        score(folder, study)
    rows = score(folder, study, allow_missing=True)
    assert [row.n for row in rows] == [7, 7]


def test_values_without_a_replicate_are_those_of_all_replicates(tmp_path: Path) -> None:
    folder, study = make(tmp_path, '[metrics.theirs]\nfile = "theirs.csv"\n')
    lines = [f"{p.id},{c},{i}" for c in NAMES for i, p in enumerate(study.prompts)]
    (tmp_path / "theirs.csv").write_text("\n".join(["prompt_id,contender,value", *lines]) + "\n")
    rows = score(folder, study)
    assert [row.value for row in rows] == [1.5, 1.5]
    assert dataclasses.asdict(rows[0])["n"] == 8


def test_the_handbook_s_example_is_a_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CLIP-IQA on a tiny CLIP, and its softmax of two cosines by hand."""
    import open_clip
    import torch

    from bench.metrics.networks import tiny_clip

    code = (Path(__file__).parents[3] / "docs/examples/clip_iqa.py").read_text(encoding="utf-8")
    name = f"local-dir:{tiny_clip.folder(tmp_path / 'tiny')}"
    (tmp_path / "clip_iqa.py").write_text(
        code.replace('"RN50", "openai"', f'"{name}", None'), encoding="utf-8"
    )
    folder, study = make(tmp_path, '[metrics.clip_iqa]\nfunction = "./clip_iqa.py:clip_iqa"\nshare = true\n')
    rows = score(folder, study)
    model, _, transform = open_clip.create_model_and_transforms(name)
    with torch.inference_mode():
        words = model.eval().encode_text(open_clip.get_tokenizer(name)(["Good photo.", "Bad photo."]))
        image = model.encode_image(transform(Image.fromarray(pixels(1, 2, 0)))[None])
        good, bad = (100 * torch.cosine_similarity(image, words)).tolist()
    assert by_image(folder, "clip_iqa")[1, 2, 0] == pytest.approx(1 / (1 + np.exp(bad - good)), rel=1e-4)
    assert rows[0].interval.startswith("Wilson")

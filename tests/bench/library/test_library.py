"""The public library: its names, its start, and that it says what the files and the command line say."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import bench

PUBLIC = {
    "InputError", "Ratings", "StudyResults", "__version__", "frechet", "generate", "load", "powered", "rate", "score",
}  # fmt: skip
"""Removing one of these, or changing what it takes or returns, is a new major version."""
FRAMES = ("prompts", "images", "scores", "image_scores", "differences", "latency", "battles", "ratings", "win_rates",
          "elo")  # fmt: skip


def test_the_public_names_are_these():
    assert set(bench.__all__) == PUBLIC
    assert set(dir(bench)) >= PUBLIC
    for name in PUBLIC - {"__version__"}:
        assert getattr(bench, name).__doc__
    assert bench.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="no attribute 'picture'"):
        bench.picture  # noqa: B018


def test_importing_it_loads_nothing_else():
    """What takes time comes with the first use; measured in tests/performance, here by what is loaded."""
    code = "import sys, bench; print(sorted(m for m in sys.modules if m.split('.')[0] in "
    code += "('numpy', 'pandas', 'torch', 'matplotlib', 'pydantic', 'bench')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['bench']"


def test_every_frame_has_the_rows_of_its_file(study_folder):
    study = bench.load(study_folder)
    frames = {name: getattr(study, name) for name in FRAMES}
    assert all(isinstance(frame, pd.DataFrame) and len(frame) for frame in frames.values())
    lines = (study_folder / "generations.jsonl").read_text().splitlines()
    assert len(frames["images"]) == len(lines) == 8
    assert set(frames["images"]["sha256"]) == {json.loads(line)["sha256"] for line in lines}
    assert frames["images"]["text"].notna().all()
    scores = json.loads((study_folder / "scores.json").read_text())
    assert frames["scores"]["value"].tolist() == [row["value"] for row in scores["rows"]]
    assert len(frames["differences"]) == len(scores["differences"])
    ratings = json.loads((study_folder / "ratings.json").read_text())
    for question, block in ratings["questions"].items():
        rows = frames["ratings"][frames["ratings"]["question"] == question]
        assert rows["rating"].tolist() == [row["rating"] for row in block["ratings"]]
    assert len(frames["battles"]) == len((study_folder / "battles.jsonl").read_text().splitlines())
    timing = json.loads((study_folder / "latency.json").read_text())["rows"][0]
    assert frames["latency"]["median"].iloc[0] == np.median(timing["seconds"])
    assert "8 images" in repr(study)


def test_a_study_that_has_only_begun_has_empty_frames(study_folder, tmp_path):
    for name in ("study.toml", "prompts.jsonl"):
        (tmp_path / name).write_bytes((study_folder / name).read_bytes())
    study = bench.load(tmp_path)
    assert len(study.images) == len(study.scores) == len(study.ratings) == len(study.latency) == 0
    assert "metric" in study.scores.columns


def test_the_figures_of_the_report_are_matplotlibs(study_folder):
    from matplotlib.figure import Figure

    study = bench.load(study_folder)
    report = {path.stem for path in (study_folder / "report" / "figures").glob("*.pdf")}
    assert {"headline", "win-rates", "latency"} <= set(study.figures)
    assert not report or report == set(study.figures)
    figure = study.figure("headline", width="one")
    assert isinstance(figure, Figure)
    assert figure.axes[0].get_xlabel() == "Seconds an image (log)"
    assert figure._repr_png_().startswith(b"\x89PNG")  # a notebook shows it without pyplot
    with pytest.raises(bench.InputError, match="unknown figure 'headlines': did you mean 'headline'"):
        study.figure("headlines")


def test_show_draws_each_contender_and_names_a_slip(study_folder):
    study = bench.load(study_folder)
    prompt = study.prompts["id"].iloc[0]
    figure = study.show(prompt)
    assert [axes.get_title() for axes in figure.axes] == ["mini-turbo@1", "mini-turbo@4"]
    assert figure.get_suptitle() == study.prompts["text"].iloc[0]
    pixels = np.asarray(figure.axes[0].images[0].get_array())
    with Image.open(study_folder / "images" / "mini-turbo@1" / f"{prompt}-0.webp") as image:
        assert (pixels == np.asarray(image.convert("RGB"))).all()
    with pytest.raises(bench.InputError, match="unknown prompt"):
        study.show("nothing such")


def test_a_data_package_loads_like_its_study(study_folder, tmp_path):
    from typer.testing import CliRunner

    from bench.cli.app import app

    command = ["export", "small", "--results", str(study_folder.parent), "--to", str(tmp_path / "package")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, (done.output, done.exception)
    ours, theirs = bench.load(study_folder), bench.load(tmp_path / "package")
    pd.testing.assert_frame_equal(ours.images, theirs.images)
    pd.testing.assert_frame_equal(ours.ratings, theirs.ratings)


def test_generate_gives_the_pixels_of_a_study(study_folder):
    study = bench.load(study_folder)
    texts = dict(zip(study.prompts["id"], study.prompts["text"], strict=True))
    images = bench.generate("mini-turbo@1", texts, device="cpu")
    assert len(images) == 4
    for prompt_id, image in zip(texts, images, strict=True):
        with Image.open(study_folder / "images" / "mini-turbo@1" / f"{prompt_id}-0.webp") as stored:
            assert (np.asarray(image) == np.asarray(stored.convert("RGB"))).all()
    with pytest.raises(
        bench.InputError, match=r"^unknown contender 'mini-trubo@1': did you mean 'mini-turbo@1'"
    ):
        bench.generate("mini-trubo@1", ["x"])


def test_score_gives_the_scores_of_a_study(study_folder):
    study = bench.load(study_folder)
    texts = dict(zip(study.prompts["id"], study.prompts["text"], strict=True))
    paths = {
        name.replace("@", "-"): [
            study_folder / "images" / name / f"{prompt_id}-0.webp" for prompt_id in texts
        ]
        for name in ("mini-turbo@1", "mini-turbo@4")
    }
    rows = bench.score(paths, texts, ["mini_clip_score"], display_size=64)
    expected = study.scores[study.scores["metric"] == "mini_clip_score"]
    assert rows["value"].tolist() == pytest.approx(expected["value"].tolist(), abs=1e-6)
    with pytest.raises(bench.InputError, match="contender 'images': 3 images for 4 prompts"):
        bench.score([1, 2, 3], texts, ["mini_clip_score"])


def test_frechet_is_the_closed_form():
    """Equal covariances, means 3 apart in each of 8 coordinates: 72."""
    rows = np.random.default_rng(0).normal(size=(200, 8))
    assert bench.frechet(rows, rows + 3) == pytest.approx(72, rel=1e-9)
    assert bench.frechet(rows, rows) == pytest.approx(0, abs=1e-9)


VOTES = pd.DataFrame(
    {
        "model_a": ["A", "B", "A"] * 20,
        "model_b": ["B", "C", "C"] * 20,
        "winner": ["a", "b", "tie"] * 10 + ["b", "a", "a"] * 10,
        "who": list("abcdefghij") * 6,
        "spare": 1,
    }
)


def test_rate_takes_a_data_frame_and_says_what_the_command_says(tmp_path, capsys):
    from arena.cli.app import app

    found = bench.rate(VOTES, columns={"rater": "who"}, bootstrap=20, shuffles=20)
    VOTES.to_csv(tmp_path / "votes.csv", index=False)
    from typer.testing import CliRunner

    command = ["rate", "--votes", str(tmp_path / "votes.csv"), "--columns", "rater=who", "--bootstrap", "20"]
    done = CliRunner().invoke(app, [*command, "--shuffles", "20", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == json.loads(json.dumps(found.json))
    assert found.document.n_raters == 10
    assert found.notes[-1] == "columns not used: spare"
    assert "not used: spare" in found._repr_html_()
    assert set(found.win_rates["question"]) == {"overall"}
    assert len(found.elo) == 3
    labels = [tick.get_text() for tick in found.plot().axes[0].get_yticklabels()]
    assert labels == found.ratings.sort_values("rating")["contender"].tolist()
    assert found.plot()._repr_png_().startswith(b"\x89PNG")


def test_a_wrong_row_of_a_data_frame_is_named():
    wrong = VOTES.assign(winner=["a"] * 41 + ["won"] + ["a"] * 18)
    with pytest.raises(bench.InputError, match="the data frame: row 41: unknown winner 'won'"):
        bench.rate(wrong)


def test_names_of_contenders_are_text_in_html():
    votes = VOTES.replace({"A": "<b>FLUX.1 [dev]</b>"})
    text = bench.rate(votes, bootstrap=0, shuffles=0)._repr_html_()
    assert "&lt;b&gt;FLUX.1 [dev]&lt;/b&gt;" in text
    assert "<b>FLUX" not in text

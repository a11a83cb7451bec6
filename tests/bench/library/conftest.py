"""A miniature study that has been through every stage, with simulated votes."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

STUDY = """name = "small"
title = "Two contenders, four prompts"
contenders = ["mini-turbo@1", "mini-turbo@4"]
display_size = 64
[prompts]
set = "miniature"
first = 4
[metrics]
names = ["scene_accuracy", "mini_clip_score"]
[arena]
votes_per_pair = 40
"""


@pytest.fixture(scope="session")
def study_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from arena.cli.app import app as arena
    from bench.cli.app import app as bench

    place = tmp_path_factory.mktemp("library")
    (place / "small.toml").write_text(STUDY)
    results = ["--results", str(place / "results")]
    for app, command in (
        (bench, ["generate", str(place / "small.toml"), "--device", "cpu", *results]),
        (bench, ["latency", str(place / "small.toml"), "--device", "cpu", "--samples", "2", *results]),
        (arena, ["simulate", "small", "--raters", "8", "--votes", "10", *results]),
        (arena, ["rate", "small", "--bootstrap", "20", "--shuffles", "20", *results]),
        (bench, ["score", str(place / "small.toml"), *results]),
    ):
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, (command, done.output, done.exception)
    return place / "results" / "small"

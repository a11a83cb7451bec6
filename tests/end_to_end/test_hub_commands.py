"""fetch, doctor, selfcheck and generate as a user types them, against a hub on the loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import hub as hubs
from tests.support import hub_layouts

STUDY = """
name = "mine"
contenders = ["painted@2", "whole@2"]
[prompts]
file = "prompts.txt"
[models.painted]
repository = "stabilityai/sdxl-turbo"
size = 64
steps = [2]
guidance = 0.0
variant = "fp16"
lora = { repository = "latent-consistency/lcm-lora-sdxl", scale = 0.7 }
[models.whole]
repository = "black-forest-labs/FLUX.2-klein-4B"
pipeline = "Flux2KleinPipeline"
size = 32
steps = [2]
guidance = 1.0
extra = { max_sequence_length = 64 }
"""

pytestmark = pytest.mark.timeout(1800)
"""Seven commands, each of which imports the libraries anew: minutes on a busy machine."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Iterator[hubs.Hub]:
    os.environ["TURBO_BENCH_CACHE"] = str(shared_cache)
    root = tmp_path_factory.mktemp("hub")
    hub_layouts.build(root, ["sdxl-turbo", "lcm-lora-xl", "flux.2-klein-4b", "flux.1-schnell"])
    with hubs.serving(root) as running:
        running.gated = set(hub_layouts.GATED)
        yield running


@pytest.fixture
def bench(
    hub: hubs.Hub, tmp_path: Path, shared_cache: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command, in a folder of its own with a cache of its own."""
    (tmp_path / "mine.toml").write_text(STUDY, encoding="utf-8")
    (tmp_path / "prompts.txt").write_text("a red dog\na blue cat on a table\n", encoding="utf-8")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        env = {
            **os.environ,
            "HF_ENDPOINT": hub.address,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_OFFLINE": "0",
            "TURBO_BENCH_CACHE": str(shared_cache),
            "OMP_NUM_THREADS": "1",
        }
        return subprocess.run(
            [sys.executable, "-m", "bench", *words],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=900,
        )

    return run


def test_fetch_selfcheck_and_generate_a_users_models(bench, tmp_path):
    fetched = bench("fetch", "mine.toml")
    assert fetched.returncode == 0, fetched.stderr
    assert "stabilityai/sdxl-turbo: " in fetched.stdout + fetched.stderr  # the sum, before it is fetched
    assert bench("generate", "mine.toml", "--device", "cpu", "--results", ".").returncode == 0
    checked = bench("selfcheck", "mine.toml", "--device", "cpu", "--results", ".", "--json")
    assert checked.returncode == 0, checked.stderr
    assert [row["result"] for row in json.loads(checked.stdout)] == ["equal within rounding"] * 2
    run = json.loads((tmp_path / "mine" / "run.json").read_text())
    assert [row["largest"] for row in run["selfcheck"]] == [0, 0]
    assert set(run["weights"]["painted"]) == {"stabilityai/sdxl-turbo", "latent-consistency/lcm-lora-sdxl"}


def test_a_gated_model_is_one_line_and_exit_2(bench, tmp_path):
    text = STUDY.replace("black-forest-labs/FLUX.2-klein-4B", "black-forest-labs/FLUX.1-schnell")
    (tmp_path / "mine.toml").write_text(text.replace("Flux2KleinPipeline", "FluxPipeline"), encoding="utf-8")
    refused = bench("fetch", "mine.toml")
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    assert "accept the licence at http://127.0.0.1" in refused.stderr.strip().splitlines()[-1]

"""A study written as a Space runs from its own folder, without the suite that wrote it, and keeps its votes."""

import os
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import httpx
import pytest
import yaml
from typer.testing import CliRunner

from arena.cli.app import app as arena_command
from tests.support.arena_server import POST, free_port
from tests.support.arena_study import make_study

ONLY_ITS_OWN = """
import runpy, sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

installed = {}  # what pip brings for requirements.txt: package -> the extras asked for
def bring(requirement):
    name, extras = canonicalize_name(requirement.name), set(requirement.extras) | {""}
    if extras <= installed.setdefault(name, set()):
        return
    installed[name] |= extras
    try:
        needed = [Requirement(line) for line in requires(name) or []]
    except PackageNotFoundError:  # needed on other systems only
        return
    for one in needed:
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in extras):
            bring(one)
for line in open("requirements.txt"):
    bring(Requirement(line.strip()))
absent = {module for module, owners in packages_distributions().items()
          if not any(canonicalize_name(owner) in installed for owner in owners)}
absent -= {"arena", "bench"}  # the Space has its own copy, first on the path
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
runpy.run_path("app.py", run_name="__main__")
"""
"""Runs app.py as where requirements.txt alone is installed: what it does not bring cannot be imported."""


def run(folder, **environment):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("ARENA_", "PYTHONPATH", "SPACE_"))}
    return subprocess.Popen(
        [sys.executable, "-c", ONLY_ITS_OWN],
        cwd=folder,
        env={**clean, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    home = tmp_path_factory.mktemp("space")
    _, folder = make_study(home / "s", votes_per_pair=20)
    (folder.path / "arena.key").write_text("0" * 64)  # secrets and votes stay where they are
    (folder.path / "votes.sqlite").write_text("secret")
    result = CliRunner().invoke(arena_command, ["space", str(folder.path), "--to", str(home / "space")])
    assert result.exit_code == 0, result.output
    assert "private" in result.output
    return home / "space"


def test_the_folder_is_what_a_space_is(space):
    _, header, text = (space / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    assert yaml.safe_load(header)["sdk"] == "gradio"
    assert yaml.safe_load(header)["sdk_version"] == metadata.version("gradio")
    assert yaml.safe_load(header)["app_file"] == "app.py"
    assert "ARENA_DATABASE" in text
    assert not list(space.rglob("arena.key"))
    assert not list(space.rglob("votes.sqlite"))
    assert not list(space.rglob("weights"))
    assert sum(f.stat().st_size for f in space.rglob("*") if f.is_file()) < 10e6


def test_votes_are_taken_kept_over_a_restart_and_exported(space, tmp_path):
    port = free_port()
    data = tmp_path / "data"
    data.mkdir()
    url = f"http://127.0.0.1:{port}"
    for number in (1, 2):
        server = run(space, ARENA_DATA=str(data), PORT=str(port), ARENA_ADMIN_TOKEN="0123456789abcdef0123")
        try:
            wait_for(url, server)
            with httpx.Client(base_url=url, headers=POST, timeout=60, verify=False) as rater:
                assert "gradio_config" in rater.get("/").text
                state = rater.post("/api/start", json={"consent": True}).json()["state"]
                for _ in range(3):
                    body = {"token": state["ballots"][0]["token"], "answer": "left"}
                    assert rater.get("/" + state["ballots"][0]["left"]).status_code == 200
                    state = rater.post("/api/vote", json=body).json()["state"]
                assert rater.post("/admin-login", data={"token": "0123456789abcdef0123"}).status_code == 303
                assert len(rater.get("/admin-export/jsonl").text.splitlines()) == 3 * number
        finally:
            server.kill()
            server.communicate()


def wait_for(url, server):
    for _ in range(1200):
        try:
            if httpx.get(url + "/healthz", verify=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        assert server.poll() is None, server.stdout.read()
        time.sleep(0.2)
    raise AssertionError("the Space does not answer")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"ARENA_DATA": "/nowhere"}, "votes would be lost"),
        ({"ARENA_DATABASE": "postgresql://x/y"}, "needs ARENA_KEY"),
    ],
)
def test_a_space_with_nowhere_to_keep_votes_does_not_start(space, environment, message):
    refused = run(space, **environment)
    output, _ = refused.communicate(timeout=300)
    assert refused.returncode == 2
    assert message in output
    assert len(output.strip().splitlines()) == 1


def test_a_folder_in_use_is_not_written_to(space):
    result = CliRunner().invoke(arena_command, ["space", str(space / "study"), "--to", str(Path(space))])
    assert result.exit_code != 0
    assert "not empty" in str(result.exception)

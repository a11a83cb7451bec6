"""A study in an object store: a real S3-compatible server (moto), real requests."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import bench.store.object_store as objects
from bench.errors import InputError
from bench.records import Generation
from bench.store.object_store import ObjectFolder, copy, folder_at, is_url, open_anywhere, url_of
from bench.store.study_folder import StudyFolder
from tests.support.sweeping import (
    IMAGES,
    assert_whole,
    finish,
    hashes,
    start,
    undisturbed,
    until,
    write_study,
)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def whole(study):
    return undisturbed(study.parent)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    log = tmp_path_factory.mktemp("moto") / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("moto_server"), "-H", "127.0.0.1", "-p", "0"],
            stdout=out,
            stderr=out,
        )
    try:
        until(lambda: "Running on http" in log.read_text(), process)
        yield re.findall(r"http://127\.0\.0\.1:\d+", log.read_text())[-1]
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def bucket(server, monkeypatch, request):
    """s3://…, a bucket of the test's own."""
    import fsspec

    for name, value in (("ENDPOINT_URL", server), ("ACCESS_KEY_ID", "a"), ("SECRET_ACCESS_KEY", "b")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    name = "b-" + re.sub("[^a-z]+", "-", request.node.name)[:50].strip("-")
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir(name)
    return f"s3://{name}/sweeps"


def test_the_bytes_in_a_bucket_are_those_on_a_disk_also_after_a_kill(study, whole, bucket, tmp_path):
    folder = folder_at(Path(bucket), "sweep")
    assert isinstance(folder, ObjectFolder)
    process = start(study, bucket, "--processes", "2", "--pause", "0.2")
    until(lambda: len(folder.sizes("images")) > 10, process)
    process.kill()
    process.communicate()
    assert len(folder.sizes("images")) < IMAGES
    code, told = finish(start(study, bucket))  # the dead process's hold is seen through
    assert code == 0, told
    assert hashes(folder) == whole
    assert folder.damaged() == []
    assert {name.partition("/")[0] for name in folder.sizes("")} == {
        "images", "generations.jsonl", "plan.json", "prompts.jsonl", "study.toml",
    }  # fmt: skip
    copied = copy(f"{bucket}/sweep", tmp_path)
    assert_whole(StudyFolder(copied), whole)


def test_a_second_driver_is_told_who_holds_the_folder(bucket):
    folder = ObjectFolder(f"{bucket}/held")
    with (
        folder.lock(),
        pytest.raises(InputError, match=f"written by another process \\(pid {os.getpid()}"),
        ObjectFolder(folder.where).lock(),
    ):
        pass
    with folder.lock():
        pass


def test_a_hold_that_nobody_renews_ends(bucket):
    folder = ObjectFolder(f"{bucket}/stale")
    folder.write(".lock", json.dumps({"hold": "x", "pid": 1, "node": "gone", "time": 0.0}).encode())
    with folder.lock():
        assert json.loads(folder.read(".lock") or b"")["pid"] == os.getpid()


def row(name: str, data: bytes) -> Generation:
    return Generation(
        contender="c", prompt_id=name, replicate=0, seed=1, sha256=objects.sha256(data), width=1, height=1,
        bytes=len(data), seconds=None, settings="",
    )  # fmt: skip


def test_damage_in_a_bucket_is_found(bucket):
    folder = ObjectFolder(f"{bucket}/x")
    with folder.lock():
        for name in ("good", "cut", "gone"):
            folder.write_image("c", name, 0, b"pixels")
            folder.append(folder.generations_file, [row(name, b"pixels")])
        folder.write("study.toml", b"")
    folder.write_image("c", "cut", 0, b"pix")
    folder.remove_image(row("gone", b""))
    opened = open_anywhere("x", Path(bucket))
    assert {(r.prompt_id, fault) for r, fault in opened.damaged()} == {
        ("cut", "damaged"),
        ("gone", "missing"),
    }
    assert {key[1]: there for key, there in folder.intact()} == {"good": True, "cut": False, "gone": False}


def test_another_study_over_an_old_one_is_refused(bucket):
    folder = ObjectFolder(f"{bucket}/x")
    folder.freeze("name = 'x'", [])
    folder.freeze("name = 'x'", [])
    with pytest.raises(InputError, match=r"another study \(study\.toml differs\)"):
        folder.freeze("name = 'y'", [])
    with pytest.raises(InputError, match="holds no study"):
        open_anywhere("z", Path(bucket))


def test_a_bucket_that_is_not_there_is_one_line(bucket):
    with (
        pytest.raises(InputError, match="s3://no-such-bucket-here"),
        ObjectFolder("s3://no-such-bucket-here/x").lock(),
    ):
        pass


@pytest.mark.parametrize(
    ("place", "url"),
    [("s3://b/x", True), (Path("s3://b/x"), True), ("results", False), (Path("/a/b"), False), ("c:x", False)],
)
def test_urls_are_known_also_as_paths(place, url):
    assert is_url(place) is url
    if url:
        assert url_of(place) == "s3://b/x"

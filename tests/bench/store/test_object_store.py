"""A study in an object store: a real S3-compatible server (moto), real requests."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import bench.store.object_store as objects
import bench.store.store_access as store_access
from bench.errors import InputError
from bench.records import Generation
from bench.store.fencing import List, Read, lease
from bench.store.mirror import copy
from bench.store.object_store import ObjectFolder, folder_at, is_url, open_anywhere, url_of
from bench.store.store_access import StoreAccess
from bench.store.study_folder import StudyFolder
from bench.study.binding import bind
from bench.study.study import read
from bench.sweep.generate import generate
from bench.sweep.settings import Options
from tests.support.null_pipeline import load
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
        "images", "generations", "identity.json", "lease", "plan", "prompts.jsonl", "settings", "slots.jsonl",
        "study.toml",
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
    claim = json.dumps({"hold": "x", "pid": 1, "node": "gone", "time": 0.0}).encode()
    folder.write(lease(3), claim)
    folder.write(".lock", claim)  # of version 0.1
    with folder.lock():
        assert json.loads(folder.read(lease(4)) or b"")["pid"] == os.getpid()
    alive = json.dumps({"hold": "x", "pid": 1, "node": "elsewhere", "time": time.time()}).encode()
    folder.write(".lock", alive)
    with pytest.raises(InputError, match="of an older version"), folder.lock():
        pass


def test_a_driver_that_was_taken_over_from_stops_with_a_line_and_loses_nothing(bucket, monkeypatch):
    stalled, other = ObjectFolder(f"{bucket}/x"), ObjectFolder(f"{bucket}/x")
    monkeypatch.setattr(objects, "PART_SECONDS", 0.0)

    def meanwhile() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(objects, "_is_expired", lambda holder: True)
            held.enter_context(other.lock())
        other.append("generations", [row("b", b"b")])
        with pytest.raises(InputError, match="is being written by another"), ObjectFolder(other.where).lock():
            pass

    held = contextlib.ExitStack()
    with held, stalled.lock():
        stalled.append("generations", [row("a", b"a")])
        meanwhile()
        with pytest.raises(InputError, match=f"taken over by another process \\(pid {os.getpid()} "):
            stalled.append("generations", [row("c", b"c")])
        other.join()
        assert {key[1] for key in other.generations()} >= {"a", "b"}
    with ObjectFolder(f"{bucket}/x").lock():
        assert ObjectFolder(f"{bucket}/x").read(lease(2, "end")) is not None


SMALL = """name = "small"
contenders = ["tiny-turbo@1", "tiny-lcm@4"]
[prompts]
file = "prompts.txt"
[generate]
batch_size = 2
"""


def drive(study: Path, where: str) -> None:
    """`bench generate` with null pipelines, in this process."""
    folder, found = ObjectFolder(where), read(study)
    with folder.lock():
        bind(found, folder)
        generate(found, folder, Options(device="cpu"), load=load)


@pytest.fixture
def little(tmp_path, monkeypatch):
    """A study of four images, whose rows reach the store one by one; and its hashes."""
    monkeypatch.setattr(objects, "PART_SECONDS", 0.0)
    (tmp_path / "prompts.txt").write_text("a fox\na boat\n")
    (tmp_path / "study.toml").write_text(SMALL)
    where = f"memory://whole-{tmp_path.name}/small"
    drive(tmp_path / "study.toml", where)
    return tmp_path / "study.toml", hashes(ObjectFolder(where))


@pytest.fixture
def stall(monkeypatch):
    """stall(n, meanwhile): the n-th change of the store waits, in the thread that makes it, while `meanwhile` runs as
    another process would. Returns a list that is filled when that happened."""
    real, here = StoreAccess._once, threading.local()

    def arrange(number: int, meanwhile) -> list[str]:
        changes, happened = itertools.count(1), []

        def once(self, operation, again):
            mine = not getattr(here, "other", False) and not isinstance(operation, Read | List)
            if mine and next(changes) == number and not happened:
                happened.append(f"{type(operation).__name__} {operation.name}")

                def run() -> None:
                    here.other = True
                    meanwhile()

                thread = threading.Thread(target=run)
                thread.start()
                thread.join()
            return real(self, operation, again)

        monkeypatch.setattr(StoreAccess, "_once", once)
        return happened

    return arrange


def test_a_driver_stalled_at_any_change_while_another_does_the_whole_study(
    little, stall, monkeypatch, tmp_path
):
    study, expected = little
    monkeypatch.setattr(objects, "_is_expired", lambda holder: True)
    stalls = []
    for number in itertools.count(1):
        where = f"memory://stalled-{tmp_path.name}-{number}/small"
        happened = stall(number, lambda where=where: drive(study, where))
        said = ""
        try:
            drive(study, where)
        except InputError as error:
            said = str(error)
        assert not said or "taken over" in said or "being written" in said
        folder = ObjectFolder(where)
        assert hashes(folder) == expected, happened
        assert folder.damaged() == [], happened
        if not happened:
            break
        stalls += happened
    assert len(stalls) > 15
    assert {place.split()[1].split("/")[0] for place in stalls} >= {
        "lease",
        "images",
        "generations",
        "plan",
        "study.toml",
    }


def test_an_outage_is_waited_for_and_an_answer_that_got_lost_is_no_second_writer(bucket, monkeypatch, caplog):
    import botocore.exceptions

    folder = ObjectFolder(f"{bucket}/x")
    real, calls = StoreAccess._once, []
    outages = [
        botocore.exceptions.EndpointConnectionError(endpoint_url="s3"),
        botocore.exceptions.ReadTimeoutError(endpoint_url="s3"),
        OSError(errno.EBUSY, "Slow Down"),
        ConnectionResetError(),
    ]

    def away(self, operation, again):
        calls.append(operation)
        if len(calls) % 3:  # the request arrives, its answer does not
            if len(calls) % 3 == 2:
                real(self, operation, again)
            raise outages[len(calls) % 4]
        return real(self, operation, again)

    monkeypatch.setattr(StoreAccess, "_once", away)
    monkeypatch.setattr(store_access, "backoff", lambda total: iter([0.0] * 9))
    with folder.lock():
        folder.write_image("c", "p", 0, b"pixels")
        folder.append("generations", [row("p", b"pixels")])
    assert folder.damaged() == []
    assert "does not answer" in caplog.text

    def gone(self, operation, again):
        raise outages[0]

    monkeypatch.setattr(StoreAccess, "_once", gone)
    with pytest.raises(InputError, match=r"has not answered for .* nothing written so far is lost"):
        folder.read("x")


def test_an_image_of_another_size_is_generated_again(little, tmp_path):
    study, expected = little
    where = f"memory://foreign-{tmp_path.name}/small"
    drive(study, where)
    folder = ObjectFolder(where)
    folder.write("images/tiny-lcm@4/prompts-0001-0.webp", b"somebody else's")
    drive(study, where)
    assert hashes(folder) == expected
    assert folder.damaged() == []


def test_a_foreign_image_in_the_place_of_ours_is_described_by_the_row(bucket):
    folder = ObjectFolder(f"{bucket}/x")
    folder.write_image("c", "p", 0, b"theirs")
    assert folder.write_image("c", "p", 0, b"ours") == b"theirs"
    assert folder.read_image(row("p", b"theirs")) == b"theirs"


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
    folder.write("images/c/cut-0.webp", b"pix")
    folder.remove_image(row("gone", b""))
    opened = open_anywhere("x", Path(bucket))
    assert {(r.prompt_id, fault) for r, fault in opened.damaged()} == {
        ("cut", "damaged"),
        ("gone", "missing"),
    }
    assert {key[1]: there for key, there in folder.intact()} == {"good": True, "cut": False, "gone": False}


def test_a_name_without_a_study_is_one_line(bucket):
    folder = ObjectFolder(f"{bucket}/x")
    folder.write_study("name = 'x'", [])
    assert open_anywhere("x", Path(bucket)).read("study.toml") == b"name = 'x'"
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

import errno
import os
import subprocess
import sys

import pytest

from bench.errors import InputError
from bench.records import Failure, Generation, Prompt
from bench.store.study_folder import StudyFolder, open_folder, sha256, write_bytes


def generation(prompt_id: str = "p", data: bytes = b"x", contender: str = "c@1") -> Generation:
    return Generation(
        contender=contender, prompt_id=prompt_id, replicate=0, seed=1, sha256=sha256(data), width=1, height=1,
        bytes=len(data), seconds=0.1, settings="s",
    )  # fmt: skip


def failure(prompt_id: str = "p", stage: str = "generate", message: str = "m") -> Failure:
    return Failure(stage=stage, contender="c@1", prompt_id=prompt_id, replicate=0, kind="k", message=message)


@pytest.fixture
def folder(tmp_path):
    return StudyFolder(tmp_path)


def test_appending_after_a_torn_line_cuts_it_off(folder):
    folder.append(folder.generations_file, [generation("a")])
    with folder.generations_file.open("ab") as file:
        file.write(b'{"contender": "torn' + b"x" * 200_000)
    folder.append(folder.generations_file, [generation("b")])
    assert [key[1] for key in folder.generations()] == ["a", "b"]


def test_the_newest_row_of_an_image_counts(folder):
    folder.append(folder.generations_file, [generation(data=b"old"), generation(data=b"new")])
    (row,) = folder.generations().values()
    assert row.sha256 == sha256(b"new")


def test_a_failure_stands_until_its_image_is_made(folder):
    folder.append(
        folder.failures_file, [failure("a"), failure("a", message="again"), failure("b", stage="score")]
    )
    assert sorted((f.prompt_id, f.message) for f in folder.failures()) == [("a", "again"), ("b", "m")]
    folder.append(folder.generations_file, [generation("a"), generation("b")])
    assert [f.stage for f in folder.failures()] == ["score"]


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_bytes(path, b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="disk is full"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_append_leaves_whole_rows_only(folder, monkeypatch):
    folder.append(folder.generations_file, [generation("a")])
    before = folder.generations_file.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="free some space"):
        folder.append(folder.generations_file, [generation("b")])
    assert folder.generations_file.read_bytes() == before


def test_a_second_process_is_told_who_writes(folder):
    code = (
        "import sys; from bench.store.study_folder import *; from pathlib import Path\n"
        "with StudyFolder(Path(sys.argv[1])).lock(): pass"
    )
    with folder.lock():
        other = subprocess.run([sys.executable, "-c", code, str(folder.path)], capture_output=True, text=True)
    assert other.returncode
    assert f"pid {os.getpid()}" in other.stderr
    with folder.lock():
        pass


def test_a_study_that_is_the_same_is_not_written_again(folder):
    folder.write_study("name = 'x'", [Prompt(id="a", text="one")])
    before = (folder.study_file.stat().st_ino, folder.prompts_file.stat().st_ino)
    folder.write_study("name = 'x'", [Prompt(id="a", text="one")])
    assert (folder.study_file.stat().st_ino, folder.prompts_file.stat().st_ino) == before
    folder.write_study("name = 'x' # grown", [Prompt(id="a", text="one"), Prompt(id="b", text="two")])
    assert [p.id for p in folder.prompts()] == ["a", "b"]
    assert folder.has("name = 'x' # grown")


def test_missing_and_damaged_images_are_found(folder):
    for prompt_id in ("good", "cut", "gone"):
        write_bytes(folder.image("c@1", prompt_id, 0), b"pixels")
        folder.append(folder.generations_file, [generation(prompt_id, b"pixels")])
    folder.image("c@1", "cut", 0).write_bytes(b"pix")
    folder.image("c@1", "gone", 0).unlink()
    assert {(row.prompt_id, fault) for row, fault in folder.damaged()} == {
        ("cut", "damaged"),
        ("gone", "missing"),
    }


def test_an_unknown_folder_names_those_that_are_there(tmp_path):
    StudyFolder(tmp_path / "known").write_study("name = 'known'", [])
    with pytest.raises(InputError, match="there: known"):
        open_folder("unknown", tmp_path)


def test_a_folder_is_found_by_the_file_it_was_run_from(tmp_path):
    made = StudyFolder(tmp_path / "results" / "night")
    made.write_study("name = 'night'", [])
    file = tmp_path / "my-study.toml"
    file.write_text("name = 'night'\n")
    assert open_folder(file, tmp_path / "results").path == made.path
    file.write_text("name = 'day'\n")
    with pytest.raises(InputError, match="no study folder 'day'"):
        open_folder(file, tmp_path / "results")
    for broken, told in (("name = ", "is not TOML"), ("", "gives no name")):
        file.write_text(broken)
        with pytest.raises(InputError, match=told):
            open_folder(file, tmp_path / "results")


def test_what_a_killed_process_was_writing_is_removed_and_nothing_else(folder):
    keep = folder.image("c", "p", 0)
    for path in (
        keep,
        keep.with_name(".p-0.webp.1.2.tmp"),
        folder.path / ".plan.json.1.2.tmp",
        folder.path / ".lock",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    folder.remove_temporaries()
    assert {p.name for p in folder.path.rglob("*") if p.is_file()} == {keep.name, ".lock"}


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_bytes(tmp_path / "pipe", b"data")
        assert os.read(reader, 16) == b"data"
        assert (tmp_path / "pipe").is_fifo()
    finally:
        os.close(reader)

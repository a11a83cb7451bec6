"""The command itself, on the tiny pipelines: real prompts, real imports, real kills."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.records import read_rows
from bench.store.study_folder import StudyFolder
from tests.conftest import ROOT, SHARED

STUDY = """name = "{name}"
contenders = ["tiny-turbo@1", "tiny-turbo@4", "tiny-sdxl@50", "tiny-lcm@4"]
display_size = 64
[prompts]
set = "parti"
first = {count}
[generate]
batch_size = 4
"""


def command(*words: str | Path, cache: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *map(str, words)],
        capture_output=True,
        text=True,
        env=environment(cache),
    )


def environment(cache: Path) -> dict[str, str]:
    return {
        **os.environ,
        "TURBO_BENCH_CACHE": str(cache),
        "BENCH_SHARED": str(SHARED),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }


def hashes(folder: StudyFolder) -> dict:
    return {key: row.sha256 for key, row in folder.generations().items()}


@pytest.fixture(scope="module")
def parti(shared, shared_cache):
    done = command("prompts", "add", "parti", shared / "prompts" / "parti-prompts.tsv", cache=shared_cache)
    assert done.returncode == 0, done.stderr
    return shared_cache


@pytest.fixture(scope="module")
def whole(parti, tmp_path_factory):
    """The first 20 rows of PartiPrompts, undisturbed: images, latency, report."""
    place = tmp_path_factory.mktemp("whole")
    (place / "study.toml").write_text(STUDY.format(name="parti20", count=20))
    done = command("run", place / "study.toml", "--results", place, "--samples", "2", cache=parti)
    assert done.returncode == 0, done.stderr + done.stdout
    return StudyFolder(place / "parti20"), done


def test_the_main_job_leaves_every_part(whole):
    folder, done = whole
    assert len(folder.generations()) == 80
    assert folder.damaged() == []
    assert folder.failures() == []
    assert {t.contender for t in folder.timings()} == {c for c, _, _ in folder.generations()}
    provenance = folder.read_json("run.json")
    assert provenance["prompt_set"]["count"] == 20
    assert all(model["weights"] == "random" for model in provenance["models"].values())
    page = (folder.report / "index.html").read_text(encoding="utf-8")
    assert "random weights" in page.lower()
    assert provenance["fingerprint"] in page
    assert "arena serve parti20" in done.stdout


def test_another_process_makes_the_same_bytes_after_five_kills(whole, parti, tmp_path):
    (tmp_path / "study.toml").write_text(STUDY.format(name="parti20", count=20))
    words = [
        sys.executable,
        "-m",
        "bench",
        "generate",
        str(tmp_path / "study.toml"),
        "--results",
        str(tmp_path),
    ]
    folder = StudyFolder(tmp_path / "parti20")
    dice = random.Random(0)
    for _ in range(5):
        before = folder.generations_file.stat().st_size if folder.generations_file.exists() else 0
        process = subprocess.Popen(
            words, env=environment(parti), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 120
        # Wait for work to begin, then strike at a random moment of it.
        while process.poll() is None and time.monotonic() < deadline:
            if folder.generations_file.exists() and folder.generations_file.stat().st_size > before:
                break
            time.sleep(0.01)
        time.sleep(dice.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = subprocess.run(words, env=environment(parti), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert hashes(folder) == hashes(whole[0])
    keys = [
        (r["contender"], r["prompt_id"], r["replicate"])
        for r in map(json.loads, folder.generations_file.read_text().splitlines())
    ]
    assert len(keys) == len(set(keys)) == 80
    assert folder.damaged() == []
    again = StudyFolder(folder.path)
    assert not list(again.path.glob("images/*/*.png"))


def test_interrupting_ends_after_a_batch_with_130(parti, tmp_path):
    (tmp_path / "study.toml").write_text(STUDY.format(name="int", count=200))
    words = [
        sys.executable,
        "-m",
        "bench",
        "generate",
        str(tmp_path / "study.toml"),
        "--results",
        str(tmp_path),
    ]
    process = subprocess.Popen(
        words, env=environment(parti), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    rows = tmp_path / "int" / "generations.jsonl"
    deadline = time.monotonic() + 900
    while not (rows.exists() and b"\n" in rows.read_bytes()) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=900)
    assert process.returncode == 130, told
    assert "finishing this batch" in told
    assert "go on" in told
    folder = StudyFolder(tmp_path / "int")
    assert 0 < len(folder.generations()) < 800
    assert folder.damaged() == []


def test_verify_finds_and_mends_what_was_damaged_on_disk(whole, parti):
    folder, _ = whole
    before = hashes(folder)
    path = folder.image(*next(iter(before)))
    whole_bytes = path.read_bytes()
    path.write_bytes(whole_bytes[:-1] + bytes([whole_bytes[-1] ^ 1]))
    results = folder.path.parent
    found = command("verify", "parti20", "--results", results, "--mend", cache=parti)
    assert found.returncode == 1
    assert f"damaged  {path}" in found.stdout
    mended = command("generate", results / "study.toml", "--results", results, cache=parti)
    assert mended.returncode == 0, mended.stderr
    assert path.read_bytes() == whole_bytes
    assert command("verify", "parti20", "--results", results, cache=parti).returncode == 0


def test_two_imported_models_of_different_native_sizes(shared, shared_cache, tmp_path):
    """The six real pairs: SDXL at 1024 px, SDXL Turbo at 512 px, judged and scored at 512 with the real
    Inception weights against real photographs."""
    source = shared / "real-study"
    prompts = source / "prompts.tsv"
    (tmp_path / "study.toml").write_text(
        'name = "real"\ncontenders = ["theirs-sdxl", "theirs-turbo"]\ndisplay_size = 512\n'
        f'[prompts]\nfile = "{prompts}"\n'
        f'[metrics]\nnames = ["fid", "kid"]\nreference = "{shared / "photos"}"\n'
        '[models.theirs-sdxl]\nkind = "imported"\nsize = 1024\n[models.theirs-turbo]\nkind = "imported"\nsize = 512\n'
    )
    early = command("run", tmp_path / "study.toml", "--results", tmp_path, cache=shared_cache)
    assert early.returncode == 2
    assert "bench import real --as theirs-sdxl" in early.stderr
    for name, place in (("theirs-sdxl", "sdxl-base"), ("theirs-turbo", "sdxl-turbo")):
        table = tmp_path / f"{name}.tsv"
        files = sorted((source / place).glob("*.png"))
        table.write_text("file\tprompt_id\n" + "".join(f"{p.name}\t{p.stem[-3:]}\n" for p in files))
        done = command(
            "import", tmp_path / "study.toml", "--as", name, "--images", source / place, "--map", table,
            "--results", tmp_path, cache=shared_cache,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    done = command("run", tmp_path / "study.toml", "--results", tmp_path, cache=shared_cache)
    assert done.returncode == 0, done.stderr
    assert "every contender is imported" in done.stdout
    folder = StudyFolder(tmp_path / "real")
    sizes = {row.contender: row.width for row in folder.generations().values()}
    assert sizes == {"theirs-sdxl": 1024, "theirs-turbo": 512}
    scores = folder.read_json("scores.json")["rows"]
    assert [(row["metric"], row["contender"], row["n"]) for row in scores] == [
        (metric, name, 6)
        for metric in ("fid", "kid")  # few images bring KID beside FID
        for name in ("theirs-sdxl", "theirs-turbo")
    ]
    assert all(row["low"] < row["value"] < row["high"] for row in scores if row["metric"] in ("fid", "kid"))
    assert (folder.report / "index.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("study", "told"),
    [
        (
            "name = 'x'\ncontenders = ['tiny-turbo@l']\n[prompts]\nset = 'turbo-264'\n",
            "did you mean 'tiny-turbo@1'",
        ),
        ("name = 'x'\ncontenders = ['tiny-turbo@1']\n[prompts]\nfile = 'empty.txt'\n", "empty.txt"),
        (
            "name = 'x'\ncontenders = ['sdxl-turbo@1']\n[prompts]\nset = 'turbo-264'\ncount = 1\n",
            "bench fetch",
        ),
        (
            "name = 'x'\ncontenders = ['tiny-turbo@1']\n[prompts]\nset = 'turbo-264'\n[generate]\ndevice = 'cuda'\n",
            "GPU",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_2(tmp_path, shared_cache, study, told):
    (tmp_path / "study.toml").write_text(study)
    (tmp_path / "empty.txt").write_text("")
    done = command("generate", tmp_path / "study.toml", "--results", tmp_path, cache=shared_cache)
    assert done.returncode == 2, done.stderr
    line = [text for text in done.stderr.splitlines() if text.startswith("bench: ")]
    assert len(line) == 1
    assert told in line[0]
    assert "Traceback" not in done.stderr


def test_a_full_disk_is_one_line_and_the_study_goes_on_afterwards(shared_cache, tmp_path):
    """A real full disk: a small tmpfs, where we may mount one. It takes thirty of the forty images, so that the
    rows of the first batch of eight find room before those that are written ahead have filled it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a tmpfs is not permitted here")
    try:
        (tmp_path / "study.toml").write_text(
            'name = "full"\ncontenders = ["tiny-turbo@1"]\n[prompts]\nset = "turbo-264"\ncount = 40\n'
        )
        words = ("generate", tmp_path / "study.toml", "--results", disk)
        done = command(*words, cache=shared_cache)
        assert done.returncode == 2, done.stderr
        assert "disk is full" in done.stderr
        folder = StudyFolder(disk / "full")
        kept = hashes(folder)
        assert kept
        assert folder.damaged() == []
        subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
        done = command(*words, cache=shared_cache)
        assert done.returncode == 0, done.stderr
        assert len(folder.generations()) == 40
        assert kept.items() <= hashes(folder).items()
    finally:
        subprocess.run(["umount", disk], check=True)


def test_help_answers_fast_enough_to_be_asked_often():
    """No timing here; what makes it slow is importing the heavy libraries, and it does not."""
    code = "import sys\nfrom bench.cli.app import app\nfrom typer.testing import CliRunner\n"
    code += "r = CliRunner().invoke(app, ['--help']); assert r.exit_code == 0, r.output\n"
    code += "print(sorted({'torch', 'pandas', 'numpy', 'diffusers', 'matplotlib'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert found.stdout.strip() == "[]"


def test_rows_read_back_as_written(whole):
    from bench.records import Generation

    rows = read_rows(whole[0].generations_file, Generation)
    assert {row.width for row in rows} == {64}
    assert all(row.seconds and row.seconds > 0 for row in rows)

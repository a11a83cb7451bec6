"""Published references over loopback: fetched whole and checked, or not at all; held to what came first."""

from __future__ import annotations

import http.server
import io
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import bench.cli.app
import bench.metrics.references as references
from bench.errors import InputError
from bench.metrics.reference_fetch import fetch
from bench.metrics.references import PUBLISHED
from bench.store.study_folder import sha256


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TURBO_BENCH_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """What the home of both published references serves, by file name: 4 dimensions, 3 images."""
    served: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = served.get(self.path.rpartition("/")[2])
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=web.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    for name, count in (("mlperf-val2014", 4), ("coco-2017-val", 3)):
        entry = PUBLISHED[name]
        url = f"http://127.0.0.1:{web.server_port}/{entry.file}"
        monkeypatch.setitem(PUBLISHED, name, replace(entry, url=url, count=count))
    yield served
    web.shutdown()
    thread.join()
    web.server_close()


def statistics(d: int = 4, scale: float = 1.0) -> bytes:
    data = io.BytesIO()
    np.savez(data, mu=np.zeros(d), sigma=scale * np.eye(d))
    return data.getvalue()


def archive(count: int) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for i in range(count):
            picture = io.BytesIO()
            Image.new("RGB", (8, 8), (i, 0, 0)).save(picture, "PNG")
            file.writestr(f"val2017/{i:012d}.png", picture.getvalue())
    return data.getvalue()


def test_statistics_are_fetched_once_with_their_hash(pages: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'mlperf-val2014' is not on this machine.*bench fetch"):
        references.resolve("mlperf-val2014", tmp_path)
    pages["val2014.npz"] = statistics()
    path = fetch("mlperf-val2014")
    found = references.resolve("mlperf-val2014", tmp_path)
    assert found.protocol()["reference_sha256"] == sha256(pages["val2014.npz"]) == sha256(path.read_bytes())
    pages.clear()
    assert fetch("mlperf-val2014") == path
    path.write_bytes(statistics(scale=2.0))
    with pytest.raises(InputError, match=r"val2014\.npz was changed since it was fetched"):
        references.resolve("mlperf-val2014", tmp_path)


def test_another_file_from_the_same_home_is_refused(pages: dict[str, bytes], tmp_path: Path) -> None:
    pages["val2014.npz"] = statistics()
    path = fetch("mlperf-val2014")
    path.unlink()
    pages["val2014.npz"] = statistics(scale=2.0)
    with pytest.raises(InputError, match=r"gave sha256 .*, not "):
        fetch("mlperf-val2014")
    assert not path.exists()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "answered 404"),
        (b"<html>sign in</html>", "not a file of statistics"),
        (statistics(d=5), "5 dimensions, not 4"),
    ],
)
def test_what_is_not_the_reference_leaves_nothing_behind(
    pages: dict[str, bytes], tmp_path: Path, body: bytes, told: str
) -> None:
    pages["val2014.npz"] = body
    with pytest.raises(InputError, match=told) as caught:
        fetch("mlperf-val2014")
    assert "\n" not in str(caught.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_archive_of_images_becomes_a_built_reference(
    pages: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages["val2017.zip"] = archive(2)
    with pytest.raises(InputError, match="holds 2 files, not 3"):
        fetch("coco-2017-val")
    assert references.built() == []
    for path in tmp_path.rglob("*.sha256"):
        path.unlink()  # a person has looked, and takes the new one
    pages["val2017.zip"] = archive(3)
    fetch("coco-2017-val")
    assert references.built() == ["coco-2017-val"]
    found = references.resolve("coco-2017-val", tmp_path)
    assert [key for key, _ in found.files] == [sha256(path.read_bytes()) for _, path in found.files]
    assert len(found.files) == 3
    pages["val2017.zip"] = archive(3)[:-40]
    monkeypatch.setitem(PUBLISHED, "torn", PUBLISHED["coco-2017-val"])
    with pytest.raises(InputError, match="is no archive"):
        fetch("torn")


def test_the_command_brings_what_a_study_compares_with(pages: dict[str, bytes], tmp_path: Path) -> None:
    pages["val2017.zip"] = archive(3)
    study = tmp_path / "s.toml"
    study.write_text(
        'name = "s"\ncontenders = ["ours"]\ndisplay_size = 64\n[prompts]\nset = "turbo-264"\n'
        '[metrics]\nnames = ["fd_clip"]\nclip = "tiny-clip"\nreference = "coco-2017-val"\n'
        '[models.ours]\nkind = "imported"\n'
    )
    done = CliRunner().invoke(bench.cli.app.app, ["fetch", str(study)], catch_exceptions=False)
    assert done.exit_code == 0
    for name in ("tiny-clip", "coco-2017-val"):
        line = next(line for line in done.stdout.splitlines() if line.startswith(f"{name}  "))
        assert len(line.rpartition("sha256 ")[2]) == 64
    assert references.built() == ["coco-2017-val"]

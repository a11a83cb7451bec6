"""`fetch` of every extractor from homes on loopback: the hub's protocol, and plain addresses with a hash in them."""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import huggingface_hub.constants
import pytest

import bench.metrics.weights as weights
from bench.errors import InputError
from bench.metrics.extractors import EXTRACTORS
from bench.metrics.networks.loading import load
from bench.store.download import download
from tests.support.tiny_weights import COMMIT, open_home, random_inception, write


@dataclass
class Homes:
    """What the world serves: files by `owner/name/file` of the hub, or by the last part of a plain address."""

    port: int = 0
    files: dict[str, Path] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def answer(self, path: str) -> tuple[bytes, str] | None:
        """Body and etag of a request, None: 404."""
        path = path.partition("?")[0]
        self.asked.append(path)
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/.*", path):
            return json.dumps({"id": found[1], "sha": COMMIT}).encode(), "x"
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/.*", path):
            mine = {n: p for n, p in self.files.items() if n.startswith(f"{found[1]}/")}
            rows = [
                {"type": "file", "path": n.split("/", 2)[2], "size": p.stat().st_size, "oid": etag(p)}
                for n, p in mine.items()
            ]
            return json.dumps(rows).encode(), "x"
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path)
        file = self.files.get(f"{found[1]}/{found[2]}" if found else path.rpartition("/")[2])
        return (file.read_bytes(), etag(file)) if file else None


def etag(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


@pytest.fixture
def homes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Homes]:
    served = Homes()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = served.answer(self.path)
            self.send_response(200 if found else 404)
            body, tag = found or (b"", "")
            for name, value in (("Content-Length", str(len(body))), ("ETag", f'"{tag}"')):
                self.send_header(name, value)
            if found:
                self.send_header("X-Repo-Commit", COMMIT)
            else:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=web.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    here = f"http://127.0.0.1:{web.server_port}"
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", here)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", here + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(
        weights, "download", lambda url, *more: download(f"{here}/{url.rpartition('/')[2]}", *more)
    )
    yield served
    web.shutdown()
    thread.join()
    web.server_close()


def fill(homes: Homes, name: str, tmp_path: Path, patch: pytest.MonkeyPatch) -> str:
    """Serves the tiny weights of an extractor; the sha256 they have. Afterwards nothing is on this machine."""
    inception = random_inception(tmp_path / "i.pth") if EXTRACTORS[name].kind == "inception" else None
    home = open_home(tmp_path / "made", patch, inception)
    write(home, name)
    for path in (home.root / "hub").rglob("*"):
        folder, *rest = path.relative_to(home.root / "hub").parts
        if path.is_file() and rest[0] == "snapshots":
            repository = folder.removeprefix("models--").replace("--", "/", 1)
            homes.files["/".join((repository, *rest[2:]))] = path
    homes.files |= {path.name: path for path in home.weights.iterdir()}
    found = weights.tree_sha256(weights.locate(name).path)
    open_home(tmp_path / "empty", patch)
    with pytest.raises(InputError, match="bench fetch"):
        weights.locate(name)
    return found


FROM_THE_HUB = [
    "clip-vit-g-14", "mlperf-clip", "hpsv2.1", "pickscore", "dinov2", "instructblip", "image-reward", "aesthetic",
    "hps-v3", "clip-flant5-xxl", "qwen2.5-vl-7b",
]  # fmt: skip


@pytest.mark.parametrize("name", FROM_THE_HUB)
def test_what_is_fetched_is_found_whole_and_loads(
    name: str, homes: Homes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = fill(homes, name, tmp_path, monkeypatch)
    path = weights.fetch(name)
    assert path.is_relative_to(tmp_path / "empty")
    assert weights.tree_sha256(path) == sha256
    assert weights.locate(name).path == path
    load(weights.locate(name))
    asked = len(homes.asked)
    assert weights.fetch(name) == path
    assert len(homes.asked) == asked


@pytest.mark.parametrize(("name", "head"), [("lpips", "7be5be79"), ("mlperf-inception", "6726825d")])
def test_a_file_of_another_hash_is_refused(
    name: str, head: str, homes: Homes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(homes, name, tmp_path, monkeypatch)
    homes.files["weights-inception-2015-12-05-6726825d.pth"] = next(iter(homes.files.values()))
    with pytest.raises(InputError, match=f"not {head}…"):
        weights.fetch(name)
    assert not [path for path in (tmp_path / "empty").rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["clip-vit-b-32", "pickscore", "aesthetic", "lpips"])
def test_a_home_without_the_file_is_named_in_one_line(
    name: str, homes: Homes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_home(tmp_path, monkeypatch)
    with pytest.raises(InputError, match=r"could not be fetched|answered 404|bench fetch") as caught:
        weights.fetch(name)
    assert "\n" not in str(caught.value)

"""A model hub on the loopback: answers the hub's API and file requests from folders `root/OWNER/NAME`.

What it imitates of the real one: a revision resolves to a commit; large files carry their sha256; a gated
repository lists its files but refuses their content with 401 and `X-Error-Code: GatedRepo`, with a token whose
owner has not accepted the licence with 403; a repository that does not exist is answered 401, as the real hub
does for anybody who is not logged in.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

ACCEPTED = "hf_accepted"
"""A token whose owner has accepted every licence."""
LARGE = 1024
"""Bytes from which a file is kept as the real hub keeps large ones: by its sha256."""


@dataclass(kw_only=True)
class Hub:
    root: Path
    gated: set[str] = field(default_factory=set)
    sent: Counter[str] = field(default_factory=Counter)
    """`OWNER/NAME/PATH` → bytes of content sent."""
    address: str = ""
    requests: list[str] = field(default_factory=list)
    down: bool = False
    """Answers everything with 503."""

    def repository(self, name: str) -> Path | None:
        folder = self.root / name
        return folder if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and folder.is_dir() else None

    def commit(self, name: str, revision: str) -> str | None:
        """The commit of a revision; any 40 hex digits are taken as one, so that pinned entries work."""
        if re.fullmatch(r"[0-9a-f]{40}", revision):
            return revision
        return hashlib.sha1(name.encode()).hexdigest() if revision == "main" else None

    def served(self, part: str) -> int:
        """Bytes sent of files whose path holds `part`."""
        return sum(count for path, count in self.sent.items() if part in path)


@contextmanager
def serving(root: Path) -> Iterator[Hub]:
    hub = Hub(root=root)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def use(monkeypatch: Any, hub: Hub, cache_dir: Path, token: str | None = None) -> None:
    """Points the hub client of this process at the server, with a cache of its own. Undone with the monkeypatch."""
    import huggingface_hub.constants as constants
    import huggingface_hub.hf_api as api

    old = constants.ENDPOINT
    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.address + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache_dir))
    monkeypatch.setattr(api.api, "endpoint", hub.address)
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    assert old != hub.address


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(content=False)

    def do_GET(self) -> None:
        self._answer(content=True)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        self._fail(404, "", "Not found")

    def _answer(self, content: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        if self.hub.down:
            return self._fail(503, "", "Service unavailable")
        if path == "/api/whoami-v2":
            return self._whoami()
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", path):
            name, what, revision = match.groups()
            return self._api(name, what or "revision", revision or "main")
        if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._file(*match.groups(), content=content)
        self._fail(404, "", "Not found")

    def _whoami(self) -> None:
        if self._token():
            return self._json({"name": "somebody", "type": "user", "orgs": []})
        self._fail(401, "", "Invalid username or password.")

    def _api(self, name: str, what: str, revision: str) -> None:
        folder = self.hub.repository(name)
        if folder is None:
            return self._fail(401, "RepoNotFound", "Invalid username or password.")
        commit = self.hub.commit(name, revision)
        if commit is None:
            return self._fail(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        files = {path: _entry(folder / path) for path in _files(folder)}
        if what == "tree":
            return self._json([{"type": "file", "path": path, **entry} for path, entry in files.items()])
        siblings = [
            {"rfilename": path, "size": entry["size"], "blobId": entry["oid"]}
            for path, entry in files.items()
        ]
        gated = "auto" if name in self.hub.gated else False
        self._json({
            "_id": "0", "id": name, "modelId": name, "sha": commit, "private": False, "gated": gated,
            "disabled": False, "tags": ["diffusers"], "downloads": 1, "likes": 1, "library_name": "diffusers",
            "createdAt": "2024-01-01T00:00:00.000Z", "lastModified": "2024-01-01T00:00:00.000Z",
            "siblings": siblings,
        })  # fmt: skip

    def _file(self, name: str, revision: str, path: str, content: bool) -> None:
        folder = self.hub.repository(name)
        if folder is None:
            return self._fail(401, "RepoNotFound", "Invalid username or password.")
        if name in self.hub.gated and self._token() != ACCEPTED:
            text = f"Access to model {name} is restricted."
            return self._fail(403 if self._token() else 401, "GatedRepo", text)
        commit = self.hub.commit(name, revision)
        if commit is None:
            return self._fail(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        file = folder / path
        if not file.is_file():
            return self._fail(404, "EntryNotFound", "Entry not found", commit)
        data, entry = file.read_bytes(), _entry(file)
        etag = entry["lfs"]["oid"] if "lfs" in entry else entry["oid"]
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Accept-Ranges", "bytes")
        if "lfs" in entry:
            self.send_header("X-Linked-Etag", f'"{etag}"')
            self.send_header("X-Linked-Size", str(len(data)))
        self.end_headers()
        if content:
            self.hub.sent[f"{name}/{path}"] += len(data)
            self.wfile.write(data)

    def _token(self) -> str:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ").strip()

    def _json(self, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _fail(self, status: int, code: str, text: str, commit: str = "") -> None:
        data = json.dumps({"error": text}).encode()
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        if commit:
            self.send_header("X-Repo-Commit", commit)
        self.send_header("X-Error-Message", text)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@cache
def _entry(path: Path) -> dict[str, Any]:
    """What the tree listing says of a file: a git blob's id, and of a large file its sha256."""
    data = path.read_bytes()
    oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    entry: dict[str, Any] = {"oid": oid, "size": len(data)}
    if len(data) >= LARGE:
        digest = hashlib.sha256(data).hexdigest()
        entry["lfs"] = {"oid": digest, "size": len(data), "pointerSize": 134}
    return entry

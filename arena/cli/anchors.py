"""Where an anchor of the vote log goes: a file, a git repository, a command that publishes it."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from arena.db.proof import Anchor
from bench.errors import InputError
from bench.records import to_json


def append_anchor(path: Path, anchor: Anchor) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(to_json(anchor) + "\n")


def commit_anchor(repository: Path, anchor: Anchor) -> str:
    """Append to anchors/STUDY.jsonl of a git repository and commit that file; the commit's id."""
    path = repository / "anchors" / f"{anchor.study}.jsonl"
    _git(repository, "rev-parse", "--git-dir")
    path.parent.mkdir(exist_ok=True)
    append_anchor(path, anchor)
    _git(repository, "add", "--", str(path.relative_to(repository)))
    message = f"Anchor {anchor.study}: {anchor.votes} rows, {anchor.head}"
    _git(repository, "commit", "--quiet", "-m", message, "--", str(path.relative_to(repository)))
    return _git(repository, "rev-parse", "HEAD").strip()


def run_timestamp(command: str, path: Path) -> None:
    """Run a command without a shell; `{file}` in it is the anchor's file. Raises InputError where it fails."""
    words = [word.replace("{file}", str(path)) for word in shlex.split(command)]
    if not words:
        raise InputError("--timestamp: no command")
    try:
        subprocess.run(words, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise InputError(f"--timestamp: {error}; the anchor is in {path}") from None


def _git(repository: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(repository), *words], check=True, capture_output=True, text=True
        )
    except FileNotFoundError:
        raise InputError("--git needs git: install it") from None
    except subprocess.CalledProcessError as error:
        raise InputError(
            f"git {words[0]} in {repository}: {(error.stderr or error.stdout).strip()}"
        ) from None
    return done.stdout

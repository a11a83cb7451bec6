"""A Space started where nothing is installed but its requirements.txt: votes taken, kept over a restart, exported.

    python -m tests.performance.arena_space [--out results/arena/space.json]

Writes a study as a Space, makes a virtual environment beside it with uv (which needs a package index or its cache),
installs requirements.txt there and nothing else, runs `python app.py`, votes as the page does, kills the server, starts
it again, votes again, and exports with the command that the Space's README names. Everything is removed afterwards.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from arena.cli.space import write_space
from tests.support.arena_server import Rater, free_port
from tests.support.arena_study import make_study

VOTES = 6


def made_environment(space: Path) -> Path:
    """The Python of a new environment that holds the Space's requirements alone."""
    place = space.parent / "environment"
    subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, str(place)], check=True)
    python = place / "bin" / "python"
    install = [
        "uv",
        "pip",
        "install",
        "--quiet",
        "--python",
        str(python),
        "-r",
        str(space / "requirements.txt"),
    ]
    subprocess.run(install, check=True)
    return python


def served(python: Path, space: Path, data: Path, port: int) -> subprocess.Popen[bytes]:
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("ARENA_", "PYTHONPATH", "VIRTUAL_ENV"))}
    process = subprocess.Popen(
        [str(python), "app.py"],
        cwd=space,
        env={**keep, "ARENA_DATA": str(data), "PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    while process.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5).status_code == 200:
                return process
        except httpx.HTTPError:
            time.sleep(0.2)
    raise RuntimeError(process.stderr.read().decode() if process.stderr else "the Space ended")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        study, folder = make_study(home / "s", votes_per_pair=20)
        space, data = home / "space", home / "data"
        write_space(study, folder, space)
        data.mkdir()
        began = time.perf_counter()
        python = made_environment(space)
        installed = time.perf_counter()
        listed = subprocess.run(
            ["uv", "pip", "list", "--format", "json", "--python", str(python)],
            check=True,
            capture_output=True,
        )
        packages = sorted(row["name"] for row in json.loads(listed.stdout))
        for _ in range(2):
            port = free_port()
            server = served(python, space, data, port)
            try:
                rater = Rater(f"http://127.0.0.1:{port}")
                rater.vote(VOTES)
                rater.close()
            finally:
                server.kill()
                server.wait()
        target = home / "votes.csv"
        command = ["-m", "arena.cli.app", "export", "study", str(target), "--format", "csv"]
        command += ["--database", f"sqlite:///{data / 'votes.sqlite'}"]
        keep = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        subprocess.run([str(python), *command], cwd=space, env=keep, check=True, capture_output=True)
        with target.open(encoding="utf-8", newline="") as file:
            votes = len(list(csv.DictReader(file)))
    said: dict[str, Any] = {
        "votes_given": 2 * VOTES,
        "votes_exported": votes,
        "packages": len(packages),
        "torch": "torch" in packages,
        "install_s": round(installed - began, 1),
        "load_average": os.getloadavg()[0],
    }
    print(json.dumps(said, indent=1))
    if votes != 2 * VOTES or said["torch"]:
        raise SystemExit("the Space lost votes, or needs torch")
    if out:
        out.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""A study as a Hugging Face Space: a folder that runs by itself, `python app.py`, here or there.

The folder holds the study's package (study file, prompts, images, references), a copy of `arena` and `bench`, the few
packages that a server needs, and `app.py`. Votes go where the environment says; with nowhere to keep them it refuses.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from bench.errors import InputError
from bench.store.study_folder import StudyFolder, write_bytes
from bench.study.study import Study

TEMPLATES = Path(__file__).parent.parent / "static" / "space"
ROOT = Path(__file__).parent.parent.parent
LEFT_OUT = ("__pycache__", "weights", "*.pyc", "nginx.conf")
"""Names that the copy of the suite lacks: weights are of no use to a server."""
NEEDED = (
    "alembic",
    "fastapi",
    "gradio",
    "itsdangerous",
    "jinja2",
    "numpy",
    "pillow",
    "psycopg[binary]",
    "pyarrow",
    "pydantic",
)
NEEDED += ("rich", "scipy", "sqlalchemy", "typer", "uvicorn")
"""Packages that a server imports."""


def write_space(study: Study, folder: StudyFolder, target: Path) -> list[Path]:
    """Write the Space; returns its top-level files.

    Parameters
    ----------
    study, folder
        The study, and the folder that holds its images.
    target
        A folder that is empty or not there yet.

    Raises
    ------
    InputError
        The target holds files, or the study has no images.
    """
    if target.exists() and any(target.iterdir()):
        raise InputError(f"{target} is not empty: name a new folder")
    images = [folder.image(*key) for key in folder.generations()]
    images = [path for path in images if path.exists()]
    if not images:
        raise InputError(f"study '{study.name}' has no images: run `bench run` first")
    references = [folder.reference(prompt.id) for prompt in study.prompts if prompt.reference]
    own = [folder.study_file, folder.prompts_file, folder.generations_file, folder.references_file]
    for path in (*own, *images, *references):
        if path.exists():
            copy = target / "study" / path.relative_to(folder.path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    for package in ("arena", "bench"):
        shutil.copytree(ROOT / package, target / package, ignore=shutil.ignore_patterns(*LEFT_OUT))
    words = {
        "name": study.name,
        "title": study.file.title or study.name,
        "gradio": metadata.version("gradio"),
    }
    for name in ("README.md", "app.py"):
        text = (TEMPLATES / f"{name}.template").read_text(encoding="utf-8")
        write_bytes(target / name, re.sub(r"\{\{ (\w+) \}\}", lambda m: _plain(words[m[1]]), text).encode())
    write_bytes(target / "requirements.txt", requirements(NEEDED).encode())
    return sorted(target.iterdir())


def _plain(words: str) -> str:
    """Text that cannot end a line or a quoted string of the header."""
    return re.sub(r"[\"\\\n\r]", " ", words)


def requirements(names: Sequence[str]) -> str:
    """The versions that this machine runs, a line each."""
    return "".join(f"{name}=={metadata.version(name.split('[')[0])}\n" for name in names)


def serve_space(here: Path) -> None:
    """What `app.py` of a Space does: serve the study beside it, with votes kept where the environment says.

    Environment: ARENA_DATABASE (a PostgreSQL URL) with ARENA_KEY, or a folder that outlives restarts (ARENA_DATA,
    by default /data, a Space's persistent storage); ARENA_ADMIN_TOKEN for the administrator's page; SPACE_HOST, which
    a Space sets by itself; PORT or GRADIO_SERVER_PORT.

    Raises
    ------
    InputError
        There is nowhere to keep votes.
    """
    from arena.cli.collect import serve

    data = Path(os.environ.get("ARENA_DATA", "/data"))
    database = os.environ.get("ARENA_DATABASE")
    if database and not os.environ.get("ARENA_KEY"):
        raise InputError(
            "ARENA_DATABASE needs ARENA_KEY, which signs votes: make one with `openssl rand -hex 32`"
        )
    if not database:
        if not os.access(data, os.W_OK):
            raise InputError(
                f"votes would be lost at the next restart: set ARENA_DATABASE and ARENA_KEY, or give the Space "
                f"persistent storage at {data}"
            )
        database = f"sqlite:///{(data / 'votes.sqlite').resolve()}"
        _keep_key(data)
    hosted = os.environ.get("SPACE_HOST", "")
    serve(
        str(here / "study"),
        results=here,
        database=database,
        host="0.0.0.0",
        port=int(os.environ.get("PORT") or os.environ.get("GRADIO_SERVER_PORT") or 7860),
        https=bool(hosted),
        admin=bool(os.environ.get("ARENA_ADMIN_TOKEN")),
        embed=["https://huggingface.co"] if hosted else [],
        public_host=[hosted] if hosted else [],
    )


def _keep_key(data: Path) -> None:
    """The key must outlive restarts as the votes do: the study's own folder does not."""
    from arena.admission import server_key

    if not os.environ.get("ARENA_KEY"):
        os.environ["ARENA_KEY"] = server_key(data).hex()


def main(here: Path) -> None:
    try:
        serve_space(here)
    except InputError as error:
        print(f"arena: {error}", file=sys.stderr)
        sys.exit(2)

"""run.json: what made this folder, written last. A folder without one was not finished."""

from __future__ import annotations

import datetime
import platform
import subprocess
import sys
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import bench.prompts.sets as prompts
from bench.device import device_name
from bench.models.availability import commits
from bench.models.registry import citation_of
from bench.records import canonical, settings_hash
from bench.store.object_store import ObjectFolder
from bench.store.study_folder import StudyFolder, sha256
from bench.study.study import Study

PACKAGES = (
    "turbo-preference-bench", "torch", "torchvision", "diffusers", "transformers", "accelerate", "peft",
    "open-clip-torch", "torchmetrics", "torch-fidelity", "numpy", "scipy", "pandas", "pillow", "gradio",
)  # fmt: skip


def write(study: Study, folder: StudyFolder | ObjectFolder, *, device: str, began: str) -> dict[str, Any]:
    """Collect and write run.json; its `fingerprint` covers all that decides pixels and scores, no clock."""
    models = {name: _model(model) for name, model in study.models.items()}
    protocol = {
        "study": settings_hash(study.file.model_dump(mode="json")),
        "models": settings_hash(models),
        "prompts": _digest(study),
        "plan": folder.read_json("plan.json"),
    }
    document = {
        "study": study.name,
        "fingerprint": settings_hash(protocol),
        "protocol": protocol,
        "prompt_set": {
            "name": study.file.prompts.set or Path(str(study.file.prompts.file)).name,
            "sha256": _digest(study),
            "count": len(study.prompts),
            **_set_facts(study),
        },
        "models": models,
        "weights": {name: commits(model) for name, model in study.models.items() if model.kind != "imported"},
        "selfcheck": folder.read_json("selfcheck.json"),
        "versions": {"python": platform.python_version(), **_versions()},
        "git": _commit(),
        "device": device_name(device),
        "driver": _driver(device),
        "platform": platform.platform(terse=True),
        "command": " ".join(["bench", *sys.argv[1:]]),
        "started": began,
        "finished": now(),
    }
    folder.write_json("run.json", document)
    return document


def now() -> str:
    """UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _model(model: Any) -> dict[str, Any]:
    citation = citation_of(model)
    return {**asdict(model), "citation": asdict(citation) if citation else None}


def _digest(study: Study) -> str:
    return sha256(canonical([asdict(p) for p in study.prompts]).encode())


def _set_facts(study: Study) -> dict[str, str]:
    if not study.file.prompts.set:
        return {"licence": "the user's own", "source": ""}
    entry = prompts.PROMPT_SETS[study.file.prompts.set]
    return {"licence": entry.licence, "source": entry.source}


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _commit() -> str | None:
    """Commit of the suite's checkout, `+` behind it where it was changed; None outside a checkout."""
    here = Path(__file__).resolve().parent.parent
    if not (here / ".git").exists():
        return None
    try:
        text = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
            capture_output=True, text=True, check=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return text.stdout.strip()


def _driver(device: str) -> str | None:
    if not device.startswith("cuda"):
        return None
    try:
        text = subprocess.run(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
            capture_output=True, text=True, check=True, timeout=30,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return text.stdout.strip().splitlines()[0]

"""run.json: what made this folder, written last. A folder without one was not finished."""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
import sys
from collections import Counter
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import bench.prompts.sets as prompts
from bench.device import device_name, driver_version
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


MACHINE = ("versions", "git", "device", "driver", "platform", "command", "started", "finished")
"""Keys of run.json that speak of the machine and call that generated."""


def write(
    study: Study, folder: StudyFolder | ObjectFolder, *, device: str, began: str, made: bool = True
) -> dict[str, Any]:
    """Collect and write run.json; its `fingerprint` covers all that decides pixels and scores, no clock.

    Parameters
    ----------
    study, folder
        Whose.
    device
        Of the images that were just generated.
    began
        When.
    made
        Whether anything was: a call that generated nothing leaves what is said of the machine.
    """
    before: dict[str, Any] = folder.read_json("run.json") or {}
    models = {name: _model(model) for name, model in study.models.items()}
    protocol = {
        "study": settings_hash(study.file.model_dump(mode="json")),
        "models": settings_hash(models),
        "prompts": _digest(study),
        "plan": folder.plan(),
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
        "driver": driver_version(device),
        "platform": platform.platform(terse=True),
        "command": " ".join(["bench", *sys.argv[1:]]),
        "started": began,
        "finished": now(),
        "environments": environments(folder),
    }
    if before and not made:
        document |= {key: before[key] for key in MACHINE if key in before}
    if document != before:
        folder.write_json("run.json", document)
    return document


def environments(folder: StudyFolder | ObjectFolder) -> list[dict[str, Any]]:
    """Software and devices that the folder's images come from, each with its number of images by contender. Images of
    a version that did not note it, and imported ones, are in none."""
    table = folder.settings()
    counts: Counter[tuple[str, str]] = Counter()
    for row in folder.generations().values():
        if row.settings in table:
            counts[canonical(table[row.settings]["environment"]), row.contender] += 1
    found: dict[str, dict[str, Any]] = {}
    for (environment, contender), count in sorted(counts.items()):
        entry = found.setdefault(environment, {"environment": json.loads(environment), "contenders": {}})
        entry["contenders"][contender] = count
    return list(found.values())


def now() -> str:
    """UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _model(model: Any) -> dict[str, Any]:
    citation = citation_of(model)
    return {**asdict(model), "citation": asdict(citation) if citation else None}


def _digest(study: Study) -> str:
    """Of what images depend on: translations are for raters."""
    rows = [asdict(prompt) for prompt in study.prompts]
    return sha256(canonical([{k: v for k, v in r.items() if k != "translations"} for r in rows]).encode())


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
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return text.stdout.strip()

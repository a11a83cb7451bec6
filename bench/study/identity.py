"""What a study folder is bound to: the meaning of each prompt and contender its images were generated from.

A prompt means its text and, in an image-to-image study, its reference and strength. A contender means its weights,
pipeline, scheduler, options, steps, guidance and size. Batch shape, device, dtype, level and threads are frozen by
`bench.sweep.settings`. Anything else of a study file is free: title, comments, metrics, arena, report, licences.

Two files of a folder hold it: `identity.json` (contenders) and `slots.jsonl` (prompts in the order in which they came
into the study, which is the order of the batches). Both only grow, save by `--replace`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

from bench.models.registry import Model
from bench.models.weights import own_folder, pieces
from bench.records import Contender, Prompt, settings_hash
from bench.study.study import Study

FREE = (
    "name", "kind", "recipes", "dtype", "size", "steps", "guidance", "tasks", "licence", "commercial", "source",
    "citation", "weights", "gated", "unverified", "note",
)  # fmt: skip
"""Fields of a model that say nothing of the pixels, or that the contender or the frozen settings say better. Any other
field binds, a new one too."""
SLOTS = "slots.jsonl"
LOCAL = "a local folder"
SAMPLE_BYTES = 2**20
"""Read of each weight file at its beginning, its end and in its middle."""


class Folder(Protocol):
    """What identity needs of a study folder, on a disk or in an object store."""

    def read(self, name: str) -> bytes | None: ...
    def read_json(self, name: str) -> Any | None: ...
    def write_json(self, name: str, value: Any) -> None: ...
    def read_rows(self, name: str, kind: type[Any]) -> list[Any]: ...
    def write_rows(self, name: str, rows: Sequence[Any]) -> None: ...
    def prompts(self) -> list[Prompt]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A prompt that the study holds or held; a line of `slots.jsonl`, whose number fixes chunk and slot."""

    prompt_id: str
    meaning: str
    """16 hex digits: hash of text, reference and strength."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """One thing that existing images were not generated from."""

    kind: str
    """`contender` or `prompt`."""
    name: str
    said: str
    """`guidance 5.0 → 7.0`, `the text changed`."""

    def __str__(self) -> str:
        return f"{self.name}: {self.said}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """How a study differs from what its folder records."""

    contenders: tuple[str, ...] = ()
    """New ones."""
    prompts: tuple[str, ...] = ()
    """Ids of new ones."""
    conflicts: tuple[Conflict, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a folder is bound to."""

    contenders: Mapping[str, Mapping[str, Any]]
    slots: Sequence[Slot]
    commits: Mapping[str, str] = field(default_factory=dict)
    """Repository → commit of the weights that the folder's images came from, as run.json has it."""


def contender_meaning(model: Model, contender: Contender) -> dict[str, Any]:
    """What decides a contender's pixels beside prompt, seed and the frozen settings; plain JSON."""
    if model.kind == "imported":
        return {"kind": "imported"}
    meaning: dict[str, Any] = {
        name: _placeless(_plain(value)) for name, value in _fields(model) if name not in FREE
    }
    meaning["custom_pipeline"] = Path(model.custom_pipeline).name
    recipe = model.recipes.get(contender.steps or 0)
    meaning |= {
        "recipe": _placeless(_plain(recipe)),
        "steps": contender.steps,
        "guidance": contender.guidance,
        "size": contender.size,
        "weights": weights_digest(model),
    }
    return meaning


def _fields(model: Model) -> list[tuple[str, Any]]:
    return [(column.name, getattr(model, column.name)) for column in fields(model)]


def _placeless(value: Any) -> Any:
    """A local folder's place says nothing of the weights in it; their digest does."""
    if isinstance(value, list):
        return [_placeless(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    found = {key: _placeless(item) for key, item in value.items()}
    if isinstance(found.get("repository"), str) and is_local(found["repository"]):
        found["repository"] = LOCAL
    return found


def prompt_meaning(prompt: Prompt, reference_sha256: str | None = None) -> str:
    """Hash of what decides a prompt's pixels. reference_sha256: of its reference image's file."""
    if prompt.reference is None:
        return settings_hash({"text": prompt.text})
    return settings_hash({"text": prompt.text, "strength": prompt.strength, "reference": reference_sha256})


def is_local(repository: str) -> bool:
    """A folder of the user's, whose files may change under the same name."""
    return not repository.startswith(("tiny:", "miniature:")) and own_folder(repository) is not None


def weights_digest(model: Model) -> str | None:
    """16 hex digits over the names, sizes and sampled contents of a model's local files; None where it has none, or
    they are not on this machine."""
    places = [own_folder(piece.repository) for piece in pieces(model) if is_local(piece.repository)]
    places += [Path(model.custom_pipeline)] if model.custom_pipeline else []
    if not places or not all(place and place.exists() for place in places):
        return None
    digest = hashlib.sha256()
    for place in (place for place in places if place is not None):
        files = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())
        for path in (path for path in files if not path.name.startswith(".")):
            digest.update(f"{path.relative_to(place)}\0{path.stat().st_size}\0".encode())
            digest.update(_sample(path))
    return digest.hexdigest()[:16]


def _sample(path: Path) -> bytes:
    """The whole of a small file; of a large one its beginning, middle and end."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= 3 * SAMPLE_BYTES:
            return file.read()
        parts = []
        for start in (0, size // 2, size - SAMPLE_BYTES):
            file.seek(start)
            parts.append(file.read(SAMPLE_BYTES))
        return b"".join(parts)


def _plain(value: Any) -> Any:
    """As it comes back from JSON."""
    if hasattr(value, "__dataclass_fields__"):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


# What a folder records


def recorded(folder: Folder) -> Recorded | None:
    """What a folder is bound to; None where it is new. A folder of version 0.1 has neither file: its study and its
    prompts say the same."""
    if folder.read("study.toml") is None:
        return None
    document = folder.read_json("identity.json")
    contenders = document["contenders"] if document is not None else _of_version_0_1(folder)
    slots = folder.read_rows(SLOTS, Slot)
    if not slots:
        shas = reference_hashes(folder)
        slots = [Slot(prompt_id=p.id, meaning=prompt_meaning(p, shas.get(p.id))) for p in folder.prompts()]
    weights: dict[str, dict[str, str]] = (folder.read_json("run.json") or {}).get("weights", {})
    commits = {
        repository: commit for found in weights.values() for repository, commit in found.items() if commit
    }
    return Recorded(contenders=contenders, slots=slots, commits=commits)


def pinned(meaning: Any, now: Any, commits: Mapping[str, str]) -> Any:
    """A recorded meaning in which `main` is the commit that it was, wherever the model's entry now names that commit:
    a pin added later to the weights in use changes no image."""
    if isinstance(meaning, list) and isinstance(now, list) and len(meaning) == len(now):
        return [pinned(a, b, commits) for a, b in zip(meaning, now, strict=True)]
    if not isinstance(meaning, Mapping) or not isinstance(now, Mapping):
        return meaning
    resolved = {key: pinned(value, now.get(key), commits) for key, value in meaning.items()}
    used = commits.get(str(meaning.get("repository")))
    if meaning.get("revision") == "main" and used and used == now.get("revision"):
        resolved["revision"] = used
    return resolved


OF_VERSION_0_1 = ("repository", "revision", "pipeline", "scheduler", "stages", "options", "variant")
"""Fields that run.json of version 0.1 says as this version does."""


def _of_version_0_1(folder: Folder) -> dict[str, dict[str, Any]]:
    """Contenders by the study file a folder was frozen to. Models as run.json has them, else as they are now."""
    import tomllib

    import bench.models.registry as models
    from bench.models.user_models import model_from_entry

    file = tomllib.loads((folder.read("study.toml") or b"").decode("utf-8-sig"))
    known = dict(models.MODELS)
    known |= {name: model_from_entry(name, entry) for name, entry in file.get("models", {}).items()}
    run: dict[str, Any] = (folder.read_json("run.json") or {}).get("models", {})
    meanings = {}
    for name in file.get("contenders", []):
        contender = models.contender(name, known)
        meaning = contender_meaning(known[contender.model], contender)
        if "kind" not in meaning and contender.model in run:
            ran = run[contender.model]
            meaning |= {key: _placeless({key: ran[key]})[key] for key in OF_VERSION_0_1 if key in ran}
        meanings[name] = meaning | ({} if "kind" in meaning else {"weights": None})
    return meanings


def reference_hashes(folder: Folder) -> dict[str, str]:
    """Prompt id → sha256 of the file its kept reference was taken from."""
    import json

    lines = (folder.read("references.jsonl") or b"").splitlines()
    rows = [json.loads(line) for line in lines]
    return {row["prompt_id"]: row["source_sha256"] for row in rows}


# Comparing and recording


def compare(before: Recorded, study: Study, references: Mapping[str, str]) -> Changes:
    """How a study differs from what its folder records.

    Parameters
    ----------
    before
        What the folder is bound to.
    study
        As its file says now.
    references
        Prompt id → sha256 of its reference image's file, for an image-to-image study.
    """
    conflicts: list[Conflict] = []
    for contender in study.contenders:
        was = before.contenders.get(contender.name)
        now = contender_meaning(study.models[contender.model], contender)
        for said in differences(pinned(was or now, now, before.commits), now):
            conflicts.append(Conflict(kind="contender", name=contender.name, said=said))
    slots = {slot.prompt_id: slot.meaning for slot in before.slots}
    for prompt in study.prompts:
        meant = prompt_meaning(prompt, references.get(prompt.id))
        if slots.get(prompt.id, meant) != meant:
            what = (
                "the text changed" if prompt.reference is None else "its text, reference or strength changed"
            )
            conflicts.append(Conflict(kind="prompt", name=prompt.id, said=what))
    return Changes(
        contenders=tuple(c.name for c in study.contenders if c.name not in before.contenders),
        prompts=tuple(p.id for p in study.prompts if p.id not in slots),
        conflicts=tuple(conflicts),
    )


def differences(before: Mapping[str, Any], now: Mapping[str, Any], nested: bool = False) -> list[str]:
    """`guidance 5.0 → 7.0` for each key whose value differs; nested keys by their full name. A key that one side does
    not record (a folder of an older version) is not compared."""
    found = []
    for key in dict.fromkeys([*before, *now]):
        was, value = before.get(key), now.get(key)
        digest = key == "weights" and not nested
        unknown = None in (was, value) if digest else not nested and (key not in before or key not in now)
        if was == value or unknown or not (was or value):
            continue
        if digest:
            found.append("the files of its weights changed")
        elif isinstance(was, Mapping) and isinstance(value, Mapping):
            found += [f"{key}.{said}" for said in differences(was, value, nested=True)]
        else:
            found.append(f"{key} {_short(was)} → {_short(value)}")
    return found


def _short(value: Any) -> str:
    return "none" if value is None else str(value)


def record(folder: Folder, study: Study, before: Recorded | None, references: Mapping[str, str]) -> None:
    """Bind the folder to the study as well: what it holds already stays, its new contenders and prompts are added."""
    known = dict(before.contenders) if before else {}
    now = {c.name: contender_meaning(study.models[c.model], c) for c in study.contenders}
    for name, meaning in now.items():  # a digest that is not to be had here is kept
        was = known.get(name, {})
        if meaning.get("weights", "") is None and was.get("weights"):
            meaning["weights"] = was["weights"]
    merged = known | now
    if (folder.read_json("identity.json") or {}).get("contenders") != merged:
        folder.write_json("identity.json", {"contenders": merged})
    slots = {slot.prompt_id: slot for slot in (before.slots if before else ())}
    for prompt in study.prompts:
        meant = prompt_meaning(prompt, references.get(prompt.id))
        slots[prompt.id] = Slot(prompt_id=prompt.id, meaning=meant)
    if folder.read_rows(SLOTS, Slot) != list(slots.values()):
        folder.write_rows(SLOTS, list(slots.values()))


def arranged(prompts: Sequence[Prompt], slots: Iterable[Slot]) -> list[Prompt | None]:
    """The study's prompts in the order of their slots; None where a prompt has left the study. A prompt without a
    slot follows at the end."""
    left = {prompt.id: prompt for prompt in prompts}
    placed: list[Prompt | None] = [left.pop(slot.prompt_id, None) for slot in slots]
    return placed + list(left.values())


def refusal(where: str, study: str, conflicts: Sequence[Conflict], shown: int = 6) -> str:
    """The message for an edit that would change existing images: what differs, and both cures.

    Parameters
    ----------
    where, study
        The folder, and the study's name.
    conflicts
        What differs.
    shown
        How many are named.
    """
    lines = "; ".join(str(conflict) for conflict in conflicts[:shown])
    more = f"; and {len(conflicts) - shown} more" if len(conflicts) > shown else ""
    names = list(dict.fromkeys(conflict.name for conflict in conflicts))
    flags = " ".join(f"--replace {name}" for name in names[:shown])
    rest = " …" if len(names) > shown else ""
    return (
        f"{where} holds images that this study would change: {lines}{more}. Undo that, give the study a new name, or "
        f"replace those images: bench generate {study} {flags}{rest} (rows and files are kept aside, votes on them no "
        f"longer count)"
    )

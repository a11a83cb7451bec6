"""The study file for people: every key with its default and meaning, as a page and as a new file, from the schema."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from bench.models.model_entries import ModelEntry
from bench.study.file import StudyFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of the study file."""

    table: str
    """`arena.codes`; empty at the top of the file."""
    name: str
    default: str
    """In TOML; `required`, or empty where the key is absent by default."""
    meaning: str
    allowed: tuple[str, ...]
    """Its words, where it has only some."""


def keys() -> list[Key]:
    """Every key, table by table, in the order of the schema."""
    return [*_keys(StudyFile, ""), *_keys(ModelEntry, "models.NAME")]


def _keys(section: type[BaseModel], table: str) -> Iterator[Key]:
    inner: list[tuple[type[BaseModel], str]] = []
    for name, field in section.model_fields.items():
        place = f"{table}.{name}" if table else name
        below = _section_of(field)
        if below is not None:
            named = get_origin(field.annotation) is dict
            own_table = place.replace("metrics.own", "metrics")  # written without the word
            inner.append((below, f"{own_table}.NAME" if named else place))
        elif name != "models":
            yield Key(
                table=table,
                name=name,
                default=_default(field),
                meaning=_meaning(field),
                allowed=_allowed(field),
            )
    for below, place in inner:
        yield from _keys(below, place)


def _section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The table that a field is, or is a dictionary of."""
    annotation = field.annotation
    if get_origin(annotation) is dict:
        annotation = get_args(annotation)[1]
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "" if value is None or value is PydanticUndefined else _toml(value)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + " }" if value else "{}"
    return str(value)


def _meaning(field: FieldInfo) -> str:
    return re.sub(r"\s+", " ", field.description or "").strip()


def _allowed(field: FieldInfo) -> tuple[str, ...]:
    """Words of a `Literal`, also inside a list or beside None."""

    def words(annotation: Any) -> Iterator[str]:
        for part in get_args(annotation):
            if isinstance(part, str):
                yield part
            elif get_origin(part) is not dict:
                yield from words(part)

    return tuple(dict.fromkeys(words(field.annotation)))


def page() -> str:
    """`docs/study-file.md`."""
    lines = [
        "# The study file",
        "",
        "Every key with its default and meaning, written by `python docs/study_file.py` from the schema in",
        "`bench/study/file.py`. `bench new NAME` writes a commented file to begin with, `bench studies NAME`",
        "prints one that ships with the suite. An unknown key or value is refused, with its line and the",
        "nearest match.",
    ]
    table = None
    for key in keys():
        if key.table != table:
            table = key.table
            lines += [
                "",
                f"## `[{table}]`" if table else "## At the top",
                "",
                "| key | default | meaning |",
                "|---|---|---|",
            ]
        lines.append(f"| `{key.name}` | {_code(key.default)} | {_said(key)} |")
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    return text if text in ("", "required") else f"`{text}`"


def _said(key: Key) -> str:
    words = ", ".join(f"`{word}`" for word in key.allowed)
    mentioned = all(f"`{word}`" in key.meaning for word in key.allowed)
    said = key.meaning if not words or mentioned else f"{words}. {key.meaning}"
    return said.strip().replace("|", "\\|")


SHOWN = {
    "": ("title", "images_per_prompt", "display_size"),
    "generate": ("dtype", "batch_size"),
    "arena": ("questions", "ties", "votes_per_pair", "language"),
    "report": ("chosen",),
}
"""Keys that a new file shows, commented out at their defaults; the page has all."""


def new_study(name: str, contenders: list[str], prompts: str, size: int, metrics: list[str]) -> str:
    """A study file to begin with.

    Parameters
    ----------
    name
        Of the study.
    contenders, prompts, size, metrics
        What it compares at first: contenders, prompt set, display size in pixels, metrics by name.
    """
    by_place = {(key.table, key.name): key for key in keys()}
    values = {("", "display_size"): str(size)}

    def shown(table: str) -> list[str]:
        lines = []
        for key in (by_place[table, word] for word in SHOWN.get(table, ())):
            value = values.get((table, key.name))
            line = f"{key.name} = {value or key.default or _example(key)}"
            lines.append(f"{line if value else '# ' + line}".ljust(44) + f"# {_plain(key.meaning)}")
        return lines

    listed = ",\n".join(f'    "{contender}"' for contender in contenders)
    parts = [
        f"# A study. Run it with `bench run {name}.toml`; look first with `bench doctor {name}.toml`.",
        "# What is commented out stands at its default; every key: docs/study-file.md.",
        f'name = "{name}"',
        f"contenders = [    # model@steps, see `bench models`\n{listed},\n]",
        *shown(""),
        "",
        "[prompts]",
        f'set = "{prompts}"'.ljust(44) + '# see `bench prompts`; or your own: file = "prompts.tsv"',
        "count = 20".ljust(44) + f"# {_plain(by_place['prompts', 'count'].meaning)}",
        "",
        "[generate]",
        *shown("generate"),
        "",
        "[metrics]",
        f"names = {_toml(metrics)}".ljust(44) + "# see `bench metrics`",
        "",
        "[arena]",
        *shown("arena"),
        "",
        "[report]",
        *shown("report"),
    ]
    return "\n".join(parts) + "\n"


def _example(key: Key) -> str:
    return f'"{key.allowed[0]}"' if key.allowed else '"…"'


def _plain(meaning: str) -> str:
    return meaning.replace("`", "")

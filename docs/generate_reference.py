"""The command and study-file reference, written from the program; `docs/conf.py` calls it before each build.

Run by itself it writes the pages: `python docs/generate_reference.py`.
"""

from __future__ import annotations

import inspect
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel

HERE = Path(__file__).resolve().parent
MARKUP = re.compile(r"\[/?(bold|dim|italic|cyan|green|yellow|red)\]")


def commands() -> dict[str, Any]:
    """`bench generate` → the command, groups taken apart."""
    from arena.cli.app import app as arena
    from bench.cli.app import app as bench

    found: dict[str, Any] = {}

    def collect(name: str, command: Any) -> None:
        members = getattr(command, "commands", None)
        if not members:
            found[name] = command
            return
        if command.params and name.count(" "):
            found[name] = command
        for member, inner in sorted(members.items()):
            collect(f"{name} {member}", inner)

    for name, app in (("bench", bench), ("arena", arena)):
        collect(name, typer.main.get_command(app))
    return found


def commands_page() -> str:
    lines = ["# Commands", "", "Written from the program: what `COMMAND --help` says, on one page.", ""]
    for name, command in commands().items():
        lines += [f"## `{name}`", "", _prose(command.help or ""), ""]
        rows = [
            _option(parameter) for parameter in command.params if getattr(parameter, "hidden", False) is False
        ]
        rows = [row for row in rows if row]
        if rows:
            lines += ["| argument or option | default | meaning |", "|---|---|---|", *rows, ""]
    return "\n".join(lines)


def _prose(text: str) -> str:
    """Help as Markdown: rich's bold is code."""
    text = re.sub(r"\[bold\](.*?)\[/bold\]", r"`\1`", inspect.cleandoc(text), flags=re.DOTALL)
    return _cell(MARKUP.sub("", text), one_line=False)


def _cell(text: str, one_line: bool = True) -> str:
    text = text.replace("|", "\\|").replace("<", "&lt;") if one_line else text.replace("<", "&lt;")
    return " ".join(text.split()) if one_line else text


def _option(parameter: Any) -> str:
    if "--help" in parameter.opts or "--install-completion" in parameter.opts:
        return ""
    named = ", ".join((*parameter.opts, *parameter.secondary_opts))
    if parameter.param_type_name == "argument":
        named = parameter.metavar or parameter.name.upper()
    default = parameter.default
    shown = getattr(parameter, "show_default", None)
    text = shown if isinstance(shown, str) else "" if default is None or callable(default) else str(default)
    return f"| `{named}` | {f'`{_cell(text)}`' if text else ''} | {_cell(MARKUP.sub('', parameter.help or ''))} |"


def study_file_page() -> str:
    from bench.study.file import StudyFile

    lines = [
        "# Study file", "",
        "Every key of a study file, its type, default and meaning; written from the schema that reads it. An unknown "
        "key or value is refused with the line, what is allowed, and the nearest match.", "",
    ]  # fmt: skip
    sections: list[tuple[str, type[BaseModel]]] = [("", StudyFile)]
    for name, field in StudyFile.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            sections.append((name, field.annotation))
    for name, section in sections:
        lines += [f"## `[{name}]`" if name else "## At the top of the file", ""]
        lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
        meanings, schema = field_docs(section), section.model_json_schema()["properties"]
        for key, field in section.model_fields.items():
            if key in dict(sections):
                continue
            default = "required" if field.is_required() else f"`{_plain(field.default)}`"
            lines.append(
                f"| `{key}` | {_cell(_type(schema[key]))} | {default} | {_cell(meanings.get(key, ''))} |"
            )
        lines.append("")
    return "\n".join(lines)


def field_docs(section: type[BaseModel]) -> dict[str, str]:
    """The text under each field of a class."""
    import ast

    tree = ast.parse(inspect.getsource(section))
    body = tree.body[0].body  # pyright: ignore[reportAttributeAccessIssue]
    docs = {}
    for entry, after in pairwise(body):
        if (
            isinstance(entry, ast.AnnAssign)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            docs[ast.unparse(entry.target)] = str(after.value.value)
    return docs


def _type(schema: dict[str, Any]) -> str:
    """A property of a JSON schema in words."""
    if "anyOf" in schema:
        return " or ".join(_type(option) for option in schema["anyOf"] if option.get("type") != "null")
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{_plain(option)}`" for option in schema.get("enum", [schema.get("const")]))
    names = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false",
             "object": "table"}  # fmt: skip
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    limits = [f"{mark} {schema[key]}" for key, mark in LIMITS.items() if key in schema]
    return ", ".join([names.get(str(schema.get("type")), "table"), *limits])


LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def _plain(value: Any) -> str:
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_plain(item) for item in value) + "]"
    if value is None:
        return "none"
    return (
        f'"{value}"'
        if isinstance(value, str)
        else str(value).lower()
        if isinstance(value, bool)
        else str(value)
    )


def write(folder: Path = HERE / "reference") -> None:
    folder.mkdir(exist_ok=True)
    (folder / "commands.md").write_text(commands_page(), encoding="utf-8")
    (folder / "study-file.md").write_text(study_file_page(), encoding="utf-8")


if __name__ == "__main__":
    write()

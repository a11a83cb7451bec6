"""The command reference, written from the program; `docs/conf.py` calls it before each build.

Run by itself it writes the page: `python docs/generate_reference.py`.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import typer

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


def write(folder: Path = HERE / "reference") -> None:
    folder.mkdir(exist_ok=True)
    (folder / "commands.md").write_text(commands_page(), encoding="utf-8")


if __name__ == "__main__":
    write()

"""`bench selfcheck`: diffusers' own call beside ours, on this machine, with these weights."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.terminal import HERE, Json, Results, print_rows
from bench.records import Contender

if TYPE_CHECKING:
    from bench.models.model import Model
    from bench.models.selfcheck import SelfCheck
    from bench.study.study import Study

app = typer.Typer()


@app.command(rich_help_panel="Bring and check")
def selfcheck(
    names: Annotated[
        list[str], typer.Argument(metavar="STUDY | CONTENDER …", help="A study, or contenders by name.")
    ],
    device: Annotated[str, typer.Option(help="auto, cuda, cuda:N or cpu.")] = "auto",
    dtype: Annotated[str | None, typer.Option(help="float16, bfloat16 or float32.")] = None,
    table: Annotated[
        Path | None, typer.Option(help="Also write the results as a Markdown table, a file.")
    ] = None,
    results: Results = HERE,
    as_json: Json = False,
) -> None:
    """Compare what this suite generates with diffusers' own call: two prompts, the same noise.

    Run it once after `bench fetch`. Of a study that has a folder, the result goes into its run.json.

    Example: [bold]bench selfcheck sdxl-turbo@1 mini-sdxl@4[/bold]; exit 1 where a difference is beyond rounding.
    """
    from bench.device import choose_device
    from bench.models.selfcheck import selfcheck as compare
    from bench.models.selfcheck import summary

    study, contenders, models = _meant(names)
    where = choose_device(device)
    checks = []
    for contender in contenders:
        print(f"comparing {contender.name}", file=sys.stderr)
        checks.append(compare(models[contender.model], contender, device=where, dtype=dtype))
    print_rows(summary(checks), as_json)
    if table is not None:
        _write_table(table, checks, where)
    if study is not None:
        _keep(study, results, checks)
    raise typer.Exit(1 if any(check.passed is False for check in checks) else 0)


def _meant(names: list[str]) -> tuple[Study | None, list[Contender], Mapping[str, Model]]:
    """The study, if one is named; contenders that are generated, and the models they are of."""
    from bench.models.registry import MODELS, contender
    from bench.study.study import read

    if len(names) == 1 and names[0].partition("@")[0] not in MODELS:
        study = read(names[0])
        return study, [c for c in study.contenders if not study.imported(c)], study.models
    return None, [contender(name, MODELS) for name in names], MODELS


def _keep(study: Study, results: Path, checks: list[SelfCheck]) -> None:
    """Into the study's folder, where there is one."""
    from dataclasses import asdict

    from bench.store.study_folder import StudyFolder

    folder = StudyFolder(results / study.name)
    if not folder.path.is_dir():
        return
    with folder.lock():
        rows = [asdict(check) for check in checks]
        folder.write_json("selfcheck.json", rows)
        if (run := folder.read_json("run.json")) is not None:
            folder.write_json("run.json", {**run, "selfcheck": rows})
    print(folder.path / "selfcheck.json", file=sys.stderr)


def _write_table(path: Path, checks: list[SelfCheck], device: str) -> None:
    from bench.device import device_name
    from bench.models.selfcheck import markdown

    path.write_text(markdown(checks, device_name(device)), encoding="utf-8")

"""`bench live`: names → contenders → the page, or its measurement."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.address import check_address
from bench.cli.terminal import HERE, Json, Results, print_rows
from bench.errors import InputError
from bench.records import FELT_STAGES

if TYPE_CHECKING:
    from bench.models.registry import Model
    from bench.study.study import Study

app = typer.Typer()


@app.command(rich_help_panel="Look")
def live(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[STUDY | CONTENDER …]", help="A study, or one or two contenders."),
    ] = None,
    measure: Annotated[
        int | None,
        typer.Option(min=1, help="Type that many prompts in a headless browser; write interactive.json."),
    ] = None,
    results: Results = HERE,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 7861,
    device: Annotated[str, typer.Option(help="auto, cuda, cuda:N or cpu.")] = "auto",
    dtype: Annotated[str | None, typer.Option(help="float16, bfloat16 or float32.")] = None,
    optimize: Annotated[str, typer.Option(help="A level of --optimize, as for `bench run`.")] = "none",
    weights: Annotated[
        str, typer.Option(help="pretrained, or random: the real architecture at full size.")
    ] = "pretrained",
    as_json: Json = False,
) -> None:
    """A page where the picture follows every keystroke, and the time from key to picture.

    Example: [bold]bench live mini-turbo@1 mini-sdxl@4[/bold]. With a study, its first two contenders.
    [bold]bench live miniature --measure 5[/bold] types for every contender of it; the report shows the times.
    """
    from bench.device import choose_device
    from bench.live import app as page
    from bench.live.studio import open_studio

    study, contenders, models = _meant(names or ["mini-turbo@1"])
    where = choose_device(device)
    if measure is None:
        studio = open_studio(
            contenders[:2], models, device=where, dtype=dtype, optimize=optimize, weights=weights
        )
        studio.warm_up(lambda line: print(line, file=sys.stderr))
        check_address(host, port)
        print(f"open http://{host}:{port}/", file=sys.stderr)
        page.serve(studio, host, port)
        return
    from bench.live import measure as timing

    texts = _texts(study, contenders, models, measure)
    document = timing.measure(
        contenders, models, texts, device=where, dtype=dtype, optimize=optimize, weights=weights,
        report=lambda line: print(line, file=sys.stderr),
    )  # fmt: skip
    rows = timing.summary(document)
    print_rows(rows if as_json else [_narrow(row) for row in rows], as_json, below=("stages",))
    if study is not None:
        _write(study, results, document)


def _narrow(row: dict[str, Any]) -> dict[str, Any]:
    """A row of `summary` for a terminal: its stages in one cell, to be written below the others."""
    stages = ", ".join(f"{stage} {row[f'{stage} ms']}" for stage in FELT_STAGES)
    rates = f"{row['keys a second']} keys and {row['pictures a second']} pictures a second"
    shown = ("contender", "key p50 ms", "key p95 ms", "replaced %", "picture p50 ms", "picture p95 ms")
    kept = {name.removesuffix(" ms"): row[name] for name in shown}
    counts = f"N {row['keys']} keys, {row['pictures']} pictures, {row['behind at most']} keys behind at most"
    return kept | {"stages": f"ms; {stages} at p50; {rates}; {counts}"}


def _meant(names: list[str]) -> tuple[Study | None, list[str], Mapping[str, Model]]:
    """The study, if one is named; contenders and the models they are of."""
    from bench.models import registry as models
    from bench.study.study import read

    if len(names) > 1 or names[0].partition("@")[0] in models.MODELS:
        if len(names) > 2:
            raise InputError(f"{len(names)} contenders: a page shows one, or two side by side")
        return None, [models.contender(name, models.MODELS).name for name in names], models.MODELS
    study = read(names[0])
    drawn = [c.name for c in study.contenders if not study.imported(c)]
    if not drawn:
        raise InputError(f"study '{study.name}' has imported images alone: there is nothing to draw with")
    return study, drawn, study.models


def _texts(study: Study | None, contenders: list[str], models: Mapping[str, Model], count: int) -> list[str]:
    """The study's first prompts; without one, of the set that the models can draw."""
    from bench.prompts import sets

    if study is not None:
        return [prompt.text for prompt in study.prompts[:count]]
    own = all(models[name.partition("@")[0]].repository.startswith("miniature:") for name in contenders)
    return [prompt.text for prompt in sets.load("miniature" if own else "turbo-264")[:count]]


def _write(study: Study, results: Path, document: dict[str, Any]) -> None:
    from bench.run import opened

    with opened(study, results) as folder:
        folder.write_json("interactive.json", document)
        print(folder.path / "interactive.json", file=sys.stderr)

"""The `bench` command, put together from the `cli_*` modules, and how it ends."""

from __future__ import annotations

import os
import sys
from importlib import metadata
from typing import Annotated

import typer

from bench.cli.data import app as bring_app
from bench.cli.info import app as look_app
from bench.cli.judge import app as judge_app
from bench.cli.live import app as live_app
from bench.cli.prompts import app as prompts_app
from bench.cli.references import app as reference_app
from bench.cli.results import app as results_app
from bench.cli.selfcheck import app as selfcheck_app
from bench.cli.stages import app as stages_app
from bench.errors import InputError

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Benchmark few-step text-to-image models: images, latency, metrics and a report from one study file.\n\n"
    "Start with [bold]bench run miniature[/bold], which needs no GPU and no downloads.",
)


def _version(asked: bool) -> None:
    if asked:
        print(f"bench {metadata.version('turbo-preference-bench')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    log_json: Annotated[
        bool, typer.Option("--log-json", help="Progress as a line of JSON each, for machines.")
    ] = False,
) -> None:
    """What holds for every command."""
    if log_json:
        os.environ["BENCH_LOG_JSON"] = "1"


app.add_typer(stages_app)
app.add_typer(judge_app)
app.add_typer(bring_app)
app.add_typer(selfcheck_app)
app.add_typer(look_app)
app.add_typer(results_app)
app.add_typer(reference_app, name="reference", rich_help_panel="Bring and check")
app.add_typer(prompts_app, name="prompts", rich_help_panel="Look")
app.add_typer(live_app)


def main() -> None:
    """Entry point: an InputError is one line and exit 2; any other exception keeps its traceback."""
    try:
        app()
    except InputError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("bench: interrupted; run the same command again to go on", file=sys.stderr)
        sys.exit(130)

"""Commands on study folders: view, report, export, publish, compare, diff."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.terminal import HERE, Json, Results, StudyFolderName, print_rows, progress
from bench.errors import InputError

if TYPE_CHECKING:
    from bench.report.comparison import Change

app = typer.Typer()


@app.command(rich_help_panel="One stage")
def report(
    study: StudyFolderName,
    results: Results = HERE,
    columns: Annotated[
        str, typer.Option(help="Width of the figure files and of report.tex: one or two columns of a paper.")
    ] = "one",
) -> None:
    """Write the report: one HTML page, figures, tables and a report.tex, into the study's folder report/.

    Reads nothing but the study folder, so it can be made anew at any time, also before there are votes. Of a study
    in an object store (s3://bucket/place/study) only the images that it shows are brought here.

    Example: [bold]bench report miniature --columns two[/bold]
    """
    from bench.run import report_stage
    from bench.store.mirror import mirrored
    from bench.store.object_store import open_anywhere
    from bench.store.study_folder import StudyFolder

    folder = open_anywhere(study, results)
    with progress() as reporter:
        if isinstance(folder, StudyFolder):
            print(report_stage(folder, columns, reporter))
            return
        with mirrored(folder) as mirror:
            page = report_stage(mirror, columns, reporter)
        print(f"{page}\n{folder.where}/{page.relative_to(mirror.path)}")


@app.command(rich_help_panel="Look")
def view(
    study: StudyFolderName,
    results: Results = HERE,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets others see the images.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 7862,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Browse the images of a study: filter, sort by metric or votes, compare two with a slider, zoom.

    Works on finished, imported and unfinished studies, also while a sweep runs: new images appear by themselves.

    Example: [bold]bench view miniature[/bold]
    """
    from bench.gallery.server import serve
    from bench.store.study_folder import open_folder

    serve(open_folder(study, results), host=host, port=port, browser=browser)


@app.command("export", rich_help_panel="Bring and check")
def export(
    study: StudyFolderName,
    to: Annotated[Path, typer.Option("--to", help="Folder for the package; it must be new or empty.")],
    results: Results = HERE,
) -> None:
    """Write a data package others can re-analyse: Parquet, images, data card, Croissant, checksums; anonymised.

    `bench import package/` makes a study folder of it again, whose report is the same byte for byte.

    Example: [bold]bench export miniature --to package/[/bold]
    """
    from bench.export.package import pack
    from bench.store.study_folder import open_folder

    print(pack(open_folder(study, results), to))


@app.command(rich_help_panel="Bring and check")
def publish(
    study: StudyFolderName,
    to: Annotated[Path, typer.Option("--to", help="Folder for the site; it must be new or empty.")],
    results: Results = HERE,
) -> None:
    """Write a static site of a study: report, gallery with thumbnails, data package, and a dataset card.

    It opens from a disk, from any web server, and as a Hugging Face dataset. Raters are anonymised as in an export.

    Example: [bold]bench publish miniature --to site/[/bold]
    """
    from bench.export.publish import publish as write_site
    from bench.store.study_folder import open_folder

    with progress() as shown:
        index = write_site(open_folder(study, results), to, shown.step)
    print(index)


@app.command(rich_help_panel="Look")
def compare(
    studies: Annotated[
        list[str], typer.Argument(metavar="STUDY STUDY…", help="Study folders, or their names.")
    ],
    results: Results = HERE,
    as_json: Json = False,
) -> None:
    """Several studies side by side; what is not comparable is left out, with the reason.

    Numbers stand in one row only if they share their protocol, prompts and device. Exits 1 if none do.

    Example: [bold]bench compare miniature other/results/miniature[/bold]
    """
    from bench.report.comparison import side_by_side
    from bench.report.results import read_results
    from bench.report.tables.form import plain
    from bench.store.study_folder import open_folder

    if len(studies) < 2:
        raise InputError("give two studies or more: bench compare STUDY STUDY")
    read = {name: read_results(open_folder(name, results)) for name in studies}
    if len(read) < len(studies):
        raise InputError("one study is named twice")
    tables, refused, nought = side_by_side(read)
    rows: list[dict[str, Any]] = [
        {"measure": f"{table.title} {table.columns[1].direction}"}
        | {c.head: plain(cell, c.digits) for c, cell in zip(table.columns, row, strict=True)}
        for table in tables
        for row in table.rows
    ]
    if as_json:
        print(json.dumps({"rows": rows, "not compared": refused}, indent=1, ensure_ascii=False))
    else:
        if rows:
            print_rows(rows, False)
        for reason in refused:
            print(f"not compared: {reason}")
        if nought:
            print(f"none in any: {', '.join(what.lower() for what in nought)}")
    raise typer.Exit(0 if rows else 1)


@app.command(rich_help_panel="Look")
def diff(
    old: Annotated[
        str, typer.Argument(metavar="OLD", help="A study folder, its name under --results, or its file.")
    ],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The one that must not be worse.")],
    results: Results = HERE,
    every: Annotated[
        bool, typer.Option("--all", help="Also what did not change beyond the intervals.")
    ] = False,
    as_json: Json = False,
) -> None:
    """What changed beyond the intervals, which hold for all numbers together; exits 1 on a regression.

    For a model team's CI: exit 0 is no worse, 1 is worse, 2 is nothing to compare or no study there. Times must
    change by 5% besides; a missing image, a black one or a failure more is a regression.

    Example: [bold]bench diff results/last-week results/today[/bold]
    """
    from dataclasses import asdict

    from bench.report.comparison import changes
    from bench.report.results import read_results
    from bench.store.study_folder import open_folder

    found, refused = changes(read_results(open_folder(old, results)), read_results(open_folder(new, results)))
    worse = [change for change in found if change.verdict == "worse"]
    if as_json:
        print(
            json.dumps(
                {"changes": [asdict(c) for c in found], "not compared": refused}, indent=1, ensure_ascii=False
            )
        )
        raise typer.Exit(1 if worse else 0)
    rows = _change_rows(found, every)
    if rows:
        print_rows(rows, False)
    for reason in refused:
        print(f"not compared: {reason}")
    better = sum(change.verdict == "better" for change in found)
    print(
        f"{len(found)} numbers compared: {len(worse)} worse, {better} better, "
        f"{len(found) - len(worse) - better} the same"
    )
    raise typer.Exit(1 if worse else 0)


def _change_rows(changes: Sequence[Change], every: bool) -> list[dict[str, Any]]:
    """A row a change, the worse first; every: also those that are no difference beyond the intervals."""
    from bench.report.tables.form import decimals, number, plain

    order = {"worse": 0, "better": 1, "same": 2}
    rows = []
    for change in sorted(changes, key=lambda change: order[change.verdict]):
        if every or change.verdict != "same":
            counts = change.how == "counted"
            digits = 0 if counts else decimals([change.old, change.new, change.difference])
            rows.append(
                {
                    "verdict": change.verdict,
                    "measure": change.what,
                    "contender": change.contender,
                    "old": number(change.old.value, digits),
                    "new": number(change.new.value, digits),
                    "difference": plain(change.difference, digits),
                    "how": change.how,
                }
            )
    return rows

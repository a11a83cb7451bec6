"""Commands that bring what a study needs, and check what it has: import, copy, fetch, verify."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.prompts import fetch as fetch_prompts
from bench.cli.terminal import HERE, Results, StudyFolderName, StudyName, progress
from bench.errors import InputError

app = typer.Typer()


@app.command(rich_help_panel="Bring and check")
def copy(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="A study in an object store: s3://bucket/place/study.")
    ],
    results: Results = HERE,
) -> None:
    """Bring a study from an object store onto this disk, for score, report and arena.

    Example: [bold]bench copy s3://sweeps/my-study[/bold]
    """
    from bench.store.mirror import copy as bring_here

    print(bring_here(url, results))


@app.command("import", rich_help_panel="Bring and check")
def import_(
    study: Annotated[
        str,
        typer.Argument(
            metavar="STUDY", help="A study file or shipped study; or the folder of a data package."
        ),
    ],
    name: Annotated[
        str | None, typer.Option("--as", help="The imported contender the images are of.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of images.")] = None,
    mapping: Annotated[
        Path | None, typer.Option("--map", help="Table with columns file, prompt_id[, replicate].")
    ] = None,
    results: Results = HERE,
) -> None:
    """Bring images made elsewhere, for models whose weights are not public; or a package of `bench export`.

    Example: [bold]bench import my-study.toml --as midjourney --images shots/ --map shots.tsv[/bold], or
    [bold]bench import package/[/bold]
    """
    from bench.run import opened
    from bench.study.study import read
    from bench.sweep.import_images import import_images

    if name is None or images is None:
        from bench.export.package import unpack

        if name or images or not Path(study).is_dir():
            raise InputError(
                "to import images give both --as CONTENDER and --images DIR; a data package is a folder"
            )
        folder = unpack(Path(study), results)
        print(f"{folder.path}\nnext     bench report {folder.path.name}")
        return
    found = read(study)
    with opened(found, results) as folder, progress() as reporter:
        done = import_images(found, folder, name, images, mapping, progress=reporter.images)
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(done.suffixes.items()))
    behind = f" ({kinds})" if kinds else ""
    print(f"{len(done.generations)} images imported{behind}, {len(done.failures)} missing or unreadable")
    for failure in done.failures[:5]:
        print(f"  {failure.prompt_id}: {failure.kind}, {failure.message}")
    if done.unread:
        print(f"  not read: {', '.join(done.unread[:5])}; save them as PNG or JPEG")
    raise typer.Exit(1 if done.failures else 0)


@app.command(rich_help_panel="Bring and check")
def fetch(study: StudyName) -> None:
    """Download every weight, prompt file and reference a study needs; afterwards it runs with the hub off.

    Example: [bold]bench fetch turbo-preference[/bold] on a machine with a network that shares the cache.
    """
    from bench.metrics.weights import tree_sha256
    from bench.models.availability import fetch as fetch_weights
    from bench.scoring.requirements import fetch as fetch_scoring
    from bench.study.study import prompt_set_of, read

    needed = prompt_set_of(study)
    if needed:
        fetch_prompts(needed)
    found = read(study)
    failed = False
    for name, model in found.models.items():
        if model.kind == "imported":
            continue
        try:
            for repository, commit in fetch_weights(model, lambda line: print(line, file=sys.stderr)).items():
                print(f"{name}  {repository}  {commit}")
        except InputError as error:  # the other models are fetched all the same
            print(f"bench: {error}", file=sys.stderr)
            failed = True
    for name, path in fetch_scoring(found).items():
        print(f"{name}  {path}  sha256 {tree_sha256(path)}")
    if failed:
        raise typer.Exit(2)


@app.command(rich_help_panel="Bring and check")
def verify(
    study: StudyFolderName,
    results: Results = HERE,
    mend: Annotated[
        bool, typer.Option(help="Remove damaged files, so that `bench generate` makes them again.")
    ] = False,
) -> None:
    """Check every image against the hash in its row, and the rows against what the study asks for.

    Example: [bold]bench verify miniature --mend && bench generate miniature[/bold]
    """
    from bench.scoring.scorable_images import cure_of
    from bench.store.object_store import open_anywhere
    from bench.study.study import open_study
    from bench.sweep.inventory import images_without_row

    folder = open_anywhere(study, results)
    found = open_study(folder)
    damaged = folder.damaged()
    removed, from_elsewhere, imported = 0, 0, set()
    for row, fault in damaged:
        print(f"{fault}  {folder.image(row.contender, row.prompt_id, row.replicate)}")
        if row.seed is None:
            imported.add(row.contender)
        if mend and fault != "missing":
            folder.remove_image(row)
            removed += 1
            from_elsewhere += row.seed is None
    print(f"{len(folder.generations())} images, {len(damaged)} missing or damaged")
    wanting = images_without_row(found, folder)
    for name, count in wanting.items():
        print(f"{name}: {count} images of the study have no row: {cure_of(found, name)}")
    if mend:
        again = f"; `bench generate {found.name}` generates them again" if removed > from_elsewhere else ""
        print(f"{removed} damaged files removed{again}")
    for name in sorted(imported):
        print(f"images of {name} were imported: `bench import {found.name} --as {name} …` brings them again")
    raise typer.Exit(1 if damaged or wanting else 0)

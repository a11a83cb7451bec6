"""`bench reference`: what distances compare with, built from a folder and kept."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.terminal import HERE, Json, print_rows, progress

app = typer.Typer(
    no_args_is_help=True, help="What distances compare with: build from a folder, or list what is built."
)


@app.command("build")
def build(
    name: Annotated[str, typer.Argument(help="What studies call it in [metrics] reference.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Every image below it counts.")],
    extractor: Annotated[
        str, typer.Option(help="Take its features and statistics now; none: with the first study.")
    ] = "none",
    device: Annotated[str, typer.Option(help="cuda, cuda:N or cpu.")] = "cpu",
) -> None:
    """Keep a folder of images as a reference, with hashes and recipe.

    Example: [bold]bench reference build coco-2017-val ~/coco/val2017 --extractor inception-tf[/bold]
    """
    import bench.metrics.references as references
    from bench.scoring.score import reference_statistics

    taken: list[str] = []

    def prepare(reference: references.Reference) -> None:
        """Take the statistics before the reference is listed: a damaged image must leave nothing behind."""
        if extractor == "none":
            return
        with progress() as shown:
            moments = reference_statistics(reference, extractor, device, shown.images)
        taken.append(f"{extractor}  mean and covariance of {moments.n} x {moments.mean.size}")

    built = references.build(name, folder, prepare)
    kinds = Counter(Path(str(file)).suffix.lower() for _, file in built.files)
    counted = ", ".join(f"{count} {suffix}" for suffix, count in sorted(kinds.items()))
    print(f"{name}  {len(built.files)} images ({counted})  {built.sha256}")
    for line in taken:
        print(line)


@app.command("list")
def list_built(as_json: Json = False) -> None:
    """Every reference built on this machine."""
    from bench.metrics.references import built, resolve

    rows = [
        {"reference": name, "images": len(found.files), "sha256": found.sha256}
        for name in built()
        if (found := resolve(name, HERE))
    ]
    if rows or as_json:
        print_rows(rows, as_json)
    else:
        print("none: `bench reference build NAME DIR` builds one")

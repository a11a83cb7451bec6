"""Commands that look: what ships with the suite, and what of a study can run here."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from bench.cli.terminal import HERE, Json, Results, StudyName, print_rows
from bench.errors import InputError

app = typer.Typer()


@app.command(rich_help_panel="Look")
def doctor(study: StudyName, results: Results = HERE, as_json: Json = False) -> None:
    """What of a study can run here, before it starts.

    Example: [bold]bench doctor turbo-preference[/bold]
    """
    from dataclasses import asdict

    from bench.doctor import examine
    from bench.models.availability import check
    from bench.study.study import read

    findings = examine(read(study), results, check=check)
    print_rows([asdict(f) for f in findings], as_json)
    raise typer.Exit(2 if any(f.state == "error" for f in findings) else 0)


@app.command(rich_help_panel="Look")
def models(as_json: Json = False) -> None:
    """Every model, with licence, source and whether its weights are here."""
    from bench.models.availability import is_here
    from bench.models.registry import MODELS

    rows = [
        {
            "model": m.name,
            "steps": ", ".join(map(str, m.steps)) or "imported",
            "guidance": m.guidance,
            "size": m.size,
            "here": "" if m.kind == "imported" else "yes" if is_here(m) else "no",
            "gated": "yes" if m.gated else "",
            "commercial use": {True: "yes", False: "no", None: "see licence"}[m.commercial],
            "licence": m.licence,
            "source": m.source,
        }
        for m in MODELS.values()
    ]
    print_rows(rows, as_json, below=("licence", "source"))


@app.command(rich_help_panel="Look")
def metrics(
    study: Annotated[
        str | None, typer.Argument(metavar="[STUDY]", help="Also the metrics that this study file defines.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Every metric: ↑ higher or ↓ lower is better, what it compares with, what it tells and what it cannot.

    Metrics of installed packages and of a study's own are listed with where they come from.
    Example: [bold]bench metrics --json[/bold] has the sources too. A study file chooses among them.
    """
    from dataclasses import asdict

    from bench.metrics.registry import AGAINST, METRICS
    from bench.metrics.user_metrics import from_package, installed

    known = {name: (metric, "this suite") for name, metric in METRICS.items()}
    for name in installed():
        resolved = from_package(name)
        known[name] = (resolved.metric, resolved.origin)
    if study is not None:
        from bench.scoring.requirements import file_metric, user_metrics_of
        from bench.study.study import read

        found = read(study)
        known |= {name: (r.metric, r.origin) for name, r in user_metrics_of(found).items()}
        for name, own in found.file.metrics.own.items():
            if own.file:
                known[name] = (file_metric(own), f"file {own.file}")
    if as_json:
        return print_rows(
            [{"metric": n, **asdict(m), "from": origin} for n, (m, origin) in known.items()], True
        )
    rows = [
        {
            "metric": f"{name} {'↑' if m.higher_is_better else '↓'}",
            "against": AGAINST[m.kind],
            "network": "the study's CLIP" if m.extractor == "study" else m.extractor,
            "from": origin,
            "tells": m.tells,
            "cannot tell": f"cannot tell: {m.cannot}",
        }
        for name, (m, origin) in known.items()
    ]
    print_rows(rows, False, below=("tells", "cannot tell"))


@app.command(rich_help_panel="Look")
def studies(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Print the file of this study.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Every study that ships with the suite; with a name, its file.

    Example: [bold]bench studies miniature > mine.toml[/bold] for a study to change (give it a name of its own).
    """
    import tomllib

    from bench.errors import unknown
    from bench.study.study import shipped

    if name is not None:
        if name not in shipped():
            raise unknown("study", name, shipped())
        print(shipped()[name].read_text(encoding="utf-8"), end="")
        return
    rows: list[dict[str, Any]] = []
    for name, path in shipped().items():
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        rows.append(
            {
                "study": name,
                "title": data.get("title", ""),
                "contenders": " ".join(data["contenders"]),
                "prompts": data["prompts"].get("set", "own file"),
                "count": data["prompts"].get("count", "all"),
            }
        )
    print_rows(rows, as_json, below=("title", "contenders"))


@app.command(rich_help_panel="The whole job")
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the study; the file is NAME.toml, here.")],
) -> None:
    """Write a commented study file for the machine at hand.

    Example: [bold]bench new my-study && bench doctor my-study.toml[/bold]
    """
    from pathlib import Path

    from bench.doctor import proposal
    from bench.study.file import StudyFile
    from bench.study.template import new_study

    pattern = StudyFile.model_fields["name"].metadata[0].pattern
    if not re.match(pattern, name):
        raise InputError(
            f"'{name}' cannot be a study's name: small letters, digits, '.', '_' and '-', at most 64"
        )
    path = Path(f"{name}.toml")
    if path.exists():
        raise InputError(f"{path} exists: choose another name, or move it away")
    path.write_text(new_study(name, **proposal()), encoding="utf-8")
    print(f"{path}\nnext     bench doctor {path}, then bench run {path}")

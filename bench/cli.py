"""The `bench` command: names → objects → a call; what comes back is drawn here and nowhere else."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli_live import app as live_app
from bench.cli_references import app as reference_app
from bench.cli_results import app as results_app
from bench.records import InputError
from bench.terminal import HERE, Json, Results, StudyFolderName
from bench.terminal import print_rows as _table
from bench.terminal import progress as _told

if TYPE_CHECKING:
    from bench.generate import Summary
    from bench.latency import Protocol
    from bench.plan import Options
    from bench.study import Study

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Benchmark few-step text-to-image models: images, latency, metrics and a report from one study file.\n\n"
    "Start with [bold]bench run miniature[/bold], which needs no GPU and no downloads.",
)
prompts_app = typer.Typer(
    no_args_is_help=False, invoke_without_command=True, help="List prompt sets, or add a copy."
)
app.add_typer(prompts_app, name="prompts", rich_help_panel="Look")
app.add_typer(reference_app, name="reference", rich_help_panel="Bring and check")
app.add_typer(results_app)
app.add_typer(live_app)

StudyName = Annotated[
    str, typer.Argument(metavar="STUDY", help="A study file, or the name of a shipped study.")
]
Device = Annotated[str, typer.Option(help="auto, cuda, cuda:N or cpu.")]
Dtype = Annotated[
    str | None, typer.Option(help="float16, bfloat16 or float32; the study's or the model's own if absent.")
]
BatchSize = Annotated[str, typer.Option(help="auto, or images a forward; frozen with the first image.")]
Optimize = Annotated[str, typer.Option(help="none, exact or max: faster, pictures the same up to rounding.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first N prompts.")]
Samples = Annotated[int, typer.Option(min=1, help="Timing samples a contender and batch size, at most.")]


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


@app.command(rich_help_panel="The whole job")
def run(
    study: StudyName,
    results: Results = HERE,
    device: Device = "auto",
    dtype: Dtype = None,
    batch_size: BatchSize = "study",
    optimize: Optimize = "none",
    limit: Limit = None,
    samples: Samples = 20,
) -> None:
    """Images, latency, metrics and the report.

    Example: [bold]bench run miniature[/bold]. Safe to stop and run again: nothing is made twice.
    """
    from bench.run import run as run_study

    found = _read(study)
    options = _options(device, dtype, batch_size, optimize, limit)
    with _told() as told:
        summary, report = run_study(found, results, options, _protocol(samples), told)
    _say(summary)
    if not summary.stopped:
        print(f"\nreport   {report}\nnext     arena serve {found.name}")
    _leave(summary)


@app.command(rich_help_panel="One stage")
def generate(
    study: StudyName,
    results: Results = HERE,
    device: Device = "auto",
    dtype: Dtype = None,
    batch_size: BatchSize = "study",
    optimize: Optimize = "none",
    limit: Limit = None,
    gpus: Annotated[
        str | None, typer.Option(help="all, or N: a process for each GPU of this machine.")
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(min=1, help="Without GPUs: that many processes, which share the CPU's threads."),
    ] = None,
    engine: Annotated[
        str, typer.Option(help="local, or ray (not yet proven): the nodes of a cluster.")
    ] = "local",
    address: Annotated[str, typer.Option(help="Of the Ray cluster.")] = "auto",
) -> None:
    """Make the images that are not there yet.

    Example: [bold]bench generate my-study.toml --gpus all --optimize exact[/bold]. Also under
    [bold]accelerate launch -m bench generate my-study.toml[/bold], and with [bold]--engine ray[/bold] on a
    cluster (see [bold]bench slurm[/bold]); --results may be s3://bucket/place. The bytes are the same on all.
    """
    from bench.launch import join_ranks, where_of
    from bench.run import generate_stage, on_disk_or_not

    found = _read(study)
    options = _options(device, dtype, batch_size, optimize, limit)
    where = where_of(engine, address, gpus, processes)
    if join_ranks(options):
        return
    with on_disk_or_not(found, results) as folder, _told() as told:
        summary = generate_stage(found, folder, options, told, where)
    _say(summary)
    _leave(summary)


@app.command(rich_help_panel="One stage")
def slurm(
    study: StudyName,
    results: Results = HERE,
    nodes: Annotated[int, typer.Option(min=1, help="Machines.")] = 1,
    gpus: Annotated[int, typer.Option(min=1, help="GPUs a machine: a worker each.")] = 8,
    cpus: Annotated[int, typer.Option(min=1, help="CPUs a machine: they encode and write.")] = 16,
    time: Annotated[str, typer.Option(help="Longest run; the job can be sent again to go on.")] = "12:00:00",
    partition: Annotated[str, typer.Option(help="As the cluster names it.")] = "",
    account: Annotated[str, typer.Option(help="Whom the hours are charged to.")] = "",
    optimize: Optimize = "none",
) -> None:
    """Print a job script that makes the images on a SLURM allocation.

    Example: [bold]bench slurm turbo-preference --nodes 2 --optimize exact | sbatch[/bold]
    """
    from bench.slurm import Job, script

    _read(study)
    job = Job(nodes=nodes, gpus=gpus, cpus=cpus, time=time, partition=partition, account=account)
    print(script(study, results, job, optimize), end="")


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
    from bench.objects import copy as bring_here

    print(bring_here(url, results))


@app.command(rich_help_panel="One stage")
def latency(
    study: StudyName,
    results: Results = HERE,
    device: Device = "auto",
    dtype: Dtype = None,
    batch_size: BatchSize = "study",
    optimize: Optimize = "none",
    samples: Samples = 20,
    weights: Annotated[
        str,
        typer.Option(help="pretrained, or random: the real architecture at full size, nothing downloaded."),
    ] = "pretrained",
) -> None:
    """Time each stage of each contender.

    Example: [bold]bench latency turbo-preference --weights random --device cuda[/bold] measures the real
    architectures where no weights are at hand: speed does not depend on the values.
    """
    from bench.run import latency_stage, opened

    found = _read(study)
    options = _options(device, dtype, batch_size, optimize, None)
    with opened(found, results) as folder, _told() as told:
        latency_stage(found, folder, options, _protocol(samples), weights, told)
        print(folder.path / "latency.json")


@app.command(rich_help_panel="One stage")
def score(
    study: StudyName,
    results: Results = HERE,
    device: Device = "auto",
    allow_missing: Annotated[
        bool, typer.Option(help="Score what is there although images are missing, black or unreadable.")
    ] = False,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="mlperf-sdxl: MLPerf's two numbers with pass or fail, exit 1 on a fail; the study's own if absent."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compute the study's metrics from its images: a number, its interval and N for each contender.

    Example: [bold]bench score miniature[/bold]. After [bold]arena rate[/bold], `people` says how often a metric
    picks the picture that a single vote picked. [bold]bench metrics[/bold] says what each can and cannot tell.
    """
    from bench.metrics.mlperf import verdict_rows
    from bench.plan import resolve_device
    from bench.run import opened, score_stage
    from bench.scoreboard import score_rows

    found = _read(study)
    with opened(found, results) as folder, _told() as told:
        where = resolve_device(found, device)
        scores = score_stage(found, folder, where, allow_missing, told, protocol=protocol)
        document = folder.read_json("scores.json") or {}
    if as_json:
        print(json.dumps(document, ensure_ascii=False))
    elif scores:
        _table(score_rows(document), False)
    for warning in document["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    verdicts = verdict_rows(scores, found)
    if verdicts and not as_json:
        _table(verdicts, False)
    raise typer.Exit(1 if any(row["verdict"] == "FAIL" for row in verdicts) else 0)


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
    from bench.imports import bring
    from bench.run import opened

    if name is None or images is None:
        from bench.report.package import unpack

        if name or images or not Path(study).is_dir():
            raise InputError(
                "to import images give both --as CONTENDER and --images DIR; a data package is a folder"
            )
        folder = unpack(Path(study), results)
        print(f"{folder.path}\nnext     bench report {folder.path.name}")
        return
    found = _read(study)
    with opened(found, results) as folder, _told() as told:
        made, failed = bring(found, folder, name, images, mapping, progress=told.images)
    print(f"{made} images imported, {len(failed)} missing or unreadable")
    for failure in failed[:5]:
        print(f"  {failure.prompt_id}: {failure.kind}, {failure.message}")
    raise typer.Exit(1 if failed else 0)


@app.command(rich_help_panel="Bring and check")
def fetch(study: StudyName) -> None:
    """Download every weight, prompt file and reference a study needs; afterwards it runs with the hub off.

    Example: [bold]bench fetch turbo-preference[/bold] on a machine with a network that shares the cache.
    """
    from bench.metrics.weights import tree_sha256
    from bench.models.weights import fetch as fetch_weights
    from bench.score import fetch as fetch_scoring
    from bench.study import prompt_set_of

    needed = prompt_set_of(study)
    if needed:
        prompts_fetch(needed)
    found = _read(study)
    for name, model in found.models.items():
        if model.kind != "imported":
            for repository, commit in fetch_weights(model).items():
                print(f"{name}  {repository}  {commit}")
    for name, path in fetch_scoring(found).items():
        print(f"{name}  {path}  sha256 {tree_sha256(path)}")


@app.command(rich_help_panel="Bring and check")
def verify(
    study: StudyFolderName,
    results: Results = HERE,
    mend: Annotated[
        bool, typer.Option(help="Remove damaged files, so that `bench generate` makes them again.")
    ] = False,
) -> None:
    """Check every image against the hash in its row.

    Example: [bold]bench verify miniature --mend && bench generate miniature[/bold]
    """
    from bench.objects import open_anywhere

    folder = open_anywhere(study, results)
    damaged = folder.damaged()
    for row, fault in damaged:
        print(f"{fault}  {folder.image(row.contender, row.prompt_id, row.replicate)}")
        if mend and fault != "missing":
            folder.remove_image(row)
    print(f"{len(folder.generations())} images, {len(damaged)} missing or damaged")
    raise typer.Exit(1 if damaged else 0)


@app.command(rich_help_panel="Look")
def doctor(study: StudyName, results: Results = HERE, as_json: Json = False) -> None:
    """What of a study can run here, before it starts.

    Example: [bold]bench doctor turbo-preference[/bold]
    """
    from dataclasses import asdict

    from bench.doctor import examine
    from bench.models.weights import is_cached

    findings = examine(_read(study), results, cached=is_cached)
    _table([asdict(f) for f in findings], as_json)
    raise typer.Exit(2 if any(f.state == "error" for f in findings) else 0)


@app.command(rich_help_panel="Look")
def models(as_json: Json = False) -> None:
    """Every model, with licence, source and whether its weights are here."""
    from bench.models.table import MODELS
    from bench.models.weights import is_cached

    rows = [
        {
            "model": m.name,
            "steps": ", ".join(map(str, m.steps)) or "imported",
            "guidance": m.guidance,
            "size": m.size,
            "here": "" if m.kind == "imported" else "yes" if is_cached(m) else "no",
            "commercial use": {True: "yes", False: "no", None: "see licence"}[m.commercial],
            "licence": m.licence,
            "source": m.source,
        }
        for m in MODELS.values()
    ]
    _table(rows, as_json, below=("licence", "source"))


@app.command(rich_help_panel="Look")
def metrics(as_json: Json = False) -> None:
    """Every metric: best direction, network, what it tells and what it cannot; with --json its source too."""
    from dataclasses import asdict

    from bench.metrics.table import METRICS

    if as_json:
        return _table([{"metric": name, **asdict(metric)} for name, metric in METRICS.items()], True)
    rows = [
        {"metric": f"{name} {'↑' if m.higher_is_better else '↓'}", "network": m.extractor, "tells": m.tells,
         "cannot tell": f"cannot tell: {m.cannot}"}
        for name, m in METRICS.items()
    ]  # fmt: skip
    _table(rows, False, below=("tells", "cannot tell"))


@app.command(rich_help_panel="Look")
def studies(as_json: Json = False) -> None:
    """Every study that ships with the suite."""
    import tomllib

    from bench.study import shipped

    rows: list[dict[str, Any]] = []
    for name, path in shipped().items():
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        rows.append(
            {"study": name, "title": data.get("title", ""), "contenders": " ".join(data["contenders"]),
             "prompts": data["prompts"].get("set", "own file"), "count": data["prompts"].get("count", "all")}
        )  # fmt: skip
    _table(rows, as_json, below=("title", "contenders"))


@prompts_app.callback()
def prompts(context: typer.Context, as_json: Json = False) -> None:
    """Every prompt set, with licence, source and whether it is here.

    Example: [bold]bench prompts add parti parti-prompts.tsv[/bold]
    """
    if context.invoked_subcommand:
        return
    import bench.prompts as sets

    rows = [
        {"set": s.name, "prompts": s.count, "here": "yes" if sets.is_here(s.name) else "no", "licence": s.licence,
         "title": s.title, "source": s.source}
        for s in sets.PROMPT_SETS.values()
    ]  # fmt: skip
    _table(rows, as_json, below=("title", "licence", "source"))


@prompts_app.command("add")
def prompts_add(name: str, file: Path) -> None:
    """Take a copy of a public set from disk; its hash is verified."""
    from bench.prompt_fetch import add

    for path in add(name, file):
        print(path)


@prompts_app.command("fetch")
def prompts_fetch(name: str) -> None:
    """Download a public set; its hash is verified, or recorded at the first fetch and held to afterwards."""
    from bench.prompt_fetch import fetch as fetch_prompts
    from bench.prompts import is_here

    if not is_here(name):
        for path in fetch_prompts(name):
            print(path)


def _read(study: str) -> Study:
    from bench.study import read

    return read(study)


def _options(device: str, dtype: str | None, batch_size: str, optimize: str, limit: int | None) -> Options:
    from bench.plan import Options

    if dtype not in (None, "float16", "bfloat16", "float32"):
        raise InputError(f"--dtype {dtype}: one of float16, bfloat16, float32")
    size: int | str | None = None if batch_size == "study" else batch_size
    if size not in (None, "auto"):
        if not (batch_size.isdigit() and int(batch_size) > 0):
            raise InputError(f"--batch-size {batch_size}: 'auto' or a number from 1")
        size = int(batch_size)
    return Options(device=device, dtype=dtype, batch_size=size, optimize=optimize, limit=limit)


def _protocol(samples: int) -> Protocol:
    from bench.latency import Protocol

    return Protocol(samples=samples, least=min(5, samples))


def _say(summary: Summary) -> None:
    rate = f", {summary.made / summary.seconds:.2f} images/s" if summary.made else ""
    print(f"{summary.made} images made{rate}, {summary.kept} were there, {summary.failed} failed", end="")
    print(f", {summary.black} black, {summary.truncated} captions truncated")


def _leave(summary: Summary) -> None:
    if summary.stopped:
        print("stopped after a whole batch; run the same command again to go on", file=sys.stderr)
        raise typer.Exit(130)
    raise typer.Exit(1 if summary.failed else 0)

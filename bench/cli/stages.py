"""Commands that make a study: the whole job, or one stage of it. Names → objects → a call."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.terminal import HERE, Json, Results, StudyName, print_rows, progress
from bench.errors import InputError, unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.latency.measure import Protocol
    from bench.records import Score
    from bench.store.documents import Scores
    from bench.study.study import Study
    from bench.sweep.generate import Summary
    from bench.sweep.settings import Options

app = typer.Typer()

Device = Annotated[str, typer.Option(help="auto, cuda, cuda:N or cpu.")]
Dtype = Annotated[
    str | None, typer.Option(help="float16, bfloat16 or float32; the study's or the model's own if absent.")
]
BatchSize = Annotated[str, typer.Option(help="auto, or images a forward; frozen with the first image.")]
Optimize = Annotated[str, typer.Option(help="none, exact or max: faster, pictures the same up to rounding.")]
Gpus = Annotated[str | None, typer.Option(help="all, or N: a process for each GPU of this machine.")]
Processes = Annotated[
    int | None, typer.Option(min=1, help="Without GPUs: that many processes, which share the CPU's threads.")
]
EngineName = Annotated[str, typer.Option("--engine", help="local, or ray: the nodes of a cluster.")]
Address = Annotated[str, typer.Option(help="Of the Ray cluster.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first N prompts.")]
AllowMissing = Annotated[
    bool, typer.Option(help="Score what is there although images are missing, black or unreadable.")
]
ScoreProtocol = Annotated[
    str | None,
    typer.Option(
        help="mlperf-sdxl: MLPerf's two numbers with pass or fail, exit 1 on a fail; the study's own if absent."
    ),
]
ScoresFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Add scores that were computed elsewhere: prompt_id, contender[, replicate], value.",
    ),
]
Samples = Annotated[int, typer.Option(min=1, help="Timing samples a contender and batch size, at most.")]


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
    from bench.study.study import read

    found = read(study)
    options = _options(device, dtype, batch_size, optimize, limit)
    with progress() as reporter:
        summary, report = run_study(found, results, options, _protocol(samples), reporter)
    _say(summary)
    if not (summary.stopped or summary.set_aside):
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
    gpus: Gpus = None,
    processes: Processes = None,
    engine: EngineName = "local",
    address: Address = "auto",
    replace: Annotated[
        list[str] | None,
        typer.Option(
            help="A contender or prompt whose images are kept aside and generated anew; repeatable."
        ),
    ] = None,
    mixed: Annotated[
        bool, typer.Option(help="Go on although images come from other software or another device.")
    ] = False,
    patience: Annotated[
        float,
        typer.Option(
            min=0.01, help="Times 30 min (loading) or 10 min (a batch): then a silent worker is replaced."
        ),
    ] = 1.0,
) -> None:
    """Generate the images that do not exist yet: of a study that grew, only the new ones.

    Example: [bold]bench generate my-study.toml --gpus all --optimize exact[/bold]. Also under
    [bold]accelerate launch -m bench generate my-study.toml[/bold], and with [bold]--engine ray[/bold] on a
    cluster (see [bold]bench slurm[/bold]); --results may be s3://bucket/place. The bytes are the same on all.
    """
    from bench.run import generate_stage, on_disk_or_not
    from bench.study.study import read
    from bench.sweep.engine_choice import join_ranks, where_of

    found = read(study)
    options = replace_fields(
        _options(device, dtype, batch_size, optimize, limit), mixed=mixed, patience=patience
    )
    where = where_of(engine, address, gpus, processes)
    if join_ranks(options):
        return
    with (
        on_disk_or_not(found, results, replace or (), say=print) as folder,
        progress() as reporter,
    ):
        summary = generate_stage(found, folder, options, reporter, where)
    _say(summary)
    _leave(summary)


@app.command(rich_help_panel="One stage")
def slurm(
    study: StudyName,
    results: Results = HERE,
    nodes: Annotated[int, typer.Option(min=1, help="Machines.")] = 1,
    gpus: Annotated[
        int, typer.Option(min=0, help="GPUs a machine: a worker each; 0: a worker each CPU.")
    ] = 8,
    cpus: Annotated[int, typer.Option(min=1, help="CPUs a machine: they encode and write.")] = 16,
    time: Annotated[str, typer.Option(help="Longest run; the job can be sent again to go on.")] = "12:00:00",
    partition: Annotated[str, typer.Option(help="As the cluster names it.")] = "",
    account: Annotated[str, typer.Option(help="Whom the hours are charged to.")] = "",
    optimize: Optimize = "none",
    stage: Annotated[
        str, typer.Option(help="generate, latency, score; or all: a script that submits the three in order.")
    ] = "generate",
    module: Annotated[list[str] | None, typer.Option(help="A module to load; repeatable.")] = None,
    hf_home: Annotated[str, typer.Option(help="Where the hub's cache lies, for all machines.")] = "",
    container: Annotated[
        str,
        typer.Option(
            help="Run in a container: the words before each command (apptainer exec --nv bench.sif)."
        ),
    ] = "",
) -> None:
    """Print a job script that runs a stage of a study on a SLURM allocation.

    Example: [bold]bench slurm turbo-preference --nodes 2 --optimize exact | sbatch[/bold], or
    [bold]bench slurm turbo-preference --stage all --module cuda | bash[/bold]
    """
    from bench.study.study import read
    from bench.sweep.slurm import STAGES, Job, chain, script, single

    read(study)
    job = Job(
        nodes=nodes, gpus=gpus, cpus=cpus, time=time, partition=partition, account=account,
        modules=tuple(module or ()), hf_home=hf_home, container=container,
    )  # fmt: skip
    if stage not in (*STAGES, "all"):
        raise unknown("stage", stage, (*STAGES, "all"))
    if stage == "all":
        print(chain(study, results, job, optimize), end="")
    elif stage == "generate":
        print(script(study, results, job, optimize), end="")
    else:
        print(single(stage, study, results, job, optimize), end="")


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
    load: Annotated[
        bool,
        typer.Option(
            help="Also cold start, the sustained Offline rate, Server latency under Poisson load, 1 to 8 clients."
        ),
    ] = False,
) -> None:
    """Time each stage of each contender.

    Example: [bold]bench latency turbo-preference --weights random --device cuda[/bold] measures the real
    architectures where no weights are at hand: speed does not depend on the values.
    """
    from bench.run import latency_stage, load_stage, opened_anywhere
    from bench.study.study import read

    found = read(study)
    options = _options(device, dtype, batch_size, optimize, None)
    with opened_anywhere(found, results) as folder, progress() as reporter:
        latency_stage(found, folder, options, _protocol(samples), weights, reporter)
        if load:
            load_stage(found, folder, options, weights, reporter)
        print(f"{folder.where}/latency.json")


@app.command(rich_help_panel="One stage")
def score(
    study: StudyName,
    results: Results = HERE,
    device: Device = "auto",
    allow_missing: AllowMissing = False,
    protocol: ScoreProtocol = None,
    scores: ScoresFile = None,
    metric: Annotated[str, typer.Option(help="--scores: the metric's name; the file's if absent.")] = "",
    lower_is_better: Annotated[bool, typer.Option(help="--scores: the metric's direction.")] = False,
    share: Annotated[
        bool, typer.Option(help="--scores: every value lies between 0 and 1 (Wilson's interval).")
    ] = False,
    gpus: Gpus = None,
    processes: Processes = None,
    engine: EngineName = "local",
    address: Address = "auto",
    as_json: Json = False,
) -> None:
    """Compute the study's metrics from its images: a number, its interval and N for each contender.

    Example: [bold]bench score miniature[/bold], or with more workers [bold]--gpus all[/bold], [bold]--processes
    8[/bold], [bold]--engine ray[/bold]; --results may be s3://bucket/place.

    After [bold]arena rate[/bold], `people`: how often a metric picks what a vote picked.

    [bold]bench metrics[/bold] says what each metric can and cannot tell. Scores of your own:
    [bold]bench score my-study --scores sharpness.csv[/bold].
    """
    from bench.run import opened_anywhere, score_stage
    from bench.scoring.mlperf import verdict_rows
    from bench.scoring.requirements import file_metric
    from bench.scoring.score_file import add_file
    from bench.store.documents import Scores, read_scores
    from bench.study.file import OwnMetric
    from bench.study.study import read
    from bench.sweep.engine_choice import where_of
    from bench.sweep.settings import demanded_device, resolve_device

    found = read(study)
    where = where_of(engine, address, gpus, processes)
    with opened_anywhere(found, results) as folder, progress() as reporter:
        if scores is not None:
            how = OwnMetric(file=scores.name, higher_is_better=not lower_is_better, share=share)
            rows = add_file(
                folder, found, scores, file_metric(how), metric or scores.stem, allow_missing=allow_missing
            )
        else:
            device = (demanded_device if engine == "ray" else resolve_device)(found, device)
            rows = score_stage(found, folder, device, allow_missing, reporter, protocol=protocol, where=where)
        document = read_scores(folder) or Scores()
    _print_scores(found, document, rows, as_json)
    verdicts = verdict_rows(rows, found)
    if verdicts and not as_json:
        print_rows(verdicts, False)
    raise typer.Exit(1 if any(row["verdict"] == "FAIL" for row in verdicts) else 0)


def _print_scores(study: Study, document: Scores, rows: Sequence[Score], as_json: bool) -> None:
    """All scores of the folder, as JSON or as tables with what clearly differs."""
    from bench.cli.score_rows import difference_rows, score_rows

    if as_json:
        print(json.dumps(asdict(document), ensure_ascii=False))
    elif rows:
        print_rows(score_rows(document), False)
        if real := difference_rows(document):
            print("\ndifferences whose joint interval leaves out 0, paired by prompt:")
            print_rows(real, False)
    if not (rows or as_json):
        print(
            f"study '{study.name}' names no metrics, so nothing was scored: add [metrics] with "
            f'names = ["clip_score"], or others of `bench metrics`; no image is generated anew',
            file=sys.stderr,
        )
    for warning in document.warnings:
        print(f"warning: {warning}", file=sys.stderr)


def _options(device: str, dtype: str | None, batch_size: str, optimize: str, limit: int | None) -> Options:
    from bench.device import DTYPES
    from bench.sweep.settings import Options

    if dtype is not None and dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    size: int | str | None = None if batch_size == "study" else batch_size
    if size not in (None, "auto"):
        if not (batch_size.isdigit() and int(batch_size) > 0):
            raise InputError(f"--batch-size {batch_size}: 'auto' or a number from 1")
        size = int(batch_size)
    return Options(device=device, dtype=dtype, batch_size=size, optimize=optimize, limit=limit)


def _protocol(samples: int) -> Protocol:
    from bench.latency.measure import Protocol

    return Protocol(samples=samples, least=min(5, samples))


def _say(summary: Summary) -> None:
    if not (summary.made or summary.kept or summary.failed or summary.stopped or summary.set_aside):
        print("no images to generate: every contender is imported")
        return
    for message in summary.set_aside.values():
        print(f"set aside: {message}", file=sys.stderr)
    rate = f", {summary.made / summary.seconds:.2f} images/s" if summary.made else ""
    print(
        f"{summary.made} images generated{rate}, {summary.kept} were there, {summary.failed} failed", end=""
    )
    print(f", {summary.black} black, {summary.truncated} captions truncated")


def _leave(summary: Summary) -> None:
    if summary.stopped:
        print("stopped after a whole batch; run the same command again to go on", file=sys.stderr)
        raise typer.Exit(130)
    raise typer.Exit(1 if summary.failed or summary.set_aside else 0)

"""`bench judge`: pairs of images judged by a vision-language model, beside people's votes and never among them."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from bench.cli.stages import Device
from bench.cli.terminal import HERE, Json, Results, StudyName, print_rows, progress

app = typer.Typer()


@app.command(rich_help_panel="One stage")
def judge(
    study: StudyName,
    results: Results = HERE,
    device: Device = "auto",
    model: Annotated[str, typer.Option(help="The extractor whose model judges.")] = "qwen2.5-vl-7b",
    allow_missing: Annotated[
        bool, typer.Option(help="Judge what is there although images are missing, black or unreadable.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Let a vision-language model judge every pair of images, in both orders, and rate contenders by it.

    An image wins a pair where the model prefers it in both orders; else the pair is a tie. The battles go to
    judge-battles.jsonl, ratings and agreement to judge.json: people's votes and their ratings are not touched.

    Example: [bold]bench judge turbo-preference --device cuda[/bold]
    """
    from bench.run import opened_anywhere
    from bench.scoring.pairwise import judge_study
    from bench.study.study import read
    from bench.sweep.settings import resolve_device

    found = read(study)
    with opened_anywhere(found, results) as folder, progress() as reporter:
        where = resolve_device(found, device)
        reporter.step("judging pairs")
        judgement = judge_study(
            folder, found, judge=model, device=where, allow_missing=allow_missing, progress=reporter.images
        )
        place = f"{folder.where}/judge.json"
    if as_json:
        print(json.dumps([asdict(row) for row in judgement.agreement], ensure_ascii=False))
        return
    print_rows([_rating(question, row) for question, rows in _ratings(judgement) for row in rows], False)
    if judgement.agreement:
        print("\nhow often it picks what people picked, beside how well one rater predicts another:")
        print_rows([_agreement(row) for row in judgement.agreement], False, below=("note",))
    print(f"all of it: {place}")


def _ratings(judgement: Any) -> list[tuple[str, Any]]:
    return [(question, block.ratings) for question, block in judgement.ratings.questions.items()]


def _rating(question: str, row: Any) -> dict[str, Any]:
    span = "" if row.low is None or row.high is None else f"{row.low:.0f} to {row.high:.0f}"
    return {
        "question": question,
        "contender": row.contender,
        "rating": "-" if row.rating is None else f"{row.rating:.0f}",
        "95%": span,
        "pairs": row.n,
    }


def _agreement(row: Any) -> dict[str, Any]:
    def share(value: float | None) -> str:
        return "-" if value is None else f"{100 * value:.0f}%"

    return {
        "question": row.question,
        "agrees": share(row.accuracy),
        "95%": f"{share(row.accuracy_low)} to {share(row.accuracy_high)}",
        "rater with rater": share(row.ceiling),
        "votes": row.n,
        "note": row.note,
    }

"""Every table of the report in order, and those about the images themselves: counts, failures, models."""

from __future__ import annotations

from collections import Counter

from bench.report.results import Results
from bench.report.tables import claims, metrics, presentation, sensitivity, speed, votes
from bench.report.tables.form import Cell, Column, Table
from bench.report.tables.main import main_table


def all_tables(results: Results) -> list[Table]:
    """Every table that has data, in the order of the report."""
    tables: list[Table | None] = [
        main_table(results),
        *votes.all_of(results),
        *presentation.all_of(results),
        *claims.all_of(results),
        *sensitivity.all_of(results),
        *metrics.all_of(results),
        *speed.all_of(results),
    ]
    tables += [image_counts(results), failure_table(results), model_table(results)]
    return [table for table in tables if table is not None]


def image_counts(results: Results) -> Table:
    """Asked for, there, missing, black, cut prompts and sizes, by contender."""
    wanted = len(results.prompts) * results.images_per_prompt
    rows: list[tuple[Cell, ...]] = []
    for name in results.contenders:
        made = results.present(name)
        sizes = Counter(f"{row.width}×{row.height}" for row in made)
        shown = ", ".join(size for size, _ in sizes.most_common(3)) + (" …" if len(sizes) > 3 else "")
        black = sum(row.black for row in made)
        rows.append(
            (
                name,
                wanted,
                len(made),
                wanted - len(made),
                black,
                sum(row.truncated for row in made),
                shown or "–",
            )
        )
    heads = ("Contender", "Asked for", "There", "Missing", "Black", "Prompts cut", "Size (px)")
    return Table(
        name="images",
        title="Images",
        columns=tuple(Column(head=head) for head in heads),
        rows=tuple(rows),
        notes=(
            f"Judged and scored at {results.display_size} px. Black: every pixel nearly zero, by a safety "
            "filter or an overflow. Prompts cut: longer than the model's text encoder.",
        ),
    )


def failure_table(results: Results) -> Table | None:
    """Failures that still stand, counted by stage, contender and kind."""
    groups = Counter((f.stage, f.contender, f.kind) for f in results.failures)
    if not groups:
        return None
    first = {(f.stage, f.contender, f.kind): f for f in reversed(results.failures)}
    rows = tuple(
        (
            stage,
            contender,
            kind,
            count,
            first[stage, contender, kind].prompt_id,
            _short(first[stage, contender, kind].message),
        )
        for (stage, contender, kind), count in sorted(groups.items())
    )
    heads = ("Stage", "Contender", "Kind", "Count", "First prompt", "First message")
    total = sum(groups.values())
    return Table(
        name="failures",
        title=f"Failures: {total}",
        columns=tuple(Column(head=head) for head in heads),
        rows=rows,
        notes=("Every failure is a row of failures.jsonl.",),
    )


def _short(text: str, most: int = 160) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def model_table(results: Results) -> Table | None:
    """Licences, weights and sources of the models, from run.json."""
    if not results.models:
        return None
    rows: list[tuple[Cell, ...]] = []
    for name, entry in sorted(results.models.items()):
        allowed = entry.get("commercial")
        commercial = "read the licence" if allowed is None else ("yes" if allowed else "no")
        where = f"{entry.get('repository') or '–'}"
        revision = str(entry.get("revision") or "")[:12] or "–"
        weights = str(entry.get("weights") or "not recorded")
        rows.append(
            (
                name,
                weights,
                str(entry.get("licence") or "unknown"),
                commercial,
                where,
                revision,
                str(entry.get("source") or "–"),
            )
        )
    heads = ("Model", "Weights", "Licence", "Commercial use", "Repository", "Revision", "Source")
    return Table(
        name="models", title="Models", columns=tuple(Column(head=head) for head in heads), rows=tuple(rows)
    )

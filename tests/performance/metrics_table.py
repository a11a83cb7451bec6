"""What the scripts of the metrics have measured, kept as one JSON file and drawn as one table."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

NOTE = """# Metrics: parity and speed

Each ratio is of two calls in one process, on the same inputs; the machine was shared, so a ratio tells more
than a rate. Memory is the whole process, its libraries included. Made by
`python tests/performance/features_speed.py --out results/speed` and
`python tests/performance/algebra_speed.py --out results/speed`.
"""


def write(folder: Path, part: str, title: str, rows: list[dict[str, Any]]) -> None:
    """Replaces one part of metrics.json and draws metrics.md anew."""
    path = folder / "metrics.json"
    document = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    document[part] = {"title": title, "processor": platform.processor() or platform.machine(), "rows": rows}
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    tables = [_table(document[name]) for name in sorted(document)]
    (folder / "metrics.md").write_text("\n".join([NOTE, *tables]), encoding="utf-8")


def _table(part: dict[str, Any]) -> str:
    heads = list(part["rows"][0])
    lines = [f"## {part['title']}", "", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += [f"| {' | '.join(_cell(row[head]) for head in heads)} |" for row in part["rows"]]
    return "\n".join([*lines, ""])


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)

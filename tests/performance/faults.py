"""Twenty-four faults that are not deaths, each brought about: `python -m tests.performance.faults`.

Writes results/faults/faults.md and faults.json: what happens, what is lost, what is said. With names of functions of
`tests.support.faults`, those rows alone are made anew.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.conftest import ROOT
from tests.support.faults import FAULTS, examine
from tests.support.sweeping import IMAGES, undisturbed, write_study

OUT = ROOT / "results" / "faults"


def main(names: list[str]) -> int:
    rows = []
    with tempfile.TemporaryDirectory() as place:
        study = write_study(Path(place))
        whole = undisturbed(Path(place))
        for fault in FAULTS:
            if names and fault.run.__name__ not in names:
                continue
            root = Path(place) / fault.run.__name__
            root.mkdir()
            outcome = examine(fault, study, root, whole)
            said = [line.replace(str(root), "results").replace(place, "…") for line in outcome.said]
            told = [line for line in said if fault.says in line] if fault.says else said[-1:]
            rows.append(
                {"fault": fault.what, "happens": fault.happens} | asdict(outcome) | {"said": told[:1]}
            )
            print(fault.what, outcome.rows, outcome.again, outcome.lost, told[:1] or said, flush=True)
    OUT.mkdir(parents=True, exist_ok=True)
    if names:  # the others as they were
        now = {row["fault"]: row for row in rows}
        rows = [now.get(row["fault"], row) for row in json.loads((OUT / "faults.json").read_text())]
    (OUT / "faults.json").write_text(json.dumps(rows, indent=1) + "\n")
    (OUT / "faults.md").write_text(page(rows))
    silent = {fault.what for fault in FAULTS if fault.says} & {
        row["fault"] for row in rows if not row["said"]
    }
    return int(bool(silent) or any(row["lost"] for row in rows))


def page(rows: list[dict]) -> str:
    lines = [
        "# Faults that are not deaths",
        "",
        f"Each is brought about in a study of {IMAGES} images with pipelines that cost nothing; then the same command "
        "runs again. Lost: images without a row, or whose bytes differ from an undisturbed study's, at the end. Bounds "
        "that are minutes for a user are seconds here. `python -m tests.performance.faults` writes this page.",
        "",
        "| fault | what happens | images before, after | lost | what is said |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        said = "<br>".join(f"`{line}`" for line in row["said"]) or "nothing"
        lines.append(
            f"| {row['fault']} | {row['happens']} | {row['rows']}, {row['again']} | {row['lost']} | {said} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The card's figures: `evaluation.json` to Markdown tables, written between the marks of README.md."""

from __future__ import annotations

import json
from pathlib import Path

HERE = Path(__file__).parent
START, END = "<!-- figures: python -m bench.miniature.card -->", "<!-- end of figures -->"
ANSWERS = ("all", "objects", "colours", "count", "relation", "textures")


def share(entry: dict) -> str:
    """A proportion with its interval."""
    return f"{entry['value']:.3f} [{entry['low']:.3f}, {entry['high']:.3f}]"


def figures(result: dict) -> str:
    """Scene accuracy, retrieval and training cost."""
    rows = {"real scenes (the classifier's ceiling)": result["real scenes"], **result["contenders"]}
    lines = [
        f"Scene accuracy on {result['prompts']} held-out captions, share right with its 95% Wilson interval, "
        "higher is better:",
        "",
        "| images of | " + " | ".join(ANSWERS) + " |",
        "|---|" + "---|" * len(ANSWERS),
    ]
    for name, answers in rows.items():
        lines.append(f"| {name} | " + " | ".join(share(answers[a]) for a in ANSWERS) + " |")
    clip = result["mini-clip 16-way on real scenes"]
    lines += [
        "",
        f"mini-clip, right caption among 16 on real held-out scenes: {share(clip)}, N = {clip['n']}.",
    ]
    if "training" in result:
        lines += ["", "| stage | steps | minutes |", "|---|---|---|"]
        lines += [
            f"| {name} | {c['steps']} | {c['seconds'] / 60:.1f} |" for name, c in result["training"].items()
        ]
    return "\n".join(lines)


def main() -> None:
    """Rewrite the figures of the card."""
    card = HERE / "README.md"
    before, rest = card.read_text(encoding="utf-8").split(START)
    after = rest.split(END)[1]
    result = json.loads((HERE / "evaluation.json").read_text(encoding="utf-8"))
    card.write_text(f"{before}{START}\n{figures(result)}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()

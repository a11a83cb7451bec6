"""Mutation testing of the modules that carry promises: breaks the code in one place at a time and runs their tests.

`make mutants` runs every slice over a seeded sample of mutants a module and writes results/mutants.md;
`python tests/mutants.py SLICE… --sample 0` runs all mutants of a slice. mutmut makes and runs the mutants, in a
copy of the checkout. Left out are mutants that change only a sentence (a string with a blank in it): no test
should pin the words of a message.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SLICES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "ratings": (("bench/ratings/*.py",), ("tests/bench/ratings",)),
    "metrics": (
        ("bench/metrics/*.py",),
        ("tests/bench/metrics", "tests/bench/miniature/test_known_answers.py"),
    ),
    "scoring": (("bench/scoring/*.py",), ("tests/bench/scoring",)),
    "sweep": (("bench/sweep/*.py",), ("tests/bench/sweep",)),
    "store": (("bench/store/*.py",), ("tests/bench/store", "tests/bench/sweep/test_generate.py")),
    "arena": (
        ("arena/voting.py", "arena/next_assignment.py", "arena/entry/stages.py", "arena/quality.py"),
        ("tests/arena",),
    ),
}
"""Slice → files to break, tests to run."""
COPIED = (
    "bench",
    "arena",
    "prompts",
    "tests",
    "docs",
    "results",
    "pyproject.toml",
    "Makefile",
    "README.md",
    "CONTRIBUTING.md",
)
CAUGHT = {"killed", "timeout", "suspicious", "segfault", "caught by type check"}
REASONS = ROOT / "tests" / "mutants-explained.json"
"""Mutant → why no test can or should catch it."""


def prose_only(diff: str) -> bool:
    """Whether a mutant's diff changes nothing but strings that hold a blank."""
    sides: list[list[str]] = [[], []]
    for line in diff.splitlines():
        if line[:1] in "-+" and not line.startswith(("---", "+++")):
            sides[line[0] == "+"].append(line[1:])
    before, after = ("\n".join(side) for side in sides)
    string = re.compile(r"""[rbf]?("([^"\\\n]|\\.)*"|'([^'\\\n]|\\.)*')""")
    left, right = string.findall(before), string.findall(after)
    if string.sub("S", before).strip() != string.sub("S", after).strip() or len(left) != len(right):
        return False
    return all(" " in a[0].strip("\"'") for a, b in zip(left, right, strict=True) if a != b)


def run_slice(name: str, sample: int, seed: int, work: Path) -> list[dict[str, str]]:
    """Break and test one slice; a row a mutant: its name, outcome and diff."""
    files, tests = SLICES[name]
    for entry in COPIED:
        source = ROOT / entry
        if source.is_dir():
            shutil.copytree(source, work / entry, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        elif source.exists():
            shutil.copy(source, work / entry)
    config = work / "pyproject.toml"
    settings = {
        "source_paths": ["bench", "arena"],
        "only_mutate": list(files),
        "also_copy": [entry for entry in COPIED if entry not in ("bench", "arena", "tests")],
        "pytest_add_cli_args": ["-p", "no:xdist", "-p", "no:cacheprovider", "-q", "-x", "-W", "ignore"],
        "pytest_add_cli_args_test_selection": list(tests),
        "mutate_only_covered_lines": False,
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    config.write_text(config.read_text(encoding="utf-8") + "\n[tool.mutmut]\n" + "\n".join(lines) + "\n")
    mutmut = [sys.executable, "-m", "mutmut"]
    environment = {**os.environ, "PYTHONPATH": "", "BENCH_SHARED": str(ROOT.parent / "shared")}

    def call(*words: str) -> str:
        done = subprocess.run([*mutmut, *words], cwd=work, env=environment, capture_output=True, text=True)
        return done.stdout + done.stderr

    made = call("run", "--max-children", "1", "none")  # no mutant has this name: it only makes them
    listed = call("results", "--all", "true")
    names = re.findall(r"^\s*(\S+__mutmut_\d+):", listed, re.MULTILINE)
    if not names or "failed to collect stats" in made:
        raise SystemExit(
            f"{name}: the tests fail before anything is broken, or no mutant was made:\n{made[-3000:]}"
        )
    random.Random(f"{seed}:{name}").shuffle(names)
    chosen: list[str] = []
    diffs: dict[str, str] = {}
    for mutant in names:
        if sample and len(chosen) == sample:
            break
        diff = call("show", mutant)
        if not prose_only(diff):
            chosen.append(mutant)
            diffs[mutant] = diff
    call("run", "--max-children", "2", *chosen)
    outcomes = dict(
        re.findall(r"^\s*(\S+__mutmut_\d+): (.+?)\s*$", call("results", "--all", "true"), re.MULTILINE)
    )
    return [
        {"slice": name, "mutant": mutant, "outcome": outcomes.get(mutant, "not run"), "diff": diffs[mutant]}
        for mutant in chosen
    ]


def table(rows: list[dict[str, str]], sample: int) -> str:
    """results/mutants.md: counts a slice, then every survivor with its reason."""
    reasons: dict[str, str] = json.loads(REASONS.read_text(encoding="utf-8")) if REASONS.exists() else {}
    lines = [
        "# Mutation testing",
        "",
        f"Made by `python tests/mutants.py --sample {sample}`: the code is broken in one place, the slice's tests run.",
        "Mutants are a seeded random sample; those that change only a sentence are left out.",
        "",
        "| slice | mutants | caught | share |",
        "|---|---|---|---|",
    ]
    for name in dict.fromkeys(row["slice"] for row in rows):
        mine = [row for row in rows if row["slice"] == name and row["outcome"] != "not run"]
        caught = sum(row["outcome"] in CAUGHT for row in mine)
        lines.append(f"| {name} | {len(mine)} | {caught} | {caught / max(len(mine), 1):.0%} |")
    lines += ["", "## Survivors", ""]
    for row in rows:
        if row["outcome"] not in CAUGHT:
            change = [
                line
                for line in row["diff"].splitlines()
                if line[:1] in "-+" and line[:3] not in ("---", "+++")
            ]
            reason = reasons.get(row["mutant"], "")
            lines += [f"- `{row['mutant']}` ({row['outcome']}). {reason}", "  ```diff"]
            lines += [f"  {line}" for line in change] + ["  ```"]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slices", nargs="*", choices=[*SLICES, []], help="default: all")
    parser.add_argument("--sample", type=int, default=60, help="mutants a slice; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "results")
    options = parser.parse_args()
    kept = options.out / "mutants.json"
    rows: list[dict[str, str]] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else []
    for name in options.slices or SLICES:
        with tempfile.TemporaryDirectory() as scratch:
            fresh = run_slice(name, options.sample, options.seed, Path(scratch))
        rows = [row for row in rows if row["slice"] != name] + fresh
        kept.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        (options.out / "mutants.md").write_text(table(rows, options.sample), encoding="utf-8")


if __name__ == "__main__":
    main()

"""The commands on finished studies, as a CI job would call them: what they print and how they exit."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli.app import app
from bench.errors import InputError
from tests.support.report_study import TURBO, make_study

RUNNER = CliRunner(env={"COLUMNS": "160"})


def bench(*words: object, code: int = 0) -> str:
    result = RUNNER.invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`old`, `worse` with a FID two higher for one contender, `gone` with an image less."""
    root = tmp_path_factory.mktemp("results")
    make_study(root / "old", side=16, votes=True)
    for name in ("worse", "gone"):
        shutil.copytree(root / "old", root / name)
    scores = json.loads((root / "worse/scores.json").read_text(encoding="utf-8"))
    for row in scores["rows"]:
        if (row["metric"], row["contender"]) == ("fid", TURBO[1]):
            row |= {key: row[key] + 2 for key in ("value", "low", "high")}
    (root / "worse/scores.json").write_text(json.dumps(scores), encoding="utf-8")
    rows = (root / "gone/generations.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (root / "gone/generations.jsonl").write_text("".join(rows[:-1]), encoding="utf-8")
    return root


def test_the_gate_is_open_for_the_same_and_for_the_better(studies: Path) -> None:
    same = bench("diff", "old", "old", "--results", studies)
    assert re.fullmatch(r"(\d+) numbers compared: 0 worse, 0 better, \1 the same\n", same)
    better = bench("diff", "worse", "old", "--results", studies)
    assert re.search(rf"^better +FID +{re.escape(TURBO[1])} ", better, re.M)
    assert "0 worse, 1 better" in better


def test_the_gate_shuts_on_a_worse_metric_and_on_a_missing_image(studies: Path) -> None:
    worse = bench("diff", "old", "worse", "--results", studies, code=1)
    assert re.search(rf"^worse +FID +{re.escape(TURBO[1])} +[\d.]+ +[\d.]+ +2\.00 \[", worse, re.M)
    assert "1 worse, 0 better" in worse
    gone = bench("diff", "old", "gone", "--results", studies, code=1)
    assert re.search(rf"^worse +Images missing +{re.escape(TURBO[-1])} +0 +1 +1 ", gone, re.M)
    for code, pair in ((0, ("old", "old")), (1, ("old", "worse"))):
        told = json.loads(bench("diff", *pair, "--results", studies, "--json", code=code))
        assert sum(change["verdict"] == "worse" for change in told["changes"]) == code


def test_all_lists_what_did_not_change_after_what_did(studies: Path) -> None:
    lines = bench("diff", "old", "worse", "--results", studies, "--all", code=1).splitlines()
    verdicts = [line.split()[0] for line in lines[1:-1]]
    assert verdicts[0] == "worse"
    assert set(verdicts[1:]) == {"same"}


def test_studies_that_share_nothing_are_no_pass(studies: Path, tmp_path: Path) -> None:
    make_study(tmp_path / "other", contenders=("a@1", "b@1"), side=16, votes=False)
    with pytest.raises(InputError, match="nothing to compare"):
        bench("diff", studies / "old", tmp_path / "other")
    with pytest.raises(InputError, match="no study folder 'nowhere'"):
        bench("diff", "old", "nowhere", "--results", studies)


def test_compare_puts_a_number_of_each_study_in_a_row(studies: Path) -> None:
    said = bench("compare", "old", "worse", "--results", studies)
    (row,) = [line for line in said.splitlines() if line.startswith("FID ↓") and TURBO[1] in line]
    first, second = (float(text) for text in re.findall(r"([\d.]+) \[", row))
    assert second - first == pytest.approx(2, abs=0.011)
    assert "none in any: images missing, images black, failures" in said
    told = json.loads(bench("compare", "old", "gone", "--results", studies, "--json"))
    missing = [row for row in told["rows"] if row["measure"].startswith("Images missing")]
    assert [(row["old"], row["gone"]) for row in missing if row["Contender"] == TURBO[-1]] == [("0", "1")]


def test_compare_says_why_it_leaves_something_out_and_exits_1_if_nothing_is_left(
    studies: Path, tmp_path: Path
) -> None:
    make_study(tmp_path / "fewer", prompts=("a red fox in snow",), side=16, latency=False, votes=True)
    said = bench("compare", studies / "old", tmp_path / "fewer", code=1)
    assert re.search(r"not compared: FID, .*prompts \(", said)
    with pytest.raises(InputError, match="two studies or more"):
        bench("compare", "old", "--results", studies)
    with pytest.raises(InputError, match="named twice"):
        bench("compare", "old", "old", "--results", studies)


def test_figures_are_as_wide_as_asked(tmp_path: Path) -> None:
    make_study(tmp_path / "s", side=16, latency=False)
    for columns, inches in (("one", 3.3), ("two", 6.8)):
        path = Path(bench("report", "s", "--results", tmp_path, "--columns", columns).splitlines()[-1])
        pdf = (path.parent / "figures/metrics.pdf").read_bytes()
        (width,) = re.findall(rb"/MediaBox \[ ?0 0 ([\d.]+) ", pdf)
        assert float(width) == pytest.approx(72 * inches, abs=0.1)
        assert (b",twocolumn" in (path.parent / "report.tex").read_bytes()) == (columns == "one")
    with pytest.raises(InputError, match="allowed are one, two"):
        bench("report", "s", "--results", tmp_path, "--columns", "three")

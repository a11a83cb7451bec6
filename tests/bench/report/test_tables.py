"""Tables: the numbers against other code, the forms against what reads them."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from bench.ratings.document import QuestionRatings, RatingRow, WinRateRow
from bench.records import Failure, PoweredRow, Score
from bench.report import timings
from bench.report.published import PUBLISHED
from bench.report.results import model_of, read_results
from bench.report.tables import catalogue, speed, votes
from bench.report.tables import metrics as metric_tables
from bench.report.tables.form import Column, Estimate, Table, decimals, to_csv, to_markdown
from bench.report.tables.latex import latex, to_latex
from bench.report.tables.marks import marked
from tests.support.report_study import make_study


@pytest.mark.parametrize("n", [6, 7, 20, 31, 250, 999])
def test_median_interval_is_the_binomial_one(n: int) -> None:
    low, high = timings.median_interval([float(i) for i in range(1, n + 1)])
    ranks = np.arange(0, n // 2 + 1)
    k = ranks[2 * binom.cdf(ranks - 1, n, 0.5) <= 0.05].max()
    assert (low, high) == (k, n + 1 - k)


def test_median_interval_covers_the_median_with_many_samples() -> None:
    n = 2000
    low, high = timings.median_interval([float(i) for i in range(1, n + 1)])
    assert low is not None
    assert high is not None
    assert 2 * binom.cdf(low - 1, n, 0.5) == pytest.approx(0.05, abs=0.004)
    assert low + high == n + 1


def test_five_samples_have_no_interval() -> None:
    assert timings.median_interval([1.0, 2.0, 3.0, 4.0, 5.0]) == (None, None)


@given(st.lists(st.floats(0.001, 100), min_size=1, max_size=40), st.floats(0, 1))
def test_quantiles_are_numpys(samples: list[float], q: float) -> None:
    assert timings.quantile(samples, q) == pytest.approx(np.quantile(samples, q))


def test_best_is_bold_only_where_its_interval_is_clear() -> None:
    a, b = Estimate(value=10, low=9, high=11), Estimate(value=13, low=12, high=14)
    near = Estimate(value=11.5, low=10.5, high=12.5)
    assert best_of({"a": a, "b": b}, up=True) == ["b"]
    assert best_of({"a": a, "b": b}, up=False) == ["a"]
    assert best_of({"a": a, "b": b, "c": near}, up=True) == []
    assert best_of({"a": a}, up=True) == []
    assert best_of({"a": a, "b": Estimate(value=99)}, up=True) == []


def best_of(estimates: dict[str, Estimate], *, up: bool) -> list[str]:
    return [name for name, estimate in marked(estimates, {}, up=up).items() if estimate.best]


def test_what_is_not_shown_to_be_worse_than_the_best_comes_from_paired_differences() -> None:
    wide = {
        name: Estimate(value=value, low=0, high=20) for name, value in (("a", 10), ("b", 13), ("c", 12.5))
    }
    differences = {("a", "b"): (-4.0, -2.0), ("c", "b"): (-1.0, 0.2)}
    marks = marked(wide, differences, up=True)
    assert [(m.best, m.near) for m in marks.values()] == [(False, False), (True, False), (False, True)]
    low = marked(wide, {("b", "a"): (2.0, 4.0), ("a", "c"): (-3.0, 0.0)}, up=False)
    assert [(m.best, m.near) for m in low.values()] == [(True, False), (False, False), (False, True)]
    # No difference was computed for the pair: nothing is claimed of it.
    assert not marked(wide, {("a", "b"): (-4.0, -2.0)}, up=True)["c"].near


def test_numbers_of_two_protocols_stand_in_two_columns(tmp_path: Path) -> None:
    results = read_results(make_study(tmp_path / "s", latency=False))
    other = [replace(score, fingerprint="another") for score in results.scores if score.metric == "fid"]
    mixed = replace(results, scores=(*results.scores[:-2], *other[-2:]))
    table = metric_tables.metric_table(mixed)
    assert table is not None
    assert [c.fingerprint for c in table.columns] == ["", "3f9ab21c", "77aa0b1e", "another"]
    for index in (2, 3):
        filled = [row[0] for row in table.rows if isinstance(row[index], Estimate)]
        wanted = {s.contender for s in mixed.scores if s.fingerprint == table.columns[index].fingerprint}
        assert set(filled) == wanted


def test_every_metric_number_carries_n_and_interval(tmp_path: Path) -> None:
    results = read_results(make_study(tmp_path / "s"))
    table = metric_tables.metric_table(results)
    assert table is not None
    rows = {(s.metric, s.contender): s for s in results.scores}
    for row in table.rows:
        for cell, metric in zip(row[1:], ("clip_score", "fid"), strict=True):
            score = rows[metric, str(row[0])]
            assert isinstance(cell, Estimate)
            assert (cell.value, cell.low, cell.high, cell.n) == (score.value, score.low, score.high, score.n)


def test_a_metric_that_failed_says_why_and_has_no_number(tmp_path: Path) -> None:
    results = read_results(make_study(tmp_path / "s"))
    first = results.scores[0]
    broken = Score(**{f: getattr(first, f) for f in first.__dataclass_fields__} | {
        "value": None, "low": None, "high": None, "note": "no weights", "missing": 3,
    })  # fmt: skip
    table = metric_tables.metric_table(replace(results, scores=(broken, *results.scores[1:])))
    assert table is not None
    text = to_markdown(table)
    assert "no weights" in text
    assert "3 images missing" in text
    assert re.search(r"\| sdxl-turbo@1 \| – ", text)


def test_what_is_said_of_several_metrics_and_contenders_is_said_once(tmp_path: Path) -> None:
    results = read_results(make_study(tmp_path / "s"))
    lacking = tuple(replace(s, missing=2 if s.contender == "sdxl@50" else 0) for s in results.scores)
    noted = tuple(replace(s, note="small set" if s.metric == "fid" else "") for s in lacking)
    table = metric_tables.metric_table(replace(results, scores=noted))
    assert table is not None
    assert [note for note in table.notes if "missing" in note] == [
        "every metric, sdxl@50: 2 images missing or unreadable."
    ]
    assert [note for note in table.notes if "small set" in note] == ["FID, every contender: small set"]
    assert [note for note in table.notes if "bootstrap" in note] == [
        "CLIP score and FID: interval by bootstrap over prompts (1000)."
    ]


def test_latency_table_holds_medians_and_no_p95_of_few_samples(tmp_path: Path) -> None:
    results = read_results(make_study(tmp_path / "s"))
    table = speed.latency_table(results)
    assert table is not None
    heads = [c.head for c in table.columns]
    for row in table.rows:
        cells = dict(zip(heads, row, strict=True))
        samples = {
            t.stage: np.array(t.seconds) * 1000 for t in results.timings if t.contender == cells["Contender"]
        }
        for head, stage in (("Encode", "encode"), ("Denoise", "denoise"), ("One forward", "forward")):
            assert cells[head] == pytest.approx(np.median(samples[stage]))
        total = cells["Total"]
        assert isinstance(total, Estimate)
        assert total.value == pytest.approx(np.median(samples["total"]))
        assert total.n == 30
        assert cells["Total p95"] is None  # that few samples give no interval of it
        assert cells["Images/s"] == pytest.approx(1000 / np.median(samples["total"]))
        assert (cells["dtype"], cells["Device"]) == ("float16", "NVIDIA H200")


def test_dtype_is_that_of_the_contenders_model(tmp_path: Path) -> None:
    results = read_results(make_study(tmp_path / "s"))
    mixed = replace(results, timing_protocol={"dtype": {"sdxl": "float32", "sdxl-turbo": "float16"}})
    assert timings.dtype_of(mixed, "sdxl@50") == "float32"
    assert timings.dtype_of(mixed, "sdxl-turbo@4") == "float16"
    assert timings.dtype_of(mixed, "lcm-xl@4") == ""


def test_published_figures_stand_apart_a_column_a_protocol(tmp_path: Path) -> None:
    results = read_results(make_study(tmp_path / "s"))
    ours, theirs = speed.latency_table(results), speed.published_latency(results)
    assert ours is not None
    assert theirs is not None
    assert all("207" not in str(row) for row in ours.rows)
    heads = [column.head for column in theirs.columns]
    row = next(row for row in theirs.rows if row[0] == "sdxl-turbo@1")
    assert row[heads.index("Total, A100, announcement")] == 207.0
    assert row[heads.index("One forward, A100, announcement")] == 67.0
    metrics = metric_tables.published_metrics(results)
    assert metrics is not None
    columns = [c.head for c in metrics.columns[1:]]
    assert len(columns) == len(set(columns))
    for head in columns:
        figure, _, protocol = head.partition(", ")
        wanted = {
            p.contender: p.fid if figure == "FID" else p.clip
            for p in PUBLISHED
            if p.protocol.label == protocol and p.model in {"sdxl-turbo", "sdxl", "lcm-xl"}
        }
        there = {row[0]: row[1 + columns.index(head)] for row in metrics.rows}
        assert {name: value for name, value in there.items() if value is not None} == wanted


def test_published_figures_are_those_of_the_shared_table() -> None:
    path = Path(__file__).resolve().parents[3] / "../shared/data/published/image-generation.csv"
    if not path.exists():
        pytest.skip("../shared/data is not here")
    table = pd.read_csv(path)
    fids = {float(value) for value in table["fid"].dropna()}
    assert {p.fid for p in PUBLISHED if p.fid is not None} == fids
    assert {p.clip for p in PUBLISHED if p.clip is not None} == {float(v) for v in table["clip"].dropna()}
    told = table["seconds_or_rate"].dropna()
    seconds = {
        round(1000 * float(re.match(r"[\d.]+", text)[0]), 1) for text in told if re.match(r"[\d.]+ s\b", text)
    }
    assert {p.total_ms for p in PUBLISHED if p.total_ms is not None} == seconds
    rates = {float(re.match(r"[\d.]+", text)[0]) for text in told if "images/s" in text}
    assert {p.images_per_second for p in PUBLISHED if p.images_per_second} == rates


@given(st.floats(0, 1), st.floats(0, 0.2))
def test_a_win_rate_read_from_the_other_side_is_the_rest(rate: float, half: float) -> None:
    win = WinRateRow(a="a", b="b", rate=rate, low=rate - half, high=rate + half, n=9)
    preference = QuestionRatings(question="quality", ratings=(), win_rates=(win,))
    here, there = votes.wins_of(preference, "a")["b"], votes.wins_of(preference, "b")["a"]
    assert (here.value or 0) + (there.value or 0) == pytest.approx(100)
    assert (here.low or 0) + (there.high or 0) == pytest.approx(100)
    assert here.n == there.n == 9


def test_a_rating_that_is_infinite_has_no_number_and_comes_last(tmp_path: Path) -> None:
    rows = (RatingRow(contender="a", rating=1010.0, low=990, high=1030, rank_low=1, rank_high=1, n=5),)
    preference = QuestionRatings(
        question="quality", ratings=(*rows, RatingRow(contender="b", rating=None)), win_rates=()
    )
    results = replace(read_results(make_study(tmp_path / "s", side=16)), preferences={"quality": preference})
    table = votes.leaderboard(results, preference)
    assert table is not None
    assert [row[:2] for row in table.rows] == [("1", "a"), ("–", "b")]
    assert [cell.value for cell in table.column(2) if isinstance(cell, Estimate)] == [1010.0, None]


def test_every_failure_is_counted(tmp_path: Path) -> None:
    results = read_results(
        make_study(tmp_path / "s", missing=(("sdxl@50", 0), ("sdxl@50", 2), ("lcm-xl@4", 1)))
    )
    more = Failure(
        stage="score", contender="sdxl@50", prompt_id="p001", replicate=0, kind="unreadable", message="m"
    )
    table = catalogue.failure_table(replace(results, failures=(*results.failures, more)))
    assert table is not None
    assert sum(int(str(row[3])) for row in table.rows) == 4
    counts = {row[0]: row[1:4] for row in catalogue.image_counts(results).rows}
    assert counts["sdxl@50"] == (3, 1, 2)
    assert counts["sdxl-turbo@1"] == (3, 3, 0)


@pytest.mark.parametrize(
    ("low", "high", "wanted"), [(0.310, 0.314, 4), (23.1, 24.3, 2), (980.0, 1020.0, 0), (0.0, 0.0, 4)]
)
def test_decimals_give_the_interval_two_digits(low: float, high: float, wanted: int) -> None:
    cell = Estimate(value=low or 0.1234, low=low, high=high)
    assert decimals([cell]) == wanted


def _table() -> Table:
    return Table(
        name="t",
        title="A 100% & <b>",
        columns=(Column(head="Who"), Column(head="FID", direction="↓", digits=2), Column(head="N")),
        rows=(
            ("a_b|c", Estimate(value=1 / 3, low=0.1, high=0.5, n=7, best=True), 7),
            ("<script>", Estimate(value=None), None),
        ),
        notes=("x < y & z_1",),
    )


def test_csv_keeps_every_digit() -> None:
    frame = pd.read_csv(io.StringIO(to_csv(_table())), float_precision="round_trip")
    assert list(frame.columns) == ["Who", "FID ↓", "FID ↓ low", "FID ↓ high", "FID ↓ N", "FID ↓ mark", "N"]
    assert frame["FID ↓"][0] == 1 / 3
    assert frame["FID ↓ high"][0] == 0.5
    assert frame["Who"][1] == "<script>"
    assert np.isnan(frame["FID ↓"][1])


def test_markdown_cells_stay_in_their_cells() -> None:
    lines = [line for line in to_markdown(_table()).splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {4}
    assert "<script>" not in to_markdown(_table())
    assert "**0.33** \\[0.10, 0.50\\] (N 7)" in lines[2]


def test_latex_has_the_rules_the_columns_and_the_bold() -> None:
    text = to_latex(_table())
    for rule in ("\\toprule", "\\midrule", "\\bottomrule"):
        assert text.count(rule) == 1
    body = text[text.index("\\toprule") : text.index("\\bottomrule")]
    rows = [line for line in body.splitlines() if line.endswith("\\\\")]
    assert len(rows) == 3
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {3}
    assert "\\bfseries 0.33 & {[0.10, 0.50]}" in body
    assert "a\\_b\\textbar{}c" in body
    assert "S[table-format=1.2]" in text
    assert "A 100\\% \\& \\textless{}b\\textgreater{}" in text


def test_a_table_wider_than_a_page_is_cut_and_every_panel_names_its_rows() -> None:
    columns = [Column(head=f"Measure number {i}", digits=1) for i in range(30)]
    rows = tuple(
        (name, *(Estimate(value=10.0 * i + j, low=1.0, high=99.9, n=5) for i in range(30)))
        for j, name in enumerate(("first", "second"))
    )
    table = Table(name="t", title="T", columns=(Column(head="Who"), *columns), rows=rows)
    text = to_latex(table)
    panels = text.count("\\toprule")
    assert panels > 1
    assert text.count("first &") == text.count("second &") == panels
    for i in range(30):
        assert text.count(f"\\shortstack{{\\rule{{0pt}}{{2.2ex}}{10.0 * i:.1f}\\\\") == 1
    assert "\\begin{table*}" in text
    assert "N 5." in text


def test_a_column_wider_than_the_page_beside_long_names_still_ends() -> None:
    columns = [Column(head=f"Measure {i}", digits=1) for i in range(4)]
    rows = ((("n" * 150), *(Estimate(value=1.0, low=0.0, high=2.0) for _ in range(4))),)
    table = Table(name="t", title="T", columns=(Column(head="Who"), *columns), rows=rows)
    assert to_latex(table).count("\\toprule") == 4


def test_a_narrow_table_stands_in_one_column_and_greek_is_set() -> None:
    text = to_latex(replace(_table(), title="τ and ρ, −1 ▸ 2"))
    assert "\\begin{table}" in text
    assert "$\\tau$ and $\\rho$, $-$1 $\\triangleright$ 2" in text


def test_latex_says_once_what_every_row_says(tmp_path: Path) -> None:
    table = speed.latency_table(read_results(make_study(tmp_path / "s")))
    assert table is not None
    text = to_latex(table)
    assert text.count("NVIDIA H200") == 1
    assert to_csv(table).count("NVIDIA H200") == 5


@settings(max_examples=200)
@given(st.text())
def test_latex_text_is_ascii_with_balanced_braces(text: str) -> None:
    out = latex(text)
    assert out.isascii()
    bare = re.sub(r"\\[{}]", "", out)
    assert bare.count("{") == bare.count("}")
    assert not re.search(r"(?<!\\)[&%#_]", out)


def test_latex_keeps_accents_in_any_engine() -> None:
    """LaTeX's own accent commands, which every font encoding has; checked against the LaTeX companion's table."""
    assert latex("Étude à Zürich: ø, ß") == r"\'{E}tude \`{a} Z\"{u}rich: {\o}, {\ss}"
    assert latex("ñ ç ô å Ł œ ő š") == r"\~{n} \c{c} \^{o} {\aa} {\L} {\oe} \H{o} \v{s}"


def test_model_and_steps_of_a_contender() -> None:
    assert model_of("sdxl-turbo@4") == ("sdxl-turbo", 4)
    assert model_of("midjourney") == ("midjourney", None)
    assert model_of("odd@name") == ("odd@name", None)


def test_powered_table_says_what_a_metric_adds_and_how_many_votes_it_saved(tmp_path: Path) -> None:
    row = PoweredRow(
        metric="pickscore", fingerprint="f", question="quality", contender="sdxl-turbo@1", rate=0.62, low=0.55,
        high=0.68, votes_rate=0.6, votes_low=0.5, votes_high=0.69, rating=1050.0, rating_low=1000.0,
        rating_high=1100.0, slope=0.2, saved=812.0, saved_low=100.0, saved_high=1500.0, n=900, prompts=80, scored=400,
    )  # fmt: skip
    results = read_results(make_study(tmp_path / "study"))
    assert metric_tables.powered_table(results) is None
    table = metric_tables.powered_table(
        replace(results, powered=(row, replace(row, metric="hpsv2", slope=0.0)))
    )
    assert table is not None
    assert table.rows[0][3:5] == (
        Estimate(value=60, low=50, high=69, n=900),
        Estimate(value=62, low=pytest.approx(55), high=68, n=900),
    )
    notes = " ".join(table.notes)
    assert "PickScore (quality, votes on 80 of 400 prompts): 812 votes saved [100, 1,500]" in notes
    assert "HPSv2.1 (quality, votes on 80 of 400 prompts): not used" in notes

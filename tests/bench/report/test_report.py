"""The report as a whole, on study folders made by hand."""

from __future__ import annotations

import html
import json
import re
import shutil
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import html5lib
import numpy as np
import pytest
from bs4 import BeautifulSoup
from PIL import Image, ImageChops

from bench.errors import InputError
from bench.metrics.registry import METRICS
from bench.papers import BY_ARXIV, PAPERS
from bench.prompts.sets import PROMPT_SETS
from bench.report.build import build
from bench.report.figures.catalogue import all_drawings
from bench.report.images import selection, thumbnails
from bench.report.published import PUBLISHED
from bench.report.results import Results, read_results
from bench.report.tables.speed import felt_table, latency_table, work_table
from bench.report.text.answer import answer, remarks
from bench.report.text.bibliography import bibtex
from bench.report.text.method import command_without_folders, method
from bench.report.text.warnings import banners
from bench.store.study_folder import StudyFolder, write_bytes
from tests.support.report_study import TURBO, make_study, picture

HOSTILE = '</script><script>alert(1)</script><img src=x onerror=alert(2)> & "quotes" {{ 7 * 7 }}'
LONG = " ".join(f"word{i}" for i in range(400))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """Everything there is, with everything that can be wrong."""
    folder = make_study(
        tmp_path_factory.mktemp("full") / "full",
        votes=True,
        rich=True,
        weights="random",
        side=48,
        sizes={"sdxl@50": 96},
        missing=(("sdxl@50", 1), ("lcm-xl@4", 2)),
        prompts=("a red fox", HOSTILE, "قطة على الطاولة", "一只猫坐在窗台上", "🦊🌨️", LONG),
        title="100% <b>Turbo</b> & rivals",
    )
    build(folder)
    return folder


@pytest.fixture(scope="module")
def soup(full: StudyFolder) -> BeautifulSoup:
    return BeautifulSoup((full.report / "index.html").read_text(encoding="utf-8"), "html.parser")


def test_the_page_is_valid_html(full: StudyFolder) -> None:
    html5lib.HTMLParser(strict=True).parse((full.report / "index.html").read_text(encoding="utf-8"))


def test_nothing_comes_from_elsewhere(soup: BeautifulSoup) -> None:
    addresses = [
        str(tag[key]) for tag in soup.find_all() for key in ("src", "srcset", "href") if tag.get(key)
    ]
    assert addresses
    for address in addresses:
        assert re.match(
            r"data:image/|data:,$|#|(tables|figures|pictures)/[\w.-]+$|report\.(tex|bib)$", address
        ), address[:80]
    assert not soup.find_all(["iframe", "object", "base"])
    assert [link["href"] for link in soup.find_all("link")] == ["data:,"]


def test_prompts_cannot_inject_markup(soup: BeautifulSoup) -> None:
    assert len(soup.find_all("script")) == 1
    assert not [tag for tag in soup.find_all() if any(key.startswith("on") for key in tag.attrs)]
    assert any(HOSTILE in tag.get_text() for tag in soup.select(".prompt"))
    assert soup.h1 is not None
    assert soup.h1.get_text() == "100% <b>Turbo</b> & rivals"
    policy = soup.find("meta", attrs={"http-equiv": "Content-Security-Policy"})
    assert policy is not None
    assert "default-src 'none'" in str(policy["content"])


def test_every_prompt_and_every_picture_is_there(soup: BeautifulSoup) -> None:
    grid = soup.select(".grid .row")
    assert [len(row.select("figure")) for row in grid] == [5] * 6
    assert sum(len(row.select("img")) for row in grid) == 28
    assert [tag.get_text() for row in grid for tag in row.select(".none")] == ["failed: OutOfMemoryError"] * 2
    assert LONG in soup.get_text()


def test_steps_grid_shows_one_model_from_one_noise(soup: BeautifulSoup) -> None:
    heading = next(tag for tag in soup.find_all("h3") if "step counts" in tag.get_text())
    assert heading.get_text() == "sdxl-turbo: 3 step counts, the same noise"
    row = heading.find_next("div", class_="row")
    assert row is not None
    captions = [caption.get_text(" ") for caption in row.select("figcaption")]
    assert [re.findall(r"@(\d) .*seed (\d+)", text)[0] for text in captions] == [
        ("1", "7000000000000"),
        ("2", "7000000000000"),
        ("4", "7000000000000"),
    ]


def test_unequal_seeds_are_said(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "s", latency=False, scores=False)
    text = folder.generations_file.read_text(encoding="utf-8").splitlines()
    text[1] = text[1].replace("7000000000000", "1")
    folder.generations_file.write_text("\n".join(text) + "\n", encoding="utf-8")
    page = build(folder).read_text(encoding="utf-8")
    assert "The seeds differ within a row" in page
    assert "the same noise" not in page
    assert "did not all start from the same seed" in page


def test_what_must_not_be_missed_is_a_banner(soup: BeautifulSoup) -> None:
    said = {tag.b.get_text(): tag.get_text() for tag in soup.select(".banner") if tag.b}
    assert set(said) == {
        "Random weights.",
        "Simulated votes.",
        "Missing images.",
        "Unequal resolutions.",
        "Failures.",
    }
    assert "2 of 30 images" in said["Missing images."]
    assert "96×96 px: sdxl@50" in said["Unequal resolutions."]
    assert "2 × OutOfMemoryError" in said["Failures."]
    assert {tag.b.get_text() for tag in soup.select(".banner.grave") if tag.b} == {
        "Random weights.",
        "Simulated votes.",
    }


def test_a_clean_study_has_no_banner(tmp_path: Path) -> None:
    assert banners(read_results(make_study(tmp_path / "s", votes=True, simulated=False))) == []


def test_votes_that_came_after_the_ratings_are_said(tmp_path: Path) -> None:
    """The vote log holds five entries; the ratings know of three of them, of all, of none, or do not say."""
    folder = make_study(tmp_path / "newer", votes=True, simulated=False)
    with closing(sqlite3.connect(folder.votes_file)) as log:
        log.execute("create table votes (seq integer primary key)")
        log.executemany("insert into votes values (?)", [(n,) for n in range(1, 6)])
        log.commit()
    ratings = folder.read_json("ratings.json")
    found = {}
    for last in (3, 5, None):
        folder.write_json("ratings.json", ratings | ({} if last is None else {"last_vote": last}))
        found[last] = [b.text for b in banners(read_results(folder)) if b.title == "Newer votes"]
    assert found[5] == found[None] == []
    assert found[3] == [
        "2 votes, votes taken back among them, came after the ratings: run `arena rate`, then the report again."
    ]
    (folder.path / "ratings.json").unlink()
    assert read_results(folder).newer_votes == 5


def test_missing_files_damage_and_metric_warnings_are_said(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "s", run=False, latency=False)
    folder.image("sdxl@50", "p000", 0).write_bytes(b"RIFFxx")
    folder.image("sdxl@50", "p001", 0).unlink()
    scores = folder.read_json("scores.json")
    folder.write_json("scores.json", {**scores, "warnings": ["FID on 3 images"]})
    page = build(folder).read_text(encoding="utf-8")
    for words in ("file damaged", "file missing", "FID on 3 images", "Not finished"):
        assert words in page


def test_without_votes_the_page_says_how_to_get_them(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "quiet")
    page = build(folder).read_text(encoding="utf-8")
    assert "arena serve quiet" in page
    assert "a metric and not people" in page
    assert not list((folder.report / "tables").glob("leaderboard*"))


@pytest.mark.parametrize(
    "case",
    [
        {"contenders": ("sdxl-turbo@1",), "votes": False},
        {"prompts": ("x",), "latency": False, "scores": False, "run": False},
        {"prompts": (), "latency": False, "scores": False},
        {"contenders": tuple(f"m{i}@4" for i in range(40)), "votes": True, "prompts": ("x", "y"), "side": 16,
         "latency": False, "scores": False},
    ],
    ids=["one contender", "images only", "no prompts", "forty contenders"],
)  # fmt: skip
def test_small_and_large_studies_have_a_valid_page(tmp_path: Path, case: dict) -> None:
    page = build(make_study(tmp_path / "s", **case)).read_text(encoding="utf-8")
    html5lib.HTMLParser(strict=True).parse(page)
    assert "No failures." in page
    for name in case.get("contenders", TURBO):
        assert name in page


def test_captions_speak_only_of_what_is_drawn(tmp_path: Path) -> None:
    alone = read_results(make_study(tmp_path / "a", contenders=("sdxl-turbo@1",), side=16))
    captions = {drawing.name: drawing.caption for drawing in all_drawings(alone)}
    assert "Pareto" not in captions["headline"]
    assert "Lines join" not in captions["headline"]
    # 207 ms would leave a bar of 50 ms a quarter of the axis.
    assert "Dashed" not in captions["latency"]
    captions = {d.name: d.caption for d in all_drawings(read_results(make_study(tmp_path / "b", side=16)))}
    assert "Dashed: the Pareto front. Lines join" in captions["headline"]
    assert "Dashed" in captions["latency"]


def test_the_same_folder_gives_the_same_bytes(full: StudyFolder, tmp_path: Path) -> None:
    def contents(report: Path) -> dict[str, bytes]:
        return {str(p.relative_to(report)): p.read_bytes() for p in sorted(report.rglob("*")) if p.is_file()}

    copy = tmp_path / "full"
    shutil.copytree(full.path, copy, ignore=shutil.ignore_patterns("report"))
    build(StudyFolder(copy))
    assert contents(copy / "report") == contents(full.report)


def test_what_only_an_earlier_report_had_is_gone(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "s", votes=True, latency=False, scores=False)
    build(folder)
    assert (folder.report / "tables/leaderboard-overall.tex").exists()
    kept = folder.report / "tables" / "mine.txt"
    kept.write_text("mine", encoding="utf-8")
    (folder.path / "ratings.json").unlink()
    build(folder)
    assert not list((folder.report / "tables").glob("leaderboard*"))
    assert not (folder.report / "figures/win-rates.pdf").exists()
    assert kept.exists()


def test_pictures_beyond_the_budget_are_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnails, "EMBEDDED", 2000)
    folder = make_study(tmp_path / "s", latency=False, scores=False)
    page = BeautifulSoup(build(folder).read_text(encoding="utf-8"), "html.parser")
    linked = {str(img["src"]) for img in page.select(".pics img") if not str(img["src"]).startswith("data:")}
    assert linked
    assert all((folder.report / address).read_bytes().startswith(b"RIFF") for address in linked)


def test_thumbnails_are_small_and_tiny_pictures_stay_exact(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "s", side=64, sizes={"sdxl@50": 700}, latency=False, scores=False)
    data = thumbnails.thumbnail(folder.image("sdxl@50", "p000", 0), 256)
    assert not isinstance(data, str)
    assert data[1:] == (256, 256)
    small = thumbnails.thumbnail(folder.image("lcm-xl@4", "p000", 0), 256)
    assert not isinstance(small, str)
    with Image.open(BytesIO(small[0])) as a, Image.open(folder.image("lcm-xl@4", "p000", 0)) as b:
        assert ImageChops.difference(a.convert("RGB"), b.convert("RGB")).getbbox() is None


def test_shown_prompts_prefer_the_complete_ones(tmp_path: Path) -> None:
    prompts = tuple(f"prompt {i}" for i in range(30))
    folder = make_study(
        tmp_path / "s", prompts=prompts, side=16, missing=tuple(("sdxl@50", i) for i in range(10))
    )
    shown = selection.random_prompts(read_results(folder), 12)
    assert len(shown) == 12
    assert min(prompt.id for prompt in shown) == "p010"
    assert len(selection.random_prompts(read_results(folder), 25)) == 25


def method_text(results: Results) -> str:
    return " ".join(part.text for part in method(results))


def test_method_says_only_what_the_folder_says(tmp_path: Path) -> None:
    bare = method_text(read_results(make_study(tmp_path / "a", latency=False, scores=False, run=False)))
    assert "No votes" in bare
    assert "Latency" not in bare
    assert "Metrics" not in bare
    folder = make_study(tmp_path / "b", votes=True, simulated=True)
    ratings = folder.read_json("ratings.json")
    folder.write_json("ratings.json", {**ratings, "excluded": {"attention check failed": 12}})
    full = method_text(read_results(folder))
    assert "A program, not people" in full
    assert "12 for attention check failed" in full
    assert "NVIDIA H200" in full


def test_bibliography_has_an_entry_a_paper_with_its_braces(tmp_path: Path) -> None:
    def cited(key: str, title: str, authors: str, where: str) -> dict:
        return {"citation": {"key": key, "title": title, "authors": authors, "year": 2023, "where": where}}

    results = read_results(make_study(tmp_path / "s", latency=False, scores=False, contenders=("a", "b")))
    models = {
        "a": cited("k1", "T", 'M{\\"u}ller, J', "arXiv:2311.17042"),
        "b": cited("k1", "T", "x", "arXiv:1"),
        "c": {"citation": None, "source": "https://example.org/a_b"},
        "d": cited("k2", "lone } brace", "x", ""),
        "e": {"citation": None, "source": "bench/miniature/README.md"},
    }
    text = bibtex(replace(results, run={"models": models}))
    assert re.findall(r"@misc\{([^,]+),", text) == ["k1", "c", "k2", "turbopreferencebench"]
    assert "eprint = {2311.17042}" in text
    assert "\\url{https://example.org/a_b}" in text
    assert text.count("{") == text.count("}")


def test_every_paper_a_metric_a_prompt_set_or_a_published_figure_names_is_known() -> None:
    said = [metric.source for metric in METRICS.values()] + [one.source for one in PROMPT_SETS.values()]
    said += [line.protocol.source for line in PUBLISHED]
    numbers = set(re.findall(r"arXiv (\d{4}\.\d{4,5})", " ".join(said)))
    assert len(numbers) > 20
    assert numbers <= set(BY_ARXIV)


def test_a_paper_stands_in_one_place_and_its_braces_match() -> None:
    assert len(BY_ARXIV) == sum(bool(paper.arxiv) for paper in PAPERS.values())
    assert len({paper.title.casefold() for paper in PAPERS.values()}) == len(PAPERS)
    for key, paper in PAPERS.items():
        assert re.fullmatch(r"[a-z]+\d{4}[a-z0-9]*", key)
        assert paper.title.count("{") == paper.title.count("}")
        assert paper.authors.count("{") == paper.authors.count("}")
        assert re.fullmatch(r"arXiv:\d{4}\.\d{4,5}|https://\S+", paper.where)


def test_bibliography_has_models_metrics_prompt_set_and_rating_model(full: StudyFolder) -> None:
    text = (full.report / "report.bib").read_text(encoding="utf-8")
    results = read_results(full)
    scores = tuple(
        replace(s, protocol={"source": "Heusel et al. 2017, arXiv 1706.08500"}) for s in results.scores
    )
    run = {**results.run, "prompt_set": {"name": "parti", "source": "Yu et al. 2022, arXiv 2206.10789"}}
    more = bibtex(replace(results, scores=scores, run=run))
    assert "davidson1970extending" in text
    for key in ("heusel2017gans", "yu2022scaling", "sauer2023adversarial", "lin2024sdxl"):
        assert more.count(f"{{{key},") == 1


def test_every_section_has_what_its_data_give(soup: BeautifulSoup) -> None:
    titles = [tag.get_text() for tag in soup.select("h2, h3, caption, summary")]
    for words in (
        "Main results", "Leaderboard, every question", "Which metric agrees with simulated votes",
        "Where simulated votes disagree with the metrics", "The clearest votes", "The closest votes",
        "Time to picture, from keystroke to painted pixels", "Is sdxl-turbo@1 as good as its rivals?",
        "Mean win rate by category, per cent; number of votes in parentheses", "Data statement",
        "Could the votes on sdxl-turbo@1 have stopped?", "Work of an image, and the least time it could take",
    ):  # fmt: skip
        assert words in titles
    foot = soup.find("tfoot")
    assert foot is not None
    assert [cell.get_text() for cell in foot.find_all(["th", "td"])] == [
        "Agrees with simulated votes",
        "61% [55, 67], τ 0.33 [-0.20, 0.73]",
        "61% [55, 67], τ 0.33 [-0.20, 0.73]",
    ]
    disputed = next(tag for tag in soup.find_all("summary") if "disagree" in tag.get_text()).find_next(
        class_="row"
    )
    assert disputed is not None
    assert "Votes 5 : 1; CLIP score 0.2000 : 0.2200" in disputed.get_text()
    assert [img["data-contender"] for img in disputed.select("img")] == ["sdxl-turbo@1", "sdxl-turbo@2"]


def test_the_answer_by_simulated_votes_says_so(full: StudyFolder, soup: BeautifulSoup) -> None:
    first = soup.select_one("#answer")
    assert first is not None
    assert "By simulated votes, which say nothing about the models" in first.get_text()
    results = read_results(full)
    assert len(answer(results)) == 3
    without = replace(results, preferences={}, simulated_votes=False)
    assert answer(without)[0].startswith(
        "There are no votes yet. On CLIP score (higher is better), sdxl-turbo@1 has "
    )
    assert answer(replace(without, scores=(), timings=())) == []


def test_first_place_is_claimed_only_where_the_ranks_give_it(full: StudyFolder) -> None:
    results = replace(read_results(full), simulated_votes=False)
    headline = results.headline
    assert headline is not None
    assert "first place open among all 5" in remarks(results)[0]
    ranks = [replace(row, rank_low=k, rank_high=k) for k, row in enumerate(headline.ratings, 1)]
    alone = replace(results, preferences={"overall": replace(headline, ratings=tuple(ranks))})
    assert remarks(alone)[0] == f"{ranks[0].contender} is alone in first place."


def test_distance_from_the_floor_is_work_over_rate(full: StudyFolder) -> None:
    results = read_results(full)
    work, latency = work_table(results), latency_table(results)
    assert work is not None
    assert latency is not None
    row = dict(zip([column.head for column in work.columns], work.rows[0], strict=True))
    timed = dict(zip([column.head for column in latency.columns], latency.rows[0], strict=True))
    assert row["Floor"] == pytest.approx(1000 * 3.0 / 790)
    assert row["Latency as a multiple of the floor"] == pytest.approx(timed["Total"].value / row["Floor"])
    assert timed["Peak memory"] == pytest.approx(6.0)


def test_time_to_picture_is_the_median_of_the_pictures(full: StudyFolder) -> None:
    results = read_results(full)
    table = felt_table(results)
    assert table is not None
    totals = [1000 * row.total for row in results.felt if row.contender == "sdxl-turbo@2"]
    row = next(row for row in table.rows if row[0] == "sdxl-turbo@2")
    cells = dict(zip((column.head for column in table.columns), row, strict=True))
    assert cells["Picture p50"].value == pytest.approx(np.median(totals))
    assert cells["Picture p95"] == pytest.approx(np.quantile(totals, 0.95))
    assert cells["Stale by more than one"] == pytest.approx(100 * np.mean([k % 3 > 1 for k in range(40)]))


def test_a_command_is_shown_without_the_folders_it_named() -> None:
    said = command_without_folders("bench run /home/ada/x.toml --results s3://b/c --device cuda")
    assert said == "bench run x.toml --results s3://b/c --device cuda"


def test_pictures_from_pictures_have_the_reference_first(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "s", task="image-to-image", latency=False, scores=False, side=32)
    for i in range(3):
        write_bytes(folder.path / "references" / f"p{i:03d}.webp", picture(i, 0, 32))
    page = BeautifulSoup(build(folder).read_text(encoding="utf-8"), "html.parser")
    for row in page.select(".row"):
        captions = [caption.get_text() for caption in row.select("figcaption")]
        assert captions[0] == "reference"
        assert captions.count("reference") == 1


def test_bad_folders_and_options_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no study"):
        build(StudyFolder(tmp_path))
    folder = make_study(tmp_path / "s", latency=False, scores=False)
    with pytest.raises(InputError, match=r"'three'.*one, two"):
        build(folder, columns="three")
    (folder.path / "ratings.json").write_text(
        json.dumps({"questions": {"quality": {"ratings": [{"rating": 1}]}}})
    )
    with pytest.raises(InputError, match=r"ratings.json.*contender"):
        build(folder)
    (folder.path / "ratings.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        build(folder)


@pytest.mark.parametrize("columns", ["one", "two"])
def test_report_tex_compiles_as_it_is_and_can_be_read(
    full: StudyFolder, tmp_path: Path, columns: str
) -> None:
    """No box runs over its column; no text leaves the margins or is set below 5 points."""
    if (
        not shutil.which("pdflatex")
        or not shutil.which("pdftotext")
        or subprocess.run(["kpsewhich", "siunitx.sty"], capture_output=True).returncode
    ):
        pytest.skip("pdflatex with siunitx, or pdftotext, is missing here")
    copy = StudyFolder(tmp_path / "full")
    shutil.copytree(full.path, copy.path)
    if columns == "two":
        build(copy, columns=columns)
    work = copy.report
    for command in (
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "report.tex"],
        ["bibtex", "report"],
    ):
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout[-1500:]
    assert "Overfull" not in (work / "report.log").read_text(encoding="latin-1")
    said = subprocess.run(["pdftotext", "-bbox", "report.pdf", "-"], cwd=work, capture_output=True, text=True)
    words = re.findall(
        r'<word xMin="([\d.]+)" yMin="([\d.]+)" xMax="([\d.]+)" yMax="([\d.]+)">(.*?)<', said.stdout
    )
    assert len(words) > 500
    margin = 72 * 18 / 25.4
    for left, top, right, bottom, word in words:
        assert margin - 3 < float(left) < float(right) < 595.28 - margin + 3, word
        # Turned text is measured across; DejaVu's box is 1.16 times its size.
        assert (
            min(float(bottom) - float(top), float(right) - float(left) + 100 * (len(html.unescape(word)) < 4))
            > 5.0
        ), word

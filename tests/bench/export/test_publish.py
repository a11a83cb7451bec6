"""The data package in other libraries' hands, and the published site as files."""

from __future__ import annotations

import hashlib
import io
import json
import logging
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from bench.errors import InputError
from bench.export.package import check
from bench.export.publish import publish
from bench.store.study_folder import StudyFolder
from tests.support.report_study import make_study

PROMPTS = ("a fox", "</script><b>x", "قطة", "猫")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return make_study(
        tmp_path_factory.mktemp("study") / "site", side=24, votes=True, rich=True, prompts=PROMPTS,
        missing=(("sdxl@50", 1),), sizes={"sdxl@50": 300}, authors=("First Author", "Second Author"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(folder: StudyFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish(folder, tmp_path_factory.mktemp("out") / "site").parent


def test_the_site_holds_report_gallery_package_and_card(folder: StudyFolder, site: Path) -> None:
    assert sorted(path.name for path in site.iterdir()) == [
        "README.md",
        "gallery",
        "index.html",
        "package",
        "report",
    ]
    assert check(site / "package") > 0
    for path in folder.report.rglob("*"):
        if path.is_file():
            assert (site / "report" / path.relative_to(folder.report)).read_bytes() == path.read_bytes()
    page = (site / "index.html").read_text(encoding="utf-8")
    assert "Simulated votes" in page
    assert "Is sdxl-turbo@1 as good as each of" in page


def test_every_image_has_a_thumbnail_and_the_lossless_file_that_the_gallery_names(
    folder: StudyFolder, site: Path
) -> None:
    text = (site / "gallery" / "data.js").read_text(encoding="utf-8")
    assert "<" not in text
    data = json.loads(text.removeprefix("window.GALLERY_DATA=").rstrip(";\n"))
    thumbs = sorted((site / "gallery" / data["thumbnails"]).rglob("*.webp"))
    assert len(thumbs) == len(folder.generations()) == 19
    for path in thumbs:
        full = site / "gallery" / data["images"] / path.parent.name / path.name
        assert full.read_bytes() == folder.image(path.parent.name, *path.stem.rsplit("-", 1)).read_bytes()
        with Image.open(path) as small, Image.open(full) as large:
            assert small.size == (min(large.width, 256),) * 2


def test_nothing_of_the_raters_is_in_the_site(site: Path) -> None:
    for path in site.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert b"friends of Ada" not in data, path
            assert f"{1:032x}".encode() not in data, path


def test_a_folder_with_something_in_it_is_refused(folder: StudyFolder, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        publish(folder, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("place", ["package", "."])
def test_load_dataset_reads_every_table_of_the_package_and_of_the_site(
    folder: StudyFolder, site: Path, place: str, tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets")
    root = str((site / place).resolve())
    names = sorted(path.stem for path in (site / "package" / "data").glob("*.parquet"))
    assert sorted(datasets.get_dataset_config_names(root)) == names
    images = datasets.load_dataset(root, split="train", cache_dir=str(tmp_path))
    rows = folder.generations()
    assert len(images) == len(rows)
    first = images[0]
    assert (first["prompt"], first["contender"]) == ("a fox", "sdxl-turbo@1")
    with Image.open(folder.image("sdxl-turbo@1", "p000", 0)) as image:
        assert ImageChops.difference(first["image"].convert("RGB"), image.convert("RGB")).getbbox() is None
    for row in images.select_columns(["file", "contender", "prompt_id", "replicate"]):
        data = (site / "package" / row["file"]).read_bytes()
        key = (row["contender"], row["prompt_id"], row["replicate"])
        assert hashlib.sha256(data).hexdigest() == rows[key].sha256
    battles = datasets.load_dataset(root, "battles", split="train", cache_dir=str(tmp_path))
    assert len(battles) == len(folder.battles_file.read_text().splitlines())


def test_mlcroissant_validates_the_description_without_a_word(
    site: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    croissant = pytest.importorskip("mlcroissant")
    with caplog.at_level(logging.WARNING):
        data = croissant.Dataset(jsonld=str(site / "package" / "croissant.json"))
    assert [record.message for record in caplog.records] == []
    assert data.metadata.ctx.issues.errors == set()
    assert data.metadata.ctx.issues.warnings == set()
    assert [person.name for person in data.metadata.creators] == ["First Author", "Second Author"]
    assert "author = {First Author and Second Author}" in data.metadata.cite_as
    card = (site / "package" / "README.md").read_text(encoding="utf-8")
    assert "by First Author and Second Author." in card
    assert data.metadata.cite_as in card
    prompts = [row["prompts/text"].decode() for row in data.records("prompts")]
    assert prompts == list(PROMPTS)
    image = next(iter(data.records("images")))["images/image"]
    shown = image if isinstance(image, Image.Image) else Image.open(io.BytesIO(image))
    assert shown.size == (24, 24)

import numpy as np
import pytest
from PIL import Image

from bench.errors import InputError
from bench.store.images import read_pixels
from bench.store.study_folder import StudyFolder
from bench.study.study import read
from bench.sweep.import_images import bring

STUDY = """name = "brought"
contenders = ["midjourney", "dall-e-3", "tiny-turbo@1"]
display_size = 64
[prompts]
file = "prompts.tsv"
"""


@pytest.fixture
def study(tmp_path):
    (tmp_path / "prompts.tsv").write_text("id\ttext\na\tone\nb\ttwo\n")
    (tmp_path / "study.toml").write_text(STUDY)
    return read(tmp_path / "study.toml")


@pytest.fixture
def images(tmp_path):
    path = tmp_path / "images"
    path.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        Image.fromarray(rng.integers(0, 256, (40, 30, 3), np.uint8)).save(path / f"{name}.png")
    return path


def test_pixels_come_in_unchanged(study, images, tmp_path):
    folder = StudyFolder(tmp_path / "out")
    made, failed = bring(study, folder, "midjourney", images, None)
    assert (made, failed) == (2, [])
    assert (read_pixels(folder.image("midjourney", "a", 0)) == np.asarray(Image.open(images / "a.png"))).all()
    row = folder.generations()[("midjourney", "b", 0)]
    assert (row.width, row.height, row.seed) == (30, 40, None)


def test_a_map_names_the_files(study, images, tmp_path):
    table = tmp_path / "map.csv"
    table.write_text("file,prompt_id\nb.png,a\na.png,b\n")
    folder = StudyFolder(tmp_path / "out")
    bring(study, folder, "midjourney", images, table)
    assert (read_pixels(folder.image("midjourney", "a", 0)) == np.asarray(Image.open(images / "b.png"))).all()


def test_a_missing_and_an_unreadable_image_are_failure_rows(study, images, tmp_path):
    (images / "a.png").unlink()
    (images / "b.png").write_bytes(b"not a picture")
    folder = StudyFolder(tmp_path / "out")
    made, failed = bring(study, folder, "midjourney", images, None)
    assert made == 0
    assert {(f.prompt_id, f.kind) for f in failed} == {("a", "missing"), ("b", "unreadable")}
    assert len(folder.failures()) == 2


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("file,prompt_id\na.png,c\n", "no prompt 'c'"),
        ("file,prompt_id\nx.png,a\n", "no file 'x.png'"),
        ("file,prompt_id\n../study.toml,a\n", "no file"),
        ("file,prompt_id\na.png,a\nb.png,a\n", "both for prompt 'a'"),
        ("file,id\na.png,a\n", "needs a header"),
        ("file,prompt_id,replicate\na.png,a,x\n", "replicate 'x'"),
    ],
)
def test_a_map_that_does_not_fit_is_refused(study, images, tmp_path, table, told):
    (tmp_path / "map.csv").write_text(table)
    folder = StudyFolder(tmp_path / "out")
    with pytest.raises(InputError, match=told):
        bring(study, folder, "midjourney", images, tmp_path / "map.csv")
    assert not folder.path.exists()


def test_only_imported_contenders_take_images(study, images, tmp_path):
    with pytest.raises(InputError, match="unknown imported contender"):
        bring(study, StudyFolder(tmp_path), "tiny-turbo@1", images, None)


def test_a_phone_picture_is_turned_upright(study, images, tmp_path):
    picture = Image.new("RGB", (20, 10), "red")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(images / "a.jpg", exif=exif)
    (images / "a.png").unlink()
    folder = StudyFolder(tmp_path / "out")
    bring(study, folder, "dall-e-3", images, None)
    assert read_pixels(folder.image("dall-e-3", "a", 0)).shape == (20, 10, 3)

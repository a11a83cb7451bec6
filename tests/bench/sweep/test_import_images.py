import numpy as np
import pytest
from PIL import Image

from bench.errors import InputError
from bench.store.images import read_pixels
from bench.store.study_folder import StudyFolder
from bench.study.study import read
from bench.sweep.import_images import import_images

STUDY = """name = "brought"
fit = "crop"
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
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(path / f"{name}.png")
    return path


def test_pixels_come_in_unchanged(study, images, tmp_path):
    folder = StudyFolder(tmp_path / "out")
    done = import_images(study, folder, "midjourney", images, None)
    assert (len(done.generations), done.failures, done.suffixes) == (2, (), {".png": 2})
    assert (read_pixels(folder.image("midjourney", "a", 0)) == np.asarray(Image.open(images / "a.png"))).all()
    row = folder.generations()[("midjourney", "b", 0)]
    assert (row.width, row.height, row.seed) == (40, 40, None)


def test_a_map_names_the_files(study, images, tmp_path):
    table = tmp_path / "map.csv"
    table.write_text("file,prompt_id\nb.png,a\na.png,b\n")
    folder = StudyFolder(tmp_path / "out")
    import_images(study, folder, "midjourney", images, table)
    assert (read_pixels(folder.image("midjourney", "a", 0)) == np.asarray(Image.open(images / "b.png"))).all()


def test_a_missing_and_an_unreadable_image_are_failure_rows(study, images, tmp_path):
    (images / "a.png").unlink()
    (images / "b.png").write_bytes(b"not a picture")
    folder = StudyFolder(tmp_path / "out")
    done = import_images(study, folder, "midjourney", images, None)
    assert done.generations == ()
    assert {(f.prompt_id, f.kind) for f in done.failures} == {("a", "missing"), ("b", "unreadable")}
    assert len(folder.failures()) == 2


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("file,prompt_id\na.png,c\n", "no prompt 'c'"),
        ("file,prompt_id\nx.png,a\n", "no file 'x.png'"),
        ("file,prompt_id\n../study.toml,a\n", "no file"),
        ("file,prompt_id\na.png,a\nb.png,a\n", "both for prompt 'a'"),
        ("name,nr\na.png,a\n", "needs a header.*it has name, nr"),
        ("file,prompt_id,replicate\na.png,a,x\n", "replicate 'x'"),
    ],
)
def test_a_map_that_does_not_fit_is_refused(study, images, tmp_path, table, told):
    (tmp_path / "map.csv").write_text(table)
    folder = StudyFolder(tmp_path / "out")
    with pytest.raises(InputError, match=told):
        import_images(study, folder, "midjourney", images, tmp_path / "map.csv")
    assert not folder.path.exists()


def test_only_imported_contenders_take_images(study, images, tmp_path):
    with pytest.raises(InputError, match="unknown imported contender"):
        import_images(study, StudyFolder(tmp_path), "tiny-turbo@1", images, None)


def test_a_phone_picture_is_turned_upright(study, images, tmp_path):
    picture = Image.new("RGB", (20, 10), "red")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(images / "a.jpg", exif=exif)
    (images / "a.png").unlink()
    folder = StudyFolder(tmp_path / "out")
    import_images(study, folder, "dall-e-3", images, None)
    assert read_pixels(folder.image("dall-e-3", "a", 0)).shape == (20, 10, 3)


def own(tmp_path, ids, fit=None, per_prompt=1):
    """A study of one imported contender with prompts of these ids."""
    rows = "".join(f"{name}\tsomething\n" for name in ids)
    (tmp_path / "prompts.tsv").write_text("id\ttext\n" + rows)
    (tmp_path / "own.toml").write_text(
        'name = "own"\ncontenders = ["midjourney"]\ndisplay_size = 64\n'
        + (f'fit = "{fit}"\n' if fit else "")
        + f'images_per_prompt = {per_prompt}\n[prompts]\nfile = "prompts.tsv"\n'
    )
    return read(tmp_path / "own.toml")


def places(done):
    return sorted((row.prompt_id, row.replicate) for row in done.generations)


def test_ids_that_end_in_digits_are_found_by_name(tmp_path, images):
    """The suite's own ids are such: `abstract-basic-1`."""
    study = own(tmp_path, ["abstract-basic-1", "abstract-basic-2"])
    (images / "a.png").rename(images / "abstract-basic-1.png")
    (images / "b.png").rename(images / "Abstract-Basic-2.PNG")
    done = import_images(study, StudyFolder(tmp_path / "out"), "midjourney", images, None)
    assert places(done) == [("abstract-basic-1", 0), ("abstract-basic-2", 0)]


def test_replicates_are_found_by_name_and_doubt_is_refused(tmp_path, images):
    study = own(tmp_path, ["x", "x-1"], per_prompt=2)
    (images / "a.png").rename(images / "x-0.png")
    (images / "b.png").rename(images / "x-1.png")
    with pytest.raises(InputError, match=r"x-1\.png: prompt 'x-1', or prompt 'x' with replicate 1\?"):
        import_images(study, StudyFolder(tmp_path / "out"), "midjourney", images, None)
    (images / "x-1.png").rename(images / "x-1-1.png")
    done = import_images(study, StudyFolder(tmp_path / "out"), "midjourney", images, None)
    assert places(done) == [("x", 0), ("x-1", 1)]


def test_every_kind_of_file_is_taken_and_counted_and_others_are_named(tmp_path, images):
    study = own(tmp_path, ["a", "b", "c", "d"])
    Image.open(images / "b.png").save(images / "b.tiff")
    Image.open(images / "a.png").save(images / "c.AVIF")
    (images / "b.png").unlink()
    (images / "d.heic").write_bytes(b"\0\0\0\x18ftypheic")
    done = import_images(study, StudyFolder(tmp_path / "out"), "midjourney", images, None)
    assert done.suffixes == {".png": 1, ".tiff": 1, ".avif": 1}
    assert done.unread == ("d.heic",)
    assert [row.prompt_id for row in done.failures] == ["d"]


@pytest.mark.parametrize(
    "table",
    [
        b"\xef\xbb\xbffile,prompt_id\na.png,a\n",
        "file;prompt_id\na.png;a\n".encode("utf-16"),
        b"FILE\tPrompt_ID\tReplicate\na.png\ta\n",
        b"\n\nfile,prompt_id,note\n\na.png, A \n,,\n",
        b'file,prompt_id\r\n"a.png","a"\r\n',
        b"filename,id\nsub\\..\\a.png,a\n",
    ],
)
def test_a_map_is_read_as_spreadsheets_write_it(tmp_path, images, table):
    (images / "sub").mkdir()
    (tmp_path / "map.csv").write_bytes(table)
    study = own(tmp_path, ["a"])
    done = import_images(study, StudyFolder(tmp_path / "out"), "midjourney", images, tmp_path / "map.csv")
    assert places(done) == [("a", 0)]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file,prompt_id\n\n\nnothere.png,a\n", r"map\.csv:4: no file 'nothere\.png'"),
        ("file,prompt_id\na.png,a\nb.png,zz\n", r"map\.csv:3: study 'own' has no prompt 'zz'"),
        ("file,prompt_id\na.png,a\nb.png\n", r"map\.csv:3: study 'own' has no prompt ''"),
        ("file,prompt_id\na.png,a\nb.png,a\n", r"map\.csv:3 and .*map\.csv:2 are both for prompt 'a'"),
        ("file,prompt_id,replicate\na.png,a,1\n", r"map\.csv:2: replicate 1, but study 'own' has 1 images"),
        ("file,prompt_id\na.png,a,b,c\n", r"map\.csv:2: 4 fields"),
        ("file,prompt_id\na.pgn,a\n", r"map\.csv:2: no file 'a\.pgn' in .*did you mean 'a\.png'"),
    ],
)
def test_a_row_of_a_map_is_named_by_file_and_line(tmp_path, images, table, message):
    (tmp_path / "map.csv").write_text(table)
    with pytest.raises(InputError, match=message):
        import_images(
            own(tmp_path, ["a"]), StudyFolder(tmp_path / "out"), "midjourney", images, tmp_path / "map.csv"
        )
    assert not (tmp_path / "out").exists()


def test_images_that_are_not_square_need_a_fit_and_keep_their_pixels(tmp_path, images):
    wide = np.random.default_rng(1).integers(0, 256, (20, 40, 3), np.uint8)
    Image.fromarray(wide).save(images / "a.png")
    (images / "b.png").unlink()
    folder = StudyFolder(tmp_path / "out")
    with pytest.raises(InputError, match=r'a\.png: 40 × 20 pixels are not square: write fit = "pad"'):
        import_images(own(tmp_path, ["a"]), folder, "midjourney", images, None)
    assert not folder.path.exists()
    import_images(own(tmp_path, ["a"], fit="pad"), folder, "midjourney", images, None)
    assert (read_pixels(folder.image("midjourney", "a", 0)) == wide).all()


def test_deep_and_transparent_files_are_imported_as_they_look(tmp_path, images):
    Image.fromarray(np.full((8, 8), 32896, np.uint16)).save(images / "a.png")
    Image.new("RGBA", (8, 8), (0, 255, 0, 0)).save(images / "b.png")
    folder = StudyFolder(tmp_path / "out")
    import_images(own(tmp_path, ["a", "b"]), folder, "midjourney", images, None)
    assert (read_pixels(folder.image("midjourney", "a", 0)) == 128).all()
    assert (read_pixels(folder.image("midjourney", "b", 0)) == 255).all()

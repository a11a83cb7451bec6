import io

import numpy as np
import pytest
from PIL import Image

from bench.errors import InputError
from bench.records import Prompt
from bench.store import references as pictures
from bench.store.study_folder import StudyFolder
from bench.study.study import read

RED, BLUE = (255, 0, 0), (0, 0, 255)


def halves(width=64, height=64, mode="RGB"):
    """Left half red, right half blue."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2], pixels[:, width // 2 :] = RED, BLUE
    return Image.fromarray(pixels).convert(mode)


def saved(picture, format="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def near(pixel, colour, reach=40):
    return np.abs(np.asarray(pixel, int) - colour).max() <= reach


def test_a_plain_picture_comes_back_as_it_is():
    found = pictures.read_reference(saved(halves()))
    assert found.mode == "RGB"
    assert found.tobytes() == halves().tobytes()


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_jpegs_of_both_colour_models_keep_their_colours(mode):
    found = pictures.read_reference(saved(halves(mode=mode), "JPEG", quality=95))
    assert near(found.getpixel((10, 32)), RED)
    assert near(found.getpixel((54, 32)), BLUE)


def test_exif_rotation_is_applied():
    """Orientation 6: the camera was turned; the picture is shown a quarter turn clockwise, so left goes up."""
    exif = Image.Exif()
    exif[0x0112] = 6
    found = pictures.read_reference(saved(halves(), "JPEG", exif=exif, quality=95))
    assert near(found.getpixel((32, 5)), RED)
    assert near(found.getpixel((32, 58)), BLUE)
    assert not found.getexif()


def test_sixteen_bits_are_scaled_not_cut():
    grey = Image.fromarray(np.full((32, 32), 32896, np.uint16))
    assert pictures.read_reference(saved(grey)).getpixel((0, 0)) == (128, 128, 128)
    assert pictures.read_reference(saved(grey, "TIFF")).getpixel((0, 0)) == (128, 128, 128)


def test_what_is_transparent_shows_white():
    clear = Image.new("RGBA", (32, 32), (255, 0, 0, 0))
    clear.putpixel((0, 0), (0, 0, 255, 255))
    found = pictures.read_reference(saved(clear))
    assert (found.getpixel((0, 0)), found.getpixel((9, 9))) == (BLUE, (255, 255, 255))
    palette = halves().quantize(4)
    assert pictures.read_reference(saved(palette, "GIF")).getpixel((0, 0)) == RED


def test_the_middle_square_is_taken():
    wide = Image.new("RGB", (300, 100), RED)
    wide.paste(Image.new("RGB", (100, 100), BLUE), (100, 0))
    assert pictures.read_reference(saved(wide)).getcolors() == [(100 * 100, BLUE)]


def test_a_panorama_of_20000_pixels_is_taken():
    found = pictures.read_reference(saved(Image.new("RGB", (20_000, 40), RED)))
    assert found.size == (40, 40)


def animated():
    return saved(halves(), "GIF", save_all=True, append_images=[halves().rotate(90)])


BAD = {
    "truncated.png": (lambda: saved(halves())[:-40], "not a whole image"),
    "truncated.jpg": (lambda: saved(halves(), "JPEG")[:500], "not a whole image"),
    "empty.png": (lambda: b"", "the file is empty"),
    "moving.gif": (animated, "2 frames"),
    "drawing.svg": (
        lambda: b'<?xml version="1.0"?>\n<svg xmlns="x"></svg>',
        "SVG drawing.* export it as PNG",
    ),
    "phone.heic": (lambda: b"\0\0\0\x18ftypheic" + bytes(40), "save it as JPEG or PNG"),
    "notes.png": (lambda: b"dear diary", "not an image: PNG, JPEG"),
    "float.tiff": (lambda: saved(Image.new("F", (32, 32)), "TIFF"), "floating-point"),
    "dot.png": (lambda: saved(Image.new("RGB", (4, 4))), "too few: at least 16"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_in_one_line_that_names_it(name, tmp_path):
    make, told = BAD[name]
    (tmp_path / name).write_bytes(make())
    with pytest.raises(InputError, match=told) as caught:
        pictures.read_reference(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"gone\.png: there is no such file"):
        pictures.read_reference(tmp_path / "gone.png")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [9_500, 20_000])
def test_too_many_pixels_are_refused_before_they_are_decoded(side, monkeypatch):
    """The header alone says so; a 400-megapixel picture would take 1.2 GB."""
    data = bytearray(saved(Image.new("L", (16, 16))))
    data[16:24] = side.to_bytes(4, "big") * 2
    import zlib

    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    with pytest.raises(InputError, match="million"):
        pictures.read_reference(bytes(data))


# In the study folder


@pytest.fixture
def study_file(tmp_path):
    (tmp_path / "set").mkdir()
    halves(200, 100).save(tmp_path / "set/a.png")
    halves(40, 40).save(tmp_path / "set/b.png")
    (tmp_path / "set/edits.csv").write_text(
        "id,text,reference,strength,instruction\np1,a cat,a.png,0.5,make it a cat\np2,a dog,b.png,,\n"
    )
    path = tmp_path / "study.toml"
    path.write_text(
        'name = "edits"\ntask = "image-to-image"\ncontenders = ["tiny-turbo@4"]\nstrength = 0.75\n'
        'display_size = 32\n[prompts]\nfile = "set/edits.csv"\n'
    )
    return path


def keep(study, folder):
    folder.write_study(study.text, study.prompts)
    pictures.store_references(study.prompts, study.references, folder, 64)


def test_references_are_kept_in_the_folder_and_never_enlarged(study_file, tmp_path):
    study, folder = read(study_file), StudyFolder(tmp_path / "out")
    assert [p.strength for p in study.prompts] == [0.5, 0.75]
    keep(study, folder)
    for prompt, side in zip(study.prompts, (64, 40), strict=True):
        with Image.open(folder.reference(prompt.id)) as kept:
            assert kept.size == (side, side)
    found = pictures.reference_pixels(folder, study.prompts, 32)
    assert found.shape == (2, 32, 32, 3)
    assert near(found[0, 16, 2], RED)


def test_a_study_folder_travels_without_the_files_it_was_made_from(study_file, tmp_path):
    from bench.study.study import open_study

    study, folder = read(study_file), StudyFolder(tmp_path / "out")
    keep(study, folder)
    (tmp_path / "set/a.png").unlink()
    again = open_study(folder)
    assert again.prompts == study.prompts
    pictures.store_references(again.prompts, again.references, folder, 64)
    folder.reference("p1").unlink()
    with pytest.raises(InputError, match="restore it from a copy"):
        pictures.store_references(again.prompts, again.references, folder, 64)


def test_a_reference_that_changed_since_is_refused(study_file, tmp_path):
    study, folder = read(study_file), StudyFolder(tmp_path / "out")
    keep(study, folder)
    keep(study, folder)
    assert len(folder.references_file.read_text().splitlines()) == 2
    halves(50, 50).save(tmp_path / "set/b.png")
    with pytest.raises(InputError, match=r"reference of prompt 'p2' is another file"):
        keep(study, folder)


def test_a_bad_reference_names_its_prompt(study_file, tmp_path):
    (tmp_path / "set/b.png").write_bytes(b"<svg></svg>")
    with pytest.raises(InputError, match=r"reference of prompt 'p2', .*b\.png: an SVG drawing"):
        keep(read(study_file), StudyFolder(tmp_path / "out"))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            '"tiny-turbo@4"',
            '"tiny-turbo@1"',
            r"study.toml:3: .*'tiny-turbo@1' at strength 0.5 would take no step",
        ),
        ('"tiny-turbo@4"', '"if-xl@100"', r"study.toml:3: .*cannot generate images from images.*sdxl-turbo"),
        ('task = "image-to-image"\n', "", r"prompt 'p1' starts from the image a\.png: add task"),
        ("strength = 0.75", "strength = 0.0", r"study.toml:4: 'strength' is 0.0"),
    ],
)
def test_what_cannot_be_edited_is_refused_when_the_study_is_read(study_file, old, new, told):
    text = study_file.read_text()
    assert old in text
    study_file.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=told) as caught:
        read(study_file)
    assert "\n" not in str(caught.value)


def test_faithfulness_is_asked_of_edits_alone(tmp_path):
    (tmp_path / "p.txt").write_text("a fox\n")
    (tmp_path / "study.toml").write_text(
        'name = "x"\ncontenders = ["tiny-turbo@1"]\n[prompts]\nfile = "p.txt"\n'
        '[arena]\nquestions = ["faithfulness"]\n'
    )
    with pytest.raises(InputError, match=r"study.toml:6: faithfulness .*image-to-image"):
        read(tmp_path / "study.toml")


def test_a_text_column_of_an_edit_needs_its_reference(tmp_path):
    (tmp_path / "p.csv").write_text("text,instruction\na cat,make it a cat\n")
    from bench.prompts.sets import read_file

    with pytest.raises(InputError, match=r"instruction 'make it a cat' without a reference"):
        read_file(tmp_path / "p.csv")
    assert Prompt(id="a", text="b").instruction == ""

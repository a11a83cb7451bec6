"""The one image reader: every usual kind of file becomes the same pixels, and what it cannot read is named."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from bench.errors import InputError
from bench.store.images import (
    BLACK,
    FORMATS,
    PAD_COLOUR,
    SUFFIXES,
    display_image,
    encode_webp,
    image_size,
    is_black,
    read_image,
    read_pixels,
    resize,
    square,
)

RAMP = np.linspace(0, 255, 64).round().astype(np.uint8)
SCENE = np.stack(
    [np.tile(RAMP, (48, 1)), np.tile(RAMP[:48, None], (1, 64)), np.full((48, 64), 90, np.uint8)], -1
)
"""48 high, 64 wide, no two corners alike."""


def saved(image, kind="PNG", **options):
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP", "AVIF", "GIF", "JPEG"])
def test_every_format_gives_the_same_picture(kind):
    lossless = {
        "WEBP": {"lossless": True},
        "AVIF": {"quality": 100, "subsampling": "4:4:4"},
        "JPEG": {"quality": 100},
    }
    image = read_image(saved(Image.fromarray(SCENE), kind, **lossless.get(kind, {})))
    assert image.mode == "RGB"
    tolerance = {"PNG": 0, "BMP": 0, "TIFF": 0, "WEBP": 0, "AVIF": 4, "JPEG": 12, "GIF": 60}[kind]
    assert np.abs(np.asarray(image).astype(int) - SCENE).max() <= tolerance
    assert kind in FORMATS


def test_a_jfif_and_a_file_of_another_suffix_are_read_by_content(tmp_path):
    (tmp_path / "a.jfif").write_bytes(saved(Image.fromarray(SCENE), "JPEG"))
    (tmp_path / "b.png").write_bytes(saved(Image.fromarray(SCENE), "JPEG"))
    assert (read_pixels(tmp_path / "a.jfif") == read_pixels(tmp_path / "b.png")).all()
    assert ".jfif" in SUFFIXES


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled(kind):
    """Without the scaling every value above 255 of 65,535 would be white."""
    deep = Image.fromarray(np.tile(RAMP.astype(np.uint16) * 257, (8, 1)))
    assert (np.asarray(read_image(saved(deep, kind)))[0, :, 0] == RAMP).all()


def test_transparency_goes_onto_white():
    """The colour under a transparent pixel is never shown; half-transparent red is pink."""
    green = read_image(saved(Image.new("RGBA", (4, 4), (0, 255, 0, 0))))
    assert green.getpixel((0, 0)) == (255, 255, 255)
    assert read_image(saved(Image.new("RGBA", (4, 4), (255, 0, 0, 128)))).getpixel((0, 0)) == (255, 127, 127)
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([0, 0, 255] + [0] * 765)
    assert read_image(saved(palette, transparency=0)).getpixel((0, 0)) == (255, 255, 255)
    assert read_image(saved(Image.new("LA", (4, 4), (0, 0)))).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied_and_dropped(orientation):
    """Against Pillow's own transposition of the upright picture."""
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = Image.fromarray(SCENE)
    undo = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270, 3: Image.Transpose.ROTATE_180}
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    data = saved(stored, exif=exif)
    image = read_image(data)
    with Image.open(io.BytesIO(data)) as opened:
        assert (np.asarray(image) == np.asarray(ImageOps.exif_transpose(opened))).all()
    if orientation in undo:
        assert (np.asarray(image) == SCENE).all()
    assert not image.getexif()


def test_the_size_of_a_turned_image_is_its_upright_size(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a.jpg").write_bytes(saved(Image.fromarray(SCENE), "JPEG", exif=exif))
    assert image_size(tmp_path / "a.jpg") == read_image(tmp_path / "a.jpg").size == (48, 64)
    (tmp_path / "b.jpg").write_bytes(b"no image")
    assert image_size(tmp_path / "b.jpg") is None


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_more_than_one_frame_is_refused_by_name(kind, tmp_path):
    frames = [Image.fromarray(SCENE), Image.fromarray(SCENE[::-1].copy())]
    path = tmp_path / f"moving.{kind.lower()}"
    path.write_bytes(saved(frames[0], kind, save_all=True, append_images=frames[1:]))
    with pytest.raises(InputError, match=rf"moving\.{kind.lower()}: 2 frames or pages"):
        read_image(path)


def test_an_image_that_is_not_square_needs_a_fit():
    image = Image.fromarray(SCENE)
    with pytest.raises(InputError, match='shot: 64 × 48 pixels are not square: write fit = "pad"'):
        square(image, None, "shot")
    cropped = np.asarray(square(image, "crop"))
    assert (cropped == SCENE[:, 8:56]).all()
    padded = np.asarray(square(image, "pad"))
    assert padded.shape == (64, 64, 3)
    assert (padded[8:56] == SCENE).all()
    assert (padded[:8] == PAD_COLOUR).all()
    assert (padded[56:] == PAD_COLOUR).all()
    tall = np.asarray(square(Image.fromarray(SCENE.transpose(1, 0, 2).copy()), "pad"))
    assert (tall == padded.transpose(1, 0, 2)).all()
    whole = Image.fromarray(SCENE[:, :48].copy())
    assert all(square(whole, fit) is whole for fit in (None, "pad", "crop"))


def test_raters_and_metrics_see_the_same_square(tmp_path):
    """The arena's bytes decode to what the metrics are given."""
    from arena.shown.images import displayed

    (tmp_path / "wide.png").write_bytes(saved(Image.fromarray(SCENE)))
    for fit in ("pad", "crop"):
        seen = read_image(displayed(tmp_path / "wide.png", 32, fit))
        assert (np.asarray(seen) == np.asarray(display_image(tmp_path / "wide.png", 32, fit))).all()
    with pytest.raises(InputError, match="not square"):
        displayed(tmp_path / "wide.png", 32)


def test_the_encoder_loses_nothing_and_writes_no_metadata():
    data = encode_webp(SCENE)
    assert (np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) == SCENE).all()
    assert data == encode_webp(Image.fromarray(SCENE))
    assert data[12:16] == b"VP8L"  # one chunk: no EXIF, no profile
    hidden = np.zeros((4, 4, 3), np.uint8)
    assert is_black(hidden)
    assert is_black(hidden + BLACK)
    assert not is_black(hidden + BLACK + 1)


def test_the_resize_is_pillows_lanczos():
    image = Image.fromarray(SCENE[:, :48].copy())
    expected = image.resize((20, 20), Image.Resampling.LANCZOS)
    assert (np.asarray(resize(image, 20)) == np.asarray(expected)).all()
    assert resize(image, 48) is image

"""The one decoder, resize and encoder of images: any file → upright RGB on white; RGB → lossless WebP."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from bench.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")
"""Of files that are read, in lower case."""
UNREAD_SUFFIXES = (".heic", ".heif", ".jxl", ".jp2", ".svg", ".psd", ".exr", ".hdr", ".dng", ".ico", ".pdf")
"""Of images that are not read, in lower case: they are named where a folder holds them, never passed over."""
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""Pillow's decoders that are tried; the content decides, not the suffix."""
MOST_PIXELS = 89_000_000
"""Of a file; a larger one is refused before it is decoded. Just below where Pillow warns of decompression bombs."""
BLACK = 8
"""An image whose channels are all at most this, of 255, is counted as black."""
PIXELS = "RGB, 8 bit, sRGB assumed, upright by EXIF, transparency on white, 16 bit scaled"
"""What `read_image` makes of a file, as protocols state it."""
RESIZE = "Lanczos, PIL, 8 bit"
"""The one resize, as protocols state it."""
PAD_COLOUR = (255, 255, 255)
"""Of the bars that `fit = "pad"` adds."""

Fit = Literal["pad", "crop"]
"""How an image that is not square becomes square: bars at its shorter sides, or the square in its middle."""


class File(Protocol):
    """Where an image's bytes are: a path, or an object of a store."""

    def read_bytes(self) -> bytes: ...


def read_image(source: File | bytes, name: str = "", *, smallest: int = 1, cure: str = "") -> Image:
    """An image file → RGB, upright, at its own size and without metadata.

    EXIF rotation is applied; transparency goes onto white; 16-bit grey is scaled to 8 bits; CMYK is converted
    without its profile.

    Parameters
    ----------
    source : a path, or the file's bytes.
    name : what the message calls it; default: the path.
    smallest : pixels that the shorter side must have.
    cure : what to do about a damaged file, for the message.

    Raises
    ------
    InputError : in one line: missing, not an image, not whole, more than one frame, floating point, above
        MOST_PIXELS, below `smallest`.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    name = name or ("the image" if isinstance(source, bytes) else str(source))
    cure = cure or "save or copy it again"
    data = source if isinstance(source, bytes) else _file_bytes(source, name)
    try:
        Image.init()  # a list of formats alone does not load their decoders
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_header(image, name, smallest)
            image.load()
            upright = _eight_bit(ImageOps.exif_transpose(image), name)
    except UnidentifiedImageError:
        raise InputError(f"{name}: {_unknown_format(data)}") from None
    except Image.DecompressionBombError:
        raise InputError(f"{name}: above {MOST_PIXELS // 10**6} million pixels: make it smaller") from None
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = (str(error).splitlines() or ["damaged"])[0].rstrip(".")
        raise InputError(f"{name}: not a whole image ({reason}): {cure}") from None
    return _on_white(upright)


def image_size(path: Path) -> tuple[int, int] | None:
    """(width, height) in pixels once upright, from the header alone; None where it cannot be read."""
    from PIL import Image

    try:
        Image.init()
        with Image.open(path, formats=FORMATS) as image:
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            width, height = image.size
            return (height, width) if turned else (width, height)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def read_pixels(path: Path) -> Any:
    """uint8 (h, w, 3) of an image of the study. Raises InputError for a file that cannot be read."""
    import numpy as np

    cure = "`bench verify` lists damaged files, `bench generate` restores them"
    return np.asarray(read_image(path, cure=cure))


def square(image: Image, fit: str | None, name: str = "the image") -> Image:
    """The image made square by `fit`. Raises InputError where it is not square and there is no fit."""
    from PIL import ImageOps

    width, height = image.size
    if width == height:
        return image
    if fit is None:
        raise not_square(name, image.size)
    if fit == "pad":
        side = max(width, height)
        return ImageOps.expand(image, _margins(side - width, side - height), fill=PAD_COLOUR)
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side))


def not_square(name: str, size: tuple[int, int]) -> InputError:
    return InputError(
        f'{name}: {size[0]} × {size[1]} pixels are not square: write fit = "pad" (white bars) or '
        'fit = "crop" (the middle) at the top of the study file; raters and metrics then see that'
    )


def resize(image: Image, side: int) -> Image:
    """A square image at side × side pixels (Lanczos)."""
    from PIL import Image

    return image if image.size == (side, side) else image.resize((side, side), Image.Resampling.LANCZOS)


def display_image(path: File, side: int | None, fit: str | None, *, cure: str = "") -> Image:
    """An image as raters and metrics see it: square by `fit`, at side × side pixels (None: its own size)."""
    image = square(read_image(path, cure=cure), fit, str(path))
    return image if side is None else resize(image, side)


def encode_webp(image: Any) -> bytes:
    """Lossless WebP of a PIL RGB image or of uint8 (h, w, 3), without metadata.

    Method 4 at quality 75 takes twelve times as long (154 against 13 ms at 512 pixels) for a file 8% smaller.
    """
    from PIL import Image

    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", lossless=True, quality=0, method=0, exact=True)
    return buffer.getvalue()


def is_black(pixels: Any) -> bool:
    """Whether uint8 pixels are all (nearly) black."""
    return int(pixels.max()) <= BLACK


def _margins(width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom; an odd pixel goes to the right or the bottom."""
    return width // 2, height // 2, width - width // 2, height - height // 2


def _file_bytes(path: File, name: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{name}: there is no such file") from None
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror})") from None


def _check_header(image: Image, name: str, smallest: int) -> None:
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise InputError(
            f"{name}: {width:,} × {height:,} pixels are above {MOST_PIXELS // 10**6} million: make it smaller"
        )
    if min(width, height) < smallest:
        raise InputError(f"{name}: {width} × {height} pixels are too few: at least {smallest} a side")
    frames = getattr(image, "n_frames", 1)
    # The JPEG of a phone may hold a second image (MPO); the first is the photograph.
    if frames > 1 and image.format != "MPO":
        raise InputError(
            f"{name}: {frames} frames or pages: save the one that is meant as an image of its own"
        )


def _eight_bit(image: Image, name: str) -> Image:
    """Any mode in 8 bits a channel, transparency kept; 16-bit grey is divided by 257."""
    import numpy as np
    from PIL import Image

    if image.mode == "F":
        raise InputError(f"{name}: floating-point pixels: save it as an 8-bit PNG")
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.int64)
        return Image.fromarray((np.clip(values, 0, 65535) / 257).round().astype(np.uint8)).convert("RGB")
    has_alpha = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
    return image.convert("RGBA" if has_alpha else "RGB")


def _on_white(image: Image) -> Image:
    """RGB without metadata; what is transparent shows white."""
    from PIL import Image

    if image.mode == "RGBA":
        ground = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(ground, image).convert("RGB")
    return Image.frombytes("RGB", image.size, image.tobytes())


def _unknown_format(data: bytes) -> str:
    """What a file is that no decoder knows, and what to do."""
    head = data[:512].lstrip().lower()
    if not data:
        return "the file is empty: copy it again"
    if b"<svg" in head or head.startswith(b"<?xml"):
        return "an SVG drawing, not an image of pixels: export it as PNG"
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc"):
        return "HEIC is not read: save it as JPEG or PNG"
    return "not an image: PNG, JPEG, WebP, GIF, BMP, TIFF and AVIF are read"

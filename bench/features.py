"""Images and captions to feature arrays: which extractor, which resize, which weights; and their cache on disk.

Features are computed once an image and extractor. The cache goes by the content of the image file and by
everything that decides the numbers, so nothing stale is ever read.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.records import InputError, cache_folder, settings_hash, unknown

Array = NDArray[Any]
Progress = Callable[[str, int, int], None]
"""what, done, total"""

INCEPTION_FILES = ("inception-2015-12-05-trunk.pth", "weights-inception-2015-12-05-6726825d.pth")
DISPLAY_RESIZE = "Lanczos, PIL, 8 bit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extractor:
    kind: Literal[
        "inception", "open_clip", "tiny-clip", "transformers-clip", "dinov2", "aesthetic", "miniature"
    ]
    resize: str
    """As it stands in the protocol."""
    weights: str
    """Hub id, file or tag."""
    architecture: str = ""
    """open_clip's name of it."""
    native: bool = False
    """Takes the image at its native size, not at the study's display size."""
    licence: str = ""
    note: str = ""


_CLIP_RESIZE = "bicubic with antialias, shortest side, centre crop (open_clip's own transform)"

EXTRACTORS: dict[str, Extractor] = {
    "inception-tf": Extractor(
        kind="inception",
        resize="inception-tf: TensorFlow 1 bilinear to 299, float",
        weights=INCEPTION_FILES[0],
        licence="Apache-2.0",
    ),
    "inception-clean": Extractor(
        kind="inception",
        resize="clean: PIL bicubic with antialias to 299, float, clipped",
        weights=INCEPTION_FILES[0],
        licence="Apache-2.0",
    ),
    "inception-patch": Extractor(
        kind="inception",
        resize="patch: centre crop of 299 at native size",
        weights=INCEPTION_FILES[0],
        native=True,
        licence="Apache-2.0",
    ),
    "clip-vit-g-14": Extractor(
        kind="open_clip",
        resize=_CLIP_RESIZE,
        architecture="ViT-g-14",
        weights="laion2b_s12b_b42k",
        licence="MIT",
    ),
    "clip-vit-l-14": Extractor(
        kind="open_clip",
        resize=_CLIP_RESIZE,
        architecture="ViT-L-14",
        weights="laion2b_s32b_b82k",
        licence="MIT",
    ),
    "clip-vit-b-32": Extractor(
        kind="open_clip",
        resize=_CLIP_RESIZE,
        architecture="ViT-B-32",
        weights="laion2b_s34b_b79k",
        licence="MIT",
    ),
    "clip-vit-b-32-openai": Extractor(
        kind="open_clip", resize=_CLIP_RESIZE, architecture="ViT-B-32", weights="openai", licence="MIT"
    ),
    "clip-vit-l-14-336": Extractor(
        kind="open_clip", resize=_CLIP_RESIZE, architecture="ViT-L-14-336", weights="openai", licence="MIT"
    ),
    "tiny-clip": Extractor(
        kind="tiny-clip",
        resize=_CLIP_RESIZE,
        weights="seeded random weights",
        note="random weights: means nothing",
    ),
    "dinov2": Extractor(
        kind="dinov2",
        resize="bicubic with antialias, PIL, to 224 x 224",
        weights="facebook/dinov2-large",
        licence="Apache-2.0",
    ),
    "pickscore": Extractor(
        kind="transformers-clip",
        resize="as the model's image processor",
        weights="yuvalkirstain/PickScore_v1",
        licence="MIT",
    ),
    "hpsv2.1": Extractor(
        kind="open_clip",
        resize=_CLIP_RESIZE,
        architecture="ViT-H-14",
        weights="xswu/HPSv2/HPS_v2.1_compressed.pt",
        licence="Apache-2.0",
    ),
    "aesthetic": Extractor(
        kind="aesthetic",
        resize=_CLIP_RESIZE,
        architecture="ViT-L-14",
        weights="sac+logos+ava1-l14-linearMSE.pth",
        licence="Apache-2.0",
    ),
    "mini-clip": Extractor(kind="miniature", resize="none", weights="miniature", licence="Apache-2.0"),
    "mini-features": Extractor(kind="miniature", resize="none", weights="miniature", licence="Apache-2.0"),
    "mini-scene": Extractor(kind="miniature", resize="none", weights="miniature", licence="Apache-2.0"),
}
DEFAULT_CLIP = "clip-vit-g-14"
"""The reference study's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """An extractor whose weights are on this machine."""

    name: str
    extractor: Extractor
    path: Path
    """Weights file, or a folder in the layout of its library."""

    def protocol(self) -> dict[str, Any]:
        """Everything about it that decides a number."""
        return {
            "extractor": self.name,
            "architecture": self.extractor.architecture,
            "resize": self.extractor.resize,
            "weights": self.extractor.weights,
            "weights_sha256": tree_sha256(self.path),
            "dtype": "float32",
        } | ({"note": self.extractor.note} if self.extractor.note else {})


class Encoder(Protocol):
    """A loaded extractor."""

    def prepare(self, image: Any) -> Any:
        """A PIL RGB image to a float tensor (3, h, w), all of one size; runs in threads."""
        ...

    def images(self, batch: Any) -> Array:
        """(n, 3, h, w) to (n, d) float32."""
        ...

    def texts(self, captions: Sequence[str]) -> tuple[Array, Array]:
        """(n, d) float32 and (n,) bool: longer than the text tower, cut on the right, end token kept."""
        ...


def clip_name(choice: str, base: Path) -> str:
    """The extractor of `[metrics] clip`: a name of the table, or a folder in open_clip layout, made absolute."""
    if not choice:
        return DEFAULT_CLIP
    folder = base / Path(choice.removeprefix("local-dir:")).expanduser()
    if (folder / "open_clip_config.json").is_file():
        return f"local-dir:{folder.resolve()}"
    clips = [name for name, entry in EXTRACTORS.items() if entry.kind in ("open_clip", "tiny-clip")]
    if choice in clips:
        return choice
    raise InputError(
        f"[metrics] clip: {unknown('CLIP', choice, clips)}, or a folder with open_clip_config.json"
    )


def locate(name: str) -> Located:
    """Where the weights are. Reads the disk only. Raises InputError that names `bench fetch` where they are not."""
    if name.startswith("local-dir:"):
        folder = Path(name.removeprefix("local-dir:"))
        entry = Extractor(kind="open_clip", resize=_CLIP_RESIZE, weights=f"folder {folder.name}")
        if not (folder / "open_clip_config.json").is_file():
            raise InputError(f"{folder} has no open_clip_config.json: name a folder in open_clip layout")
        return Located(name=f"local-dir:{folder.name}", extractor=entry, path=folder)
    if name not in EXTRACTORS:
        raise unknown("extractor", name, EXTRACTORS)
    entry = EXTRACTORS[name]
    path = _FINDERS[entry.kind](entry)
    if path is None:
        raise InputError(
            f"the weights of '{name}' ({entry.architecture} {entry.weights}) are not on this machine: run "
            f"`bench fetch` where there is a network, or put them into {cache_folder() / 'weights'}"
        )
    return Located(name=name, extractor=entry, path=path)


def load(located: Located, device: str = "cpu") -> Encoder:
    """The network, ready on a device."""
    kind = located.extractor.kind
    if kind == "inception":
        return Inception(located.path, mode=located.name.removeprefix("inception-"), device=device)
    if kind in ("open_clip", "tiny-clip"):
        return OpenClip(located, device)
    if kind == "transformers-clip":
        return TransformersClip(located.path, device)
    if kind == "dinov2":
        return DinoV2(located.path, device)
    if kind == "aesthetic":
        return Aesthetic(located, device)
    return importlib.import_module("bench.miniature.instruments").encoder(located.name, device)


def open_image(path: Path, size: int | None = None) -> Any:
    """A PIL RGB image, resized to size x size (Lanczos) where that is not its size already.

    Raises InputError naming a file that is not an image.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as file:
            image = file.convert("RGB")
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as an image ({error}): restore it, or generate it again"
        ) from None
    if size is not None and image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    return image


class FeatureStore:
    """Rows of float32 in one file, their keys (content hashes) in another; appended block by block.

    The keys are written after the rows are on disk: what a killed process leaves half-written is cut off.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder = folder / settings_hash(settings)
        self.settings = settings
        self.rows_file = self.folder / "rows.f32"
        self.keys_file = self.folder / "keys.txt"
        self.dimension = 0
        self.index: dict[str, int] = {}
        about = self.folder / "about.json"
        if about.exists():
            self.dimension = int(json.loads(about.read_text(encoding="utf-8"))["dimension"])
            self._read_keys()

    def _read_keys(self) -> None:
        if not (self.keys_file.exists() and self.rows_file.exists()):
            return
        lines = self.keys_file.read_bytes().splitlines(keepends=True)
        keys = [line[:-1].decode() for line in lines if line.endswith(b"\n")]
        whole = self.rows_file.stat().st_size // (4 * self.dimension)
        self.index = {key: number for number, key in enumerate(keys[:whole])}

    def append(self, keys: Sequence[str], rows: Array) -> None:
        """rows: (n, d), n >= 1."""
        from bench.store import write_bytes

        if not self.dimension:
            self.dimension = rows.shape[1]
            about = {"dimension": self.dimension, "settings": self.settings}
            write_bytes(self.folder / "about.json", json.dumps(about, indent=1).encode())
        kept = len(self.index)
        _append(self.rows_file, 4 * self.dimension * kept, np.ascontiguousarray(rows, dtype="<f4").tobytes())
        _append(self.keys_file, 65 * kept, "".join(f"{key}\n" for key in keys).encode())
        for key in keys:
            self.index[key] = len(self.index)

    def rows(self, keys: Sequence[str]) -> Array:
        """(n, d) float32 in the order of keys, which must all be there."""
        if not self.dimension:
            return np.zeros((0, 0), dtype=np.float32)
        table = np.memmap(self.rows_file, dtype="<f4", mode="r").reshape(-1, self.dimension)
        return np.asarray(table[[self.index[key] for key in keys]])


def _append(path: Path, end: int, data: bytes) -> None:
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.truncate(end)
        file.seek(end)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def image_features(
    files: Sequence[tuple[str, Path]],
    located: Located,
    encoder: Callable[[], Encoder],
    cache: Path,
    *,
    size: int | None,
    batch: int = 32,
    progress: Progress | None = None,
) -> Array:
    """(n, d) float32 features of image files, from the cache where they are there.

    files: sha256 of each file's bytes, and its path. encoder: called only if something is to be computed.
    size: the display size, pixels; None or an extractor with `native`: as the file is. Images stream: at most
    a few batches are in memory.
    """
    size = None if located.extractor.native else size
    store = FeatureStore(cache, located.protocol() | {"display_size": size, "of": "images"})
    missing = list({key: path for key, path in files if key not in store.index}.items())
    if missing:
        network = encoder()
        done = 0
        for keys, prepared in _prepared(missing, network, size, batch):
            store.append(keys, _finite(network.images(prepared), located.name))
            done += len(keys)
            if progress:
                progress(f"features {located.name}", done, len(missing))
    return store.rows([key for key, _ in files])


def _prepared(
    files: Sequence[tuple[str, Path]], network: Encoder, size: int | None, batch: int
) -> Iterator[tuple[list[str], Any]]:
    """Batches of decoded and resized images; the next one is made while the network has this one."""
    import torch

    def one(path: Path) -> Any:
        return network.prepare(open_image(path, size))

    blocks = [files[start : start + batch] for start in range(0, len(files), batch)]
    with ThreadPoolExecutor(max(1, min(8, os.cpu_count() or 1))) as pool:
        ahead = [pool.submit(one, path) for _, path in blocks[0]]
        for number, block in enumerate(blocks):
            now = ahead
            ahead = [
                pool.submit(one, path) for _, path in (blocks[number + 1] if number + 1 < len(blocks) else [])
            ]
            yield [key for key, _ in block], torch.stack([future.result() for future in now])


def text_features(
    captions: Sequence[str], located: Located, encoder: Callable[[], Encoder], cache: Path, batch: int = 64
) -> tuple[Array, Array]:
    """(n, d) float32 and (n,) bool truncated; each distinct caption is encoded once and kept."""
    store = FeatureStore(cache, located.protocol() | {"of": "captions"})
    keys = {text: hashlib.sha256(text.encode()).hexdigest() for text in captions}
    missing = [text for text, key in keys.items() if key not in store.index]
    for start in range(0, len(missing), batch):
        block = missing[start : start + batch]
        rows, cut = encoder().texts(block)
        store.append([keys[text] for text in block], np.column_stack([rows, cut]))
    table = store.rows([keys[text] for text in captions])
    return table[:, :-1], table[:, -1] > 0


def _finite(rows: Array, name: str) -> Array:
    if not np.isfinite(rows).all():
        raise InputError(
            f"extractor '{name}' gave a value that is not finite: its weights are damaged; fetch them anew"
        )
    return rows


def tree_sha256(path: Path) -> str:
    """sha256 of a file, or of the names and hashes of a folder's files."""
    stamp = tuple((p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in _files(path))
    return _tree_sha256(path, stamp)


def _files(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


@functools.cache
def _tree_sha256(path: Path, _stamp: tuple[Any, ...]) -> str:
    hashes = []
    for file in _files(path):
        with file.open("rb") as stream:
            hashes.append(
                (file.relative_to(path).as_posix(), hashlib.file_digest(stream, "sha256").hexdigest())
            )
    return hashes[0][1] if path.is_file() else hashlib.sha256(json.dumps(hashes).encode()).hexdigest()


def weights_folders() -> list[Path]:
    """Where weight files are looked for, in order."""
    folders = [cache_folder() / "weights"]
    if os.environ.get("BENCH_SHARED"):
        folders.append(Path(os.environ["BENCH_SHARED"]) / "data" / "weights")
    return folders


def _find_file(*names: str) -> Path | None:
    found = (folder / name for folder in weights_folders() for name in names)
    return next((path for path in found if path.is_file()), None)


def _find_inception(entry: Extractor) -> Path | None:
    return _find_file(*INCEPTION_FILES)


def _find_open_clip(entry: Extractor) -> Path | None:
    if entry.weights.endswith(".pt"):
        repository, _, file = entry.weights.rpartition("/")
        return _find_file(file) or _cached(repository, file)
    import open_clip

    hub = open_clip.get_pretrained_cfg(entry.architecture, entry.weights).get("hf_hub", "").strip("/")
    names = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
    return next((path for name in names if (path := _cached(hub, name))), None)


def _find_tiny(entry: Extractor) -> Path | None:
    return tiny_clip_folder(cache_folder() / "tiny")


def _find_hub_folder(entry: Extractor) -> Path | None:
    local = next((f / entry.weights.rpartition("/")[2] for f in weights_folders()), None)
    if local is not None and (local / "config.json").is_file():
        return local
    config = _cached(entry.weights, "config.json")
    return config.parent if config else None


def _find_aesthetic(entry: Extractor) -> Path | None:
    return _find_file(entry.weights) if _find_open_clip(_AESTHETIC_TOWER) else None


def _find_miniature(entry: Extractor) -> Path | None:
    if importlib.util.find_spec("bench.miniature.instruments") is None:
        return None
    instruments = importlib.import_module("bench.miniature.instruments")
    return instruments.weights_path()


_AESTHETIC_TOWER = Extractor(kind="open_clip", resize=_CLIP_RESIZE, architecture="ViT-L-14", weights="openai")
_FINDERS: dict[str, Callable[[Extractor], Path | None]] = {
    "inception": _find_inception,
    "open_clip": _find_open_clip,
    "tiny-clip": _find_tiny,
    "transformers-clip": _find_hub_folder,
    "dinov2": _find_hub_folder,
    "aesthetic": _find_aesthetic,
    "miniature": _find_miniature,
}


def _cached(repository: str, file: str) -> Path | None:
    """A file of the hub's cache, without the network."""
    from huggingface_hub import try_to_load_from_cache

    if not repository:
        return None
    found = try_to_load_from_cache(repository, file)
    return Path(found) if isinstance(found, str) else None


def tiny_clip_folder(root: Path) -> Path:
    """An open_clip folder with seeded random weights, written on first use."""
    import shutil
    import tempfile

    path = root / "clip-1"
    if path.is_dir():
        return path
    root.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".clip-", dir=root))
    try:
        _write_tiny_clip(made)
        made.chmod(0o755)
        made.rename(path)
    except OSError as error:
        if not path.is_dir():
            raise InputError(f"cannot write the tiny CLIP into {root}: {error.strerror}") from None
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return path


def _write_tiny_clip(folder: Path) -> None:
    import open_clip
    from safetensors.torch import save_file

    from bench.tiny import filled

    config = {
        "model_cfg": {
            "embed_dim": 32,
            "vision_cfg": {"image_size": 64, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
            "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
        },
        "preprocess_cfg": {
            "mean": list(open_clip.OPENAI_DATASET_MEAN),
            "std": list(open_clip.OPENAI_DATASET_STD),
            "interpolation": "bicubic",
            "resize_mode": "shortest",
        },
    }
    model = filled(open_clip.CLIP(**config["model_cfg"]), seed=11)
    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")


class Inception:
    """The 2015 Inception of FID: torch-fidelity's blocks and weights, batch norm folded, channels last.

    Its own runner is not used: it loads pickles with `weights_only=False` and, on the CPU, folding, layout and
    one-pass resizing make this one faster at features equal to 1e-4 (tests/performance/features_speed.py).
    """

    def __init__(self, weights: Path, *, mode: str, device: str = "cpu") -> None:
        self.mode = mode
        self.device = device
        self.network = _inception_network(weights).to(device)

    def prepare(self, image: Any) -> Any:
        import torch

        if self.mode == "tf":
            return tensorflow_resize(torch.from_numpy(np.array(image)))
        array = clean_resize(image) if self.mode == "clean" else centre_patch(image)
        return torch.from_numpy(array).permute(2, 0, 1)

    def images(self, batch: Any) -> Array:
        import torch

        with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
            x = batch.to(self.device).contiguous(memory_format=torch.channels_last)
            return self.network((x - 128) / 128).flatten(1).float().cpu().numpy()

    def texts(self, captions: Sequence[str]) -> tuple[Array, Array]:
        raise InputError("Inception has no text tower")


def _inception_network(path: Path) -> Any:
    import torch
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval
    from torch_fidelity import feature_extractor_inceptionv3 as parts

    conv = parts.BasicConv2d
    network = nn.Sequential()
    for name, module in {
        "Conv2d_1a_3x3": conv(3, 32, kernel_size=3, stride=2),
        "Conv2d_2a_3x3": conv(32, 32, kernel_size=3),
        "Conv2d_2b_3x3": conv(32, 64, kernel_size=3, padding=1),
        "MaxPool_1": nn.MaxPool2d(kernel_size=3, stride=2),
        "Conv2d_3b_1x1": conv(64, 80, kernel_size=1),
        "Conv2d_4a_3x3": conv(80, 192, kernel_size=3),
        "MaxPool_2": nn.MaxPool2d(kernel_size=3, stride=2),
        "Mixed_5b": parts.InceptionA(192, pool_features=32),
        "Mixed_5c": parts.InceptionA(256, pool_features=64),
        "Mixed_5d": parts.InceptionA(288, pool_features=64),
        "Mixed_6a": parts.InceptionB(288),
        "Mixed_6b": parts.InceptionC(768, channels_7x7=128),
        "Mixed_6c": parts.InceptionC(768, channels_7x7=160),
        "Mixed_6d": parts.InceptionC(768, channels_7x7=160),
        "Mixed_6e": parts.InceptionC(768, channels_7x7=192),
        "Mixed_7a": parts.InceptionD(768),
        "Mixed_7b": parts.InceptionE_1(1280),
        "Mixed_7c": parts.InceptionE_2(2048),
        "AvgPool": nn.AdaptiveAvgPool2d(output_size=(1, 1)),
    }.items():
        network.add_module(name, module)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict({name: value for name, value in state.items() if not name.startswith("fc.")})
    except (RuntimeError, OSError, EOFError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{path} is not the 2015 Inception ({reason}): remove it and run `bench fetch`"
        ) from None
    network.eval().requires_grad_(False)
    for module in list(network.modules()):
        if isinstance(module, conv):
            module.conv = fuse_conv_bn_eval(module.conv, module.bn)
            module.bn = nn.Identity()
    return network.to(memory_format=torch.channels_last)


def tensorflow_resize(image: Any, size: int = 299) -> Any:
    """(h, w, 3) uint8 to (3, size, size) float32 in 0..255 as TensorFlow 1's bilinear, corners not aligned.

    The same operations in the same order as torch-fidelity's, one axis after the other, so fewer of them.
    """
    columns, right, dx = _bilinear(image.shape[1], size)
    rows, below, dy = _bilinear(image.shape[0], size)
    if image.shape[0] > 2 * size:
        top, bottom = (_lerp(image[pick], columns, right, dx) for pick in (rows, below))
    else:
        wide = _lerp(image, columns, right, dx)
        top, bottom = wide[rows], wide[below]
    return (top + (bottom - top) * dy.view(-1, 1, 1)).permute(2, 0, 1)


def _lerp(image: Any, low: Any, high: Any, fraction: Any) -> Any:
    left = image[:, low].float()
    return left + (image[:, high].float() - left) * fraction.view(1, -1, 1)


@functools.cache
def _bilinear(length: int, size: int) -> tuple[Any, Any, Any]:
    import torch

    grid = torch.arange(0, size, dtype=torch.float32) * torch.tensor(length / size, dtype=torch.float32)
    low = grid.long()
    return low, (low + 1).clamp_max(length - 1), grid - low.float()


def clean_resize(image: Any, size: int = 299) -> Array:
    """(size, size, 3) float32 in 0..255: PIL's antialiased bicubic on each float channel, as clean-fid."""
    from PIL import Image

    channels = (Image.fromarray(np.asarray(band, dtype=np.float32)) for band in image.split())
    resized = [np.asarray(band.resize((size, size), Image.Resampling.BICUBIC)) for band in channels]
    return np.stack(resized, axis=2).clip(0, 255)


def centre_patch(image: Any, size: int = 299) -> Array:
    """(size, size, 3) float32. Raises InputError for an image that is smaller."""
    width, height = image.size
    if min(width, height) < size:
        raise InputError(
            f"patch_fid needs images of at least {size} px a side; one is {width} x {height}: leave it out"
        )
    left, top = (width - size) // 2, (height - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size)), dtype=np.float32)


class OpenClip:
    """A CLIP through open_clip, with its own transform and tokenizer, float32."""

    def __init__(self, located: Located, device: str = "cpu") -> None:
        import open_clip

        entry, path = located.extractor, located.path
        try:
            if path.is_dir():
                name = f"local-dir:{path}"
                model, _, self.transform = open_clip.create_model_and_transforms(name)
            else:
                name, tag = entry.architecture, entry.weights
                known = {} if tag.endswith(".pt") else open_clip.get_pretrained_cfg(name, tag)
                model, _, self.transform = open_clip.create_model_and_transforms(
                    name,
                    pretrained=str(path),
                    image_mean=known.get("mean"),
                    image_std=known.get("std"),
                    force_quick_gelu=bool(known.get("quick_gelu")),
                )
            self.tokenizer = open_clip.get_tokenizer(name)
        except (RuntimeError, FileNotFoundError, ValueError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"the CLIP in {path} cannot be loaded ({reason}): fetch it anew") from None
        self.model = model.to(device).eval()
        self.device = device

    def prepare(self, image: Any) -> Any:
        return self.transform(image)

    def images(self, batch: Any) -> Array:
        import torch

        with torch.inference_mode():
            return self.model.encode_image(batch.to(self.device)).float().cpu().numpy()

    def texts(self, captions: Sequence[str]) -> tuple[Array, Array]:
        import torch

        with torch.inference_mode():
            tokens = self.tokenizer(list(captions))
            rows = self.model.encode_text(tokens.to(self.device)).float().cpu().numpy()
        # One longer window than the tower's tells a caption that just fits from one that was cut.
        window = tokens.shape[1]
        longer = self.tokenizer(list(captions), context_length=window + 1)
        return rows, (longer != 0).sum(1).numpy() > window


class TransformersClip:
    """A CLIPModel folder in hub layout (PickScore); text rows carry the model's logit scale."""

    def __init__(self, path: Path, device: str = "cpu") -> None:
        from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel

        try:
            self.model = CLIPModel.from_pretrained(path, local_files_only=True).to(device).eval()
            self.processor = CLIPImageProcessor.from_pretrained(path, local_files_only=True)
            self.tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        except (OSError, ValueError) as error:
            raise InputError(
                f"the model in {path} is not whole ({str(error).splitlines()[0]}): fetch it anew"
            ) from None
        self.device = device
        self.window = self.model.config.text_config.max_position_embeddings

    def prepare(self, image: Any) -> Any:
        return self.processor(images=image, return_tensors="pt")["pixel_values"][0]

    def images(self, batch: Any) -> Array:
        import torch

        with torch.inference_mode():
            vision = self.model.vision_model(pixel_values=batch.to(self.device))
            rows = self.model.visual_projection(vision.pooler_output).float()
        return (rows / rows.norm(dim=-1, keepdim=True)).cpu().numpy()

    def texts(self, captions: Sequence[str]) -> tuple[Array, Array]:
        import torch

        whole = self.tokenizer(list(captions))["input_ids"]
        tokens = self.tokenizer(
            list(captions), padding="max_length", truncation=True, max_length=self.window, return_tensors="pt"
        ).to(self.device)
        with torch.inference_mode():
            rows = self.model.text_projection(self.model.text_model(**tokens).pooler_output).float()
            rows = rows / rows.norm(dim=-1, keepdim=True) * self.model.logit_scale.exp()
        return rows.cpu().numpy(), np.array([len(ids) > self.window for ids in whole])


class DinoV2:
    """Class token of a DINOv2 folder in hub layout, 224 px, ImageNet colours."""

    def __init__(self, path: Path, device: str = "cpu") -> None:
        from transformers import Dinov2Model

        try:
            self.model = Dinov2Model.from_pretrained(path, local_files_only=True).to(device).eval()
        except (OSError, ValueError) as error:
            raise InputError(
                f"the model in {path} is not whole ({str(error).splitlines()[0]}): fetch it anew"
            ) from None
        self.device = device

    def prepare(self, image: Any) -> Any:
        import torch

        array = clean_resize(image, 224) / 255
        array = (array - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
        return torch.from_numpy(array.astype(np.float32)).permute(2, 0, 1)

    def images(self, batch: Any) -> Array:
        import torch

        with torch.inference_mode():
            return (
                self.model(pixel_values=batch.to(self.device)).last_hidden_state[:, 0].float().cpu().numpy()
            )

    def texts(self, captions: Sequence[str]) -> tuple[Array, Array]:
        raise InputError("DINOv2 has no text tower")


class Aesthetic:
    """LAION's aesthetic predictor: five linear layers over unit-length CLIP ViT-L/14 features; (n, 1)."""

    def __init__(self, located: Located, device: str = "cpu") -> None:
        import torch
        from torch import nn

        tower = _find_open_clip(_AESTHETIC_TOWER)
        assert tower is not None
        self.tower = OpenClip(Located(name="clip", extractor=_AESTHETIC_TOWER, path=tower), device)
        state = torch.load(located.path, map_location="cpu", weights_only=True)
        state = {name.removeprefix("layers."): value for name, value in state.items()}
        # Dropout stands between the layers of the published file; it is off here and only keeps the numbering.
        sizes = {int(n.split(".")[0]): v.shape for n, v in state.items() if n.endswith("weight")}
        layers = [
            nn.Linear(sizes[i][1], sizes[i][0]) if i in sizes else nn.Identity()
            for i in range(max(sizes) + 1)
        ]
        self.head = nn.Sequential(*layers)
        self.head.load_state_dict(state)
        self.head.eval()

    def prepare(self, image: Any) -> Any:
        return self.tower.prepare(image)

    def images(self, batch: Any) -> Array:
        import torch

        rows = torch.from_numpy(self.tower.images(batch))
        with torch.inference_mode():
            return self.head(rows / rows.norm(dim=-1, keepdim=True)).numpy()

    def texts(self, captions: Sequence[str]) -> tuple[Array, Array]:
        raise InputError("the aesthetic predictor does not read prompts")

"""The networks themselves: an image or a caption in, a row of numbers out."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.extractors import AESTHETIC_TOWER, Located, find_open_clip
from bench.records import InputError

Array = NDArray[Any]


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


class Inception:
    """The 2015 Inception of FID: torch-fidelity's blocks and weights, batch norm folded, channels last.

    Its own class is not used: it loads pickles with `weights_only=False`; on the CPU folding, layout and
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
        hub = getattr(self.tokenizer, "tokenizer", None)
        if hub is None:
            return rows, (longer[:, window] != 0).numpy()
        # The hub's tokenizers may pad with the end token: a cut caption has a word where the tower's end is.
        return rows, ~np.isin(longer[:, window - 1].numpy(), hub.all_special_ids)


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

        tower = find_open_clip(AESTHETIC_TOWER)
        assert tower is not None
        self.tower = OpenClip(Located(name="clip", extractor=AESTHETIC_TOWER, path=tower), device)
        state = torch.load(located.path, map_location="cpu", weights_only=True)
        state = {name.removeprefix("layers."): value for name, value in state.items()}
        # Dropout stands between the layers of the published file; it only keeps the numbering.
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

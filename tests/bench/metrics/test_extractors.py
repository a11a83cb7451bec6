"""Every entry of `EXTRACTORS` from a tiny file in the real layout through the real loading code, offline; what it
gives against the library it must agree with, called by hand on the same file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench.errors import InputError
from bench.metrics.extractors import AESTHETIC_TOWER, EXTRACTORS
from bench.metrics.networks.judges import CLIP_MEAN, CLIP_STD
from bench.metrics.networks.loading import load
from bench.metrics.weights import DTYPES, locate
from tests.support.pretend_gpu import pretended
from tests.support.tiny_weights import Home, open_home, random_inception, write

CAPTIONS = ["a red circle", "two blue squares", "a green star above a red circle"]
CLIPS = [name for name, entry in EXTRACTORS.items() if entry.kind == "open_clip"]
NAMES = [name for name, entry in EXTRACTORS.items() if not entry.questions]
"""Those that ask the questions of a file are the same readers: tests/bench/metrics/test_asking.py."""
OF_THE_SUITE = ("tiny-clip", "miniature")
"""Kinds whose weights are made or shipped by the suite."""


@pytest.fixture(scope="session")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_inception(tmp_path_factory.mktemp("inception") / "weights.pth")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inception_file: Path) -> Home:
    return open_home(tmp_path, monkeypatch, inception_file)


def pictures(width: int = 340, height: int = 310) -> list[Image.Image]:
    random = np.random.default_rng(0)
    coarse = [random.integers(0, 256, (9, 11, 3), dtype=np.uint8) for _ in CAPTIONS]
    return [Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC) for pixels in coarse]


def reading(name: str, device: str = "cpu") -> tuple[np.ndarray, np.ndarray | None]:
    """What an extractor makes of the pictures and, where it reads them apart, of the captions."""
    network, joint = load(locate(name), device), EXTRACTORS[name].joint
    batch: Any = [network.prepare(image) for image in pictures()]
    batch = batch if getattr(network, "alone", False) else torch.stack(batch)
    if joint:
        values, cut = network.pairs(batch, CAPTIONS if joint == "caption" else list(batch.flip(0)))
        assert not cut.any()
        return values[:, None], None
    try:
        texts, cut = network.texts(CAPTIONS)
    except (InputError, ValueError):
        return network.images(batch), None
    assert not cut.any()
    return network.images(batch), texts


@pytest.mark.parametrize("name", NAMES)
def test_every_extractor_reads_from_the_layout_of_its_home(name: str, home: Home) -> None:
    entry = EXTRACTORS[name]
    if entry.kind not in OF_THE_SUITE:
        with pytest.raises(InputError, match=f"weights of '{name}'.*bench fetch"):
            locate(name)
    write(home, name)
    located = locate(name)
    assert len(located.protocol()["weights_sha256"]) == 64
    assert entry.kind == "miniature" or located.path.is_relative_to(home.root)
    images, texts = reading(name)
    assert images.shape[0] == 3
    assert images.dtype == np.float32
    assert np.isfinite(images).all()
    assert entry.kind == "miniature" or len(np.unique(images.round(7), axis=0)) > 1
    if texts is not None:
        assert texts.shape == (3, images.shape[1])


ON_A_PRETENDED_GPU = [name for name in NAMES if EXTRACTORS[name].kind != "qwen-vl"]
"""transformers numbers the places of Qwen2.5-VL's images by an operation that the pretended GPU has no data for."""


@pytest.mark.parametrize("name", ON_A_PRETENDED_GPU)
def test_a_gpu_reads_what_a_cpu_reads(name: str, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a pretended one: nothing is left behind on the other device."""
    write(home, name)
    here = reading(name)
    with pretended(monkeypatch):
        there = reading(name, "cuda")
    for one, other in zip(here, there, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            half = EXTRACTORS[name].kind in DTYPES  # bfloat16 there, which keeps three digits
            np.testing.assert_allclose(one, other, atol=0.05 * np.abs(one).max() if half else 1e-3)


ONE_A_KIND = {EXTRACTORS[name].kind: name for name in NAMES if EXTRACTORS[name].kind not in OF_THE_SUITE}


@pytest.mark.parametrize("name", [*ONE_A_KIND.values(), "clip-vit-g-14"])
def test_a_damaged_file_is_named_with_its_cure(name: str, home: Home) -> None:
    write(home, name)
    path = locate(name).path
    if path.is_dir():
        path = next(iter([*path.glob("*.safetensors"), *path.glob("*.bin")]))
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[: len(data) // 3])
    with pytest.raises(InputError, match="fetch") as caught:
        load(locate(name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [*CLIPS, "tiny-clip", "mini-clip"])
def test_logits_equal_open_clip_called_by_hand(name: str, home: Home) -> None:
    import open_clip

    write(home, name)
    entry, located = EXTRACTORS[name], locate(name)
    architecture, weights = entry.architecture, entry.weights
    if not architecture:
        folder = located.path / "clip" if entry.kind == "miniature" else located.path
        architecture, weights = f"local-dir:{folder}", None
    elif weights.endswith(".pt"):
        weights = str(located.path)
    model, _, transform = open_clip.create_model_and_transforms(
        architecture, pretrained=weights, force_quick_gelu=entry.weights == "openai"
    )
    model.eval()
    with torch.inference_mode():
        size = 64 if entry.kind == "miniature" else 340
        batch = torch.stack([transform(image) for image in pictures(size, size)])
        a = torch.nn.functional.normalize(model.encode_image(batch), dim=-1)
        tokens = open_clip.get_tokenizer(architecture)(CAPTIONS)
        b = torch.nn.functional.normalize(model.encode_text(tokens), dim=-1)
        network = load(located)
        own = torch.stack([network.prepare(image) for image in pictures(size, size)])
        images, (texts, _) = network.images(own), network.texts(CAPTIONS)
    images, texts = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (images, texts))
    np.testing.assert_allclose(images @ texts.T, (a @ b.T).numpy(), atol=1e-5)


def test_openai_towers_have_the_activation_they_were_trained_with(home: Home) -> None:
    """QuickGELU, x sigmoid(1.702 x), which the architecture's name alone does not say."""
    write(home, "mlperf-clip")
    network = load(locate("mlperf-clip"))
    x = torch.linspace(-3, 3, 13)
    activation = network.model.visual.transformer.resblocks[0].mlp.gelu
    torch.testing.assert_close(activation(x), x * torch.sigmoid(1.702 * x))
    write(home, "clip-vit-l-14")
    other = load(locate("clip-vit-l-14")).model.visual.transformer.resblocks[0].mlp.gelu
    torch.testing.assert_close(other(x), torch.nn.functional.gelu(x))


def by_torch_fidelity(path: Path, pixels: torch.Tensor, patch: pytest.MonkeyPatch) -> np.ndarray:
    """pixels: (n, 3, h, w) in 0..255, uint8 or already resized."""
    from torch_fidelity import feature_extractor_inceptionv3 as parts

    patch.setattr(parts, "vassert", lambda condition, message: None)
    network = parts.FeatureExtractorInceptionV3("x", ["2048"], feature_extractor_weights_path=str(path))
    with torch.inference_mode():
        return network(pixels)[0].numpy()


def by_pytorch_fid(path: Path, pixels: torch.Tensor, patch: pytest.MonkeyPatch) -> np.ndarray:
    """clean-fid ships pytorch-fid's network, which MLPerf's accuracy script is a copy of."""
    import cleanfid.inception_pytorch as published

    state = torch.load(path, weights_only=True)
    patch.setattr(published, "load_state_dict_from_url", lambda *_, **__: state)
    # As pytorch-fid's own first step, which clean-fid switched off.
    x = torch.nn.functional.interpolate(pixels / 255, (299, 299), mode="bilinear", align_corners=False)
    with torch.inference_mode():
        return published.InceptionV3([3], resize_input=False).eval()(x)[0].flatten(1).numpy()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["inception-tf", "inception-clean", "inception-patch", "mlperf-inception"])
def test_inception_equals_the_published_code_of_each_mode(name: str, home: Home) -> None:
    from cleanfid.resize import build_resizer

    write(home, name)
    arrays = [np.array(image) for image in pictures()]
    if name == "inception-clean":
        arrays = [build_resizer("clean")(array) for array in arrays]
    if name == "inception-patch":  # the middle 299 of 340 and of 310
        arrays = [array[5:304, 20:319] for array in arrays]
    pixels = torch.stack([torch.from_numpy(array) for array in arrays]).permute(0, 3, 1, 2)
    call = by_pytorch_fid if name == "mlperf-inception" else by_torch_fidelity
    assert home.inception is not None
    expected = call(home.inception, pixels, home.patch)
    found, _ = reading(name)
    assert found.shape == (3, 2048)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_aesthetic_equals_its_layers_by_hand(home: Home) -> None:
    import open_clip

    write(home, "aesthetic")
    found, _ = reading("aesthetic")
    model, _, transform = open_clip.create_model_and_transforms(
        AESTHETIC_TOWER.architecture, pretrained="openai", force_quick_gelu=True
    )
    state = torch.load(locate("aesthetic").path, weights_only=True)
    with torch.inference_mode():
        x = model.eval().encode_image(torch.stack([transform(image) for image in pictures()]))
        x = x / x.norm(dim=-1, keepdim=True)
        for number in (0, 2, 4, 6, 7):
            x = x @ state[f"layers.{number}.weight"].T + state[f"layers.{number}.bias"]
    np.testing.assert_allclose(found, x.numpy(), atol=1e-5)


def stretched(size: int, side: int) -> np.ndarray:
    """(size, side) weights of a bicubic interpolation whose scale is (size + 0.1) / side, borders held: Keys 1981,
    with -3/4 as torch has it."""
    weights = np.zeros((size, side))
    for row in range(size):
        at = (row + 0.5) * side / (size + 0.1) - 0.5
        for near in range(int(np.floor(at)) - 1, int(np.floor(at)) + 3):
            x, a = abs(at - near), -0.75
            inner = (a + 2) * x**3 - (a + 3) * x**2 + 1
            weights[row, min(max(near, 0), side - 1)] += (
                inner if x <= 1 else a * (x**3 - 5 * x**2 + 8 * x - 4)
            )
    return weights


def test_dinov2_is_torch_hub_s_whose_positions_are_stretched_by_a_tenth_of_a_patch(home: Home) -> None:
    """The positions by a bicubic interpolation of our own, 37 x 37 to 16 x 16, in transformers' network."""
    from transformers import Dinov2Model

    write(home, "dinov2")
    network = load(locate("dinov2"))
    batch = torch.stack([network.prepare(image) for image in pictures()])
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    resized = [image.resize((224, 224), Image.Resampling.BICUBIC) for image in pictures()]
    pixels = [torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255 for image in resized]
    # PIL's 8-bit resize rounds twice: up to a grey level from the float one.
    torch.testing.assert_close(batch, (torch.stack(pixels) - mean) / std, atol=1.1 / 255 / 0.224, rtol=0)
    with torch.inference_mode():
        model = Dinov2Model.from_pretrained(locate("dinov2").path).eval()
        plain = model(pixel_values=batch).pooler_output.numpy()
        held = model.embeddings.position_embeddings
        grid, weights = held[0, 1:].reshape(37, 37, -1).double().numpy(), stretched(16, 37)
        fitted = np.einsum("ia,jb,abd->ijd", weights, weights, grid).reshape(1, 256, -1)
        positions = torch.cat([held[:, :1], torch.from_numpy(fitted).float()], 1)
        model.embeddings.interpolate_pos_encoding = lambda *_: positions
        expected = model(pixel_values=batch).pooler_output.numpy()
    found = network.images(batch)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - plain).max() > 1e-4


def test_hpsv2_pads_what_is_not_square(home: Home) -> None:
    write(home, "hpsv2.1")
    network = load(locate("hpsv2.1"))
    image = pictures(300, 150)[0]
    side = network.prepare(image).shape[-1]
    square = Image.new("RGB", (side, side))
    square.paste(image.resize((side, side // 2), Image.Resampling.BICUBIC), (0, side // 4))
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (CLIP_MEAN, CLIP_STD))
    pixels = torch.from_numpy(np.array(square)).permute(2, 0, 1) / 255
    torch.testing.assert_close(network.prepare(image), (pixels - mean) / std, atol=1e-5, rtol=0)


def test_pickscore_cuts_a_long_caption_on_the_right_and_counts_it(home: Home) -> None:
    write(home, "pickscore")
    network = load(locate("pickscore"))
    fits, long = (
        " ".join("a" * 75),
        " ".join("a" * 75 + "b" * 9),
    )  # a letter is one token of the tiny vocabulary
    rows, cut = network.texts([fits, long, "b"])
    assert cut.tolist() == [False, True, False]
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-5)
    assert np.abs(rows[0] - rows[2]).max() > 1e-3


def test_pickscore_gives_the_logits_of_the_model(home: Home) -> None:
    from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel

    write(home, "pickscore")
    images, texts = reading("pickscore")
    assert texts is not None
    path = locate("pickscore").path
    tokens = AutoTokenizer.from_pretrained(path)(CAPTIONS, padding=True, return_tensors="pt")
    pixels = CLIPImageProcessor.from_pretrained(path)(images=pictures(), return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        model = CLIPModel.from_pretrained(path).eval()
        expected = model(pixel_values=pixels, **tokens).logits_per_image.numpy()
    np.testing.assert_allclose(images @ texts.T, expected, atol=1e-4)

"""Extractors against the libraries they must agree with, on real photographs; the cache; the loaders."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bench.metrics.features as features
import bench.metrics.frechet as frechet
import bench.metrics.kernels as kernels
from bench.errors import InputError
from bench.metrics.extractors import EXTRACTORS, clip_name
from bench.metrics.networks.clip import OpenClip
from bench.metrics.networks.inception import Inception, tensorflow_resize
from bench.metrics.networks.loading import load
from bench.metrics.weights import locate
from bench.store.images import display_image, read_image

SHARED = (
    Path(os.environ.get("BENCH_SHARED") or Path(__file__).resolve().parents[3].parent / "shared") / "data"
)
WEIGHTS = SHARED / "weights" / "inception-2015-12-05-trunk.pth"
PHOTOS = sorted((SHARED / "photos").glob("*.jpg"))
real = pytest.mark.skipif(
    not (WEIGHTS.is_file() and PHOTOS), reason="shared photographs and weights are absent"
)


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURBO_BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "features-cache"))


def files(paths: list[Path]) -> list[tuple[str, Path]]:
    return [(hashlib.sha256(path.read_bytes()).hexdigest(), path) for path in paths]


def pictures(folder: Path, count: int, size: int = 64) -> list[Path]:
    random = np.random.default_rng(0)
    paths = []
    for i in range(count):
        path = folder / f"{i}.png"
        Image.fromarray(random.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(path)
        paths.append(path)
    return paths


@pytest.fixture(scope="module")
def theirs() -> Any:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    return FeatureExtractorInceptionV3("x", ["2048"], feature_extractor_weights_path=str(WEIGHTS))


@real
@pytest.mark.filterwarnings("ignore")
def test_inception_equals_torch_fidelity_on_photographs(theirs: Any) -> None:
    import torch
    from torch_fidelity.metric_kid import kid_features_to_metric

    chosen = PHOTOS[:20]
    network = Inception(WEIGHTS, mode="inception-tf")
    ours = np.concatenate([network.images(network.prepare(read_image(p))[None]) for p in chosen])
    expected = []
    for path in chosen:
        array = np.array(Image.open(path).convert("RGB"))
        expected.append(theirs(torch.from_numpy(array).permute(2, 0, 1)[None])[0])
    rows = torch.cat(expected)
    assert np.abs(ours - rows.numpy()).max() < 1e-4
    found, _ = kernels.kernel_distance(ours[:10], ours[10:])
    kid = kid_features_to_metric(rows[:10], rows[10:], kid_subsets=1, kid_subset_size=10, verbose=False)
    assert found == pytest.approx(kid["kernel_inception_distance_mean"], abs=1e-3)


@real
@pytest.mark.filterwarnings("ignore")
def test_frechet_equals_torch_fidelity_and_clean_fid(theirs: Any) -> None:
    """On 128 columns of real features: the libraries' matrix root of all 2,048 takes a minute."""
    import torch
    from cleanfid.fid import frechet_distance
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    rows = []
    for path in PHOTOS[:12]:
        image = Image.open(path).convert("RGB")
        rows.append(theirs(torch.from_numpy(np.array(image)).permute(2, 0, 1)[None])[0][:, :128])
    x, y = torch.cat(rows[:6]), torch.cat(rows[6:])
    ours = frechet.frechet_distance(frechet.moments(x.numpy()), frechet.moments(y.numpy()))
    statistics = fid_features_to_statistics(x), fid_features_to_statistics(y)
    fidelity = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    a, b = x.double().numpy(), y.double().numpy()
    clean = frechet_distance(a.mean(0), np.cov(a, rowvar=False), b.mean(0), np.cov(b, rowvar=False))
    assert ours == pytest.approx(fidelity, abs=1e-3)
    assert ours == pytest.approx(clean, abs=1e-3)


@real
@pytest.mark.filterwarnings("ignore")
def test_clean_mode_equals_clean_fid_resize_and_the_unfolded_network(
    theirs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from cleanfid.resize import build_resizer
    from torch_fidelity import feature_extractor_inceptionv3 as parts

    monkeypatch.setattr(parts, "vassert", lambda condition, message: None)
    resize = build_resizer("clean")
    network = Inception(WEIGHTS, mode="clean")
    for path in PHOTOS[:8]:
        resized = resize(np.array(Image.open(path).convert("RGB")))
        expected = theirs(torch.from_numpy(resized).permute(2, 0, 1)[None])[0].numpy()
        found = network.images(network.prepare(read_image(path))[None])
        assert np.abs(found - expected).max() < 1e-4


@pytest.mark.parametrize("shape", [(64, 48), (299, 299), (640, 420), (700, 1100)])
def test_resize_equals_torch_fidelity_bit_by_bit(shape: tuple[int, int]) -> None:
    import torch
    from torch_fidelity.interpolate_compat_tensorflow import (
        interpolate_bilinear_2d_like_tensorflow1x as oracle,
    )

    image = torch.randint(0, 256, (*shape, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = oracle(image.permute(2, 0, 1)[None].float(), size=(299, 299), align_corners=False)[0]
    assert torch.equal(tensorflow_resize(image), expected)


@real
def test_worse_pictures_are_farther_away() -> None:
    """Blur, noise and JPEG: each stronger step is farther from the photographs."""
    import io

    from PIL import ImageFilter

    network = Inception(WEIGHTS, mode="inception-tf")
    originals = [display_image(path, 256, "crop") for path in PHOTOS[:12]]

    def distance(change: Any) -> float:
        import torch

        rows = network.images(torch.stack([network.prepare(change(image)) for image in originals]))
        return frechet.frechet_distance(frechet.moments(rows), reference)

    def noisy(image: Image.Image, scale: float) -> Image.Image:
        noise = np.random.default_rng(0).normal(0, scale, (256, 256, 3))
        return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))

    def jpeg(image: Image.Image, quality: int) -> Image.Image:
        data = io.BytesIO()
        image.save(data, "JPEG", quality=quality)
        return Image.open(data).convert("RGB")

    import torch

    reference = frechet.moments(network.images(torch.stack([network.prepare(image) for image in originals])))
    assert distance(lambda image: image) == pytest.approx(0, abs=1e-6)
    blurred = [distance(lambda i, r=r: i.filter(ImageFilter.GaussianBlur(r))) for r in (1, 4)]
    noised = [distance(lambda i, s=s: noisy(i, s)) for s in (10, 50)]
    squeezed = [distance(lambda i, q=q: jpeg(i, q)) for q in (60, 5)]
    for weak, strong in (blurred, noised, squeezed):
        assert 0 < weak < strong


def test_absent_weights_name_the_cure_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("BENCH_SHARED", raising=False)
    monkeypatch.setenv("TURBO_BENCH_CACHE", str(tmp_path))
    for name in ("inception-tf", "clip-vit-g-14", "dinov2", "pickscore", "hpsv2.1", "aesthetic"):
        with pytest.raises(InputError, match="bench fetch"):
            locate(name)
    with pytest.raises(InputError, match="did you mean 'dinov2'"):
        locate("dinov")


def test_clip_choice_takes_names_and_folders_and_nothing_else(tmp_path: Path) -> None:
    assert clip_name("", tmp_path) == "clip-vit-g-14"
    assert clip_name("tiny-clip", tmp_path) == "tiny-clip"
    folder = locate("tiny-clip").path
    assert clip_name(str(folder), tmp_path) == f"local-dir:{folder.resolve()}"
    with pytest.raises(InputError, match="clip-vit-l-14"):
        clip_name("clip-vit-l-15", tmp_path)
    assert all(EXTRACTORS[n].licence or EXTRACTORS[n].note for n in EXTRACTORS)


def test_long_caption_is_cut_on_the_right_and_counted() -> None:
    encoder = load(locate("tiny-clip"))
    assert isinstance(encoder, OpenClip)
    fits, long = " ".join(["cat"] * 74 + ["!"]), " ".join(["cat"] * 75 + ["dog"] * 9)
    rows, cut = encoder.texts([fits, long, "dog"])
    assert cut.tolist() == [False, True, False]
    same, _ = encoder.texts([" ".join(["cat"] * 75)])
    np.testing.assert_allclose(same[0], rows[1], atol=1e-6)
    assert int(encoder.tokenizer([long])[0].argmax()) == 76
    changed, _ = encoder.texts(["bird " + long])
    assert np.abs(changed[0] - rows[1]).max() > 1e-3


def test_features_are_computed_once_and_survive_a_torn_write(tmp_path: Path) -> None:
    located = locate("tiny-clip")
    encoder = load(located)
    given = files(pictures(tmp_path, 7))
    cache = tmp_path / "cache"
    first = features.image_features(given, located, lambda: encoder, cache, size=None)

    def refuse() -> Any:
        raise AssertionError("nothing is to be computed")

    again = features.image_features(given[::-1], located, refuse, cache, size=None)
    np.testing.assert_array_equal(again, first[::-1])
    (rows,) = cache.glob("*/rows.f32")
    (keys,) = cache.glob("*/keys.txt")
    rows.write_bytes(rows.read_bytes()[:-50])
    keys.write_bytes(keys.read_bytes()[:-10])
    repaired = features.image_features(given, located, lambda: encoder, cache, size=None)
    np.testing.assert_allclose(repaired, first, atol=1e-6)
    features.image_features(given, located, refuse, cache, size=None)


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"broken\.png: not an image"):
        read_image(path)


def test_patch_of_a_small_image_is_refused(tmp_path: Path) -> None:
    from bench.metrics.networks.inception import centre_patch

    with pytest.raises(InputError, match="at least 299"):
        centre_patch(Image.new("RGB", (200, 400)))
    assert centre_patch(Image.new("RGB", (400, 300))).shape == (299, 299, 3)


def test_a_resumed_cache_is_the_cache_of_one_run_to_the_last_bit(tmp_path: Path) -> None:
    """A batch of three has other last bits than one of eight: short batches are filled up."""
    located = locate("tiny-clip")
    encoder, given = load(located), files(pictures(tmp_path, 11))
    captions = [f"caption {i}" for i in range(11)]
    for place, counts in (("whole", (11,)), ("resumed", (1, 4, 11))):
        for count in counts:
            features.image_features(given[:count], located, lambda: encoder, tmp_path / place, size=None)
            features.text_features(captions[:count], located, lambda: encoder, tmp_path / place)
    whole, resumed = (sorted((tmp_path / place).rglob("*.f32")) for place in ("whole", "resumed"))
    assert len(whole) == 2
    assert [path.read_bytes() for path in whole] == [path.read_bytes() for path in resumed]

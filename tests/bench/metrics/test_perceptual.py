"""LPIPS through the real loading code, on a random AlexNet in torchvision's layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from bench.errors import InputError
from bench.metrics.networks.loading import load
from bench.metrics.networks.perceptual import Lpips
from bench.metrics.weights import locate
from tests.support.tiny_weights import open_home, write


@pytest.fixture
def trunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = open_home(tmp_path, monkeypatch)
    write(home, "lpips")
    return locate("lpips").path


def picture(seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((96, 96), Image.Resampling.BICUBIC)


def by_hand(state: dict, lin: dict, x: torch.Tensor, y: torch.Tensor) -> float:
    """Zhang et al. 2018, eq. 1, from the convolutions up."""
    shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
    x, y, total = (x - shift) / scale, (y - shift) / scale, 0.0
    steps = {0: (4, 2, False), 3: (1, 2, True), 6: (1, 1, True), 8: (1, 1, False), 10: (1, 1, False)}
    for layer, (number, (stride, padding, pool)) in enumerate(steps.items()):
        features = []
        for z in (x, y):
            z = torch.nn.functional.max_pool2d(z, 3, 2) if pool else z
            weight, bias = state[f"features.{number}.weight"], state[f"features.{number}.bias"]
            features.append(torch.nn.functional.conv2d(z, weight, bias, stride, padding).relu())
        x, y = features
        u, v = (z / (z.square().sum(1, keepdim=True) + 1e-8).sqrt() for z in (x, y))
        weighted = (u - v).square() * lin[f"lin{layer}.model.1.weight"]
        total += weighted.sum(1).mean().item()
    return total


def test_lpips_equals_its_equation(trunk: Path) -> None:
    import torchmetrics.functional.image.lpips as library

    found = load(locate("lpips"))
    assert isinstance(found, Lpips)
    a, b = (torch.stack([found.prepare(picture(seed)) for seed in seeds]) for seeds in ((1, 2), (3, 4)))
    with torch.inference_mode():
        values, _ = found.pairs(a, list(b))
        lin = torch.load(
            Path(library.__file__).parent / "lpips_models" / "alex.pth", map_location="cpu", weights_only=True
        )
        state = torch.load(trunk, weights_only=True)
        expected = [by_hand(state, lin, a[i : i + 1], b[i : i + 1]) for i in range(2)]
    np.testing.assert_allclose(values, expected, rtol=1e-4)


def test_lpips_is_zero_of_itself_symmetric_and_grows_with_blur(trunk: Path) -> None:
    found = load(locate("lpips"))
    source = picture(1)
    blurred = [source.filter(ImageFilter.GaussianBlur(radius)) for radius in (0.7, 3)]
    batch = torch.stack([found.prepare(image) for image in (source, *blurred)])
    values, _ = found.pairs(batch, [batch[0]] * 3)
    assert values[0] == 0
    assert 0 < values[1] < values[2]
    back, _ = found.pairs(batch[:1], [batch[2]])
    assert back[0] == pytest.approx(values[2], rel=1e-5)


def test_another_file_is_not_taken_for_alexnet(trunk: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(3)}, trunk)
    with pytest.raises(InputError, match="is not torchvision's AlexNet"):
        load(locate("lpips"))

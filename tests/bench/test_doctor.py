"""What `bench doctor` says of memory, against counts made otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from bench.doctor import _fit, _votes, _weights
from bench.models.availability import check
from bench.models.registry import MODELS
from bench.models.weight_size import count_parameters, weight_bytes
from bench.study.study import read


def test_a_folder_s_headers_hold_what_its_networks_do(tmp_path):
    from diffusers import AutoencoderKL, UNet2DModel

    small = {"block_out_channels": (8,), "norm_num_groups": 4, "layers_per_block": 1}
    unet = UNet2DModel(**small, down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",))
    parts = {"unet": unet, "vae": AutoencoderKL(**small)}
    for name, part in parts.items():
        part.save_pretrained(tmp_path / name)
    assert count_parameters(tmp_path) == sum(p.numel() for part in parts.values() for p in part.parameters())


def test_half_precision_copies_beside_the_plain_files_count_once(tmp_path):
    (tmp_path / "unet").mkdir()
    save_file({"a": torch.zeros(3, 5), "b": torch.zeros(())}, tmp_path / "unet" / "model.safetensors")
    save_file({"a": torch.zeros(3, 5).half()}, tmp_path / "unet" / "model.fp16.safetensors")
    assert count_parameters(tmp_path) == 16


def test_sdxl_takes_what_its_card_says():
    """Stability's card and paper: UNet 2.6 G, text encoders 123 M and 695 M, VAE 84 M parameters; 16 bits each."""
    assert weight_bytes(MODELS["sdxl"], "float16") == pytest.approx(
        2 * (2567 + 123 + 695 + 84) * 1e6, rel=0.01
    )


@pytest.mark.parametrize(("size", "state"), [(79, "ok"), (81, "warning"), (101, "error")])
def test_weights_must_leave_room(size, state):
    found = _fit({"small": 1, "large": size}, 100, "GPU", "")
    assert found.state == state
    assert ("small" in found.cure) == (state == "error")


@pytest.mark.parametrize(("votes", "state"), [(20, "warning"), (20_000, "ok")])
def test_the_doctor_says_what_the_votes_can_tell(tmp_path, votes, state):
    (tmp_path / "s.toml").write_text(
        'name = "s"\ncontenders = ["tiny-turbo@1", "tiny-turbo@4"]\ndisplay_size = 64\n[prompts]\nset = "turbo-264"\n'
        f"[arena]\nvotes_per_pair = {votes}\nvotes_per_rater = 20\n"
    )
    [finding] = _votes(read(tmp_path / "s.toml"))
    assert finding.state == state
    assert "55% in" in finding.message


def test_a_quantised_part_takes_its_own_width(tmp_path):
    """Two parts of 15 and 4 numbers in float16: 38 bytes; the first in 4 bits: 15 / 2 + 8."""

    for part, shape in (("transformer", (3, 5)), ("vae", (4,))):
        (tmp_path / part).mkdir()
        save_file({"a": torch.zeros(*shape)}, tmp_path / part / "model.safetensors")
    model = replace(MODELS["flux.1-schnell"], repository=str(tmp_path))
    assert weight_bytes(model, "float16") == 38
    assert weight_bytes(replace(model, quantization={"transformer": "nf4"}), "float16") == 16
    save_file({"a": torch.zeros(3, 5)}, tmp_path / "one.safetensors")
    assert weight_bytes(replace(model, repository=str(tmp_path / "one.safetensors")), "float16") == 30


def test_fetching_is_the_cure_of_what_a_hub_has_and_of_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    absent = replace(MODELS["sdxl"], repository=str(tmp_path / "nothing"))
    assert _weights(absent, check).cure == ""
    assert "no folder" in _weights(absent, check).message
    assert _weights(replace(MODELS["sdxl"], revision="0" * 40), check).cure == "bench fetch STUDY"

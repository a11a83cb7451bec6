"""One place decides the device and the dtype: the same word passes or fails everywhere."""

from __future__ import annotations

import pytest
import torch

from bench import device
from bench.errors import InputError


@pytest.mark.parametrize("asked", ["gpu", "tpu", "cuda:", "cuda:x", "cpu:0", ""])
def test_a_word_that_is_no_device_is_refused_by_both_checks(asked):
    for check in (device.check_device, device.choose_device):
        with pytest.raises(InputError, match="unknown device"):
            check(asked)


@pytest.mark.parametrize(
    ("gpus", "asked", "demanded", "chosen"),
    [
        (0, "auto", "any", "cpu"),
        (0, "cpu", "cuda", "cpu"),
        (2, "auto", "any", "cuda"),
        (2, "auto", "cpu", "cpu"),
        (2, "cuda", "cpu", "cuda"),
        (2, "cuda:1", "any", "cuda:1"),
        (2, "cpu", "cuda", "cpu"),
    ],
)
def test_the_users_word_goes_before_the_studys(gpus, asked, demanded, chosen, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert device.choose_device(asked, demanded, "mine") == chosen


@pytest.mark.parametrize(
    ("gpus", "asked", "demanded", "told"),
    [
        (0, "auto", "cuda", "study 'mine' asks for a GPU"),
        (0, "cuda", "cuda", "study 'mine' asks for a GPU"),
        (0, "cuda", "any", "torch sees no GPU"),
        (2, "cuda:2", "any", "there are 2 GPUs here, cuda:0 to cuda:1"),
    ],
)
def test_a_device_that_is_not_here_is_refused_in_one_line(gpus, asked, demanded, told, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(InputError, match=told):
        device.choose_device(asked, demanded, "mine")


def test_the_dtype_where_nobody_asks():
    assert device.default_dtype("bfloat16", "cuda:1") == "bfloat16"
    assert device.default_dtype("bfloat16", "cpu") == "float32"
    with pytest.raises(InputError, match="known: float16, bfloat16, float32"):
        device.check_dtype("fp16")


def test_memory_of_a_cpu_is_the_machines():
    assert device.memory_peak("cpu") is None
    with open("/proc/meminfo") as file:
        total = int(file.readline().split()[1]) * 1024
    assert device.memory_there("cpu") == pytest.approx(total, rel=0.01)

"""The roads that only a GPU takes, on a pretended one: devices, waiting, streams, float16."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from bench.doctor import examine
from bench.latency.measure import Protocol, measure
from bench.models.availability import Availability
from bench.models.load import load
from bench.scoring.score import score
from bench.store.study_folder import StudyFolder
from bench.study.study import read
from bench.sweep.generate import generate
from bench.sweep.settings import Options
from tests.support.pretend_gpu import GpuTensor, pretended
from tests.support.tiny_models import MAKERS, TEXTS, of

HERE = Availability(here=True, message="here")


@pytest.fixture
def gpu(monkeypatch):
    torch.set_num_threads(1)
    with pretended(monkeypatch) as record:
        yield record


def test_the_pretended_gpu_finds_what_a_gpu_would(gpu):
    there, here = torch.ones(3, device="cuda"), torch.ones(3)
    assert there.device.type == "cuda"
    with pytest.raises(RuntimeError, match="one device"):
        there + here
    with pytest.raises(TypeError, match="numpy"):
        there.numpy()
    assert gpu.waits == []
    assert float((there + here.to("cuda")).sum()) == 6
    assert [wait.partition(" ")[2] for wait in gpu.waits] == ["copy to the device", "_local_scalar_dense"]
    assert all("test_pretended_gpu.py" in wait for wait in gpu.waits)
    gpu.waits.clear()
    assert (there * 2).cpu().tolist() == [2, 2, 2]
    here.pin_memory().to("cuda", non_blocking=True)
    assert [wait.partition(" ")[2] for wait in gpu.waits] == ["copy from the device"]
    other = torch.cuda.Stream()
    with torch.cuda.stream(other):
        with pytest.raises(RuntimeError, match="not waited"):
            there * 2
        other.wait_stream(torch.cuda.default_stream())
        assert (there * 2).cpu().tolist() == [2, 2, 2]
    with pytest.raises(RuntimeError, match="cuda:1"):
        there + torch.ones(3, device="cuda:1")
    host = torch.zeros(3, pin_memory=True)
    early, late = torch.cuda.Event(), torch.cuda.Event()
    early.record()
    host.copy_(there, non_blocking=True)
    late.record()
    early.synchronize()
    torch.cuda.synchronize("cuda:1")
    assert host.tolist() == [0, 0, 0]
    late.synchronize()
    assert host.tolist() == [1, 1, 1]


def test_each_gpu_s_pictures_are_waited_for(gpu, shared_cache):
    """Of two workers in one process, and of one whose device is not torch's current one."""
    pictures = []
    for device in ("cpu", "cuda:1", "cuda:0"):
        pipeline = load(MAKERS["sdxl-turbo"](None), device=device, dtype="float32")
        who = of(pipeline, "sdxl-turbo")
        latents = pipeline.denoise(pipeline.encode(TEXTS, who), [1, 2], who)
        torch.cuda.set_device(0)
        pictures.append(pipeline.decode(latents).tobytes())
    assert pictures[0] == pictures[1] == pictures[2]


@pytest.mark.parametrize("name", MAKERS)
def test_the_picture_of_a_gpu_is_that_of_a_cpu_and_our_lines_never_wait(name, gpu, tmp_path, shared_cache):
    """Where the host waits for the GPU, the GPU then waits for the host. Left are lines of diffusers' own."""
    model = MAKERS[name](tmp_path)
    pictures = []
    for device in ("cpu", "cuda"):
        pipeline = load(model, device=device, dtype="float32")
        who = of(pipeline, name)
        embeddings = pipeline.encode(TEXTS, who)
        pipeline.denoise(embeddings, [1, 2], who)  # the first batch also encodes the empty prompt
        gpu.waits.clear()
        latents = pipeline.denoise(embeddings, [1, 2], who)
        later = pipeline.decode_later(latents)
        assert not [wait for wait in gpu.waits if "bench/" in wait]
        pictures.append(later())
    assert isinstance(latents.tensor, GpuTensor)
    assert pictures[0].tobytes() == pictures[1].tobytes()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("level", ["none", "exact"])
def test_nothing_waits_while_a_picture_is_decoded(level, dtype, gpu, shared_cache, monkeypatch):
    """In float16 not even to see whether the decoder overflowed."""
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module, **_: None)
    model = MAKERS["sdxl-turbo"](None)
    pipeline = load(model, device="cuda", dtype=dtype, optimize=level)
    who = of(pipeline, "sdxl-turbo")
    latents = pipeline.denoise(pipeline.encode(TEXTS, who), [1, 2], who)
    pipeline.decode(latents)  # diffusers' upcast copies the weights once
    gpu.waits.clear()
    later = pipeline.decode_later(latents)
    assert gpu.waits == []
    assert latents.tensor.kept_for is pipeline.decoder.stream  # or its memory is given away while it is read
    assert later().std() > 5
    assert pipeline.decoder.upcasts == 0


@pytest.mark.parametrize("name", ["sdxl-turbo", "sd-turbo", "openmuse", "flux.1-schnell", "sana-sprint"])
def test_a_picture_from_a_picture_is_the_same_on_a_gpu(name, gpu, tmp_path, shared_cache):
    model = MAKERS[name](tmp_path)
    reference = np.random.default_rng(1).integers(0, 256, (2, model.size, model.size, 3), dtype=np.uint8)
    pictures = []
    for device in ("cpu", "cuda"):
        pipeline = load(model, device=device, dtype="float32")
        who = of(pipeline, name, 2)
        pictures.append(edited(pipeline, who, reference)())
    assert pictures[0].tobytes() == pictures[1].tobytes()


@pytest.mark.parametrize("level", ["none", "exact"])
def test_encoding_and_decoding_in_turn_do_not_disturb_each_other(level, gpu, shared_cache, monkeypatch):
    """In float16 diffusers' edit moves the decoder to float32 and back, while the picture before is being decoded."""
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module, **_: None)
    reference = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    pipeline = load(MAKERS["sdxl-turbo"](None), device="cuda", dtype="float16", optimize=level)
    who = of(pipeline, "sdxl-turbo", 2)
    alone = edited(pipeline, who, reference)()
    decoded = pipeline.decoder.stream.now
    latents = pipeline.denoise(pipeline.encode(TEXTS, who), [1, 2], who, references=reference, strength=0.5)
    # the weights that decoding still reads are freed in this order only
    assert latents.tensor.made[0].waited[pipeline.decoder.stream] == decoded
    waiting = [edited(pipeline, who, reference) for _ in range(3)]
    assert all(later().tobytes() == alone.tobytes() for later in waiting)


def edited(pipeline, who, reference):
    embeddings = pipeline.encode(TEXTS, who)
    return pipeline.decode_later(
        pipeline.denoise(embeddings, [1, 2], who, references=reference, strength=0.5)
    )


def test_the_miniature_family_trains_on_a_gpu(gpu, tmp_path, monkeypatch):
    """Every stage, a step of each: networks, batches, generators and optimisers are on one device."""
    from bench.miniature import export, train

    monkeypatch.setattr(torch.nn.Module, "compile", lambda module, **_: None)
    for name in ("export_classifier", "export_sdxl", "export_unet"):  # safetensors wants real memory
        monkeypatch.setattr(export, name, lambda *_: None)
    monkeypatch.setattr("bench.miniature.clip.export", lambda *_: None)
    monkeypatch.setattr(train, "PATCH_IMAGES", 32)
    monkeypatch.setattr(train, "CAPTIONS", 8)
    train.make_family(tmp_path, tmp_path / "weights", {name: (1, 4) for name in train.STAGES}, 64, "cuda")
    logs = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.jsonl")}
    assert set(logs) == set(train.STAGES)
    assert all(np.isfinite(log["loss"]) for log in logs.values())


def test_a_study_on_a_gpu_from_generation_to_scores(gpu, tmp_path, shared_cache, monkeypatch):
    """The second of two: threads of the worker, the search for a shape, latency, metrics. Oracle: the same on a CPU."""
    monkeypatch.setattr(
        "bench.latency.measure.matrix_rate", lambda device: 1.0
    )  # a GPU's product takes a CPU long
    monkeypatch.setattr("bench.latency.measure.calibration", lambda device: lambda: 1.0)
    monkeypatch.setattr("bench.sweep.batch.MOST", 4)
    (tmp_path / "study.toml").write_text(
        'name = "gpu"\ncontenders = ["tiny-turbo@1", "tiny-lcm@4"]\n[prompts]\nset = "turbo-264"\nfirst = 3\n'
        '[metrics]\nnames = ["clip_score"]\nclip = "tiny-clip"\n'
    )
    study = read(tmp_path / "study.toml")
    found, values = {}, {}
    for device in ("cpu", "cuda:1"):
        folder = StudyFolder(tmp_path / device)
        folder.write_study(study.text, study.prompts)
        options = Options(device=device, dtype="float32", batch_size="auto" if device == "cuda:1" else 4)
        assert generate(study, folder, options, load=load).made == 6
        values[device] = {
            (row.contender, row.metric): row.value for row in score(folder, study, device=device)
        }
        found[device] = folder
    assert {entry["shape"] for entry in found["cuda:1"].read_json("plan.json").values()} == {4}
    hashes = [{key: row.sha256 for key, row in f.generations().items()} for f in found.values()]
    assert hashes[0] == hashes[1]
    assert values["cuda:1"] == pytest.approx(values["cpu"], rel=1e-4)
    timed = measure(study, found["cuda:1"], Options(device="cuda:1"), Protocol(samples=1, least=1), load=load)
    assert {(row.contender, row.batch) for row in timed.rows if row.stage == "total"} == {
        (name, batch) for name in ("tiny-turbo@1", "tiny-lcm@4") for batch in (1, 4)
    }
    assert timed.protocol["device"] == "pretended GPU"
    assert examine(study, tmp_path, check=lambda model: HERE)[0].message == "2 × pretended GPU, 80 GiB"

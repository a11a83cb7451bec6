import pytest

from bench.latency import Protocol, calls_of, measure, time_contender
from bench.store.study_folder import StudyFolder
from bench.study.study import read
from bench.sweep.settings import Options
from tests.support.null_pipeline import NullPipeline

STUDY = """name = "null"
contenders = ["tiny-sdxl@50", "midjourney"]
[prompts]
file = "prompts.txt"
"""


@pytest.fixture
def study(tmp_path):
    (tmp_path / "prompts.txt").write_text("one\ntwo\nthree\n")
    (tmp_path / "study.toml").write_text(STUDY)
    return read(tmp_path / "study.toml")


def calls(study):
    return calls_of(study, StudyFolder(study.base), study.contenders[0], 2)


def test_every_sample_of_every_stage_is_kept_and_total_is_their_sum(study):
    rows = time_contender(
        NullPipeline(), study.contenders[0], calls(study), 2, "cpu", Protocol(samples=4, warm_up=1)
    )
    found = {row.stage: row.seconds for row in rows}
    assert {stage: len(seconds) for stage, seconds in found.items()} == {
        "encode": 4, "denoise": 4, "decode": 4, "total": 4, "forward": 3 * 49,
    }  # fmt: skip
    for parts in zip(found["encode"], found["denoise"], found["decode"], found["total"], strict=True):
        assert sum(parts[:3]) == pytest.approx(parts[3])


def test_warm_up_calls_are_not_among_the_samples(study):
    pipeline = NullPipeline()
    protocol = Protocol(samples=5, warm_up=3, forwards=1)
    time_contender(pipeline, study.contenders[0], calls(study), 2, "cpu", protocol)
    assert len(pipeline.calls) == 3 + 5 + 1
    assert {batch for _, batch in pipeline.calls} == {2}


def test_both_batch_sizes_are_timed_and_imports_are_not(study, tmp_path):
    folder = StudyFolder(tmp_path / "out")
    folder.path.mkdir()
    folder.write_json("plan.json", {"tiny-sdxl": {"shape": 4}})
    document = measure(
        study,
        folder,
        Options(device="cpu"),
        Protocol(samples=1, least=1),
        load=lambda model, **_: NullPipeline(),
    )
    assert folder.read_json("latency.json") == {**document, "rows": folder.read_json("latency.json")["rows"]}
    assert {(t.contender, t.batch) for t in folder.timings()} == {("tiny-sdxl@50", 1), ("tiny-sdxl@50", 4)}
    assert document["protocol"]["weights"]["tiny-sdxl"] == "random"


class Killed(Exception):
    pass


def test_a_pass_that_was_killed_goes_on_after_the_last_configuration(study, tmp_path):
    folder = StudyFolder(tmp_path / "out")
    folder.path.mkdir()
    folder.write_json("plan.json", {"tiny-sdxl": {"shape": 4}})
    pipelines: list[NullPipeline] = []

    def load(model, **_):
        pipelines.append(NullPipeline())
        return pipelines[-1]

    def killed(label: str) -> None:
        if label.endswith("batch 4"):
            raise Killed

    def run(samples: int = 1, progress=lambda label: None):
        protocol = Protocol(samples=samples, least=1, warm_up=1, forwards=1)
        return measure(study, folder, Options(device="cpu"), protocol, load=load, progress=progress)

    with pytest.raises(Killed):
        run(progress=killed)
    first = [row for row in folder.read_json("latency-partial.json")["rows"]]
    assert folder.read_json("latency.json") is None
    document = run()
    assert {batch for _, batch in pipelines[1].calls} == {4}  # batch 1 was not timed again
    assert document["rows"][: len(first)] == first
    assert {(row["contender"], row["batch"]) for row in document["rows"]} == {
        ("tiny-sdxl@50", 1),
        ("tiny-sdxl@50", 4),
    }
    assert folder.read_json("latency-partial.json") is None
    with pytest.raises(Killed):
        run(progress=killed)
    run(samples=2)  # another protocol begins anew
    assert {batch for _, batch in pipelines[-1].calls} == {1, 4}


def test_work_is_counted_and_the_device_s_rate_measured_beside_the_timings(study, tmp_path):
    """Oracle: torch's counter over the tiny model, as `tests/bench/models/test_optimize.py` holds it."""
    from bench.models.architectures import flops

    folder = StudyFolder(tmp_path / "out")
    folder.path.mkdir()
    protocol = Protocol(samples=1, least=1, forwards=1)
    documents = [
        measure(study, folder, Options(device="cpu"), protocol, load=lambda model, **_: NullPipeline())
        for _ in range(2)
    ]
    contender = study.contenders[0]
    assert documents[0]["tflop"] == {contender.name: flops(study.models[contender.model], contender)["total"]}
    assert documents[0]["protocol"]["matrix_tflops"] > 0
    assert documents[0]["fingerprint"] == documents[1]["fingerprint"]

"""What an edit would do, said before it is done, held against what is then done."""

from __future__ import annotations

from typer.testing import CliRunner

from bench.cli.app import app
from bench.doctor import examine
from bench.run import on_disk_or_not
from bench.store.study_folder import StudyFolder
from bench.study.study import read
from bench.sweep.forecast import forecast
from bench.sweep.generate import generate
from bench.sweep.inventory import images_without_row
from bench.sweep.settings import Options
from tests.support.growing import Growing
from tests.support.null_pipeline import load

START = Growing(contenders=("tiny-turbo@1", "tiny-turbo@4"))


def make(study: Growing, place, pipeline=load):
    found = read(study.write(place))
    with on_disk_or_not(found, place) as folder:
        return generate(found, folder, Options(device="cpu"), load=pipeline)


def test_a_forecast_says_what_generate_then_does(tmp_path):
    make(START, tmp_path)
    folder = StudyFolder(tmp_path / "growing")
    grown = START.with_(
        contenders=("tiny-turbo@4", "tiny-lcm@4"), prompts=(*START.prompts[1:], ("new", "a new one"))
    )
    study = read(grown.write(tmp_path))
    said = forecast(study, folder)
    assert said.new == {"tiny-turbo@4": 1, "tiny-lcm@4": 10}
    assert (said.kept, said.left, said.certain, said.refused) == (9, 11, False, "")
    assert "11 images to generate (tiny-turbo@4 1, tiny-lcm@4 10); 9 stay; more than 1 s" in str(said)
    assert make(grown, tmp_path).made == 11
    assert (
        str(forecast(study, folder))
        == "nothing to generate; 20 stay; 11 are of contenders or prompts that left the study"
    )


def test_the_doctor_says_what_would_be_refused_and_reads_a_damaged_file_in_one_line(tmp_path):
    make(START, tmp_path)
    changed = START.with_(prompts=(("p00", "another text"), *START.prompts[1:]))
    study = read(changed.write(tmp_path))

    def finding():
        (found,) = [f for f in examine(study, tmp_path, check=lambda model: None) if f.what == "folder"]  # type: ignore
        return found

    import bench.doctor as doctor

    weights, doctor._weights = (
        doctor._weights,
        lambda model, check: doctor.Finding(what="w", state="ok", message=""),
    )
    try:
        found = finding()
        assert found.state == "error"
        assert "1 edits would change images that exist, with 0 votes on them" in found.message
        assert "p00: the text changed" in found.cure
        (tmp_path / "growing/generations.jsonl").write_text("not JSON\n")
        found = finding()
        assert found.state == "error"
        assert "generations.jsonl:1: not JSON" in found.message
    finally:
        doctor._weights = weights


def test_verify_knows_the_study_and_not_only_the_rows(tmp_path):
    make(START, tmp_path)
    folder = StudyFolder(tmp_path / "growing")
    rows = folder.generations_file.read_text().splitlines(keepends=True)
    folder.generations_file.write_text("".join(rows[:-3]))
    assert sum(images_without_row(read(tmp_path / "study.toml"), folder).values()) == 3
    done = CliRunner().invoke(app, ["verify", "growing", "--results", str(tmp_path)])
    assert done.exit_code == 1
    assert "images of the study have no row: `bench generate growing` generates them" in done.output
    folder.image("tiny-turbo@1", "p00", 0).write_bytes(b"cut")
    done = CliRunner().invoke(app, ["verify", "growing", "--mend", "--results", str(tmp_path)])
    assert "1 damaged files removed" in done.output
    make(START, tmp_path)
    done = CliRunner().invoke(app, ["verify", "growing", "--results", str(tmp_path)])
    assert (done.exit_code, done.output) == (0, "20 images, 0 missing or damaged\n")

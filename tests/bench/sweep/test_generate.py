import hashlib

import numpy as np
import pytest

from bench.errors import InputError
from bench.store import references
from bench.store.images import read_pixels
from bench.store.study_folder import StudyFolder
from bench.study.study import read
from bench.sweep.batch import Maker
from bench.sweep.generate import generate
from bench.sweep.inventory import Census
from bench.sweep.settings import Frozen, Options, resolve_device
from bench.sweep.work import seed_of, units
from tests.support.null_pipeline import NullPipeline

STUDY = """name = "null"
contenders = ["tiny-turbo@1", "tiny-turbo@4", "tiny-sdxl@50"]
images_per_prompt = 2
display_size = 16
[prompts]
file = "prompts.txt"
[generate]
batch_size = 3
"""


@pytest.fixture
def study(tmp_path):
    (tmp_path / "prompts.txt").write_text("".join(f"prompt number {i}\n" for i in range(7)))
    (tmp_path / "study.toml").write_text(STUDY)
    return read(tmp_path / "study.toml")


def make(study, path, pipeline=None, **options):
    """Generate with the null pipeline; returns the summary and the pipelines that were loaded."""
    loaded = []

    def load(model, **settings):
        loaded.append(pipeline or NullPipeline())
        return loaded[-1]

    stop = options.pop("stop", lambda: False)
    folder = StudyFolder(path)
    path.mkdir(exist_ok=True)
    return generate(study, folder, Options(device="cpu", **options), load=load, stop=stop), loaded, folder


def hashes(folder):
    return {key: row.sha256 for key, row in folder.generations().items()}


def test_the_seed_is_the_published_hash_and_the_same_for_everybody(study, tmp_path):
    expected = int.from_bytes(hashlib.sha256(b"fox-1\x002").digest()[:8], "big") // 2
    assert seed_of("fox-1", 2) == expected
    _, _, folder = make(study, tmp_path / "out")
    rows = folder.generations().values()
    for prompt in study.prompts:
        for replicate in (0, 1):
            seeds = {r.seed for r in rows if (r.prompt_id, r.replicate) == (prompt.id, replicate)}
            assert seeds == {seed_of(prompt.id, replicate)}


def test_every_image_is_there_once_lossless_and_hashed(study, tmp_path):
    summary, _, folder = make(study, tmp_path / "out")
    assert summary.made == 3 * 7 * 2 == len(folder.generations_file.read_text().splitlines())
    assert folder.damaged() == []
    key, row = next(iter(folder.generations().items()))
    expected = np.random.Generator(np.random.PCG64(row.seed)).integers(0, 256, (16, 16, 3), np.uint8)
    assert (read_pixels(folder.image(*key)) == expected).all()


def test_every_batch_has_the_frozen_shape(study, tmp_path):
    _, loaded, _ = make(study, tmp_path / "out")
    assert {batch for pipeline in loaded for _, batch in pipeline.calls} == {3}


def test_a_model_is_loaded_once_and_not_at_all_when_nothing_is_left(study, tmp_path):
    _, loaded, _ = make(study, tmp_path / "out")
    assert len(loaded) == 2
    summary, loaded, _ = make(study, tmp_path / "out")
    assert (summary.made, summary.kept, len(loaded)) == (0, 42, 0)


def test_stopping_anywhere_and_going_on_gives_the_same_folder(study, tmp_path):
    _, _, whole = make(study, tmp_path / "whole")
    calls = iter([False, False, True] * 100)
    for _ in range(60):
        summary, _, parts = make(study, tmp_path / "parts", stop=lambda: next(calls))
        if not summary.stopped:
            break
    assert hashes(parts) == hashes(whole)
    assert len(parts.generations_file.read_text().splitlines()) == 42


def test_a_truncated_image_is_made_again(study, tmp_path):
    _, _, folder = make(study, tmp_path / "out")
    before = hashes(folder)
    path = folder.image("tiny-turbo@4", study.prompts[2].id, 1)
    path.write_bytes(path.read_bytes()[:50])
    summary, _, _ = make(study, tmp_path / "out")
    assert summary.made == 1
    assert hashes(folder) == before
    assert folder.damaged() == []


def test_a_prompt_that_fails_is_a_row_and_the_others_are_made(study, tmp_path):
    summary, _, folder = make(study, tmp_path / "out", NullPipeline(poison="number 4"))
    assert summary.failed == 3 * 2
    assert summary.made == 3 * 6 * 2
    assert {f.message for f in folder.failures()} == {"poisoned"}
    assert {f.prompt_id for f in folder.failures()} == {study.prompts[4].id}
    summary, _, _ = make(study, tmp_path / "out")
    assert summary.made == 6
    assert folder.failures() == []


def test_limit_takes_the_first_prompts_and_going_on_changes_nothing(study, tmp_path):
    summary, _, folder = make(study, tmp_path / "out", limit=4)
    assert summary.made == 3 * 4 * 2
    make(study, tmp_path / "out")
    _, _, whole = make(study, tmp_path / "whole")
    assert hashes(folder) == hashes(whole)


def test_another_batch_shape_or_dtype_midway_is_refused(study, tmp_path):
    make(study, tmp_path / "out", limit=1)
    with pytest.raises(InputError, match=r"--batch-size 3 .* now --batch-size 5"):
        make(study, tmp_path / "out", batch_size=5)
    with pytest.raises(InputError, match="--dtype float16"):
        make(study, tmp_path / "out", dtype="float16")
    make(study, tmp_path / "out", batch_size="auto")


def test_units_cover_every_missing_image_once(study):
    frozen = Frozen(shape=3, device="cpu", dtype="float32", optimize="none")
    done = Census(study)
    found = [key for unit in units(study, "tiny-turbo", frozen, done, None) for key in unit.keys]
    assert len(found) == len(set(found)) == 2 * 7 * 2
    for key in found[:5]:
        done.mark(key)
    rest = [key for unit in units(study, "tiny-turbo", frozen, done, None) for key in unit.keys]
    assert set(rest) == set(found[5:])


@pytest.fixture
def edits(tmp_path):
    from PIL import Image

    rows = ["text\treference\tstrength"]
    for i in range(5):
        Image.new("RGB", (40, 40), (50 * i, 0, 0)).save(tmp_path / f"{i}.png")
        rows.append(f"edit {i}\t{i}.png\t{0.5 if i % 2 else 0.75}")
    (tmp_path / "prompts.tsv").write_text("\n".join(rows) + "\n")
    (tmp_path / "study.toml").write_text(
        STUDY.replace("prompts.txt", "prompts.tsv")
        .replace('["tiny-turbo@1", "tiny-turbo@4", "tiny-sdxl@50"]', '["tiny-turbo@4", "tiny-sdxl@50"]')
        .replace("[prompts]", 'task = "image-to-image"\n[prompts]')
    )
    return read(tmp_path / "study.toml")


def test_an_edit_batch_is_of_one_strength_and_the_frozen_shape(edits, tmp_path):
    folder = StudyFolder(tmp_path / "out")
    folder.write_study(edits.text, edits.prompts)
    references.store_references(edits.prompts, edits.references, folder, 64)
    summary, loaded, _ = make(edits, folder.path)
    assert summary.made == 2 * 5 * 2
    starts = [start for pipeline in loaded for start in pipeline.starts]
    assert {shape for shape, _ in starts} == {(3, 64, 64, 3)}
    assert {strength for _, strength in starts} == {0.5, 0.75}
    assert make(edits, folder.path)[0].made == 0


def test_no_gpu_is_one_line(study):
    with pytest.raises(InputError, match="no GPU"):
        resolve_device(study, "cuda")


def test_bytes_do_not_depend_on_how_many_share_a_padded_batch(tmp_path, cache):
    """Real (tiny) pipelines of the real classes: one, three and four prompts padded to four."""
    from bench.models.load import load

    (tmp_path / "prompts.txt").write_text(
        "a fox\na heron on a post\nthree cups\nfog over a harbour at night\n"
    )
    (tmp_path / "study.toml").write_text(
        STUDY.replace('"tiny-turbo@4", "tiny-sdxl@50"', '"tiny-lcm@4", "tiny-sdxl@3"')
    )
    study = read(tmp_path / "study.toml")
    for contender in study.contenders:
        model = study.models[contender.model]
        pipeline = load(model, device="cpu")
        maker = Maker(study=study, folder=StudyFolder(tmp_path), model=model, device="cpu", pipeline=pipeline)
        found = pipeline.encode([p.text for p in study.prompts], contender)
        embeddings = {p.id: e for p, e in zip(study.prompts, found, strict=True)}
        whole = maker.pixels(study.prompts, 0, contender, embeddings, 4)()
        assert len({picture.tobytes() for picture in whole}) == 4
        for count in (1, 3):
            some = maker.pixels(study.prompts[:count], 0, contender, embeddings, 4)()
            assert (some == whole[:count]).all(), contender.name
        pipeline.close()

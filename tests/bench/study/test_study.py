import pytest

from bench.errors import InputError
from bench.store.study_folder import StudyFolder
from bench.study.study import open_study, read, shipped

GOOD = """name = "mine"
contenders = ["tiny-turbo@1", "tiny-sdxl@50"]
display_size = 64

[prompts]
file = "prompts.txt"

[arena]
questions = ["quality"]
"""


@pytest.fixture
def write(tmp_path):
    def write(text, prompts="a red fox\na blue bird\n"):
        (tmp_path / "prompts.txt").write_text(prompts, encoding="utf-8")
        path = tmp_path / "study.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_good_study_is_what_its_file_says(write):
    study = read(write(GOOD))
    assert [c.name for c in study.contenders] == ["tiny-turbo@1", "tiny-sdxl@50"]
    assert [c.steps for c in study.contenders] == [1, 50]
    assert [p.text for p in study.prompts] == ["a red fox", "a blue bird"]
    assert study.file.arena.questions == ("quality",)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "display_size",
            "display_sice",
            r"study.toml:3: unknown key 'display_sice': did you mean 'display_size'",
        ),
        ("tiny-turbo@1", "tiny-turbo@l", r"study.toml:2: .*did you mean 'tiny-turbo@1'"),
        ("tiny-turbo@1", "tiny-turbo", r"study.toml:2: .*how many steps"),
        ('"tiny-turbo@1"', '"tiny-sdxl@50"', r"study.toml:2: .*twice"),
        ('"quality"', '"qualty"', r"study.toml:9: .*did you mean 'quality'"),
        ("display_size = 64", 'display_size = "64"', r"study.toml:3: 'display_size'"),
        ("display_size = 64", "display_size = 0", r"study.toml:3: 'display_size' is 0"),
        ('name = "mine"', 'name = "../mine"', r"study.toml:1: 'name'"),
        ('name = "mine"\n', "", r"'name' is missing"),
        ('file = "prompts.txt"', "", r"needs either 'set'"),
        ('file = "prompts.txt"', 'set = "partee"', r"unknown prompt set 'partee'"),
        ("[arena]", "[arean]", r"study.toml:8: unknown key 'arean': did you mean 'arena'"),
        ("[arena]", "[arena]\nties = 1", r"study.toml:9: 'arena.ties' is 1"),
        ("questions", "question", r"study.toml:9: unknown key 'question': did you mean 'questions'"),
        ("name =", "name", r"not TOML"),
        (
            "[arena]",
            '[metrics]\nnames = ["clip_scor"]\n[arena]',
            r"study.toml:9: unknown metric 'clip_scor': did you mean 'clip_score'",
        ),
        ("[arena]", '[metrics]\nnames = ["kid"]\n[arena]', r"study.toml:9: .*'kid'.*\[metrics\] reference"),
        ("[arena]", '[metrics]\nnames = ["lpips"]\n[arena]', r"study.toml:9: .*'lpips'.*image-to-image"),
        ("[arena]", '[metrics]\nnames = ["mlperf_fid"]\n[arena]', r"study.toml:9: .*\[metrics\] protocol"),
        (
            "[arena]",
            '[metrics]\nprotocol = "mlperf"\n[arena]',
            r"study.toml:9: unknown value of 'metrics.protocol' 'mlperf': did you mean 'mlperf-sdxl'",
        ),
        ("[arena]", '[arena]\ncompare = "chosn"', r"study.toml:9: .*arena.compare"),
        (
            "[arena]",
            '[arena]\ncompare = [["tiny-turbo@1", "tiny-turbo@1"]]',
            r"study.toml:9: .*of one contender",
        ),
        ("[arena]", "[arena]\ncompare = []", r"study.toml:9: .*compare is empty"),
    ],
)
def test_each_fault_is_one_line_with_its_cure(write, old, new, told):
    with pytest.raises(InputError, match=told) as caught:
        read(write(GOOD.replace(old, new, 1)))
    assert "\n" not in str(caught.value)


def test_a_study_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / "study.toml").write_bytes(b'name = "\xff"')
    with pytest.raises(InputError, match="not UTF-8"):
        read(tmp_path / "study.toml")


def test_an_empty_prompt_file_is_refused(write):
    with pytest.raises(InputError, match=r"prompts\.txt"):
        read(write(GOOD, prompts=""))


def test_an_unknown_study_brings_the_nearest():
    with pytest.raises(InputError, match="did you mean 'tiny'"):
        read("tinny")


def test_a_frozen_study_reads_back_without_its_prompt_file(write, tmp_path):
    path = write(GOOD)
    study = read(path)
    folder = StudyFolder(tmp_path / "folder")
    folder.write_study(study.text, study.prompts)
    (tmp_path / "prompts.txt").unlink()
    again = open_study(folder)
    assert again.prompts == study.prompts
    assert again.contenders == study.contenders


def test_every_shipped_study_reads(monkeypatch):
    assert "tiny" in shipped()
    for name in shipped():
        said, study = "", None
        try:
            study = read(name)
        except InputError as error:
            said = str(error)
        # Public prompt sets are not here; anything else is a fault of the study.
        assert study.name == name if study else "fetch" in said, said


def test_image_to_image_needs_references(write):
    with pytest.raises(InputError, match="names no reference image"):
        read(write(GOOD.replace('name = "mine"', 'name = "mine"\ntask = "image-to-image"')))


@pytest.mark.parametrize(
    ("compare", "pairs"),
    [
        ('"all"', ["ab", "ac", "bc"]),
        ('"chosen"', ["ab", "bc"]),
        ('[["c", "a"]]', ["ac"]),
    ],
)
def test_the_comparisons_of_a_study_are_those_it_names(tmp_path, compare, pairs):
    (tmp_path / "p.tsv").write_text("text\na dog\n")
    models = "".join(f'[models.{name}]\nkind = "imported"\nsize = 64\n' for name in "abc")
    (tmp_path / "s.toml").write_text(
        'name = "s"\ncontenders = ["a", "b", "c"]\ndisplay_size = 64\n[prompts]\nfile = "p.tsv"\n'
        f'[arena]\ncompare = {compare}\n[report]\nchosen = "b"\n{models}'
    )
    assert ["".join(pair) for pair in read(tmp_path / "s.toml").comparisons] == pairs


def test_a_comparison_with_a_stranger_is_refused_by_name(tmp_path):
    (tmp_path / "p.tsv").write_text("text\na dog\n")
    models = "".join(f'[models.{name}]\nkind = "imported"\nsize = 64\n' for name in "ab")
    (tmp_path / "s.toml").write_text(
        'name = "s"\ncontenders = ["a", "b"]\ndisplay_size = 64\n[prompts]\nfile = "p.tsv"\n'
        f'[arena]\ncompare = [["a", "d"]]\n{models}'
    )
    with pytest.raises(InputError, match=r"unknown contender in .arena. compare 'd'"):
        read(tmp_path / "s.toml")

"""The recipes of CONTRIBUTING.md, walked through: each addition is one entry, and the suite then has it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from arena.web import languages
from bench.metrics.registry import METRICS
from bench.models.registry import MODELS
from bench.prompts import sets
from bench.study.study import read
from tests.conftest import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
STUDY = 'name = "s"\ncontenders = ["{}"]\n[prompts]\nset = "{}"\n[metrics]\nnames = ["{}"]\n'


def study(tmp_path, contender="tiny-turbo@1", prompts="turbo-264", metric="clip_score"):
    (tmp_path / "s.toml").write_text(STUDY.format(contender, prompts, metric))
    return read(tmp_path / "s.toml")


def test_a_model_is_one_entry(tmp_path, monkeypatch):
    recipe = re.search(r"```python\n(.*?)```", TEXT, re.S)
    entry = eval(recipe[1], {"replace": replace, "MODELS": MODELS})
    monkeypatch.setitem(MODELS, entry.name, entry)
    [contender] = study(tmp_path, contender="my-turbo@1").contenders
    assert (contender.steps, contender.guidance) == (1, 0.0)


def test_a_metric_is_one_entry(tmp_path, monkeypatch):
    monkeypatch.setitem(METRICS, "my_score", replace(METRICS["clip_score"], tells="what mine tells"))
    assert study(tmp_path, metric="my_score").file.metrics.names == ("my_score",)


def test_a_prompt_set_is_one_entry(tmp_path, monkeypatch):
    (tmp_path / "mine.tsv").write_text("id\ttext\nm-1\ta red fox\n")
    entry = sets.PromptSet(
        name="mine", title="Mine", home="own", files=(sets.SourceFile(path="mine.tsv"),), count=1,
        licence="Apache-2.0", source="this test", columns={"id": "id", "text": "text"},
    )  # fmt: skip
    monkeypatch.setattr(sets, "OWN", tmp_path)
    table = next(name for name, value in vars(sets).items() if isinstance(value, dict) and "parti" in value)
    monkeypatch.setitem(getattr(sets, table), "mine", entry)
    assert [prompt.text for prompt in study(tmp_path, prompts="mine").prompts] == ["a red fox"]


def test_a_language_is_one_file(tmp_path, monkeypatch):
    for path in languages.FOLDER.glob("*.toml"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "fr.toml").write_bytes((languages.FOLDER / "en.toml").read_bytes())
    monkeypatch.setattr(languages, "FOLDER", tmp_path)
    languages.languages.cache_clear()
    try:
        assert "fr" in languages.languages()
    finally:
        languages.languages.cache_clear()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:bench|arena|tests)/[\w/.]+)`", TEXT))))
def test_the_files_of_the_recipes_are_there(path):
    assert (ROOT / path).exists()

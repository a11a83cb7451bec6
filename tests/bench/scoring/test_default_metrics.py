"""A study without metrics: what `bench run` scores it by, and what it says."""

from __future__ import annotations

import bench.scoring.default_metrics as defaults
from bench.doctor import _prompts
from bench.errors import InputError
from bench.scoring.default_metrics import with_metrics
from bench.study.study import read


def study(tmp_path, more="", prompts='set = "turbo-264"\nfirst = 3', contender="tiny-turbo@1"):
    path = tmp_path / "s.toml"
    path.write_text(f'name = "s"\ncontenders = ["{contender}"]\n{more}\n[prompts]\n{prompts}\n')
    return read(path)


def test_the_networks_on_this_machine_decide(tmp_path, monkeypatch):
    there = {"clip_score"}
    monkeypatch.setattr(defaults, "_is_here", lambda name, study: name in there)
    found, said = with_metrics(study(tmp_path))
    assert found.file.metrics.names == ("clip_score",)
    assert said.startswith("the study has no [metrics]: scored by clip_score;")
    there.clear()
    found, said = with_metrics(study(tmp_path))
    assert found.file.metrics.names == ()
    assert "not on this machine: the images are not scored; add [metrics]" in said


def test_weights_are_looked_for(tmp_path, monkeypatch):
    def nowhere(name):
        raise InputError("not here")

    monkeypatch.setattr(defaults, "locate", nowhere)
    assert with_metrics(study(tmp_path))[0].file.metrics.names == ()


def test_the_miniature_world_has_its_own_instrument(tmp_path):
    found, _ = with_metrics(study(tmp_path, prompts='set = "miniature"', contender="mini-turbo@1"))
    assert found.file.metrics.names == ("scene_accuracy",)


def test_a_metrics_table_is_taken_as_it_is_also_an_empty_one(tmp_path):
    asked = study(tmp_path, more="[metrics]\nnames = []")
    assert with_metrics(asked) == (asked, "")


def test_doctor_claims_a_verified_hash_of_shipped_prompts_alone(tmp_path):
    (tmp_path / "own.tsv").write_text("id\ttext\na\ta red fox\n")
    assert _prompts(study(tmp_path)).message == "3 prompts, set turbo-264, hash verified"
    assert _prompts(study(tmp_path, prompts='file = "own.tsv"')).message == "1 prompts, read from own.tsv"

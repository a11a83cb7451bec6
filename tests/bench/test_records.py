import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import InputError, unknown
from bench.records import (
    Failure,
    FeltPicture,
    Timing,
    canonical,
    from_dict,
    read_rows,
    settings_hash,
    to_json,
)

words = st.text(max_size=30)
failures = st.builds(
    Failure,
    stage=words,
    contender=words,
    prompt_id=words,
    replicate=st.integers(0, 9),
    kind=words,
    message=words,
)


@given(failures)
def test_a_row_survives_its_line_of_json(row):
    line = to_json(row)
    assert "\n" not in line
    assert from_dict(Failure, json.loads(line), "here") == row


def test_tuples_come_back_as_tuples():
    row = Timing(contender="a", stage="total", batch=1, seconds=(0.25, 1.0))
    assert from_dict(Timing, json.loads(to_json(row)), "here") == row


@pytest.mark.parametrize(
    ("change", "told"),
    [({"extra": 1}, "unknown key 'extra'"), ({"batch": "one"}, "'batch'"), ({"stage": None}, "'stage'")],
)
def test_a_wrong_key_or_value_is_named(change, told):
    data = {"contender": "a", "stage": "total", "batch": 1, "seconds": [1.0], **change}
    with pytest.raises(InputError, match=told):
        from_dict(Timing, data, "here")


def test_a_missing_key_is_named():
    with pytest.raises(InputError, match="seconds"):
        from_dict(Timing, {"contender": "a", "stage": "total", "batch": 1}, "here")


def test_a_torn_last_line_is_ignored_and_a_damaged_one_is_not(tmp_path):
    row = Failure(stage="s", contender="c", prompt_id="p", replicate=0, kind="k", message="m")
    path = tmp_path / "rows.jsonl"
    path.write_text(to_json(row) + "\n" + to_json(row)[:20])
    assert read_rows(path, Failure) == [row]
    path.write_text("{half\n" + to_json(row) + "\n")
    with pytest.raises(InputError, match=r"rows.jsonl:1"):
        read_rows(path, Failure)


def test_equal_values_hash_equally_whatever_the_order_of_keys():
    assert settings_hash({"a": 1, "b": (1, 2)}) == settings_hash({"b": [1, 2], "a": 1})
    assert settings_hash({"a": 1}) != settings_hash({"a": 2})
    assert canonical({"b": 1, "a": "é"}) == '{"a":"é","b":1}'


def test_an_unknown_name_brings_its_nearest_match():
    assert "did you mean 'sdxl-turbo@1'?" in str(
        unknown("contender", "sdxl-turbo@l", ["sdxl@50", "sdxl-turbo@1"])
    )


def test_a_felt_picture_takes_the_sum_of_its_stages():
    row = FeltPicture(
        contender="a@1", network=0.01, wait=0.02, encode=0.03, denoise=0.04, decode=0.05, paint=0.06
    )
    assert row.total == pytest.approx(0.21)
    assert from_dict(FeltPicture, json.loads(to_json(row)), "interactive.json") == row
    with pytest.raises(InputError, match="'paint'"):
        from_dict(FeltPicture, {**json.loads(to_json(row)), "paint": "soon"}, "interactive.json")

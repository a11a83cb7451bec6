import numpy as np
import pytest

from bench.miniature import edits
from bench.miniature.captions import parse
from bench.miniature.world import is_held_out
from bench.prompts.sets import OWN, load


def test_the_shipped_set_is_what_the_module_writes(tmp_path):
    edits.write(tmp_path)
    assert (tmp_path / "miniature-edit.tsv").read_bytes() == (OWN / "miniature-edit.tsv").read_bytes()
    for path in sorted((tmp_path / "miniature-edit").iterdir()):
        from PIL import Image

        with Image.open(path) as drawn, Image.open(OWN / "miniature-edit" / path.name) as shipped:
            assert drawn.tobytes() == shipped.tobytes()


@pytest.mark.parametrize("prompt", load("miniature-edit"), ids=lambda p: p.id)
def test_the_captions_differ_in_the_one_thing_the_order_asks_for(prompt):
    before, after = parse(prompt.reference_text), parse(prompt.text)
    assert (before.relation, before.backdrop) == (after.relation, after.backdrop)
    changed = [(a, b) for a, b in zip(before.things, after.things, strict=True) if a != b]
    assert len(changed) == 1
    ((old, new),) = changed
    told = {
        "colour": f"make the {old.colour} {old.shape} {new.colour}",
        "shape": f"turn the {old.colour} {old.shape} into a {new.shape}",
    }
    assert prompt.instruction == told[prompt.category]
    assert is_held_out(after)


def test_the_reference_scores_nothing_for_the_edit_and_everything_for_the_rest():
    """Oracle: the drawing program. What the instrument would see of a perfect drawing, before and after."""
    from bench.metrics.similarity import attribute_shares
    from bench.miniature.encoders import _asked

    prompts = load("miniature-edit")
    before, after = (
        np.stack([_asked(parse(t)) for t in texts])
        for texts in ([p.reference_text for p in prompts], [p.text for p in prompts])
    )
    for seen, brought in ((before > 0, 0), (after > 0, 1)):
        assert (attribute_shares(seen, after, before, changed=True) == brought).all()
        np.testing.assert_allclose(attribute_shares(seen, after, before, changed=False), 1)


def test_every_cell_has_the_same_number():
    cells = [(p.category, p.strength) for p in load("miniature-edit")]
    assert len(set(cells)) == 4
    assert {cells.count(cell) for cell in cells} == {edits.PER_CELL}


def test_the_colour_asked_for_is_not_in_the_reference_at_that_place():
    rng = np.random.default_rng(3)
    for kind in edits.KINDS:
        before, after, _ = edits._draft(kind, rng)
        assert before != after

"""Style of an image against closed forms, and votes joined with it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.ratings.vote_table import code_battles
from bench.records import Battle
from bench.scoring.image_style import LARGER, STACKED, image_style, study_styles, styled
from tests.support.report_study import make_study


def test_flat_colours_have_their_luma_and_saturation_and_no_contrast():
    brightness, saturation, contrast, sharpness = image_style(np.full((8, 8, 3), (255, 0, 0), np.uint8))
    assert (brightness, saturation, contrast) == pytest.approx((0.2126, 1.0, 0.0))
    assert sharpness == pytest.approx(math.log2(1e-9))
    assert image_style(np.full((8, 8, 3), 51, np.uint8))[:2] == pytest.approx((0.2, 0.0))


def test_a_checkerboard_has_the_largest_contrast_and_its_laplacian():
    board = np.indices((10, 10)).sum(axis=0) % 2 * 255
    brightness, _, contrast, sharpness = image_style(np.repeat(board[..., None], 3, axis=2).astype(np.uint8))
    assert (brightness, contrast) == pytest.approx((0.5, 0.5))
    # Four neighbours of the other colour: ±4 everywhere.
    assert sharpness == pytest.approx(4.0)


def test_black_has_no_saturation():
    assert image_style(np.zeros((4, 4, 3), np.uint8))[:3] == (0.0, 0.0, 0.0)


def test_votes_get_the_difference_of_the_images_shown_left_less_right(tmp_path):
    folder = make_study(tmp_path / "study")
    rows = list(folder.generations())[:2]
    prompt = rows[0][1]
    keys = [("sdxl-turbo@1", prompt, 0), ("sdxl@50", prompt, 0), ("nobody", prompt, 0)]
    styles = study_styles(folder, 96, None, keys)
    assert set(styles) == set(keys[:2])
    given = {"prompt_id": prompt, "outcome": "left"}
    battles = [
        Battle(
            left="sdxl-turbo@1", right="sdxl@50", rater="a", arrangement="stacked", picture_side=512, **given
        ),
        Battle(
            left="sdxl@50", right="sdxl-turbo@1", rater="b", arrangement="beside", picture_side=256, **given
        ),
        Battle(left="sdxl@50", right="lcm-xl@4", rater="b", **given),
    ]
    table = styled(code_battles(battles), battles, styles)
    gap = styles[keys[0]] - styles[keys[1]]
    assert table.covariates[0, :5] == pytest.approx(gap)
    assert table.covariates[1, :5] == pytest.approx(-gap)
    assert np.isnan(table.covariates[2, :5]).all()
    columns = [table.covariate_names.index(name) for name in (STACKED, LARGER)]
    assert table.covariates[:, columns].tolist() == [[0.5, 0.5], [-0.5, -0.5], [0.0, 0.0]]

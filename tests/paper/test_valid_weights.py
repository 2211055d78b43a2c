"""Figure 4 against counts written out by hand, and against the convolution."""

import numpy as np
import pytest
from PIL import Image

from deeplab_tf.errors import DeeplabError
from deeplab_tf.paper import valid_weights
from deeplab_tf.paper.valid_weights import (
    MAP_SIZE,
    RATES,
    draw_figure,
    format_valid_weights,
    shares_by_convolution,
    shares_by_definition,
)

# On a map of 5x5: positions by the number of valid taps on one axis, for three taps at -r, 0, r.
# Rate 1: the 2 border positions have 2, the 3 inner ones 3. Rate 2: 4 have 2, the middle 3.
# Rate 3: positions 0, 1 and 3, 4 have 2, the middle 1. Rate 5: all have 1.
BY_HAND = {
    1: {4: 4 / 25, 6: 12 / 25, 9: 9 / 25},
    2: {4: 16 / 25, 6: 8 / 25, 9: 1 / 25},
    3: {1: 1 / 25, 2: 8 / 25, 4: 16 / 25},
    5: {1: 1.0},
}


@pytest.mark.parametrize("rate", BY_HAND)
def test_counts_by_hand(rate):
    assert shares_by_definition(5, rate) == BY_HAND[rate]
    assert shares_by_convolution(5, rate) == BY_HAND[rate]


def test_the_papers_map():
    """65x65: at rate 1 the 63x63 inner positions have all nine, at 65 all have only the centre."""
    assert MAP_SIZE == 65
    assert shares_by_definition(65, 1)[9] == 63 * 63 / 65**2
    # Rate 32: the outer 32 on each side see the centre and one tap, the middle one three.
    assert shares_by_definition(65, 32) == {4: 64**2 / 65**2, 6: 2 * 64 / 65**2, 9: 1 / 65**2}
    assert shares_by_definition(65, 65) == {1: 1.0}


def test_the_convolution_agrees_at_every_rate_drawn():
    assert list(RATES) == list(range(1, 101))
    for rate in RATES:
        assert shares_by_definition(65, rate) == shares_by_convolution(65, rate)
    assert "agree at the rates 1 to 100" in format_valid_weights()


def test_a_disagreement_is_an_error(monkeypatch):
    monkeypatch.setattr(valid_weights, "shares_by_convolution", lambda size, rate: {9: 1.0})
    with pytest.raises(DeeplabError, match="at rate 1 the definition gives"):
        format_valid_weights()


def test_figure_is_drawn(tmp_path):
    draw_figure(tmp_path / "figure4.png")
    picture = np.asarray(Image.open(tmp_path / "figure4.png").convert("RGB"))
    assert min(picture.shape[:2]) > 400
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20

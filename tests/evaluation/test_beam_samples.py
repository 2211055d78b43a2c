"""The examples that may become samples of a report made by Beam."""

import hashlib

import numpy as np
import pytest

pytest.importorskip("apache_beam")

from deeplab_tf.evaluation.beam_evaluate import CANDIDATES, _may_be_sample, _Truth
from deeplab_tf.evaluation.evaluate_split import SAMPLES
from deeplab_tf.inference.batches import Picture, Predicted

NOTHING = np.zeros((1, 1), np.uint8)


def chosen(count: int) -> list[str]:
    names = [f"example {number}" for number in range(count)]
    done = [Predicted(Picture(_Truth(name, NOTHING), NOTHING), NOTHING) for name in names]
    return [one.picture.source.name for one in done if _may_be_sample(one, count)]


def test_all_of_a_small_set_may_be_samples():
    assert len(chosen(CANDIDATES)) == CANDIDATES


def test_few_of_a_large_set_may_be_and_those_of_the_least_hashes_are_among_them():
    found = chosen(5000)
    names = [f"example {number}" for number in range(5000)]
    least = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    assert found == [name for name in names if name in set(least[: len(found)])]
    assert len(found) > SAMPLES and abs(len(found) - CANDIDATES) < 4 * CANDIDATES**0.5

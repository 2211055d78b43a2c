"""The history of a run's evaluations, and its file."""

import json

import pytest

from deeplab_tf.errors import DeeplabError
from deeplab_tf.runs.validations import (
    Validation,
    best_of,
    history_from_json,
    history_to_json,
    read_validations,
    since_best,
    write_validations,
)

EVALUATED = {"split": "val", "images": 4, "output_stride": None, "scales": (1.0,), "flip": False}


def history(*mious):
    return [Validation(10 * n, m, 1 / 3, {"a": m, "b": None}) for n, m in enumerate(mious, start=1)]


@pytest.mark.parametrize(
    ("mious", "best", "since"),
    [
        ((0.1,), 10, 0),
        ((0.1, 0.2, 0.2), 20, 1),  # the first of equals
        ((0.3, 0.1, 0.2), 10, 2),
        ((0.0, 0.0), 10, 1),
    ],
)
def test_the_best_and_how_long_ago_it_was(mious, best, since):
    found = history(*mious)
    assert (best_of(found).step, since_best(found)) == (best, since)


def test_without_an_evaluation_nothing_is_the_best():
    assert (best_of([]), since_best([])) == (None, 0)


def test_a_history_is_read_number_for_number_up_to_a_step(tmp_path):
    written = history(0.1, 1 / 3, 2**0.5 / 2)
    write_validations(tmp_path, EVALUATED, written)
    assert read_validations(tmp_path, EVALUATED, 30) == (written, [])
    assert read_validations(tmp_path, EVALUATED, 29) == (written[:2], [])
    assert history_from_json(history_to_json(EVALUATED, written)) == written


def test_without_a_file_there_is_no_history(tmp_path):
    assert read_validations(tmp_path, EVALUATED, 30) == ([], [])


@pytest.mark.parametrize(
    ("now", "differences"),
    [
        ({"split": "test"}, ["split=test instead of val"]),
        ({"images": 2}, ["images=2 instead of 4"]),
        ({"output_stride": 8}, ["output_stride=8 instead of None"]),
        (
            {"scales": (0.5, 1.0), "flip": True},
            ["scales=[0.5, 1.0] instead of [1.0]", "flip=True instead of False"],
        ),
    ],
)
def test_what_is_evaluated_otherwise_is_told(tmp_path, now, differences):
    write_validations(tmp_path, EVALUATED, history(0.1))
    assert read_validations(tmp_path, {**EVALUATED, **now}, 10)[1] == differences
    assert read_validations(tmp_path, {**EVALUATED, **now}, 9) == ([], [])  # nothing to compare
    # A file of before says only the split.
    fields = json.loads((tmp_path / "validation.json").read_text())
    del fields["evaluated"]
    (tmp_path / "validation.json").write_text(json.dumps(fields))
    found = read_validations(tmp_path, {**EVALUATED, **now}, 10)
    assert found == (history(0.1), differences if "split" in now else [])


@pytest.mark.parametrize("text", ["", "{", "{}", '{"validations": [{"step": 1}]}', "[]"])
def test_a_damaged_history_is_one_line(tmp_path, text):
    (tmp_path / "validation.json").write_text(text)
    with pytest.raises(
        DeeplabError, match=r"validation\.json is damaged .*remove the file"
    ) as error:
        read_validations(tmp_path, EVALUATED, 30)
    assert "\n" not in str(error.value)


def test_a_strangers_file_is_not_replaced(tmp_path):
    (tmp_path / "validation.json").write_text('{"mine": 1}')
    with pytest.raises(DeeplabError, match="validation.json would be replaced"):
        write_validations(tmp_path, EVALUATED, history(0.1))

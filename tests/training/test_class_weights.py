"""Class weights: the automatic ones, those of a file, and what a workdir holds a run to."""

import json
import pathlib

import pytest

from deeplab_tf.config import Experiment, TrainConfig
from deeplab_tf.data.records import Records
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import SHAPES
from deeplab_tf.runs.workdir import DATA_FILE, data_to_json
from deeplab_tf.training.class_weights import (
    auto_weights,
    check_recorded,
    find_class_weights,
    format_class_weights,
    read_class_weights,
    record_class_weights,
)

NAMES = SHAPES.names  # background circle square triangle star ring
# 90 %, 8 % and 2 % of 100,000 pixels, three classes without one, and 5,000 of void.
PIXELS = [90_000, 8_000, 2_000, 0, 0, 0, 5_000]
RECORDS = Records(pathlib.Path("data/shapes"), SHAPES, {}, {"train": PIXELS}, "a" * 64)
GOOD = dict.fromkeys(NAMES, 1.0)


def experiment(class_weights):
    return Experiment(train=TrainConfig(class_weights=class_weights))


def test_auto_by_hand():
    # 1 / ln 1.92, 1 / ln 1.10, 1 / ln 1.04, and 1 / ln 1.02 for a class that is never there.
    expected = [1.5330, 10.4921, 25.4967, 50.4983, 50.4983, 50.4983]
    assert auto_weights(PIXELS[:-1]) == expected
    assert find_class_weights(experiment("auto"), RECORDS) == dict(
        zip(NAMES, expected, strict=True)
    )


def test_none_is_no_weights():
    assert find_class_weights(experiment("none"), RECORDS) is None


def test_a_file_in_any_order(tmp_path):
    path = tmp_path / "weights.json"
    weights = {name: i / 2 for i, name in enumerate(NAMES)}
    path.write_text(json.dumps(dict(reversed(weights.items()))))
    found = find_class_weights(experiment(str(path)), RECORDS)
    assert found is not None and list(found.items()) == list(weights.items())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[1, 2]", "must be one object {class name: weight}"),
        (json.dumps({n: 1 for n in NAMES if n != "star"}), "lacks star; the classes are backgr"),
        (json.dumps({**GOOD, "disc": 1}), "has unknown disc; the classes are"),
        (json.dumps({**GOOD, "star": -1}), "has no number from 0 to 1,000,000 for star (-1)"),
        (json.dumps({**GOOD, "star": "2"}), "for star ('2')"),
        (json.dumps({**GOOD, "star": True}), "for star (True)"),
        (json.dumps({**GOOD, "star": float("nan")}), "for star (nan)"),
        (json.dumps({**GOOD, "star": 10**400}), "for star (1000"),
        (json.dumps({"disc": -1}), "lacks background, .* and has unknown disc and has no number"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path, content, message):
    path = tmp_path / "weights.json"
    path.write_text(content)
    pattern = message.replace("(", r"\(").replace(")", r"\)").replace("[", r"\[")
    with pytest.raises(DeeplabError, match=f"weights.json .*{pattern}") as error:
        read_class_weights(path, NAMES)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_or_a_folder(tmp_path):
    with pytest.raises(DeeplabError, match="nowhere does not exist; give none, auto or a JSON"):
        read_class_weights(tmp_path / "nowhere", NAMES)
    with pytest.raises(DeeplabError, match="cannot be read"):
        read_class_weights(tmp_path, NAMES)


def test_weights_that_leave_nothing_of_the_split_are_refused(tmp_path):
    path = tmp_path / "weights.json"
    path.write_text(json.dumps({**dict.fromkeys(NAMES, 0), "star": 1}))  # the split has no star
    with pytest.raises(DeeplabError, match="must be above 0 for one class or more"):
        find_class_weights(experiment(str(path)), RECORDS)


def test_a_run_is_held_to_its_weights_from_its_first_checkpoint_on(tmp_path, monkeypatch):
    record_class_weights(tmp_path, GOOD)
    changed = {**GOOD, "star": 2.5}
    check_recorded(tmp_path, changed)  # nothing to go on with: anything may begin
    monkeypatch.setattr("deeplab_tf.training.class_weights.checkpoint_steps", lambda _: [10])
    check_recorded(tmp_path, dict(GOOD))
    check_recorded(tmp_path, None)
    with pytest.raises(DeeplabError, match=r"class weights star 1 \(now 2.5\)\. Use another"):
        check_recorded(tmp_path, changed)


def test_what_is_recorded_is_a_file_to_give(tmp_path):
    weights = dict(zip(NAMES, auto_weights(PIXELS[:-1]), strict=True))
    (tmp_path / DATA_FILE).write_text(data_to_json(SHAPES, "a" * 64))  # a workdir has it
    record_class_weights(tmp_path, weights)
    recorded = experiment(str(tmp_path / "class_weights.json"))
    assert find_class_weights(recorded, RECORDS) == weights
    record_class_weights(tmp_path, None)
    assert [path.name for path in tmp_path.iterdir()] == [DATA_FILE]


def test_in_one_line():
    assert format_class_weights({"sky": 1.533, "pole": 25.4966}) == "sky 1.533, pole 25.4966"

"""A training whose row leaves fields open: what is found out, printed, and kept by its workdir."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from support.checkpoint_arrays import checkpoint_arrays
from support.commands import call

from deeplab_tf.artefacts.trained_model import TrainedModel, save_backbone, save_model
from deeplab_tf.config import Backbone, ModelConfig, load_experiment, validate
from deeplab_tf.config.gaps import check_filled, open_fields, with_values
from deeplab_tf.data.records import open_records, parse_record
from deeplab_tf.distributed.processes import Workers
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import SHAPES
from deeplab_tf.models import build_model
from deeplab_tf.runs.workdir import read_experiment
from deeplab_tf.training.choices import choose
from deeplab_tf.training.choices import facts as facts_of
from deeplab_tf.training.choices.choice import Begin, Choice, table
from deeplab_tf.training.choices.facts import Machine, describe_data, describe_machine
from deeplab_tf.training.resolve import Run, resolve_run
from deeplab_tf.training.stages import train

TINY = {"model.backbone": Backbone.RESNET_TINY, "model.multi_grid": (1,), "data.dataset": "shapes"}
SHORT = {
    "train.steps": 2,
    "train.checkpoint_every": 1,
    "train.evaluate_every": 0,
    "data.crop_size": 33,
}
ROOMY, TIGHT = Machine("CPU", 1, 10**11, 10**11), Machine("CPU", 1, 1, 1)


def own(**more):
    """The row `slim` with the smallest backbone."""
    return with_values(load_experiment("configs/own.py:slim"), {**TINY, **more})


@pytest.fixture
def on(monkeypatch):
    """A function that lets trainings find another machine."""
    return lambda machine: monkeypatch.setattr(choose, "describe_machine", lambda *_: machine)


def test_a_run_goes_on_bit_for_bit_as_it_was_begun_on_another_machine(shapes_data, tmp_path, on):
    lines = []
    on(ROOMY)
    short = dataclasses.replace(own(**SHORT), initial_weights="ImageNet")
    train(short, shapes_data, tmp_path / "whole", report=lines.append)
    shutil.copytree(tmp_path / "whole", tmp_path / "broken")
    for path in (tmp_path / "broken" / "checkpoints").glob("step-2.*"):
        path.unlink()
    on(TIGHT)
    again = []
    train(short, shapes_data, tmp_path / "broken", report=again.append)
    whole, broken = (read_experiment(tmp_path / name) for name in ("whole", "broken"))
    assert whole == broken and not open_fields(whole)
    assert (whole.train.batch_size, whole.train.base_learning_rate) == (8, 0.05)
    assert whole.evaluate.working_size is None  # the images are small
    assert any(line.startswith("going on from step 1 ") for line in again)
    ours, theirs = (checkpoint_arrays(tmp_path / name) for name in ("whole", "broken"))
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    (printed,) = (line for line in lines if line.startswith("chosen "))
    assert "train.batch_size" in printed and "data.crop_size" not in printed
    assert any("this run begins with random weights" in line for line in lines)
    (kept,) = (line for line in again if line.startswith("chosen "))
    assert kept.startswith("chosen when the run was begun: data.min_scale=0.5, data.max_scale=2, ")
    # A new run on that machine would be another one.
    other = resolve_run(own(**SHORT), shapes_data, tmp_path / "new").experiment
    assert other.train.batch_size < 8
    with pytest.raises(DeeplabError, match="holds a run with train.batch_size=8 \\(received 4\\)"):
        resolve_run(with_values(short, {"train.batch_size": 4}), shapes_data, tmp_path / "whole")
    # The run's own config repeats it there, with nothing to choose.
    repeated = resolve_run(whole, shapes_data, tmp_path / "repeat")
    assert repeated.choices == () and repeated.experiment == whole


def test_the_command_chooses_the_rest_of_what_is_given(shapes_data, tmp_path):
    done = call(
        *("train", "--config=configs/own.py:slim", f"--data_dir={shapes_data}"),
        *("--config.model.backbone=resnet_tiny", "--config.model.multi_grid=1"),
        *("--config.data.dataset=shapes", f"--workdir={tmp_path}", "--config.train.steps=1"),
        *("--config.train.batch_size=4", "--config.data.crop_size=33"),
        "--config.train.evaluate_every=0",
    )
    assert done.returncode == 0, done.stderr
    assert "train.base_learning_rate  0.025  0.05 at a batch of 8 is what " in done.stdout
    fields = json.loads((tmp_path / "config.json").read_text())
    assert (fields["train"]["batch_size"], fields["train"]["steps"]) == (4, 1)
    assert fields["train"]["class_weights"] == "none" and fields["data"]["crop_size"] == 33
    assert not open_fields(read_experiment(tmp_path))


class OneOfTwo(Workers):
    """A worker beside another one, whose texts are given."""

    def __init__(self, index, texts):
        super().__init__(("a:1", "b:2"), index)
        self.texts = texts

    def gather_text(self, text):
        self.texts[self.index] = text
        return list(self.texts)


def test_two_workers_take_the_memory_of_the_one_that_has_less(shapes_data, tmp_path, on):
    records = open_records(shapes_data, "shapes")
    machines = [Machine("CPU", 2, 10**11, 10**11), Machine("CPU", 2, 115 * 10**7, 10**10)]
    texts = [json.dumps([m.device, m.memory, m.host]) for m in machines]
    found = []
    for index, machine in enumerate(machines):
        on(machine)
        arguments = (own(), records, (), None, OneOfTwo(index, texts), tmp_path)
        found.append(choose.choose_open_fields(*arguments))
    assert found[0] == found[1]
    on(machines[0])
    alone, _ = choose.choose_open_fields(own(), records, (), None, Workers(), tmp_path)
    assert alone.train.batch_size > found[0][0].train.batch_size


def test_the_facts_of_the_data_are_counted_in_the_images(shapes_data):
    records = open_records(shapes_data, "shapes")
    facts = describe_data(own(), records)
    examples = [
        parse_record(record)["mask"].numpy()
        for record in tf.data.TFRecordDataset(records.split("train").files)
    ]
    sides = sorted(min(mask.shape) for mask in examples)
    assert facts.shorter == sides[2]  # 9 of 12 are as large or larger, and 10 are
    assert sum(side >= facts.shorter for side in sides) >= 9
    assert facts.size in [mask.shape for mask in examples]
    pixels = np.concatenate([mask.ravel() for mask in examples])
    pixels = pixels[pixels != 255]
    assert facts.shares == pytest.approx(
        {SHAPES.names[label]: np.mean(pixels == label) for label in np.unique(pixels)}
    )
    assert (facts.images, facts.held_out, facts.tiles) == (12, 4, False)
    longer = sorted(max(mask.shape) for mask in examples)
    assert facts.tenths == (longer[1], longer[-2])  # 1 of 12 is smaller, and 1 larger


def test_the_machine_of_the_tests_has_a_processor_with_memory():
    one = describe_machine(tf.distribute.get_strategy(), Workers())
    assert (one.device, one.replicas) == ("CPU", 1) and one.memory and one.memory > 10**8
    two = describe_machine(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), Workers())
    assert two.replicas == 2 and two.memory == pytest.approx(one.memory / 2, rel=0.2)


def test_workers_on_one_host_share_its_memory(monkeypatch):
    monkeypatch.setattr(facts_of, "usable_memory", lambda: 12 * 10**9)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])  # two replicas in all
    for addresses, index, share in (
        (("a:1", "a:2"), 0, 2),
        (("a:1", "a:2"), 1, 2),
        (("a:1", "b:1"), 1, 1),
        (("[::1]:1", "[::1]:2"), 0, 2),
    ):
        machine = describe_machine(strategy, Workers(addresses, index))
        assert machine.host == machine.memory == 12 * 10**9 // share
    assert describe_machine(strategy, Workers()).memory == 6 * 10**9
    assert describe_machine(strategy, Workers(("a:1",))).memory == 6 * 10**9


def test_only_the_gpus_of_the_strategy_are_asked(monkeypatch):
    asked = []
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda _: ["a", "b"])
    monkeypatch.setattr(
        tf.config.experimental, "get_memory_info", lambda name: {"peak": int(name[-1])}
    )
    monkeypatch.setattr(facts_of, "free_gpu_memory", lambda devices: asked.append(devices) or 5)
    machine = describe_machine(tf.distribute.get_strategy(), Workers())
    assert (machine.device, machine.memory) == ("GPU", 5)
    monkeypatch.setattr(facts_of, "own_devices", lambda _: [f"/device:GPU:{n}" for n in (0, 1)])
    describe_machine(tf.distribute.get_strategy(), Workers())
    assert asked == [{0: False}, {0: False, 1: True}]


def test_weights_are_told_apart_by_their_classes(tmp_path):
    model_config = ModelConfig(backbone=Backbone.RESNET_TINY, multi_grid=(1,), num_classes=6)
    model, experiment = build_model(model_config), own()
    save_backbone(model, model_config, tmp_path / "backbone.keras")
    filled = validate(dataclasses.replace(load_experiment("configs/shapes.py:smoke")))
    save_model(TrainedModel(model, filled, SHAPES), tmp_path / "voc.keras")
    model.save(tmp_path / "other.keras")

    def begin(init_from):
        return choose.how_it_begins(dataclasses.replace(experiment, init_from=init_from))

    assert begin(None) is Begin.RANDOM
    assert begin(str(tmp_path / "backbone.keras")) is Begin.CLASSIFIER
    assert begin(str(tmp_path / "other.keras")) is Begin.CLASSIFIER
    assert begin(str(tmp_path / "voc.keras")) is Begin.SEGMENTER
    assert begin("imagenet-mobilenet-v2") is Begin.CLASSIFIER
    assert begin("voc-mobilenet-v2") is Begin.SEGMENTER
    stage = dataclasses.replace(experiment, previous_stage="configs/shapes.py:smoke")
    assert choose.how_it_begins(stage) is Begin.SEGMENTER


def test_nothing_runs_with_an_open_field():
    with pytest.raises(DeeplabError, match="Received: data.min_scale, .* open"):
        check_filled(own())
    with pytest.raises(DeeplabError, match="open"):
        Run(*(own(), *[None] * 5))  # pyright: ignore[reportArgumentType]
    with pytest.raises(DeeplabError, match="config.data.crop_size is still open"):
        _ = own().data.crop


def test_the_table_stands_in_columns_and_breaks_long_reasons():
    rows = [Choice("train.steps", 500, "few"), Choice("data.min_scale", 0.128251, "word " * 30)]
    assert table(rows).splitlines() == [
        "chosen           value  why",
        "train.steps        500  few",
        f"data.min_scale  0.1283  {('word ' * 15).strip()}",
        f"                        {('word ' * 15).strip()}",
    ]

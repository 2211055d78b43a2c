"""A run is repeated bit for bit from its config.json alone; what is not as it was there is told."""

import json
import os
import pathlib
import re
import shutil
import sys
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from support import commands

from deeplab_tf.artefacts.trained_model import TrainedModel, load_model, save_model
from deeplab_tf.config import Head, load_experiment, to_json
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import SHAPES
from deeplab_tf.models import build_model
from deeplab_tf.runs.checkpoints import checkpoint_prefix, checkpoint_steps
from deeplab_tf.runs.environment import (
    THREADS,
    differences,
    environment,
    record_environment,
    repeat_differences,
)
from deeplab_tf.runs.workdir import read_metrics
from deeplab_tf.training.stages import train

WEIGHTS = {name: 1.0 + index for index, name in enumerate(SHAPES.names)}
ROWS = """
import dataclasses
from deeplab_tf.config import DataConfig, Head, TrainConfig, load_experiment

SMOKE = load_experiment("configs/shapes.py:smoke")
DEMO = dataclasses.replace(SMOKE, model=dataclasses.replace(SMOKE.model, head=Head.NONE))
DATA = DataConfig(dataset="shapes", crop_size=33)
EXPERIMENTS = {
    "first": dataclasses.replace(
        DEMO, data=DATA, train=TrainConfig(steps=2, batch_size=2, class_weights="first.json")
    ),
    "second": dataclasses.replace(
        DEMO,
        data=DATA,
        previous_stage="chain.py:first",
        train=TrainConfig(
            steps=4, batch_size=2, class_weights="second.json", log_every=1, checkpoint_every=2
        ),
    ),
}
"""


def call(folder, *arguments, **variables):
    env = {**os.environ, "TF_NUM_INTRAOP_THREADS": "2", **variables}
    done = commands.call("train", *arguments, cwd=folder, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module")
def chain(shapes_data, tmp_path_factory):
    """Two stages from given initial weights, all paths relative; returns the folder of it all.

    Afterwards the row's file and the class weights are other ones.
    """
    root = tmp_path_factory.mktemp("chain")
    (root / "chain.py").write_text(ROWS)
    for name, factor in (("first", 1), ("second", 2)):
        weights = {label: weight**factor for label, weight in WEIGHTS.items()}
        (root / f"{name}.json").write_text(json.dumps(weights))
    demo = load_experiment("configs/shapes.py:smoke")
    demo.model.head = Head.NONE
    demo.model.num_classes = SHAPES.num_classes
    save_model(TrainedModel(build_model(demo.model), demo, SHAPES), root / "start.keras")
    call(
        root,
        "--config=chain.py:second",
        "--config.init_from=start.keras",
        "--config.train.seed=3",
        f"--data_dir={shapes_data}",
        "--workdir=run",
    )
    (root / "chain.py").write_text(ROWS.replace("steps=2", "steps=1"))
    for name in ("first", "second"):
        (root / f"{name}.json").write_text(json.dumps(dict.fromkeys(WEIGHTS, 1.0)))
    return root


def arrays(workdir: pathlib.Path) -> dict[str, np.ndarray]:
    """Everything in the last checkpoint, optimiser included, by name."""
    reader = tf.train.load_checkpoint(checkpoint_prefix(workdir, checkpoint_steps(workdir)[-1]))
    names = [
        name
        for name in reader.get_variable_to_shape_map()
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH"
    ]
    return {name: reader.get_tensor(name) for name in names}


def same_bits(a: pathlib.Path, b: pathlib.Path) -> bool:
    ours, theirs = arrays(a), arrays(b)
    assert ours.keys() == theirs.keys() and len(ours) > 100
    for x, y in zip(
        load_model(a / "model.keras").model.weights,
        load_model(b / "model.keras").model.weights,
        strict=True,
    ):
        ours[x.path], theirs[x.path] = np.asarray(x), np.asarray(y)
    return all(ours[name].tobytes() == theirs[name].tobytes() for name in ours)


def losses(workdir):
    kept = ("step", "loss", "cross_entropy", "learning_rate")
    return [[row[name] for name in kept] for row in read_metrics(workdir / "metrics.jsonl")]


def test_config_json_is_enough_to_repeat_a_chain_bit_for_bit(chain, shapes_data, tmp_path):
    """From another folder, with the rows and the class weights changed since."""
    said = call(
        tmp_path,
        f"--config={chain}/run/config.json",
        f"--data_dir={shapes_data}",
        f"--workdir={tmp_path}/again",
    )
    assert said.count("repeats the run of") == 2 and "differs from the run of" not in said
    for stage in ("", "previous_stage"):
        assert same_bits(chain / "run" / stage, tmp_path / "again" / stage)
        assert losses(chain / "run" / stage) == losses(tmp_path / "again" / stage)
    assert [row[0] for row in losses(tmp_path / "again")] == [1, 2, 3, 4]
    assert checkpoint_steps(tmp_path / "again" / "previous_stage") == [2]


def test_what_is_not_as_it_was_is_reported_and_changes_the_result(chain, shapes_data, tmp_path):
    shutil.copytree(chain, tmp_path / "chain")
    run = tmp_path / "chain" / "run" / "previous_stage"
    for file in (run / "config.json", run / "environment.json"):
        file.write_text(file.read_text().replace(str(chain), str(tmp_path / "chain")))
    # Another file of the same weights.
    with zipfile.ZipFile(tmp_path / "chain" / "start.keras", "a") as archive:
        archive.writestr("note", "later")
    said = call(
        tmp_path,
        f"--config={run}/config.json",
        "--config.data.shuffle_buffer=2047",  # more than the 12 images: the same order
        f"--data_dir={shapes_data}",
        f"--workdir={tmp_path}/again",
        TF_NUM_INTRAOP_THREADS="1",
        ONEDNN_MAX_CPU_ISA="AVX2",
    )
    (told,) = [line for line in said.splitlines() if line.startswith("note: this run differs")]
    assert "data.shuffle_buffer=2047 (before 2048)" in told
    assert "start.keras has another content" in told
    assert "intra-op threads 1 (before 2; TF_NUM_INTRAOP_THREADS=2 sets 2)" in told
    assert "ONEDNN_MAX_CPU_ISA AVX2 (before none)" in told
    assert losses(tmp_path / "again")[0][2] == pytest.approx(losses(run)[0][2], rel=0.05)
    assert not same_bits(run, tmp_path / "again")


def test_a_run_goes_on_by_its_own_config(chain, shapes_data, tmp_path, capsys, monkeypatch):
    shutil.copytree(chain / "run", tmp_path / "run")
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    experiment = load_experiment(f"{tmp_path}/run/config.json")
    assert train(experiment, shapes_data, tmp_path / "run", tmp_path / "run").stopped_by is None
    said = capsys.readouterr().out
    assert "going on from step 4" in said and "the run of" not in said
    assert "note: the run goes on under other conditions: intra-op threads 1 (before 2" in said
    noted = json.loads((tmp_path / "run" / "environment.json").read_text())["from"]
    assert {step: values[THREADS] for step, values in noted.items()} == {"0": "2", "4": "1"}


def test_the_environment_names_versions_and_machine(chain):
    found = json.loads((chain / "run" / "environment.json").read_text())["from"]["0"]
    assert found["tensorflow"] == tf.__version__ and found["numpy"] == np.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+, sources [0-9a-f]{12}", found["deeplab_tf"])
    assert found["python"] == ".".join(map(str, sys.version_info[:3])) and found["platform"]


def test_other_versions_are_named_with_both_values():
    now = environment()
    before = {**now, "keras": "3.14.0", "XLA_FLAGS": "-x"}
    assert differences(before, now) == [
        f"keras {now['keras']} (before 3.14.0)",
        "XLA_FLAGS none (before -x)",
    ]
    assert differences(now, now) == []


def test_onednn_that_is_on_or_off_is_reported():
    """Also where the processor's own default decided, and no variable."""
    now = environment()
    before = {**now, "onednn": "false" if now["onednn"] == "true" else "true"}
    assert differences(before, now) == [f"onednn {now['onednn']} (before {before['onednn']})"]


def test_two_arm_processors_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr("deeplab_tf.machine.processor.CPUINFO", tmp_path / "cpuinfo")
    seen = []
    for part, features in (("0xd0c", "fp asimd asimddp"), ("0xd40", "fp asimd asimddp i8mm sve")):
        text = f"Features: {features}\nCPU implementer: 0x41\nCPU part: {part}\n"
        (tmp_path / "cpuinfo").write_text(text)
        seen.append(environment())
    assert differences(*seen) == [
        "processor implementer 0x41 part 0xd40 (before implementer 0x41 part 0xd0c)",
        "instruction sets asimd asimddp i8mm sve (before asimd asimddp)",
    ]


@pytest.mark.parametrize(
    ("texts", "difference"),
    [
        (
            [
                f"CPU implementer: 0x41\nCPU variant: {variant}\nCPU part: 0xd0c\nCPU revision: 1\n"
                for variant in ("0x1", "0x3")
            ],
            "processor model variant 0x3 revision 1 (before variant 0x1 revision 1)",
        ),
        (
            [
                f"cpu family: 25\nmodel: {model}\nmodel name: AMD EPYC Processor\nstepping: 1\n"
                for model in (1, 17)
            ],
            "processor model family 25 model 17 stepping 1 (before family 25 model 1 stepping 1)",
        ),
    ],
)
def test_processors_of_one_name_are_told_apart(texts, difference, tmp_path, monkeypatch):
    """They were printed as the same processor."""
    monkeypatch.setattr("deeplab_tf.machine.processor.CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr("platform.processor", lambda: "")
    seen = []
    for text in texts:
        (tmp_path / "cpuinfo").write_text(2 * text)
        seen.append(environment())
    assert differences(*seen) == [difference]


def test_a_processor_without_a_name_is_not_called_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("deeplab_tf.machine.processor.CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr("platform.processor", lambda: "")
    for name in ("before", "now"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(
            to_json(load_experiment("configs/shapes.py:demo"))
        )
        data = json.dumps({"labels": SHAPES.to_dict(), "fingerprint": "a"})
        (tmp_path / name / "data.json").write_text(data)
        record_environment(tmp_path / name, 0, None)
    assert repeat_differences(tmp_path / "before", tmp_path / "now") == [
        "the system does not name the processor, so it may be another one"
    ]


def test_what_an_older_version_did_not_note_is_no_difference(tmp_path):
    record_environment(tmp_path, 0, None)
    file = tmp_path / "environment.json"
    content = json.loads(file.read_text())
    old = content["from"]["0"]
    del old["onednn"], old["instruction sets"]
    old |= {"instructions": "avx", "keras": "3.14.0"}
    file.write_text(json.dumps(content))
    now = environment()
    assert record_environment(tmp_path, 3, None) == [f"keras {now['keras']} (before 3.14.0)"]
    assert json.loads(file.read_text())["from"]["3"] == now


def test_going_back_forgets_what_came_after(tmp_path):
    record_environment(tmp_path, 0, None)
    file = tmp_path / "environment.json"
    content = json.loads(file.read_text())
    content["from"]["5"] = {**content["from"]["0"], "keras": "1"}
    file.write_text(json.dumps(content))
    assert record_environment(tmp_path, 3, None) == []
    assert list(json.loads(file.read_text())["from"]) == ["0"]
    file.write_text("{")
    with pytest.raises(DeeplabError, match=r"environment.json is damaged"):
        record_environment(tmp_path, 3, None)

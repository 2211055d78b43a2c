"""One evaluation over several devices and several processes: the same results."""

import dataclasses
import json
import os
import threading

import numpy as np
import pytest
from support.commands import Command
from support.random_model import random_trained_model, shared_model
from support.train_processes import free_ports, tf_config

from deeplab_tf.artefacts.trained_model import save_model
from deeplab_tf.config import EvaluateConfig, StrategyName
from deeplab_tf.data.records import open_records
from deeplab_tf.distributed.devices import devices_of
from deeplab_tf.errors import DeeplabError
from deeplab_tf.evaluation.evaluate_split import evaluate_split
from deeplab_tf.evaluation.write_results import RESULTS, figures
from deeplab_tf.images.classes import SHAPES
from deeplab_tf.inference.devices import on_devices
from deeplab_tf.inference.predictor import trained_predictor


@pytest.fixture(scope="module")
def trained():
    return shared_model()


def test_two_devices_give_the_matrix_of_one(trained, data_dir):
    records = open_records(data_dir, "shapes")
    one = trained_predictor(trained, EvaluateConfig())
    used = []

    def load():
        copy = trained_predictor(random_trained_model(), EvaluateConfig())

        def scores(images):
            used.append(threading.get_ident())
            return copy.scores(images)

        return dataclasses.replace(copy, scores=scores)

    two = on_devices(load, devices_of(StrategyName.MIRRORED))
    assert two.at_once == 2
    expected, found = (evaluate_split(each, records, "val") for each in (one, two))
    assert len(set(used)) == 2
    assert found.images == expected.images == 5
    np.testing.assert_array_equal(found.matrix, expected.matrix)
    assert [s.name for s in found.samples] == [s.name for s in expected.samples]
    assert figures(found, SHAPES) == figures(expected, SHAPES)


def test_which_devices():
    assert devices_of(StrategyName.AUTO) == devices_of(StrategyName.ONE) == []
    assert len(devices_of(StrategyName.MIRRORED)) == 2
    with pytest.raises(DeeplabError, match="tpu works only in a training"):
        devices_of(StrategyName.TPU)


def test_two_processes_give_the_results_of_one(trained, data_dir, tmp_path):
    save_model(trained, tmp_path / "model.keras")
    ports = free_ports(2)
    outs = [tmp_path / "one", tmp_path / "two", tmp_path / "two"]
    runs = []
    for out, cluster in zip(outs, (None, (ports, 0), (ports, 1)), strict=True):
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        if cluster:
            environment["TF_CONFIG"] = tf_config(*cluster)
        arguments = [f"--model={tmp_path}/model.keras", f"--data_dir={data_dir}", f"--out={out}"]
        runs.append(Command("-m", "deeplab_tf.cli.eval", *arguments, env=environment))
    said = [run.communicate(timeout=240) for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], said
    assert said[2] == ("worker 1 of 2; worker 0 has the results\n", "")
    contents = [{f: (out / f).read_bytes() for f in RESULTS} for out in outs[:2]]
    assert contents[0] == contents[1]
    content = json.loads(contents[0]["eval.json"])
    assert content["images"] == 5 and content["calibration"]["bins"]
    # The report has the worst images of both workers, of which worker 0 saw three.
    worst = [{p.name: p.read_bytes() for p in (o / "report").glob("worst*")} for o in outs[:2]]
    assert worst[0] == worst[1] and len(worst[0]) > 20

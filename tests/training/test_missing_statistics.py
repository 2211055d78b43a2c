"""Initial weights out of a LiteRT file: a training begins with the function that they were."""

import keras
import numpy as np
import pytest
from support.light_network import light_model, write_light
from support.train_processes import small

from deeplab_tf.config import BatchNormMode
from deeplab_tf.models import FusedBatchNormalization, build_model
from deeplab_tf.training import missing_statistics
from deeplab_tf.training.build import build_training
from deeplab_tf.training.initial_weights import load_initial_weights
from deeplab_tf.training.like import resolve_like
from deeplab_tf.training.missing_statistics import fill_statistics, norms_without_statistics
from deeplab_tf.training.resolve import resolve_run
from deeplab_tf.weights.convert import run_import


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("imported")
    run_import("tflite", write_light(light_model(), folder / "a.tflite"), folder / "a.keras", [])
    return str(folder / "a.keras")


def begun(imported, shapes_data, workdir, **changes):
    """A training with initial weights and statistics, the weights before, and what was said."""
    experiment = small(**changes)
    experiment.model.like = experiment.init_from = imported
    training = build_training(resolve_run(resolve_like(experiment), shapes_data, workdir))
    load_initial_weights(training.network, imported, training.run.experiment.model)
    said = []
    before = training.network.get_weights()
    fill_statistics(training, said.append)
    return training, before, said


def test_a_step_begins_with_the_function_of_the_file(imported, shapes_data, tmp_path):
    training, before, said = begun(imported, shapes_data, tmp_path)
    norms = [x for x in training.network.layers if isinstance(x, FusedBatchNormalization)]
    assert said == [
        f"the initial weights have no statistics for {len(norms)} batch norms; they were estimated "
        "on the first 32 training examples"
    ]
    images = np.stack(list(missing_statistics._first_images(training))[:16])
    answer = training.network(images, training=False).numpy()
    as_trained = training.network(images, training=True).numpy()
    # Without statistics the same batch gives something else.
    training.network.set_weights(before)
    np.testing.assert_allclose(training.network(images, training=False), answer, atol=2e-3)
    without = training.network(images, training=True).numpy()
    spread = answer.std()
    errors = [np.abs(found - answer).mean() / spread for found in (as_trained, without)]
    assert errors[0] < 0.2 < 0.5 < errors[1]


def test_frozen_batch_norms_stay_as_they_are(imported, shapes_data, tmp_path):
    frozen = BatchNormMode.FROZEN
    training, before, said = begun(imported, shapes_data, tmp_path, batch_norm=frozen)
    assert said == []
    for old, new in zip(before, training.network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_new_network_and_one_with_statistics_lack_none(imported):
    trained = light_model()
    assert norms_without_statistics(build_model(trained.experiment.model)) == []
    assert norms_without_statistics(trained.model) == []
    folded = keras.saving.load_model(imported, compile=False)
    assert len(norms_without_statistics(folded)) == len(
        [x for x in folded.layers if isinstance(x, FusedBatchNormalization)]
    )

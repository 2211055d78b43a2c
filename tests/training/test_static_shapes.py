"""What a TPU asks of a training step, as far as it can be seen without one."""

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf.config import Backbone, ModelConfig, TrainConfig
from deeplab_tf.models import build_model
from deeplab_tf.training.optimizer import make_optimizer
from deeplab_tf.training.step import make_train_step

MODEL_CONFIG = ModelConfig(
    backbone=Backbone.RESNET_TINY, num_classes=3, output_stride=16, multi_grid=(2,)
)


def make():
    keras.utils.set_random_seed(0)
    model = build_model(MODEL_CONFIG)
    train = TrainConfig(base_learning_rate=1e-3)
    optimizer = make_optimizer(train, model)
    return model, make_train_step(model, optimizer, tf.distribute.get_strategy(), train)


def test_the_step_compiles_with_xla_on_static_shapes_and_computes_the_same():
    """XLA takes no open shape and no operation that it does not know; a TPU runs nothing else."""
    rng = np.random.default_rng(0)
    image = tf.constant(rng.uniform(0, 255, (2, 33, 33, 3)), tf.float32)
    mask = tf.constant(rng.integers(0, 3, (2, 33, 33)), tf.uint8)
    plain, plain_step = make()
    compiled, step = make()
    compiled_step = tf.function(step, jit_compile=True)
    for _ in range(2):
        losses = [float(each(image, mask)["loss"]) for each in (plain_step, compiled_step)]
        np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    for a, b in zip(plain.weights, compiled.weights, strict=True):
        scale = max(1.0, np.abs(a.numpy()).max())
        np.testing.assert_allclose(b / scale, a / scale, atol=1e-4, err_msg=a.path)

"""Our network on JAX, compiled by XLA.

`deeplab-train` runs on TensorFlow; here the same network, loss and optimiser are put into a jitted
step, to see what they cost on an accelerator that has JAX alone.
"""

import jax
import jax.numpy as jnp
import keras
import numpy as np

from deeplab_tf.config import TrainConfig
from deeplab_tf.data.labels import VOID
from deeplab_tf.models import build_model
from deeplab_tf.models.conv import FusedBatchNormalization, decayed_kernels
from deeplab_tf.models.precision import computing_in

from .turns import Way
from .work import Work


def make_way(work: Work, calls: int = 1) -> tuple[Way, keras.Model]:
    """`calls` forward passes or training steps, and the network; the first call compiles."""
    with computing_in(work.precision):
        model = build_model(work.config)
    images = jax.device_put(work.images())
    if not work.training:
        return _forward(model, images, calls), model
    return _training(model, images, jax.device_put(work.labels()), calls), model


def _forward(model: keras.Model, images: jax.Array, calls: int) -> Way:
    """With the weights as constants of the program and batch norms folded, as where a model serves:
    as arguments, 650 arrays, they cost a call more than the network takes on a fast GPU."""
    fold_batch_norms(model)
    weights = [v.value for v in model.trainable_variables]
    statistics = [v.value for v in model.non_trainable_variables]

    @jax.jit
    def logits(images):
        return model.stateless_call(weights, statistics, images, training=False)[0]

    def run() -> None:
        for _ in range(calls):
            result = logits(images)
        jax.block_until_ready(result)

    return run


def fold_batch_norms(model: keras.Model) -> None:
    """Moves each batch norm's scale into the kernel before it; what is left is `x * 1 + beta`, of
    which XLA leaves the sum, in the convolution. The network computes the same."""
    for layer in model.layers:
        if not isinstance(layer, FusedBatchNormalization):
            continue
        convolution = model.get_layer(layer.name.removesuffix("_bn"))
        gamma, beta, mean, variance = layer.get_weights()
        scale = gamma / np.sqrt(variance + layer.epsilon)
        convolution.set_weights([convolution.get_weights()[0] * scale])
        one = np.ones_like(variance)
        layer.set_weights([one, beta - mean * scale, 0 * mean, one - np.float32(layer.epsilon)])


def _training(model: keras.Model, images: jax.Array, labels: jax.Array, calls: int) -> Way:
    config = TrainConfig()
    optimizer = keras.optimizers.SGD(1e-4, momentum=config.momentum)
    optimizer.build(model.trainable_variables)
    decayed = {id(kernel) for kernel in decayed_kernels(model)}
    decays = [id(v) in decayed for v in model.trainable_variables]

    def loss_of(weights, statistics, images, labels):
        logits, statistics = model.stateless_call(weights, statistics, images, training=True)
        valid = labels != VOID
        safe = jnp.where(valid, labels, 0).astype("int32")
        losses = keras.ops.sparse_categorical_crossentropy(safe, logits, from_logits=True)
        loss = jnp.sum(losses * valid) / jnp.maximum(jnp.sum(valid), 1)
        for weight, decay in zip(weights, decays, strict=True):
            if decay:
                loss += config.weight_decay / 2 * jnp.sum(weight**2)
        return loss, statistics

    @jax.jit(donate_argnums=0)
    def step(state, images, labels):
        weights, statistics, slots = state
        gradient = jax.value_and_grad(loss_of, has_aux=True)
        (loss, statistics), gradients = gradient(weights, statistics, images, labels)
        weights, slots = optimizer.stateless_apply(slots, gradients, weights)
        return (weights, statistics, slots), loss

    state = [
        [jnp.copy(v.value) for v in variables]
        for variables in (
            model.trainable_variables,
            model.non_trainable_variables,
            optimizer.variables,
        )
    ]

    def run() -> float:
        nonlocal state
        for _ in range(calls):
            state, loss = step(state, images, labels)
        return float(loss)

    return run

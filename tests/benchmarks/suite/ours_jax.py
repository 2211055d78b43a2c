"""Our network on JAX, compiled by XLA.

`deeplab-train` runs on TensorFlow; here the same network, loss and optimiser are put into a jitted
step, to see what they cost on an accelerator that has only JAX.
"""

import jax
import jax.numpy as jnp
import keras

from deeplab_tf.config import TrainConfig
from deeplab_tf.images.classes import VOID
from deeplab_tf.models import build_model
from deeplab_tf.models.conv import decayed_kernels
from deeplab_tf.models.folding import folded
from deeplab_tf.models.precision import computing_in

from .turns import Way
from .work import Work


def make_way(work: Work, calls: int = 1) -> tuple[Way, keras.Model]:
    """`calls` forward passes or training steps, and the network; the first call compiles."""
    with computing_in(work.precision):
        model = build_model(work.model_config)
    images = jax.device_put(work.images())
    if not work.training:
        return _forward(model, images, calls), model
    return _training(model, images, jax.device_put(work.masks()), calls), model


def _forward(model: keras.Model, images: jax.Array, calls: int) -> Way:
    """With the weights as constants of the program and batch norms folded, as where a model serves:
    as arguments, 650 arrays, they cost a call more than the network takes on a fast GPU."""
    network = folded(model)
    weights = [v.value for v in network.trainable_variables]

    @jax.jit
    def logits(images):
        return network.stateless_call(weights, [], images, training=False)[0]

    def run() -> None:
        for _ in range(calls):
            result = logits(images)
        jax.block_until_ready(result)

    return run


def _training(model: keras.Model, images: jax.Array, masks: jax.Array, calls: int) -> Way:
    train = TrainConfig()
    optimizer = keras.optimizers.SGD(1e-4, momentum=train.momentum)
    optimizer.build(model.trainable_variables)
    decayed = {id(kernel) for kernel in decayed_kernels(model)}
    decays = [id(v) in decayed for v in model.trainable_variables]

    def loss_of(weights, statistics, images, masks):
        logits, statistics = model.stateless_call(weights, statistics, images, training=True)
        valid = masks != VOID
        safe = jnp.where(valid, masks, 0).astype("int32")
        losses = keras.ops.sparse_categorical_crossentropy(safe, logits, from_logits=True)
        loss = jnp.sum(losses * valid) / jnp.maximum(jnp.sum(valid), 1)
        for weight, decay in zip(weights, decays, strict=True):
            if decay:
                loss += train.weight_decay / 2 * jnp.sum(weight**2)
        return loss, statistics

    @jax.jit(donate_argnums=0)
    def step(state, images, masks):
        weights, statistics, slots = state
        gradient = jax.value_and_grad(loss_of, has_aux=True)
        (loss, statistics), gradients = gradient(weights, statistics, images, masks)
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
            state, loss = step(state, images, masks)
        return float(loss)

    return run

"""A few steps of a small network on noise, by the options of a training."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from deeplab_tf.config import (
    Backbone,
    BatchNormMode,
    Experiment,
    Head,
    ModelConfig,
    StrategyName,
    TrainConfig,
    validate,
)
from deeplab_tf.distributed.strategy import make_strategy
from deeplab_tf.models import build_model
from deeplab_tf.models.auxiliary import with_auxiliary
from deeplab_tf.models.conv import set_batch_norm_mode
from deeplab_tf.models.precision import computing_in
from deeplab_tf.runs.average import begin_average
from deeplab_tf.training.loss import make_data_loss
from deeplab_tf.training.optimizer import make_optimizer
from deeplab_tf.training.step import make_train_step

MODEL_CONFIG = ModelConfig(
    backbone=Backbone.RESNET_TINY,
    multi_grid=(2,),
    aspp_rates=(6,),
    num_classes=3,
    batch_norm_momentum=0.9,
)
NO_ASPP = dataclasses.replace(MODEL_CONFIG, head=Head.NONE)
"""Without the ASPP, whose graphs cost two devices seconds."""
BATCH = 4
FROZEN = BatchNormMode.FROZEN
_SHARED: dict[tuple[int, str], "NoiseRun"] = {}


@dataclasses.dataclass
class NoiseRun:
    """After its steps; `model` is what was trained, with the auxiliary head where there is one.

    `before` has `model.weights` before the steps, `history` those after each.
    """

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    losses: list[dict[str, float]]
    before: list[np.ndarray]
    history: list[list[np.ndarray]]


def noise(steps, size=BATCH, side=33):
    """Images [steps * size, side, side, 3], masks with a share of void that rises in a batch."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (steps * size, side, side, 3)).astype(np.float32)
    mask = rng.integers(0, 3, image.shape[:3]).astype(np.uint8)
    void = np.tile(np.linspace(0, 0.9, size), steps)[:, None, None]
    mask[rng.random(mask.shape) < void] = 255
    return image, mask


def noise_run(
    steps,
    *,
    strategy=StrategyName.ONE,
    model_config=MODEL_CONFIG,
    weights=None,
    own_optimizer=None,
    order=(0, 1, 2, 3),
    **fields,
) -> NoiseRun:
    """Trains as `TrainConfig(**fields)` says.

    `weights` are those of the classes in the loss, `own_optimizer` makes another one, `order` is
    that of a batch's images.
    """
    defaults = {"steps": 20, "base_learning_rate": 0.05, "batch_size": BATCH}
    experiment = validate(
        Experiment(model=model_config, train=TrainConfig(**{**defaults, **fields}))
    )
    train = experiment.train
    devices = make_strategy(strategy)
    keras.utils.set_random_seed(0)
    with devices.scope():
        with computing_in(train.precision):
            network = build_model(experiment.model)
            if train.auxiliary_loss:
                network = with_auxiliary(network, experiment.model)
        if train.batch_norm is FROZEN:
            _measure_statistics(network)
        set_batch_norm_mode(network, train.batch_norm, devices.num_replicas_in_sync)
        if own_optimizer:
            optimizer = own_optimizer()
            optimizer.build(network.trainable_variables)
        else:
            optimizer = make_optimizer(train, network)
    begin_average(optimizer)
    data_loss = make_data_loss(train, weights)
    step = make_train_step(network, optimizer, devices, train, data_loss)
    data = tf.data.Dataset.from_tensor_slices(noise(steps)).batch(BATCH)
    data = data.map(lambda *batch: tuple(tf.gather(values, order) for values in batch))
    off = tf.data.Options()
    off.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    off.autotune.enabled = False  # whose end waits for the tuner
    before, losses, history = network.get_weights(), [], []
    for batch in devices.experimental_distribute_dataset(data.with_options(off)):
        losses.append({name: float(value) for name, value in step(*batch).items()})
        history.append(network.get_weights())
    return NoiseRun(network, optimizer, losses, before, history)


def shared_run(steps, **options) -> NoiseRun:
    """`noise_run` of these options, run once for all tests of a process, which only read it."""
    key = (steps, repr(options))
    if key not in _SHARED:
        _SHARED[key] = noise_run(steps, **options)
    return _SHARED[key]


def _measure_statistics(network: keras.Model) -> None:
    """Sets the moving statistics to those of the noise: frozen at 0 and 1 the steps diverge."""
    norms = [x for x in network.layers if isinstance(x, keras.layers.BatchNormalization)]
    for layer in norms:
        layer.momentum = 0.0
    network(noise(1)[0], training=True)
    for layer in norms:
        layer.momentum = MODEL_CONFIG.batch_norm_momentum


def furthest(run: NoiseRun, other: NoiseRun) -> float:
    """The largest difference of two runs' weights, of each relative to its largest entry."""
    assert all(np.isfinite(weights).all() for weights in run.history[-1])
    return max(
        float(np.abs(a - b).max() / max(1.0, np.abs(a).max()))
        for a, b in zip(run.history[-1], other.history[-1], strict=True)
    )


def check_same_but_for_rounding(run: NoiseRun, other: NoiseRun) -> None:
    """Asserts that two runs are as near as other kernels and another order of sums leave them.

    These networks multiply a rounding of the pixels by up to 200,000 in three steps: 2e-2 of the
    weights for 1e-7 of the pixels, by the focal loss.
    """
    for step, (a, b) in enumerate(zip(run.losses, other.losses, strict=True)):
        # The first step's are of equal weights, of which nothing was multiplied yet.
        share = 1e-3 if step else 1e-5
        for name, value in a.items():
            assert abs(value - b[name]) <= share * abs(value), name
    moved = max(abs(a - b).max() for a, b in zip(run.before, run.history[-1], strict=True))
    assert furthest(run, other) < moved / 100

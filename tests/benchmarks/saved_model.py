"""How fast the exported SavedModel is, beside other forms of it and the machine's matrix multiply.

    python tests/benchmarks/saved_model.py
    python tests/benchmarks/saved_model.py --backbone=mobilenet_v2 --rounds=60

The forms take turns on one image, so that what else the machine does meets all alike:

    unfolded              with batch norms, as the Keras model
    exported              as deeplab-export writes it: batch norms folded into the convolutions
    unfolded, frozen      variables made constants
    exported, frozen
    no image pooling      exported without that branch of the ASPP: more cannot be won at it
    logits alone          exported without labels and confidence: more cannot be won at them

For each: median and least milliseconds; the median over the turns of its speed as a multiple of
the first form's; and the share of the machine's peak: the convolutions' multiplications and
additions in the least time, of what one large matrix multiply reached at best in the same turns.
"""

import statistics
import tempfile
from collections.abc import Callable
from unittest import mock

from absl import app, flags, logging
from suite.turns import in_turns

from deeplab_tf.cli.flags import import_tensorflow

_BACKBONE = flags.DEFINE_string("backbone", "resnet101", "The network's; at output_stride 16.")
_IMAGE_SIZE = flags.DEFINE_integer("image_size", 513, "Side of the image in pixels.")
_ROUNDS = flags.DEFINE_integer("rounds", 20, "Turns, after two to warm up.")
_CLASSES = 21
_MATRIX = 4096
"""Its side: large enough for the multiply's best."""


def main(_) -> None:
    logging.set_verbosity(logging.WARNING)  # what is saved is not of interest here
    import_tensorflow()
    import tensorflow as tf
    from suite.work import convolution_flops

    side = _IMAGE_SIZE.value
    image = tf.cast(
        tf.random.stateless_uniform((1, side, side, 3), (0, 0), 0, 256, tf.int32), "uint8"
    )
    trained = _network(image_pooling=True)
    operations = convolution_flops(trained.model, side)
    matrix = tf.random.stateless_normal((_MATRIX, _MATRIX), (0, 1))

    def read(output) -> None:
        tf.nest.map_structure(lambda tensor: tensor.numpy(), output)

    ways = {name: lambda run=run: read(run(image)) for name, run in _forms(trained).items()}
    ways["multiply"] = lambda: read(tf.matmul(matrix, matrix))
    # The first two trace and prepare kernels.
    seconds, failures = in_turns(ways, _ROUNDS.value, warm_up=2)
    if failures:
        raise SystemExit(f"not measured: {failures}")
    peak = 2 * _MATRIX**3 / min(seconds.pop("multiply"))
    first, *_ = seconds.values()
    print(f"{_BACKBONE.value}, {side}x{side}, {operations / 1e9:.0f} GFLOP")
    print(f"multiply of {_MATRIX}x{_MATRIX}: {peak / 1e9:.0f} GFLOP/s")
    print(f"{'':<20}{'median ms':>10}{'least':>8}{'speed':>8}{'of peak':>9}")
    for name, times in seconds.items():
        speed = statistics.median(a / b for a, b in zip(first, times, strict=True))
        print(
            f"{name:<20}{1e3 * statistics.median(times):>10.1f}{1e3 * min(times):>8.1f}"
            f"{speed:>8.3f}{operations / min(times) / peak:>9.0%}"
        )


def _forms(trained) -> dict[str, Callable]:
    """Each form as a function of an image."""
    from tensorflow.python.framework import convert_to_constants

    from deeplab_tf.export import saved_model

    with mock.patch.object(saved_model, "folded", lambda model: model):
        unfolded = _reloaded(trained)
    exported = _reloaded(trained)

    def frozen(loaded) -> Callable:
        signature = loaded.signatures["serving_default"]
        function = convert_to_constants.convert_variables_to_constants_v2(signature)
        return lambda image: function(image)

    def signature(loaded) -> Callable:
        return lambda image: loaded.signatures["serving_default"](images=image)

    return {
        "unfolded": signature(unfolded),
        "exported": signature(exported),
        "unfolded, frozen": frozen(unfolded),
        "exported, frozen": frozen(exported),
        "no image pooling": signature(_reloaded(_network(image_pooling=False))),
        "logits alone": exported.scores,
    }


def _network(image_pooling: bool):
    """Random weights, batch norm statistics as of a trained network."""
    import numpy as np

    from deeplab_tf.artefacts.trained_model import TrainedModel
    from deeplab_tf.config import Backbone, Experiment, ModelConfig, validate
    from deeplab_tf.config.schema import MOBILENETS
    from deeplab_tf.images.classes import VOC
    from deeplab_tf.models import FusedBatchNormalization, build_model

    backbone = Backbone(_BACKBONE.value)
    model_config = ModelConfig(backbone=backbone, num_classes=_CLASSES, image_pooling=image_pooling)
    if backbone in MOBILENETS:
        model_config.multi_grid, model_config.aspp_rates = (1, 1, 1), ()
    experiment = validate(Experiment(model=model_config))
    network = build_model(experiment.model)
    rng = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, FusedBatchNormalization):
            gamma, variance = rng.uniform(0.5, 1.5, (2, *layer.gamma.shape))
            beta, mean = rng.normal(0, 0.3, (2, *layer.gamma.shape))
            layer.set_weights([gamma, beta, mean, variance])
    return TrainedModel(network, experiment, VOC)


def _reloaded(trained):
    import tensorflow as tf

    from deeplab_tf.export.saved_model import write_saved_model

    with tempfile.TemporaryDirectory() as folder:
        write_saved_model(trained, f"{folder}/model")
        return tf.saved_model.load(f"{folder}/model")


if __name__ == "__main__":
    app.run(main)

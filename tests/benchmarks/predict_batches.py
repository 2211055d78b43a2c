"""What `deeplab-predict --batch_size` saves, files read and written included.

    python tests/benchmarks/predict_batches.py --model=model.keras --images='photos/*.jpg'

The same images are predicted with each batch size in turns; medians over the rounds, and the median
of each round's ratio to batch size 1.
"""

import pathlib
import statistics
import tempfile
import time

from absl import app, flags

from deeplab_tf.cli.flags import import_tensorflow

_MODEL = flags.DEFINE_string("model", None, "The flag of deeplab-predict.", required=True)
_IMAGES = flags.DEFINE_string("images", None, "The flag of deeplab-predict.", required=True)
_SIZES = flags.DEFINE_list("batch_sizes", ["1", "4", "8"], "Batch sizes; the first is 1.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Turns.")


def main(_) -> None:
    import_tensorflow()
    from deeplab_tf.inference.predictor import load_predictor
    from deeplab_tf.prediction.inputs import find_images
    from deeplab_tf.prediction.predict_images import predict_images

    predictor, images = load_predictor(_MODEL.value), find_images(_IMAGES.value)
    sizes = [int(size) for size in _SIZES.value]
    seconds: dict[int, list[float]] = {size: [] for size in sizes}
    with tempfile.TemporaryDirectory() as out:
        for number in range(_ROUNDS.value + 1):
            for size in sizes:
                begin = time.perf_counter()
                predict_images(predictor, images, pathlib.Path(out), size)
                if number:  # the first round traces and warms up
                    seconds[size].append((time.perf_counter() - begin) / len(images))
    print(f"{len(images)} images, {_ROUNDS.value} rounds\nbatch  ms an image  of batch {sizes[0]}")
    for size in sizes:
        ratio = statistics.median(
            here / one for here, one in zip(seconds[size], seconds[sizes[0]], strict=True)
        )
        print(f"{size:5}  {1e3 * statistics.median(seconds[size]):11.1f}  {ratio:10.2f}")


if __name__ == "__main__":
    app.run(main)

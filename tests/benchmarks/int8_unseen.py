"""Which ways of choosing int8's ranges and weights keep a network's labels on photos never seen?

    deeplab-import --source=tflite --weights=deeplabv3_mnv2_pascal_quant.tflite --out=mnv2.keras
    deeplab-prepare --dataset=voc --source=VOCdevkit --data_dir=data
    python tests/benchmarks/int8_unseen.py --model=mnv2.keras --data_dir=data --size=513 \\
        --beside=deeplabv3_mnv2_pascal_quant.tflite

The photos of the split are dealt into two halves at random. A file that is calibrated on 100
photos of one half labels the other half, so that each photo is labelled once, by a file that has
not seen it. Printed are the labels that equal the float network's, without the padding; the mean
IoU over all photos; how it differs from the float network's, with a bootstrap interval over the
photos; the five worst signal-to-noise ratios, of the first half's file on two photos of the other;
the size; and the milliseconds of a photo on one thread, median of rounds in which the files take
turns.

Two rows are ways that the export does not have. `means` adds to each bias the mean of what the
rounded weights lose, by the means of their inputs. `equal` makes the channels of linear outputs and
of their sums equally loud before calibration, and the weights on both sides so that the float
network stays the same.
"""

import argparse
import dataclasses
import functools
import pathlib
import statistics
import time
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from equal_channels import equalized
from tensorflow.lite.python.convert import mlir_quantize
from tensorflow.lite.python.util import modify_model_io_type

from deeplab_tf.artefacts.litert import new_interpreter
from deeplab_tf.artefacts.trained_model import load_model
from deeplab_tf.evaluation.bootstrap import differences
from deeplab_tf.evaluation.image_counts import ImageCounts
from deeplab_tf.export.convolutions import ConvolutionFile
from deeplab_tf.export.full_int8 import with_fitted_weights, with_ranges
from deeplab_tf.export.images import ComparedImage, Share, data_set_images, fit_picture
from deeplab_tf.export.input_moments import InputMoments, patches_of
from deeplab_tf.export.layer_noise import noisiest_layers
from deeplab_tf.export.litert import Options, convert_traced, layer_names
from deeplab_tf.export.ranges import measure, without_padding
from deeplab_tf.export.tensors import TensorReader
from deeplab_tf.images.confusion import confusion_matrix
from deeplab_tf.models.conv import Runs

CALIBRATION = 100
SEED = 0


@dataclasses.dataclass(frozen=True)
class Way:
    ranges: bool = False
    weights: bool = False
    means: bool = False
    equal: bool = False


WAYS = {
    "extremes, nearest": Way(),
    "ranges + weights": Way(ranges=True, weights=True),
    "weights": Way(weights=True),
    "ranges": Way(ranges=True),
    "means": Way(means=True),
    "ranges + weights + means": Way(ranges=True, weights=True, means=True),
    "equal": Way(equal=True),
    "ranges + weights + equal": Way(ranges=True, weights=True, equal=True),
}


class Calibration:
    """What one float file and some photos give: ranges, moments, means and loudest channels."""

    def __init__(self, content: bytes, photos: list[ComparedImage]):
        self.content, self.exact = content, ConvolutionFile(content)
        self.moments = InputMoments(self.exact.convolutions)
        self.means = {c.output: [] for c in self.exact.convolutions}
        self.loudest: dict[str, np.ndarray] = {}
        self._reader = TensorReader(content)
        self._outputs = [
            o.output for o in self._reader.operations if self._reader.dtypes[o.output] == np.float32
        ]
        self._rng = np.random.default_rng(SEED)
        self.measured = measure(self._reader, photos, self._look)

    def _look(self, read: Callable[[str], np.ndarray], share: Share) -> None:
        self.moments.add(read, share)
        for convolution in self.exact.convolutions:
            patches = patches_of(read(convolution.input)[0], convolution, self._rng, share)
            self.means[convolution.output].append(patches.mean(axis=0))
        for name in self._outputs:
            values = without_padding(read(name), share)
            loudest = np.abs(values).max(axis=tuple(range(values.ndim - 1)))
            self.loudest[name] = np.maximum(loudest, self.loudest.get(name, 0))

    def quantized(self, way: Way) -> bytes:
        """The int8 file, which takes and gives what the export's do."""
        ranges = self.measured.ranges(way.ranges)
        content = mlir_quantize(with_ranges(self.content, ranges))
        if way.weights:
            content = with_fitted_weights(content, self.exact, self.moments)
        if way.means:
            content = self._with_means(content)
        return modify_model_io_type(content, tf.uint8, tf.uint8)

    def _with_means(self, content: bytes) -> bytes:
        file = ConvolutionFile(content)
        for rounded, exact in zip(file.convolutions, self.exact.convolutions, strict=True):
            scales = file.weight_scales(rounded)
            steps, mean = file.weights(rounded), np.mean(self.means[exact.output], axis=0)
            lost = self.exact.weights(exact) - steps * scales[:, None]
            by_input = mean.T if exact.depthwise else mean.reshape(1, -1)
            bias = self.exact.bias(exact) + np.sum(lost * by_input, axis=1)
            file.put_integers(rounded, steps, scales, bias)
        return file.content()


def labels_of(content: bytes, photos: Iterable[np.ndarray]) -> list[np.ndarray]:
    interpreter = new_interpreter(model_content=content)
    (given,), (found,) = interpreter.get_input_details(), interpreter.get_output_details()
    labels = []
    for photo in photos:
        interpreter.set_tensor(given["index"], photo[None].astype(given["dtype"]))
        interpreter.invoke()
        got = interpreter.get_tensor(found["index"])
        labels.append(got.reshape(photo.shape[:2]).astype(np.uint8))
    return labels


def counts_of(pictures, labels: list[np.ndarray], classes: int) -> list[ImageCounts]:
    return [
        ImageCounts.of(p.name, p.mask, confusion_matrix(p.mask, found, classes), None)
        for p, found in zip(pictures, labels, strict=True)
    ]


def milliseconds(files: dict[str, bytes], photo: np.ndarray, rounds: int) -> dict[str, float]:
    runs, spent = {}, {name: [] for name in files}
    for name, content in files.items():
        runs[name] = Interpreter(model_content=content, num_threads=1)
        runs[name].allocate_tensors()
        (given,) = runs[name].get_input_details()
        runs[name].set_tensor(given["index"], photo[None].astype(given["dtype"]))
        runs[name].invoke()
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run.invoke()
            spent[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(each) for name, each in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--split", default="train")
    parser.add_argument("--size", type=int, required=True, help="both sides of the input")
    parser.add_argument("--beside", help="an int8 file of others, which gives labels")
    parser.add_argument("--photos", type=int, default=10**6, help="how many at most")
    parser.add_argument("--ways", type=int, default=len(WAYS), help="only the first ones")
    parser.add_argument("--rounds", type=int, default=30)
    args = parser.parse_args()
    trained, size = load_model(args.model), (args.size, args.size)
    dataset, mean = trained.experiment.data.dataset, trained.experiment.model.input_format.mean
    found = data_set_images(
        pathlib.Path(args.data_dir), dataset, args.split, args.photos, trained.classes
    )
    pictures = [fit_picture(picture, size, mean) for picture in found]
    photos = [picture.image for picture in pictures]
    inner = [np.s_[: p.inner[0], : p.inner[1]] for p in pictures]
    options = Options(size, outputs="labels")
    content = convert_traced(trained, options, tf.float32, Runs.CONVERTED)
    exact = labels_of(content, photos)
    classes, layers = trained.classes.num_classes, layer_names(trained)
    before = counts_of(pictures, exact, classes)
    order = np.random.default_rng(SEED).permutation(len(photos))
    halves = np.array_split(order, 2)

    @functools.cache
    def calibration(half: int, equal: bool) -> Calibration:
        if equal:
            plain = calibration(half, False)
            return Calibration(equalized(content, plain.loudest), chosen(half))
        return Calibration(content, chosen(half))

    def chosen(half: int) -> list[ComparedImage]:
        return [pictures[i] for i in halves[half][:CALIBRATION]]

    print(f"{len(photos)} photos, calibrated on {len(chosen(0))} of the other half each time")
    print(f"{'':26}  labels   mean IoU  to the float network  worst layers, dB   MB", flush=True)

    def row(name: str, labels: list[np.ndarray], noise: str, megabytes: float) -> None:
        agree = [np.mean(a[i] == b[i]) for a, b, i in zip(labels, exact, inner, strict=True)]
        change, _ = differences(before, counts_of(pictures, labels, classes), classes)
        interval = (
            f"{100 * change.change:+.2f} ({100 * change.low:+.2f} to {100 * change.high:+.2f})"
        )
        print(
            f"{name:26}  {np.mean(agree):.3%}  {change.after:.2%}  {interval:22} {noise:17}"
            f"{megabytes:6.2f}",
            flush=True,
        )

    files = {"float": content}
    row("float", exact, "", len(content) / 1e6)
    if args.beside:
        files["beside"] = pathlib.Path(args.beside).read_bytes()
        row("beside", labels_of(files["beside"], photos), "", len(files["beside"]) / 1e6)
    for name, way in list(WAYS.items())[: args.ways]:
        labels: list = [None] * len(photos)
        for half, other in ((0, 1), (1, 0)):
            calibrated = calibration(half, way.equal)
            file = calibrated.quantized(way)
            unseen = labels_of(file, [photos[i] for i in halves[other]])
            for i, each in zip(halves[other], unseen, strict=True):
                labels[i] = each
            if half == 0:
                files[name] = file
                some = [photos[i] for i in halves[1][:2]]
                worst = noisiest_layers(calibrated.content, file, layers, some)
                noise = " ".join(f"{n.signal_to_noise:.0f}" for n in worst)
        row(name, labels, noise, len(file) / 1e6)
    print("\nmilliseconds, one thread")
    for name, spent in milliseconds(files, photos[0], args.rounds).items():
        print(f"{name:26}  {spent:.1f}", flush=True)


if __name__ == "__main__":
    main()

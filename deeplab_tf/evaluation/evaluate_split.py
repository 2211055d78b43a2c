"""The evaluation of a model on a split, each image at its own size.

Tested in tests/evaluation/test_evaluate.py.
"""

import functools
from collections.abc import Callable

import numpy as np
import tqdm

from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.data.pipeline import labelled_images
from deeplab_tf.data.records import Records, SplitFiles
from deeplab_tf.distributed.processes import Workers
from deeplab_tf.errors import DeeplabError
from deeplab_tf.evaluation.evaluation import Evaluation, Sample, make_evaluation
from deeplab_tf.evaluation.gathering import gather_images, gather_pictures, sum_tallies
from deeplab_tf.evaluation.tally import Judged, Tally, judge
from deeplab_tf.evaluation.worst import Kept
from deeplab_tf.images.classes import check_same_classes
from deeplab_tf.images.formats import view_rgb
from deeplab_tf.inference.batches import Picture, predict_one
from deeplab_tf.inference.examples import CountedExample, count_examples
from deeplab_tf.inference.predictor import Predictor
from deeplab_tf.inference.wanted import Wanted
from deeplab_tf.parallel import in_threads

SAMPLES = 8
"""The number of examples that are kept for the report."""

ALONE = Workers()


def evaluate_split(
    predictor: Predictor,
    records: Records,
    split_name: str,
    workers: Workers = ALONE,
    details: bool = True,
) -> Evaluation:
    """Evaluates `predictor` on the split `split_name` of `records`.

    Images are dealt out over `workers`. All workers must call this function; each gets the figures
    of all images, and samples of its own images. Progress is shown on stderr where stderr is a
    terminal.

    Args:
        predictor: the model.
        records: the data set.
        split_name: the split.
        workers: the processes that share the images.
        details: whether to count boundaries, confidences and objects too.

    Raises:
        DeeplabError: the data set has other classes, another image format or no such split, or a
            file is corrupt.
    """
    split = check_data(predictor, records, split_name)
    classes = predictor.classes.num_classes
    own = len(range(workers.index, split.num_examples, workers.count))
    keep = set(np.linspace(0, own - 1, SAMPLES).round().astype(int).tolist())
    samples, by_image, tally = [], [], Tally(classes)

    def judged(each: CountedExample[np.ndarray | None]) -> tuple[CountedExample, Judged]:
        found = judge(each.name, each.mask, each.labels, each.matrix, each.more, details)
        return each, found

    examples = labelled_images(split, workers.index, workers.count)
    counted = count_examples(_predict(predictor, details), examples, classes, predictor.at_once)
    # Other threads judge an image while the devices predict the next ones.
    each_judged = in_threads(judged, counted)
    for each, found in tqdm.tqdm(
        each_judged, total=own, desc="evaluate", unit="image", disable=None
    ):
        view = functools.partial(view_rgb, each.image, records.image_format)
        if tally.images in keep:
            samples.append(Sample(each.name, view(), each.mask, each.labels))
        tally.add(found, lambda each=each, view=view: Kept.of(view(), each.mask, each.labels))
        by_image.append(found.image)
    sum_tallies(tally, workers)
    return make_evaluation(
        tally,
        tuple(samples),
        gather_images(by_image, workers),
        details,
        lambda names: gather_pictures(tally.worst.kept, names, workers),
    )


def _predict(
    predictor: Predictor, details: bool
) -> Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray | None]]:
    """Returns a function from an image and its mask to its labels and their confidence."""
    wanted = Wanted.CONFIDENCE_IF_ANY if details else Wanted.LABELS

    def predict(image: np.ndarray, _mask: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        done = predict_one(predictor, Picture(None, image), wanted)
        return done.labels, done.confidence

    return predict


def check_data(predictor: Predictor, records: Records, split_name: str) -> SplitFiles:
    """Returns the split; raises `DeeplabError` where it is missing or does not fit the model."""
    check_same_classes(predictor.classes, records.classes)
    check_same_format(predictor.image_format, records.image_format)
    return records.labelled_split(split_name)


def check_same_format(model: ImageFormat, data: ImageFormat) -> None:
    """Raises `DeeplabError` where the model takes other bands or bits than the data set has."""
    if (model.bands, model.bits) != (data.bands, data.bits):
        raise DeeplabError(f"the model takes images of {model}, and the data set has {data}")

"""Measures what the details of an evaluation cost: processor time by image, beside the network's.

python tests/benchmarks/evaluation_details.py --model=runs/demo --data_dir=data --dataset=shapes
"""

import collections
import itertools
import time

from absl import app, flags

from deeplab_tf.data.pipeline import labelled_images
from deeplab_tf.data.records import open_records
from deeplab_tf.evaluation.boundary import boundary_counts
from deeplab_tf.evaluation.calibration import calibration_counts
from deeplab_tf.evaluation.object_sizes import object_counts
from deeplab_tf.evaluation.worst import Kept
from deeplab_tf.images.confusion import confusion_matrix
from deeplab_tf.images.formats import view_rgb
from deeplab_tf.inference.batches import Picture, predict_one
from deeplab_tf.inference.predictor import load_predictor
from deeplab_tf.inference.wanted import Wanted

_MODEL = flags.DEFINE_string("model", None, "The model.", required=True)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "The folder of the records.", required=True)
_DATASET = flags.DEFINE_string("dataset", None, "The data set.", required=True)
_SPLIT = flags.DEFINE_string("split", "val", "The split.")
_IMAGES = flags.DEFINE_integer("images", 20, "How many images, after one to warm up.")


def main(_) -> None:
    """Prints one line for each step."""
    predictor = load_predictor(_MODEL.value)
    records = open_records(_DATA_DIR.value, _DATASET.value)
    classes = records.classes.num_classes
    spent: dict[str, list[float]] = collections.defaultdict(list)

    def timed(what, function, *arguments):
        start = time.process_time()
        found = function(*arguments)
        spent[what].append(1000 * (time.process_time() - start))
        return found

    examples = labelled_images(records.split(_SPLIT.value))
    for _name, image, mask in itertools.islice(examples, _IMAGES.value + 1):
        labels = timed("labels", predictor.predict, image[None])[0]
        if predictor.gives_scores:
            asked = predictor, Picture(None, image), Wanted.CONFIDENCE
            done = timed("labels and confidence", predict_one, *asked)
        timed("confusion matrix", confusion_matrix, mask, labels, classes)
        timed("boundaries", boundary_counts, mask, labels, classes)
        if predictor.gives_scores:
            timed("calibration", calibration_counts, mask, labels, done.confidence)
        timed("objects by size", object_counts, mask, labels, classes)
        view = view_rgb(image, records.image_format)
        timed("pictures, where they are kept", Kept.of, view, mask, labels)
    print(f"{len(spent['labels']) - 1} images, the last {mask.shape[1]}x{mask.shape[0]}")
    for what, each in spent.items():
        print(f"{what:30} {sum(each[1:]) / (len(each) - 1):8.1f} ms of a core")


if __name__ == "__main__":
    app.run(main)

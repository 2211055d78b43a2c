"""deeplab-score: the figures of deeplab-eval from two folders of label PNGs.

    deeplab-score --predictions=predictions --ground_truth=masks
    deeplab-score --predictions=predictions --ground_truth=VOC2012/SegmentationClass \\
        --list=VOC2012/ImageSets/Segmentation/val.txt
    deeplab-score --predictions=out --ground_truth=valannot --num_classes=11 --ignore_label=11

Files are paired by name; every file (or every file of --list) must have its partner. Palette and
grey PNGs are read as their pixel values. Other files in the folders (the overlays of
deeplab-predict) are ignored. Below the table stands how much of the truth is void and which classes
have no true pixel, with a warning where more than half is void or only one class has pixels.

Exit code 0: done; 1: bad input; 2: wrong flag; 75: the connection to a store is
lost.
"""

import pathlib

from absl import flags

from deeplab_tf.cli.flags import run_binary
from deeplab_tf.cli.stores import Use

_PREDICTIONS = flags.DEFINE_string(
    "predictions", None, "Read the predicted label PNGs from this folder.", required=True
)
_GROUND_TRUTH = flags.DEFINE_string(
    "ground_truth", None, "Read the true label PNGs from this folder.", required=True
)
_NUM_CLASSES = flags.DEFINE_integer(
    "num_classes", 21, "Score this many classes, without void.", lower_bound=2, upper_bound=255
)
_IGNORE_LABEL = flags.DEFINE_integer(
    "ignore_label",
    255,
    "Take this value in the ground truth as void, whose pixels do not count.",
    lower_bound=0,
    upper_bound=255,
)
_LIST = flags.DEFINE_string(
    "list", None, "Score only the files that this file names, one name without suffix a line."
)


def main() -> int:
    """Scores the predictions, without TensorFlow."""
    from deeplab_tf.evaluation.boundary import boundary_iou, mean_of_present
    from deeplab_tf.evaluation.score import score_folders
    from deeplab_tf.images.confusion import Scores, format_table
    from deeplab_tf.images.coverage import coverage

    matrix, images, void_pixels, boundary = score_folders(
        pathlib.Path(_PREDICTIONS.value),
        pathlib.Path(_GROUND_TRUTH.value),
        _NUM_CLASSES.value,
        _IGNORE_LABEL.value,
        pathlib.Path(_LIST.value) if _LIST.value else None,
    )
    names = tuple(f"class {index}" for index in range(_NUM_CLASSES.value))
    scores = Scores.from_matrix(matrix)
    iou = boundary_iou(boundary)
    print(format_table(scores, names, iou, {"mean boundary IoU": mean_of_present(iou)}))
    print(f"\n{images} images; {coverage(scores, void_pixels, names)}")
    return 0


def run() -> None:
    """Runs the console script `deeplab-score`."""
    run_binary(
        "deeplab-score",
        __name__,
        main,
        stores={"predictions": Use.READ, "ground_truth": Use.READ, "list": Use.READ},
    )


if __name__ == "__main__":
    run()

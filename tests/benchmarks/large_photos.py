"""Measures mean IoU on VOC photos as they are and enlarged to the size of a camera's.

    python tests/benchmarks/large_photos.py --model=voc.keras --voc=VOCdevkit/VOC2012 \\
        --list=dev_val --longest=500,2500
"""

import pathlib

import numpy as np
from absl import app, flags
from PIL import Image

from deeplab_tf.cli.flag_types import define_working_size
from deeplab_tf.images.confusion import Scores, confusion_matrix
from deeplab_tf.inference.predictor import load_predictor

_MODEL = flags.DEFINE_string("model", None, "A model of VOC's classes.", required=True)
_VOC = flags.DEFINE_string("voc", None, "The folder VOC2012.", required=True)
_LIST = flags.DEFINE_string("list", "val", "A list in ImageSets/Segmentation.")
_PHOTOS = flags.DEFINE_integer("photos", 16, "How many photos, spread over the list.")
_LONGEST = flags.DEFINE_list("longest", ["500", "2500"], "The photos' longest sides, in pixels.")
_WORKING_SIZE = define_working_size("The working size; default: the model's.")


def main(_) -> None:
    """Prints one line for each size."""
    predictor = load_predictor(_MODEL.value, working_size=_WORKING_SIZE.value)
    folder = pathlib.Path(_VOC.value)
    names = (folder / "ImageSets/Segmentation" / f"{_LIST.value}.txt").read_text().split()
    names = names[:: max(1, len(names) // _PHOTOS.value)][: _PHOTOS.value]
    for longest in map(int, _LONGEST.value):
        classes = predictor.classes.num_classes
        matrix = np.zeros((classes, classes), np.int64)
        for name in names:
            photo = Image.open(folder / "JPEGImages" / f"{name}.jpg").convert("RGB")
            mask = Image.open(folder / "SegmentationClass" / f"{name}.png")
            scale = longest / max(photo.size)
            if scale > 1:
                size = (round(photo.width * scale), round(photo.height * scale))
                photo = photo.resize(size, Image.Resampling.BICUBIC)
                mask = mask.resize(size, Image.Resampling.NEAREST)
            labels = predictor.predict(np.asarray(photo)[None])[0]
            matrix += confusion_matrix(np.asarray(mask), labels, classes)
        miou = 100 * Scores.from_matrix(matrix).mean_iou
        print(f"{len(names)} photos of {longest} pixels: mean IoU {miou:.2f}", flush=True)


if __name__ == "__main__":
    app.run(main)

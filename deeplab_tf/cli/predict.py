"""deeplab-predict: labels and a coloured overlay for each image.

    deeplab-predict --model=runs/demo --images='photos/*.jpg' --out=predictions
    deeplab-predict --model=model.keras --images=photo.jpg --out=predictions --output_stride=8
    deeplab-predict --model=exported/saved_model --images=photos --out=predictions
    deeplab-predict --model=exported/model.tflite --images=photos --out=predictions
    deeplab-predict --model=runs/voc --images=VOC2012/JPEGImages --out=test \\
        --list=VOC2012/ImageSets/Segmentation/test.txt --submission=results.tar.gz

For an image NAME.jpg: NAME.png, the labels as a palette PNG at the image's own size (upright by its
EXIF orientation), and NAME_overlay.jpg with a legend. A LiteRT file has one input size: a smaller
image is padded with the mean pixel, a larger one shrunk to fit and its labels enlarged again.
--submission packs the labels of the images of --list as VOC's test server takes them, and checks
the archive against the list and the images' sizes. Exit code 0: all done; 1: bad input, or some
image could not be read (the others are done); 2: wrong flag.
"""

import pathlib

from absl import flags

from deeplab_tf.cli import inference_flags
from deeplab_tf.cli.flags import import_tensorflow, run_binary
from deeplab_tf.errors import DeeplabError

_MODEL = flags.DEFINE_string(
    "model", None, "WORKDIR, FILE.keras, SAVED_MODEL_DIR or FILE.tflite.", required=True
)
_IMAGES = flags.DEFINE_string(
    "images",
    None,
    "An image, a folder of images, or a quoted pattern ('photos/**/*.jpg').",
    required=True,
)
_OUT = flags.DEFINE_string("out", None, "The folder for the predictions.", required=True)
_LIST = flags.DEFINE_string(
    "list", None, "File of names without suffix, one a line: only these images are predicted."
)
_SUBMISSION = flags.DEFINE_string(
    "submission", None, "FILE.tar.gz: also pack the labels for VOC's test server; needs --list."
)
flags.adopt_module_key_flags(inference_flags)
flags.register_multi_flags_validator(
    ["submission", "list"],
    lambda values: values["submission"] is None or values["list"] is not None,
    "--submission needs --list=ImageSets/Segmentation/test.txt, the ids that the server expects",
)
flags.register_validator(
    "submission",
    lambda value: value is None or value.endswith(".tar.gz"),
    "must end in .tar.gz",
)


def main() -> int:
    """Predicts; TensorFlow is imported here, so that a wrong flag answers at once."""
    from deeplab_tf.evaluation.image_files import find_images, listed_images

    images, out = find_images(_IMAGES.value), pathlib.Path(_OUT.value)
    if _LIST.value is not None:
        images = listed_images(images, pathlib.Path(_LIST.value))
    import_tensorflow()
    from deeplab_tf.evaluation.predict_images import predict_images
    from deeplab_tf.evaluation.predictor import load_predictor
    from deeplab_tf.evaluation.submission import check_classes, write_submission

    predictor = load_predictor(_MODEL.value, **inference_flags.overrides())
    if _SUBMISSION.value:
        check_classes(predictor.labels)
    failed = predict_images(predictor, images, out)
    print(f"{len(images) - len(failed)} of {len(images)} images predicted into {out}")
    if failed:
        raise DeeplabError(
            f"{len(failed)} of {len(images)} images were left out: " + "; ".join(map(str, failed))
        )
    if _SUBMISSION.value:
        write_submission(images, out, pathlib.Path(_SUBMISSION.value))
        print(f"submission of {len(images)} images, checked: {_SUBMISSION.value}")
    return 0


def run() -> None:
    """The console script."""
    run_binary("deeplab-predict", __name__, main)


if __name__ == "__main__":
    run()

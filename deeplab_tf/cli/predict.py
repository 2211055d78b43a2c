"""deeplab-predict: labels and a coloured overlay for each image.

    deeplab-predict --model=runs/demo --images='photos/*.jpg' --out=predictions
    deeplab-predict --model=model.keras --images=photo.jpg --out=predictions --output_stride=8
    deeplab-predict --model=exported/saved_model --images=photos --out=predictions
    deeplab-predict --model=exported/model.tflite --images=photos --out=predictions

For an image NAME.jpg: NAME.png, the labels as a palette PNG at the image's own size (upright by its
EXIF orientation), and NAME_overlay.jpg with a legend. A LiteRT file has one input size: a smaller
image is padded with the mean pixel, a larger one shrunk to fit and its labels enlarged again.
Exit code 0: all done; 1: bad input, or some image could not be read (the others are done); 2: wrong
flag.
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
flags.adopt_module_key_flags(inference_flags)


def main() -> int:
    """Predicts; TensorFlow is imported here, so that a wrong flag answers at once."""
    from deeplab_tf.evaluation.image_files import find_images

    images = find_images(_IMAGES.value)
    import_tensorflow()
    from deeplab_tf.evaluation.predict_images import predict_images
    from deeplab_tf.evaluation.predictor import load_predictor

    predictor = load_predictor(_MODEL.value, **inference_flags.overrides())
    failed = predict_images(predictor, images, pathlib.Path(_OUT.value))
    print(f"{len(images) - len(failed)} of {len(images)} images predicted into {_OUT.value}")
    if failed:
        raise DeeplabError(
            f"{len(failed)} of {len(images)} images were left out: " + "; ".join(map(str, failed))
        )
    return 0


def run() -> None:
    """The console script."""
    run_binary("deeplab-predict", __name__, main)


if __name__ == "__main__":
    run()

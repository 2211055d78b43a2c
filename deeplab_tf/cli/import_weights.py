"""deeplab-import: other people's weights as a .keras file of ours.

    deeplab-import --source=tflite --weights=deeplabv3_257_mv_gpu.tflite --out=mobile.keras
    deeplab-import --source=torchvision --weights=deeplabv3_resnet101_coco.pth --out=voc.keras
    deeplab-import --source=slim --weights=model.ckpt-30000 --out=voc.keras
    deeplab-import --source=keras_applications --weights=resnet50_notop.h5 --out=backbone.keras
    deeplab-import --source=keras_hub --weights=deeplab_v3_plus.keras --out=voc.keras

The network and its conventions (stride placement, normalisation, batch norm epsilon, upsampling)
are those of the source and are written into the file. A classifier gives a backbone, for
--config.init_from of deeplab-train. The command prints which tensors were loaded, skipped, missing
and unexpected. Where the source's own runtime is installed, the command also prints how far both
agree, on --images or on drawn images; a float network that does not agree is not written.

Exit code 0: done; 1: bad input; 2: wrong flag; 75: the connection to a store is
lost.
"""

import contextlib
import importlib
import pathlib

from absl import flags

from deeplab_tf.cli.flag_types import WHOLE_NUMBER, FileName, Items
from deeplab_tf.cli.flags import import_tensorflow, run_binary
from deeplab_tf.cli.stores import Use

_SOURCE = flags.DEFINE_enum(
    "source",
    None,
    ["tflite", "torchvision", "keras_applications", "keras_hub", "slim"],
    "Read weights of this source.",
    required=True,
)
_WEIGHTS = flags.DEFINE_string(
    "weights",
    None,
    "Read this file: .tflite; .pth; .h5 or .keras; for keras_hub .keras or a preset's folder; for "
    "slim the checkpoint's path without .index.",
    required=True,
)
_OUT = flags.DEFINE(FileName(".keras"), "out", None, "Write this FILE.keras.", required=True)
_IMAGES = flags.DEFINE_string(
    "images",
    None,
    "Compare on these images: a photo, a folder or a quoted pattern. A .tflite has no batch norm "
    "statistics; the command estimates the statistics on these images, so that the network can be "
    "fine-tuned.",
)
_MULTI_GRID = flags.DEFINE(
    Items(WHOLE_NUMBER, "must be three whole numbers with commas between, as in 1,2,4", count=3),
    "multi_grid",
    None,
    "Give the unit rates that a ResNet of --source=slim was trained with, e.g. 1,2,4, since its "
    "checkpoint does not record the rates. Default: 1,1,1.",
)


def main() -> int:
    """Imports the weights; loads TensorFlow late, so that a wrong flag is reported at once."""
    from deeplab_tf.prediction.inputs import find_images

    photos = find_images(_IMAGES.value) if _IMAGES.value else []
    if _SOURCE.value == "torchvision":
        # torchvision comes first: the triton of torch crashes when it loads after TensorFlow.
        with contextlib.suppress(ImportError):
            importlib.import_module("torchvision")
    import_tensorflow(trains=False)
    from deeplab_tf.weights.convert import run_import

    weights, out = pathlib.Path(_WEIGHTS.value), pathlib.Path(_OUT.value)
    print(run_import(_SOURCE.value, weights, out, photos, _MULTI_GRID.value))
    return 0


def run() -> None:
    """Runs the console script `deeplab-import`."""
    run_binary(
        "deeplab-import",
        __name__,
        main,
        stores={
            "images": Use.PATTERN,
            "out": Use.WRITE,
        },
    )


if __name__ == "__main__":
    run()

"""deeplab-export: writes a trained model for serving or for edge devices, and proves it equal.

    deeplab-export --workdir=runs/demo --out=runs/demo/saved_model --data_dir=data
    deeplab-export --workdir=runs/demo --out=runs/demo/litert --format=litert --data_dir=data \\
        --quantize=float16 --image_size=257,257
    deeplab-export --model=model.keras --out=served --images='photos/*.jpg'
    deeplab-export --workdir=runs/demo --out=page --format=web --data_dir=data

The artefact is run on images, of a split of the data set or of your own, beside the Keras
model, and published only if the labels agree: on 99.9 % of the pixels, 99.5 % with float16 weights.
parity.json beside it has the numbers. --out holds saved_model.pb for --format=saved_model;
model.tflite or model_float16.tflite for --format=litert; the page for --format=web, for which npm
fetches LiteRT.js, and beside it OUT.parity.json. Exit code 0: done; 1: bad input, or the labels
disagree; 2: wrong flag.
"""

import dataclasses
import pathlib
from typing import TYPE_CHECKING

from absl import flags

from deeplab_tf.cli.flags import import_tensorflow, run_binary
from deeplab_tf.config import OUTPUT_STRIDES, validate

if TYPE_CHECKING:
    from deeplab_tf.export.parity import Images  # pyright: ignore[reportMissingImports]
    from deeplab_tf.trained_model import TrainedModel

_WORKDIR = flags.DEFINE_string("workdir", None, "Workdir of deeplab-train: its latest checkpoint.")
_MODEL = flags.DEFINE_string("model", None, "A .keras file, instead of --workdir.")
_OUT = flags.DEFINE_string("out", None, "Directory to write.", required=True)
_FORMAT = flags.DEFINE_enum(
    "format",
    "saved_model",
    ["saved_model", "litert", "web"],
    "for TF Serving and TensorFlow, any image size; one file for phones, boards and browsers, one "
    "image size; or a page that runs that file, for any static host.",
)
_QUANTIZE = flags.DEFINE_enum(
    "quantize", "none", ["none", "float16"], "float16 weights take half the size; litert and web."
)
_IMAGE_SIZE = flags.DEFINE_list(
    "image_size",
    None,
    "H,W of the input, litert and web; k * output_stride + 1 fits best. Default: the training "
    "crop.",
)
_OUTPUT_STRIDE = flags.DEFINE_integer(
    "output_stride", None, "Of the exported network, e.g. 8. Default: as trained."
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Where deeplab-prepare wrote the model's data set, to compare on."
)
_SPLIT = flags.DEFINE_string(
    "split", None, "The split to compare on; default: as the experiment's evaluate section."
)
_IMAGES = flags.DEFINE_string(
    "images",
    None,
    "Compare on these instead of --data_dir: an image, a folder, or a quoted pattern.",
)
_PARITY_IMAGES = flags.DEFINE_integer(
    "parity_images", 8, "How many images to compare on.", lower_bound=1
)

_LITERTJS = flags.DEFINE_string(
    "litertjs",
    None,
    "A folder with the archives of LiteRT.js, web only; default: fetched by npm once and kept.",
)

flags.register_multi_flags_validator(
    ["workdir", "model"],
    lambda values: (values["workdir"] is None) != (values["model"] is None),
    "give one of --workdir=DIR and --model=FILE.keras",
)
flags.register_multi_flags_validator(
    ["data_dir", "images"],
    lambda values: (values["data_dir"] is None) != (values["images"] is None),
    "the export is compared with the model on images: give one of --data_dir=DIR, where "
    "deeplab-prepare wrote the data set, and --images=FILES",
)
flags.register_multi_flags_validator(
    ["format", "quantize", "image_size"],
    lambda values: (
        values["format"] in ("litert", "web")
        or (values["quantize"] == "none" and values["image_size"] is None)
    ),
    "--quantize and --image_size are for --format=litert and --format=web",
)
flags.register_multi_flags_validator(
    ["format", "litertjs"],
    lambda values: values["format"] == "web" or values["litertjs"] is None,
    "--litertjs is for --format=web",
)
flags.register_multi_flags_validator(
    ["images", "split"],
    lambda values: values["images"] is None or values["split"] is None,
    "--split is of --data_dir; --images has none",
)
flags.register_validator(
    "image_size",
    lambda sides: (
        sides is None
        or (len(sides) == 2 and all(side.strip().isdecimal() and int(side) > 0 for side in sides))
    ),
    "must be H,W in pixels, e.g. --image_size=513,513",
)
flags.register_validator(
    "output_stride",
    lambda stride: stride in (None, *OUTPUT_STRIDES),
    f"must be one of {', '.join(map(str, OUTPUT_STRIDES))}",
)


def main() -> None:
    """Exports; TensorFlow is imported here, so that a wrong flag answers at once."""
    import_tensorflow()
    # Pyright does not follow setup.cfg's package_dir from an editable install.
    from deeplab_tf.export.litert import (  # pyright: ignore[reportMissingImports]
        FILE_NAMES,
        export_litert,
    )
    from deeplab_tf.export.saved_model import (  # pyright: ignore[reportMissingImports]
        export_saved_model,
    )
    from deeplab_tf.export.web_page import export_web  # pyright: ignore[reportMissingImports]

    out = pathlib.Path(_OUT.value)
    trained = _trained_model()
    # All at once, so that a broken one is found before the model is converted.
    images = list(_parity_images(trained))
    if _FORMAT.value == "saved_model":
        exported = export_saved_model(trained, out, images)
    else:
        height, width = _IMAGE_SIZE.value or (trained.experiment.data.crop_size,) * 2
        options = {"image_size": (int(height), int(width)), "quantize": _QUANTIZE.value}
        if _FORMAT.value == "web":
            exported = export_web(trained, out, images, litertjs=_LITERTJS.value, **options)
        else:
            exported = export_litert(trained, out / FILE_NAMES[_QUANTIZE.value], images, **options)
    parity, where = exported.parity, exported.parity.where
    print(f"artefact           {exported.artefact} ({exported.size_bytes / 1e6:.1f} MB)")
    print(f"label agreement    {parity.label_agreement:.4%} of {parity.images} images' pixels")
    print(f"logit difference   {parity.largest_logit_difference:.2g} at most, in {where.image}")
    print(f"report             {exported.report}")
    print(f"next               {_next_command(exported.artefact)}")


def _next_command(artefact: pathlib.Path) -> str:
    if _FORMAT.value == "web":
        return f"python -m http.server --directory={artefact}, and open http://localhost:8000"
    return f"deeplab-predict --model={artefact} --images=FILES --out=DIR"


def _trained_model() -> "TrainedModel":
    """What `--workdir` or `--model` names, at `--output_stride`."""
    from deeplab_tf.models import with_output_stride
    from deeplab_tf.trained_model import TrainedModel, load_model

    trained = load_model(str(_WORKDIR.value or _MODEL.value))
    config, stride = trained.experiment.model, _OUTPUT_STRIDE.value
    if stride is None:
        return trained
    experiment = validate(
        dataclasses.replace(
            trained.experiment, model=dataclasses.replace(config, output_stride=stride)
        )
    )
    model = with_output_stride(trained.model, config, stride)
    return TrainedModel(model, experiment, trained.labels)


def _parity_images(trained: "TrainedModel") -> "Images":
    from deeplab_tf.export.images import (  # pyright: ignore[reportMissingImports]
        data_set_images,
        file_images,
    )

    if _IMAGES.value is not None:
        return file_images(_IMAGES.value, _PARITY_IMAGES.value, trained.image)
    return data_set_images(
        pathlib.Path(str(_DATA_DIR.value)),
        trained.experiment.data.dataset,
        _SPLIT.value or trained.experiment.evaluate.split,
        _PARITY_IMAGES.value,
    )


def run() -> None:
    """The console script."""
    run_binary("deeplab-export", __name__, main)


if __name__ == "__main__":
    run()

"""deeplab-export: writes a trained model for serving or for edge devices, and proves it equal.

    deeplab-export --workdir=runs/demo --out=runs/demo/saved_model --data_dir=data
    deeplab-export --workdir=runs/demo --out=runs/demo/litert --format=litert --data_dir=data \\
        --quantize=float16 --image_size=257,257
    deeplab-export --model=voc.keras --out=edge --format=litert --data_dir=data --quantize=int8 \\
        --outputs=labels --parity_images=467
    deeplab-export --model=model.keras --out=served --images='photos/*.jpg' \\
        --signatures=probabilities,uncertainty --scales=0.75,1,1.25 --flip
    deeplab-export --workdir=runs/demo --out=onnx --format=onnx --data_dir=data
    deeplab-export --workdir=runs/demo --out=page --format=web --data_dir=data
    deeplab-export --model=voc.keras --out=edge --benchmark

The artefact is run on images, of a split of the data set or of your own, beside the Keras
model, and published only if the labels agree: on 99.9 % of the pixels, 99.5 % with float16 weights.
With int8 (dynamic, int8) the mean IoU may fall by 0.01 where the split is labelled; else the labels
agree on 98 % and 97 %. parity.json beside it has the numbers. --out holds saved_model.pb for
--format=saved_model; model.tflite, model_float16.tflite, model_dynamic_range.tflite or
model_int8.tflite for --format=litert; model.onnx for --format=onnx, which must agree in ONNX
Runtime and in OpenVINO (pip install tf2onnx onnx onnxruntime openvino); the page for --format=web,
for which npm fetches LiteRT.js, and beside it OUT.parity.json. --benchmark writes nothing: it
prints latency, memory and size of the artefacts that are in --out, beside the Keras model's. Exit
code 0: done; 1: bad input, or the artefact is worse than that; 2: wrong flag.
"""

import pathlib
from typing import TYPE_CHECKING

from absl import flags

from deeplab_tf.cli import export_flags as given
from deeplab_tf.cli.flags import import_tensorflow, run_binary
from deeplab_tf.errors import DeeplabError

if TYPE_CHECKING:
    from deeplab_tf.artefacts.trained_model import TrainedModel
    from deeplab_tf.export.parity import Export, Images  # pyright: ignore[reportMissingImports]

flags.adopt_module_key_flags(given)


def main() -> None:
    """Exports; TensorFlow is imported here, so that a wrong flag answers at once."""
    import_tensorflow(trains=False)
    out = pathlib.Path(given.OUT.value)
    trained = _trained_model()
    if given.BENCHMARK.value:
        _benchmark(trained, out)
        return
    # Of files all at once, so that a broken one is found before the model is converted.
    split = given.SPLIT.value or trained.experiment.evaluate.split
    images = _pictures(trained, split, _parity_count())
    exporters = {
        "saved_model": _export_saved_model,
        "litert": _export_litert,
        "onnx": _export_onnx,
        "web": _export_web,
    }
    _print(exporters[given.FORMAT.value](trained, out, images))


# Pyright does not follow setup.cfg's package_dir from an editable install.
def _export_saved_model(trained: "TrainedModel", out: pathlib.Path, images: "Images") -> "Export":
    from deeplab_tf.export import saved_model  # pyright: ignore[reportMissingImports]

    scales = tuple(float(scale) for scale in given.SCALES.value)
    signatures = tuple(dict.fromkeys(given.SIGNATURES.value))
    serving = saved_model.Serving(signatures, scales, given.FLIP.value)
    return saved_model.export_saved_model(trained, out, images, serving)


def _export_litert(trained: "TrainedModel", out: pathlib.Path, images: "Images") -> "Export":
    from deeplab_tf.export import litert  # pyright: ignore[reportMissingImports]

    calibration = ()
    if given.QUANTIZE.value == "int8":
        split, count = trained.experiment.data.split, given.CALIBRATION_IMAGES.value
        calibration = _pictures(trained, split, count)
    return litert.export_litert(
        trained,
        out / litert.FILE_NAMES[given.QUANTIZE.value],
        images,
        image_size=_image_size(trained),
        quantize=given.QUANTIZE.value,
        outputs=given.OUTPUTS.value,
        keep_float=given.split_patterns(given.KEEP_FLOAT.value),
        calibration=calibration,
    )


def _export_onnx(trained: "TrainedModel", out: pathlib.Path, images: "Images") -> "Export":
    try:
        from deeplab_tf.export.onnx_model import (  # pyright: ignore[reportMissingImports]
            FILE_NAME,
            export_onnx,
        )
    except ModuleNotFoundError as error:
        raise DeeplabError(
            f"--format=onnx needs {error.name}: pip install tf2onnx onnx onnxruntime openvino"
        ) from error
    return export_onnx(trained, out / FILE_NAME, images, outputs=given.OUTPUTS.value)


def _export_web(trained: "TrainedModel", out: pathlib.Path, images: "Images") -> "Export":
    from deeplab_tf.export.web_page import export_web  # pyright: ignore[reportMissingImports]

    size = _image_size(trained)
    assert size is not None  # --image_size=dynamic is refused with the flags
    return export_web(
        trained,
        out,
        images,
        image_size=size,
        quantize=given.QUANTIZE.value,
        litertjs=given.LITERTJS.value,
    )


def _benchmark(trained: "TrainedModel", out: pathlib.Path) -> None:
    from deeplab_tf.export import benchmark  # pyright: ignore[reportMissingImports]

    size = _image_size(trained) or (trained.experiment.data.crop_size,) * 2
    model = pathlib.Path(str(given.WORKDIR.value or given.MODEL.value))
    print(benchmark.format_measured(benchmark.measure_artefacts(model, out, size)))


def _print(exported: "Export") -> None:
    parity = exported.parity
    print(f"artefact           {exported.artefact} ({exported.size_bytes / 1e6:.1f} MB)")
    print(f"label agreement    {parity.label_agreement:.4%} of {parity.images} images' pixels")
    if parity.where is not None:
        largest = parity.largest_logit_difference
        print(f"logit difference   {largest:.2g} at most, in {parity.where.image}")
    if parity.mean_iou is not None:
        keras_model, artefact = parity.mean_iou
        print(f"mean IoU           {artefact:.2%}, the Keras model {keras_model:.2%}")
    if exported.noisiest:
        layers = ", ".join(f"{n.layer} ({n.signal_to_noise:.0f} dB)" for n in exported.noisiest)
        print(f"lose most          {layers}")
    print(f"report             {exported.report}")
    print(f"next               {_next_command(exported.artefact)}")


def _next_command(artefact: pathlib.Path) -> str:
    if given.FORMAT.value == "web":
        return f"python -m http.server --directory={artefact}, and open http://localhost:8000"
    return f"deeplab-predict --model={artefact} --images=FILES --out=DIR"


def _parity_count() -> int:
    """Mean IoU wants more images than the equality of labels."""
    return given.PARITY_IMAGES.value or (100 if given.QUANTIZE.value in ("dynamic", "int8") else 8)


def _image_size(trained: "TrainedModel") -> tuple[int, int] | None:
    """`--image_size`; None is any."""
    if given.IMAGE_SIZE.value == ["dynamic"]:
        return None
    height, width = given.IMAGE_SIZE.value or (trained.experiment.data.crop_size,) * 2
    return int(height), int(width)


def _trained_model() -> "TrainedModel":
    """What `--workdir` or `--model` names, at `--output_stride`."""
    from deeplab_tf.artefacts.trained_model import at_output_stride, load_model

    trained = load_model(str(given.WORKDIR.value or given.MODEL.value))
    stride = given.OUTPUT_STRIDE.value
    return trained if stride is None else at_output_stride(trained, stride)


def _pictures(trained: "TrainedModel", split: str, count: int) -> "Images":
    """The first `count` of `--images`, or of a split of the data set."""
    from deeplab_tf.export import images  # pyright: ignore[reportMissingImports]

    if given.IMAGES.value is not None:
        return list(images.file_images(given.IMAGES.value, count, trained.image_format))
    return images.data_set_images(
        pathlib.Path(str(given.DATA_DIR.value)),
        trained.experiment.data.dataset,
        split,
        count,
        trained.classes,
    )


def run() -> None:
    """The console script."""
    run_binary("deeplab-export", __name__, main)


if __name__ == "__main__":
    run()

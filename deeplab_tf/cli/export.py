"""deeplab-export: writes a trained model for serving or for edge devices, and proves it equal.

    deeplab-export --model=runs/demo --out=runs/demo/saved_model --data_dir=data
    deeplab-export --model=runs/demo --out=runs/demo/litert --format=litert --data_dir=data \\
        --quantize=float16 --image_size=257,257
    deeplab-export --model=voc.keras --out=edge --format=litert --data_dir=data --quantize=int8 \\
        --outputs=labels --parity_images=467
    deeplab-export --model=model.keras --out=served --images='photos/*.jpg' \\
        --signatures=probabilities,uncertainty --scales=0.75,1,1.25 --flip
    deeplab-export --model=runs/demo --out=onnx --format=onnx --data_dir=data
    deeplab-export --model=runs/demo --out=openvino --format=openvino --data_dir=data
    deeplab-export --model=runs/demo --out=page --format=web --data_dir=data
    deeplab-export --model=voc.keras --out=edge --benchmark

The artefact and the Keras model are run on the same images, of a split of the data set or of your
own. The artefact is published only if the labels agree on 99.9 % of the pixels, or on 99.5 % with
float16 weights. With int8 weights (--quantize=dynamic or int8) the mean IoU may fall by 0.01 where
the split is labelled; where it is not, the labels must agree on 98 % (dynamic) or 97 % (int8).
parity.json next to the artefact has the numbers.

--out holds saved_model.pb for --format=saved_model; model.tflite, model_float16.tflite,
model_dynamic_range.tflite or model_int8.tflite for --format=litert; model.onnx for --format=onnx,
which must agree in ONNX Runtime and in OpenVINO (pip install tf2onnx onnx onnxruntime openvino);
model.xml and model.bin for --format=openvino (pip install openvino, and nncf for int8); the page
for --format=web, for which npm fetches LiteRT.js, and OUT.parity.json next to it.
--benchmark writes nothing: it prints latency, memory and size of the artefacts that are in --out,
and of the Keras model.

Exit code 0: done; 1: bad input, or the artefact agrees less than that; 2: wrong flag;
75: the connection to a store is lost.
"""

import pathlib
from typing import TYPE_CHECKING

from absl import flags

from deeplab_tf.cli import export_flags as given
from deeplab_tf.cli.flags import import_tensorflow, run_binary, warn
from deeplab_tf.cli.stores import Use

if TYPE_CHECKING:
    from deeplab_tf.export.parity import Export  # pyright: ignore[reportMissingImports]

flags.adopt_module_key_flags(given)


def main() -> None:
    """Exports the model; imports TensorFlow late, so that a wrong flag is reported at once."""
    import_tensorflow(trains=False)
    # Pyright does not follow setup.cfg's package_dir from an editable install.
    from deeplab_tf.export.export_model import export_model  # pyright: ignore[reportMissingImports]

    model, out = str(given.MODEL.value), pathlib.Path(given.OUT.value)
    if given.BENCHMARK.value:
        _benchmark(model, out)
        return
    exported = export_model(
        model,
        out,
        given.FORMAT.value,
        images=given.IMAGES.value,
        data_dir=given.DATA_DIR.value,
        split=given.SPLIT.value,
        parity_images=given.PARITY_IMAGES.value,
        output_stride=given.OUTPUT_STRIDE.value,
        image_size=given.image_size(),
        open_size=given.is_open(),
        quantize=given.QUANTIZE.value,
        keep_float=given.keep_float(),
        calibration_images=given.CALIBRATION_IMAGES.value,
        outputs=given.OUTPUTS.value,
        signatures=given.SIGNATURES.value or (),
        scales=given.SCALES.value,
        flip=given.FLIP.value,
        working_size=given.WORKING_SIZE.value,
        litertjs=given.LITERTJS.value,
        report=warn,
    )
    _print(exported)


def _benchmark(model: str, out: pathlib.Path) -> None:
    from deeplab_tf.artefacts.trained_model import load_model
    from deeplab_tf.export import benchmark  # pyright: ignore[reportMissingImports]
    from deeplab_tf.named import model_path

    path = model_path(model, warn)
    size = given.image_size() or load_model(path, warn).experiment.data.crop
    print(benchmark.format_measured(benchmark.measure_artefacts(path, out, size)))


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
    if exported.calibration_images:
        both = exported.calibration_images_compared or "none"
        number = exported.calibration_images
        images = "image" if number == 1 else "images"
        print(f"calibrated on      {number} {images}, {both} of those compared")
    if exported.noisiest:
        layers = ", ".join(f"{n.layer} ({n.signal_to_noise:.0f} dB)" for n in exported.noisiest)
        print(f"lose most          {layers}")
    print(f"report             {exported.report}")
    print(f"next               {_next_command(exported.artefact)}")


def _next_command(artefact: pathlib.Path) -> str:
    if given.FORMAT.value == "web":
        return f"python -m http.server --directory={artefact}, and open http://localhost:8000"
    return f"deeplab-predict --model={artefact} --images=FILES --out=DIR"


def run() -> None:
    """Runs the console script `deeplab-export`."""
    run_binary(
        "deeplab-export",
        __name__,
        main,
        stores={
            "model": Use.READ,
            "workdir": Use.READ,
            "data_dir": Use.PARTS,
            "images": Use.PATTERN,
            "out": Use.WRITE,
        },
    )


if __name__ == "__main__":
    run()

"""The export of a model in any format, compared with the Keras model before it is published.

Tested in tests/test_public_names.py and tests/cli/test_export.py, through `deeplab-export`.
"""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from deeplab_tf.artefacts.trained_model import TrainedModel, at_output_stride
from deeplab_tf.data.records import open_records
from deeplab_tf.errors import DeeplabError
from deeplab_tf.inference.strategies import resolve_evaluate_config
from deeplab_tf.inference.working_size import working_size_of
from deeplab_tf.machine.stderr import quiet_tensorflow
from deeplab_tf.named.load import load_model
from deeplab_tf.prediction.inputs import find_images

from .images import (
    ComparedImage,
    data_set_images,
    digest,
    file_images,
    hold_apart,
    shrink_picture,
)
from .parity import INT8, ComparedImages, Export

Format = Literal["saved_model", "litert", "onnx", "openvino", "web"]
Quantize = Literal["none", "float16", "dynamic", "int8"]
Outputs = Literal["both", "labels", "logits"]

OPTIONS = {
    "saved_model": {"signatures", "scales", "flip"},
    "litert": {"image_size", "open_size", "quantize", "keep_float", "outputs"},
    "onnx": {"outputs"},
    "openvino": {"quantize", "outputs"},
    "web": {"image_size", "quantize", "litertjs"},
}
"""The options that each format has."""

FEW_IMAGES = 8
MANY_IMAGES = 100
"""How many images are compared by default. int8 is judged by mean IoU, which needs more images."""


@quiet_tensorflow()
def export_model(
    model: TrainedModel | str | os.PathLike,
    out: str | os.PathLike,
    format: Format = "saved_model",
    *,
    images: str | os.PathLike | None = None,
    data_dir: str | os.PathLike | None = None,
    split: str | None = None,
    parity_images: int | None = None,
    output_stride: int | None = None,
    image_size: tuple[int, int] | None = None,
    open_size: bool = False,
    quantize: Quantize = "none",
    keep_float: Sequence[str] = (),
    calibration_images: int = MANY_IMAGES,
    outputs: Outputs = "both",
    signatures: Sequence[str] = (),
    scales: Sequence[float] | None = None,
    flip: bool | None = None,
    working_size: int | None = None,
    litertjs: str | os.PathLike | None = None,
    report: Callable[[str], None] = print,
) -> Export:
    """Writes an artefact into the folder `out` if it agrees with the Keras model on images.

    Args:
        model: a trained model, a workdir, a `.keras` file, or the name of a published model.
        out: the folder; `saved_model`, `openvino` and `web` replace it, the others write a file
            into it.
        format: `saved_model`, `litert`, `onnx`, `openvino`, or `web` for a page that runs a LiteRT
            file.
        images: a file, a folder or a glob pattern to compare on; either this or `data_dir` is
            given.
        data_dir: the folder in which `deeplab-prepare` wrote the model's data set, to compare on.
        split: the split of the data set; None takes that of the experiment's evaluate section.
        parity_images: how many images are compared; None takes 8, or 100 with int8 weights.
        output_stride: the output_stride of the exported network; None leaves it as trained.
        image_size: (height, width) of a LiteRT file's input; None takes the training crop.
        open_size: whether a LiteRT file takes images of any size instead.
        quantize: the kind of LiteRT file, see `litert.Options`, or of OpenVINO model, see
            `write_openvino`.
        keep_float: regular expressions of layers that `int8` leaves in float32.
        calibration_images: how many images `int8` is fitted to; at most half of the images there
            are, where those to compare on are of the same source. An image that is compared on,
            under whatever name, is left out unless there is no other.
        outputs: the outputs of a LiteRT or ONNX file or an OpenVINO model.
        signatures: the signatures of a SavedModel besides labels: `probabilities`, `logits`,
            `uncertainty`.
        scales, flip: the views that a SavedModel averages; None takes those of the experiment's
            evaluate section.
        working_size: the longest side, in pixels, at which the network sees an image, 0 for any;
            the artefact carries it. None takes that of the experiment's evaluate section, whose
            default is the longest side of the training images.
        litertjs: a folder with LiteRT.js' archives; None lets npm fetch them.
        report: gets a line for each broken checkpoint of a workdir that is passed over, and one
            that says which weights are taken where the run keeps the best.

    Raises:
        DeeplabError: the artefact is worse than its format allows, a package is missing, or the
            options do not fit each other.
    """
    if (images is None) == (data_dir is None):
        raise DeeplabError("give one of images= and data_dir=, on which the artefact is compared")
    given = {
        "image_size": image_size is not None,
        "open_size": open_size,
        "quantize": quantize != "none",
        "keep_float": bool(keep_float),
        "outputs": outputs != "both",
        "signatures": bool(signatures),
        "scales": scales is not None,
        "flip": flip is not None,
        "litertjs": litertjs is not None,
    }
    _check_options(format, {name for name, value in given.items() if value})
    trained = model if isinstance(model, TrainedModel) else load_model(model, report)
    if output_stride is not None:
        trained = at_output_stride(trained, output_stride)
    if working_size is not None:
        trained = _with_working_size(trained, working_size)
    longest = working_size_of(trained.experiment, trained.experiment.evaluate).longest
    out = pathlib.Path(out)

    dataset, folder = trained.experiment.data.dataset, pathlib.Path(str(data_dir))

    def compared(split: str, count: int) -> ComparedImages:
        if images is not None:
            found = file_images(str(images), count, trained.image_format)
        else:
            found = data_set_images(folder, dataset, split, count, trained.classes)
        return (shrink_picture(picture, longest) for picture in found)

    def available(split: str) -> int:
        if images is not None:
            return len(find_images(str(images)))
        return open_records(folder, dataset).split(split).num_examples

    count = parity_images or (MANY_IMAGES if quantize in INT8 else FEW_IMAGES)
    split = split or trained.experiment.evaluate.split
    calibration: Sequence[ComparedImage] = ()
    if quantize != "int8":
        parity = compared(split, count)
    elif images is None and split != trained.experiment.data.split:
        calibration = list(compared(trained.experiment.data.split, calibration_images))
        calibration = _others(calibration, compared(split, count))
        parity = compared(split, count)
    else:
        shared_out = hold_apart(available(split), calibration_images, count)
        calibration, parity = _held_apart(lambda n: compared(split, n), *shared_out)
    if images is not None:
        # Files are read all at once, so that a broken one is found before the model is converted.
        parity = list(parity)
    size = image_size or trained.experiment.data.crop
    if format == "saved_model":
        from .saved_model import Serving, export_saved_model

        evaluate_config = trained.experiment.evaluate
        scales = evaluate_config.scales if scales is None else tuple(map(float, scales))
        flip = evaluate_config.flip if flip is None else flip
        serving = Serving(tuple(dict.fromkeys(signatures)), scales, flip)
        return export_saved_model(trained, out, parity, serving)
    if format == "litert":
        from .litert import FILE_NAMES, Options, export_litert

        options = Options(None if open_size else size, quantize, outputs, tuple(keep_float))
        return export_litert(trained, out / FILE_NAMES[quantize], parity, options, calibration)
    if format == "onnx":
        try:
            from .onnx_model import FILE_NAME, export_onnx
        except ModuleNotFoundError as error:
            raise DeeplabError(
                f"the ONNX export needs {error.name}: pip install tf2onnx onnx onnxruntime openvino"
            ) from error
        return export_onnx(trained, out / FILE_NAME, parity, outputs=outputs)
    if format == "openvino":
        try:
            from .openvino_model import export_openvino
        except ModuleNotFoundError as error:
            raise DeeplabError(
                f"the OpenVINO export needs {error.name}: pip install openvino nncf"
            ) from error
        return export_openvino(
            *(trained, out, parity),
            quantize=quantize,
            outputs=outputs,
            calibration=calibration,
        )
    from .litert import Options
    from .web_page import export_web

    return export_web(trained, out, parity, Options(size, quantize), litertjs)


def _held_apart(
    read: Callable[[int], ComparedImages], calibration: Sequence[int], compared: Sequence[int]
) -> tuple[Sequence[ComparedImage], ComparedImages]:
    """Returns the images to calibrate on and those to compare on, both of one source.

    The source is read anew for each, so that memory holds only the first.

    Args:
        read: gives the first images of the source, at most so many.
        calibration, compared: their positions, see `hold_apart`.
    """

    def chosen(positions: Sequence[int]) -> Iterator[ComparedImage]:
        wanted = set(positions)
        first = read(max(wanted, default=-1) + 1)
        return (picture for i, picture in enumerate(first) if i in wanted)

    return _others(list(chosen(calibration)), chosen(compared)), chosen(compared)


def _others(
    calibration: Sequence[ComparedImage], compared: ComparedImages
) -> Sequence[ComparedImage]:
    """Returns the images of `calibration` whose pixels are not compared, or all if none is left."""
    known = {digest(picture.image) for picture in compared}
    return [each for each in calibration if digest(each.image) not in known] or calibration


def _with_working_size(trained: TrainedModel, working_size: int) -> TrainedModel:
    evaluate_config = resolve_evaluate_config(trained.experiment, working_size=working_size)
    experiment = dataclasses.replace(trained.experiment, evaluate=evaluate_config)
    return dataclasses.replace(trained, experiment=experiment)


def _check_options(format: str, given: set[str]) -> None:
    """Raises `DeeplabError` where an option in `given` is not of the format."""
    if format not in OPTIONS:
        raise DeeplabError(f"format must be {' or '.join(OPTIONS)}. Received: {format!r}")
    wrong = sorted(given - OPTIONS[format])
    if wrong:
        raise DeeplabError(f"format={format} has no option {', '.join(wrong)}; leave it out")

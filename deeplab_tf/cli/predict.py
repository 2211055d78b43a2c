"""deeplab-predict: labels and a coloured overlay for each image, and polygons or probabilities.

    deeplab-predict --model=voc-mobilenet-v2 --images=photo.jpg --out=predictions
    deeplab-predict --model=runs/demo --images='photos/*.jpg' --out=predictions
    deeplab-predict --model=model.keras --images=photo.jpg --out=predictions --output_stride=8
    deeplab-predict --model=exported/saved_model --images=photos --out=predictions
    deeplab-predict --model=exported/model.tflite --images=photos --out=predictions
    deeplab-predict --model=runs/voc --images=VOC2012/JPEGImages --out=test \\
        --list=VOC2012/ImageSets/Segmentation/test.txt --submission=results.tar.gz

    ffmpeg -i rtsp://camera -f image2pipe -c:v mjpeg -q:v 2 - | \\
        deeplab-predict --model=exported/model.tflite --images=- --out=predictions

An image NAME.jpg gives NAME.png, the labels as a palette PNG at the image's own size (upright by
its EXIF orientation), and NAME_overlay.jpg with a legend. A GeoTIFF NAME.tif gives a GeoTIFF of
labels at the same place (pip install tifffile imagecodecs); with --window, TIFFs too large for
memory are read and written by rows of windows. A video NAME.mp4 (pip install av) gives the labels
NAME/000001.png and so on, one a frame, and NAME_overlay.mp4. With --images=- the command
reads JPEGs and PNGs from standard input, one after the other; the n-th image gives frame_NNNNNN.png
and its overlay before the next one is read. A LiteRT file has one input size: a smaller image is
padded with the mean pixel, and a larger one is shrunk to fit and its scores enlarged again. Images
longer than the training's are shrunk for every network, unless --working_size or --window says
otherwise.

--write chooses the files of an image: labels, overlay, probabilities (NAME_probabilities.npz) and
confidence (NAME_confidence.png) with 65535 for 1, polygons (--polygons=geojson,labelme,coco: to be
corrected in a labelling tool) and areas (areas.csv). --min_area and --fill_holes remove small
regions and holes before (pip install rasterio).

    deeplab-predict --model=runs/fields --images=photos --out=photos --polygons=labelme \\
        --write=polygons --min_area=200

--submission packs the labels of the images of --list as VOC's test server takes them, and checks
the archive against the list and the images' sizes.

With --runner, Apache Beam predicts (pip install apache-beam) on this machine or a cluster, for more
images than one process should do: files, or the records of a data set with --data_dir, --dataset
and --split. Beam writes the labels of root/a/NAME.jpg as a/NAME.png, and OUT/failed.jsonl.
The same command continues a job that was stopped.

    deeplab-predict --model=exported/saved_model --images='photos/**/*.jpg' --out=labels \\
        --runner=DirectRunner \\
        --beam_options=direct_num_workers=2,direct_running_mode=multi_processing
    deeplab-predict --model=exported/saved_model --data_dir=data --dataset=voc --split=val \\
        --out=labels --runner=DirectRunner

Files that cannot be read are left out and named at the end; the others are predicted.

Exit code 0: all done; 1: bad input, or something was left out; 2: wrong flag; 75: the
connection to a store is lost.
"""

import pathlib

from absl import flags

from deeplab_tf.cli import beam_flags, inference_flags
from deeplab_tf.cli.flag_rules import is_given, require
from deeplab_tf.cli.flag_types import FileName, Items, one_of
from deeplab_tf.cli.flags import import_tensorflow, run_binary, say, warn
from deeplab_tf.cli.stores import Use
from deeplab_tf.distributed.beam import BeamRunner
from deeplab_tf.prediction.writes import FORMS, KINDS, Writes

STREAM = "-"
"""The value of --images that means standard input."""

_MODEL = flags.DEFINE_string(
    "model",
    None,
    "Predict with this model: a NAME of deeplab-models, WORKDIR, FILE.keras, SAVED_MODEL_DIR, "
    "OPENVINO_DIR, FILE.tflite or FILE.onnx.",
    required=True,
)
_IMAGES = flags.DEFINE_string(
    "images",
    None,
    "Predict an image or a video, a folder of images and videos, a quoted pattern "
    "('photos/**/*.jpg'), or - for a stream of images on standard input.",
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "With --runner, predict the records that deeplab-prepare wrote into this folder, instead "
    "of --images.",
)
_DATASET = flags.DEFINE_string("dataset", None, "Predict this data set under --data_dir.")
_SPLIT = flags.DEFINE_string("split", None, "Predict this split of --dataset.")
_OUT = flags.DEFINE_string("out", None, "Write the predictions into this folder.", required=True)
_LIST = flags.DEFINE_string(
    "list", None, "Predict only the images that this file names, one name without suffix a line."
)
_SUBMISSION = flags.DEFINE(
    FileName(".tar.gz"),
    "submission",
    None,
    "Also pack the labels for VOC's test server into this FILE.tar.gz; needs --list.",
)
_WRITE = flags.DEFINE(
    Items(one_of(KINDS), f"must be some of {', '.join(KINDS)}, with commas between"),
    "write",
    None,
    f"Write these of each image: {', '.join(KINDS)}; default: labels,overlay (with --runner: "
    "labels).",
)
_POLYGONS = flags.DEFINE(
    Items(one_of(FORMS), f"must be some of {', '.join(FORMS)}, with commas between"),
    "polygons",
    None,
    f"Write polygons as {', '.join(FORMS)}; default: geojson. Implies polygons in --write.",
)
_SIMPLIFY = flags.DEFINE_float(
    "simplify",
    0.0,
    "Leave out corners of polygons whose triangle with the corners beside them is smaller than "
    "this many pixels squared; 0: exact outlines.",
    lower_bound=0.0,
)
_MIN_AREA = flags.DEFINE_integer(
    "min_area",
    0,
    "Give regions of fewer pixels the class of their largest neighbour, before anything is "
    "written.",
    lower_bound=0,
)
_FILL_HOLES = flags.DEFINE_integer(
    "fill_holes",
    0,
    "Give holes of fewer pixels the class around them, before anything is written; where class 0 "
    "is the background, only its regions are holes.",
    lower_bound=0,
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size",
    8,
    "Put at most this many images of one size, or frames of a video, through the network "
    "together; fewer where the images are large.",
    lower_bound=1,
)
flags.adopt_module_key_flags(inference_flags)
flags.adopt_module_key_flags(beam_flags)
require(
    {
        "give one of --images=FILES and --data_dir=DIR": (
            lambda images, data_dir: (images is None) != (data_dir is None)
        ),
        "--data_dir, --dataset and --split go together, and with --runner": (
            lambda data_dir, dataset, split, runner: (
                is_given(data_dir) == is_given(dataset) == is_given(split)
                and (data_dir is None or runner is not None)
            )
        ),
        f"--runner does not go with --images={STREAM}, --list or --submission": (
            lambda runner, images, list, submission: (
                runner is None or (images != STREAM and list is None and submission is None)
            )
        ),
        "--submission needs --list=ImageSets/Segmentation/test.txt, the ids that the server "
        "expects": lambda submission, list: submission is None or list is not None,
        "--submission needs labels in --write": (
            lambda submission, write: submission is None or write is None or "labels" in write
        ),
        "--simplify needs polygons in --write": (
            lambda simplify, write, polygons: (
                not simplify or polygons is not None or "polygons" in (write or ())
            )
        ),
        f"--list needs files, and --images={STREAM} is a stream": (
            lambda list, images: list is None or images != STREAM
        ),
    }
)


def main() -> int:
    """Predicts the images; imports TensorFlow late, so that a wrong flag is reported at once."""
    from deeplab_tf.images.suffixes import IMAGE_SUFFIXES
    from deeplab_tf.images.video import VIDEO_SUFFIXES
    from deeplab_tf.prediction.inputs import find_images, listed_images

    out = pathlib.Path(_OUT.value)
    if runner := beam_flags.runner():
        runner.check()
        return _predict_by_beam(runner, out)
    images = str(_IMAGES.value)
    if images == STREAM:
        files = []
    elif _LIST.value is not None:
        files = listed_images(find_images(images), pathlib.Path(_LIST.value))
    else:
        files = find_images(images, IMAGE_SUFFIXES + VIDEO_SUFFIXES)
        _say_what_is_passed_over(images)
    import_tensorflow(trains=False)
    from deeplab_tf.artefacts.stated_classes import stated_classes
    from deeplab_tf.inference.predictor import load_predictor
    from deeplab_tf.prediction.predict_files import (
        check_files,
        check_stream,
        run_files,
        run_stream,
    )
    from deeplab_tf.prediction.submission import (
        check_archive,
        check_classes,
        write_submission,
    )

    writes = _writes(("labels", "overlay"))
    if files:
        needs_names = "labelme" in writes.outputs
        model = pathlib.Path(_MODEL.value)
        check_files(files, out, writes, stated_classes(model) if needs_names else None)
    else:
        check_stream(writes)
    if _SUBMISSION.value:
        check_archive(pathlib.Path(_SUBMISSION.value))
    predictor = load_predictor(_MODEL.value, warn, **inference_flags.overrides())
    if _SUBMISSION.value:
        check_classes(predictor.classes)
    if not files:
        run_stream(predictor, out, say, warn, writes)
        return 0
    run_files(predictor, files, out, _BATCH_SIZE.value, say, writes)
    if _SUBMISSION.value:
        write_submission(files, out, pathlib.Path(_SUBMISSION.value))
        print(f"submission of {len(files)} images, checked: {_SUBMISSION.value}")
    return 0


def _writes(usual: tuple[str, ...]) -> Writes:
    """Returns what is written, where `usual` are the kinds without a flag."""
    kinds = _WRITE.value or usual
    if _POLYGONS.value and "polygons" not in kinds:
        kinds = (*kinds, "polygons")
    return Writes(
        tuple(dict.fromkeys(kinds)),
        tuple(dict.fromkeys(_POLYGONS.value or ("geojson",))),
        _MIN_AREA.value,
        _FILL_HOLES.value,
        _SIMPLIFY.value,
    )


def _say_what_is_passed_over(images: str) -> None:
    from deeplab_tf.images.suffixes import IMAGE_SUFFIXES
    from deeplab_tf.images.video import VIDEO_SUFFIXES
    from deeplab_tf.prediction.inputs import passed_over_in

    if others := passed_over_in(images, IMAGE_SUFFIXES + VIDEO_SUFFIXES):
        say(others)


def _predict_by_beam(runner: BeamRunner, out: pathlib.Path) -> int:
    import_tensorflow(trains=False)
    from deeplab_tf.data.records import open_records
    from deeplab_tf.inference.model_handler import Model
    from deeplab_tf.named import model_path
    from deeplab_tf.prediction.beam_predict import ImageFiles, RecordImages, predict_by_beam

    if _IMAGES.value is not None:
        _say_what_is_passed_over(_IMAGES.value)
        inputs = ImageFiles(_IMAGES.value)
    else:
        dataset, name = str(_DATASET.value), str(_SPLIT.value)
        records = open_records(pathlib.Path(str(_DATA_DIR.value)).absolute(), dataset)
        inputs = RecordImages(f"{dataset}/{name}", records.split(name), records.fingerprint)
    model = Model(model_path(_MODEL.value, warn), inference_flags.overrides())
    predict_by_beam(runner, model, inputs, out, _BATCH_SIZE.value, say, _writes(("labels",)))
    return 0


def run() -> None:
    """Runs the console script `deeplab-predict`."""
    run_binary(
        "deeplab-predict",
        __name__,
        main,
        stores={"model": Use.READ, "images": Use.PATTERN, "list": Use.READ, "out": Use.WRITE},
    )


if __name__ == "__main__":
    run()

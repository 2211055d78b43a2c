"""Every binary beside a stranger's files: they stay byte for byte, whatever their names.

A command is run once into an empty folder. Then, for each name that it wrote, a stranger's file or
folder of that name is put into a new folder and the command is run there: it ends with one line, or
writes beside the stranger's. At the end the command is run again over its own results.
"""

import io
import re

import numpy as np
import pytest
from PIL import Image
from support.geo_files import write_geotiff
from support.random_model import random_picture, shared_model
from support.tiny_voc import write_voc
from support.train_processes import small

from deeplab_tf.data.check.doctor import examine
from deeplab_tf.data.check.results import write_check
from deeplab_tf.data.sources.shapes import write_shapes_devkit
from deeplab_tf.data.sources.voc import voc_source
from deeplab_tf.data.write_records import write_records
from deeplab_tf.errors import DeeplabError
from deeplab_tf.evaluation.evaluate import evaluate
from deeplab_tf.export.export_model import export_model
from deeplab_tf.images.classes import VOC
from deeplab_tf.inference.predictor import load_predictor
from deeplab_tf.paper import miniature, valid_weights
from deeplab_tf.prediction.predict_files import check_files, run_files
from deeplab_tf.prediction.predict_stream import predict_stream
from deeplab_tf.prediction.submission import write_submission
from deeplab_tf.prediction.write_outputs import Writer
from deeplab_tf.prediction.writes import FORMS, KINDS, Writes
from deeplab_tf.training.class_weights import record_class_weights
from deeplab_tf.training.continuation import check_replaceable
from deeplab_tf.training.stages import train
from deeplab_tf.weights.convert import run_import

CONTENT = b'{"of": "a stranger"}\n'
SHAPES_OF_STRANGERS = ("file", "folder")


def names_in(folder):
    """The paths in `folder`, without those that differ from another only in numbers."""
    found = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        found.setdefault(re.sub(r"\d+", "0", str(relative)), relative)
    return list(found.values())


def put_stranger(path, kind):
    path.parent.mkdir(parents=True)
    if kind == "folder":
        path.mkdir()
        path /= "thesis.txt"
    path.write_bytes(CONTENT)
    return path


def ends_well_or_in_one_line(command, place):
    """Runs the command; returns whether it refused."""
    try:
        command(place)
    except DeeplabError as error:
        assert "\n" not in str(error)
        return True
    return False


def try_strangers(command, names, tmp_path):
    """Returns how many folders were tried, and the names beside which the command wrote."""
    count, beside = 0, []
    for name in names:
        for kind in SHAPES_OF_STRANGERS:
            place = tmp_path / f"strangers{count}"
            count += 1
            place.mkdir()
            stranger = put_stranger(place / "out" / name, kind)
            if not ends_well_or_in_one_line(command, place / "out"):
                beside.append(f"{kind} {name}")
            assert stranger.read_bytes() == CONTENT, f"{kind} {name}"
            left = [path for path in place.rglob(".writing-*")]
            assert left == []
    return count, beside


def check(command, tmp_path, fewest):
    """Runs the command alone, beside strangers, and over its own results."""
    own = tmp_path / "own" / "out"
    command(own)
    count, beside = try_strangers(command, names_in(own), tmp_path)
    assert count >= fewest
    command(own)
    return beside


def test_eval(artefacts, shapes_data, tmp_path):
    def command(out):
        evaluate(artefacts / "model.keras", shapes_data, out, report=lambda _: None)

    assert check(command, tmp_path, fewest=12) == []


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for name in ("a", "b"):
        Image.fromarray(random_picture(33, 41)).save(folder / f"{name}.jpg")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def predictor(artefacts):
    return load_predictor(artefacts / "model.keras")


def test_predict_of_a_geotiff(predictor, tmp_path):
    image = write_geotiff(tmp_path / "scene.tif", random_picture(33, 41))

    def command(out):
        check_files([image], out)
        run_files(predictor, [image], out, 1, lambda _: None)

    assert check(command, tmp_path, fewest=4) == []


def test_predict(predictor, images, tmp_path):
    def command(out):
        check_files(images, out)
        run_files(predictor, images, out, 1, lambda _: None)

    assert check(command, tmp_path, fewest=8) == []


def test_predict_of_everything(predictor, images, tmp_path):
    pytest.importorskip("rasterio")
    writes = Writes(KINDS, FORMS)

    def command(out):
        check_files(images, out, writes)
        run_files(predictor, images, out, 1, lambda _: None, writes)

    # labels.txt of Labelme, areas.csv, coco.json, and six files of each of the two images
    assert check(command, tmp_path, fewest=30) == []


def test_predict_of_a_video(predictor, tmp_path):
    pytest.importorskip("av")
    import fractions

    from deeplab_tf.images.video import Frame, video_file

    clip = tmp_path / "clip.mp4"
    with video_file(clip, (32, 48), fractions.Fraction(5)) as add:
        add(Frame(fractions.Fraction(0), random_picture(32, 48)))

    def command(out):
        check_files([clip], out)
        run_files(predictor, [clip], out, 1, lambda _: None)

    assert check(command, tmp_path, fewest=8) == []


def test_predict_of_a_stream(predictor, images, tmp_path):
    def command(out):
        out.mkdir(parents=True, exist_ok=True)
        writer = Writer.of(predictor, Writes(), out)
        predict_stream(predictor, io.BytesIO(images[0].read_bytes()), writer, report_error=print)

    assert check(command, tmp_path, fewest=4) == []


def test_predict_for_the_test_server(tmp_path):
    image, labels = tmp_path / "1.png", Image.fromarray(np.zeros((4, 5), np.uint8))
    Image.new("RGB", (5, 4)).save(image)
    labels.putpalette(VOC.flat_palette())
    (tmp_path / "labels").mkdir()
    labels.save(tmp_path / "labels" / "1.png")

    def command(out):
        write_submission([image], tmp_path / "labels", out / "results.tar.gz")

    assert check(command, tmp_path, fewest=2) == []


def test_predict_by_beam(artefacts, images, tmp_path):
    pytest.importorskip("apache_beam")
    from deeplab_tf.distributed.beam import BeamRunner
    from deeplab_tf.inference.model_handler import Model
    from deeplab_tf.prediction.beam_predict import ImageFiles, predict_by_beam

    def command(out):
        inputs = ImageFiles(str(images[0]))
        model = Model(artefacts / "model.keras", {})
        predict_by_beam(BeamRunner("DirectRunner"), model, inputs, out, 1, lambda _: None)

    command(tmp_path / "own")
    count, beside = try_strangers(command, names_in(tmp_path / "own"), tmp_path)
    assert (count, beside) == (6, [])


def test_train(shapes_data, tmp_path):
    judged = {"evaluate_every": 1, "evaluate_images": 1, "keep": "best"}
    experiment = small(steps=1, class_weights="auto", panels_every=1, **judged)

    def command(workdir):
        train(experiment, shapes_data, workdir, report=lambda _: None)

    own = tmp_path / "own"
    command(own)
    names = names_in(own)
    assert len(names) >= 13
    folders = ("checkpoints", "tensorboard")
    events = [name for name in names if name.parent.name == "tensorboard"]
    refused = [name for name in names if str(name) not in folders and name not in events]
    assert try_strangers(command, refused, tmp_path)[1] == []
    # A folder of other files is written into.
    for name in (*folders, "previous_stage"):
        stranger = put_stranger(tmp_path / "beside" / name / "file", "folder")
        check_replaceable(tmp_path / "beside")
        assert stranger.read_bytes() == CONTENT
    command(own)
    # The weights are deleted where the workdir is ours, and only there.
    record_class_weights(own, None)
    assert not (own / "class_weights.json").exists()
    none = small(steps=1)
    stranger = put_stranger(tmp_path / "weights" / "class_weights.json", "file")
    with pytest.raises(DeeplabError, match=r"class_weights\.json would be replaced"):
        train(none, shapes_data, tmp_path / "weights", report=lambda _: None)
    assert stranger.read_bytes() == CONTENT


EXPORTS = {
    "saved_model": ("saved_model.pb", "parity.json", "variables/variables.index", "notes.txt"),
    "litert": ("model.tflite",),
    "onnx": ("model.onnx",),
    "openvino": ("model.xml", "model.bin", "parity.json", "notes.txt"),
    "web": ("index.html", "model.json", "cache_list.js", "litert/index.js"),
}


@pytest.mark.parametrize("format", EXPORTS)
def test_export(images, tmp_path, format, monkeypatch):
    """Refused before the conversion; re-exports over own results are in tests/export."""
    if format in ("onnx", "openvino"):
        pytest.importorskip({"onnx": "tf2onnx"}.get(format, format))
    trained = shared_model()
    photo = images[0]

    def command(out):
        export_model(trained, out, format, images=str(photo), parity_images=1)

    count, beside = try_strangers(command, EXPORTS[format], tmp_path)
    assert count == 2 * len(EXPORTS[format]) and beside == []


def test_export_beside_the_report_of_another_file(images, tmp_path):
    """A `parity.json` of somebody else stays, and the report is named after the artefact."""
    trained = shared_model()

    def command(out):
        size = (33, 33)
        export_model(
            trained, out, "litert", images=str(images[0]), parity_images=1, image_size=size
        )

    out = tmp_path / "out"
    stranger = put_stranger(out / "parity.json", "file")
    (out / "model.parity.json").write_bytes(CONTENT)
    with pytest.raises(DeeplabError, match=r"model\.parity\.json would be replaced"):
        command(out)
    (out / "model.parity.json").unlink()
    command(out)
    assert stranger.read_bytes() == CONTENT and (out / "model.parity.json").is_file()


def test_import_and_paper(tmp_path):
    measured = miniature.read_measured()
    for name, command, again in (
        (
            "a.keras",
            lambda out: run_import("tflite", out / "no.tflite", out / "a.keras", []),
            False,
        ),
        ("figure.png", lambda out: valid_weights.draw_figure(out / "figure.png"), True),
        ("study.png", lambda out: miniature.draw(measured, out / "study.png"), True),
    ):
        place = tmp_path / name
        place.mkdir()
        assert try_strangers(command, [name], place) == (2, [])
        if again:
            command(place / "own")
            command(place / "own")


def test_prepare(tmp_path):
    source = voc_source(write_voc(tmp_path, train=["a"], val=["b"]))

    def command(data_dir):
        write_check(examine(source, 1), data_dir / "voc.check")
        write_records(source, data_dir, 1)

    # Our records are one folder in the folder of a data set.
    assert check(command, tmp_path, fewest=16) == ["folder voc"]
    with pytest.raises(DeeplabError, match="exists; remove it"):
        put_stranger(tmp_path / "a" / "kit", "folder")
        write_shapes_devkit(tmp_path / "a" / "kit", 1, 1)
    staging = put_stranger(tmp_path / "b" / "kit.incomplete", "folder")
    write_shapes_devkit(tmp_path / "b" / "kit", 1, 1)
    assert staging.read_bytes() == CONTENT

"""Prediction by Beam's local runner: the same labels, broken images, and a job that is killed."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
import tifffile
from PIL import Image
from support.commands import Command, call
from support.geo_files import PLACE_OF_TAGS, place_of, write_geotiff
from support.load_once import loaded_once, predictor_of  # noqa: F401, the fixture
from support.random_model import random_picture, write_kinds
from support.tiny_records import record, write_shard

pytest.importorskip("apache_beam")

import apache_beam

from deeplab_tf.config.image_format import RGB
from deeplab_tf.data.records import SplitFiles, open_records, parse_record
from deeplab_tf.distributed.beam import BeamRunner
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import SHAPES
from deeplab_tf.images.files import encode_png
from deeplab_tf.inference.batches import Picture, Predicted
from deeplab_tf.inference.beam_steps import write_lines
from deeplab_tf.inference.model_handler import Model, PredictorHandler
from deeplab_tf.machine.system import process_space
from deeplab_tf.prediction.beam_predict import (
    ImageFiles,
    Named,
    Outputs,
    RecordImages,
    _named_files,
    _ReadImage,
    _write,
    predict_by_beam,
)
from deeplab_tf.prediction.job import model_digest
from deeplab_tf.prediction.predict_files import run_files
from deeplab_tf.prediction.predict_images import predict_images
from deeplab_tf.prediction.write_outputs import Writer
from deeplab_tf.prediction.writes import Writes

LOCAL = BeamRunner("DirectRunner")


@pytest.fixture
def images(tmp_path):
    """Images of several kinds and sizes; `rgb.png` and `below/rgb.png` have one name."""
    folder = tmp_path / "images"
    write_kinds(folder)
    (folder / "below").mkdir()
    for number in range(4):
        Image.fromarray(random_picture(33, 41, number)).save(folder / "below" / f"{number}.jpg")
    Image.fromarray(random_picture(20, 30, 9)).save(folder / "below" / "rgb.png")
    return folder


def labels_in(out: pathlib.Path) -> dict[str, bytes]:
    """What lies in `out`, without the job's own two files."""
    own = ("job.json", "failed.jsonl")
    files = [path for path in out.rglob("*") if path.is_file() and path.name not in own]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def one_process(model, images: list[pathlib.Path], out, **overrides) -> dict[str, bytes]:
    """The labels of `deeplab-predict`."""
    assert predict_images(predictor_of(model, **overrides), images, out) == []
    return {path.name: path.read_bytes() for path in out.glob("*.png")}


def predict(model, images, out, **overrides):
    said = []
    inputs = ImageFiles(str(images))
    predict_by_beam(LOCAL, Model(model, overrides), inputs, out, 2, said.append)
    return "\n".join(said)


def test_labels_are_those_of_one_process_in_the_images_own_folders(artefacts, images, tmp_path):
    out = tmp_path / "out"
    said = predict(artefacts / "saved", images / "**" / "*", out)
    assert said == f"10 of 10 images predicted into {out}"
    expected = one_process(artefacts / "saved", list(images.glob("*.*")), tmp_path / "top")
    below = one_process(artefacts / "saved", list(images.glob("below/*")), tmp_path / "below")
    expected |= {f"below/{name}": content for name, content in below.items()}
    assert labels_in(out) == expected and len(expected) == 10
    assert (out / "failed.jsonl").read_text() == ""
    with Image.open(out / "turned.png") as labels:
        assert labels.mode == "P" and labels.size == (40, 53)  # upright


def test_a_keras_file_with_another_inference(artefacts, images, tmp_path):
    predict(artefacts / "model.keras", images / "below", tmp_path / "out", flip=True)
    files = list((images / "below").iterdir())
    expected = one_process(artefacts / "model.keras", files, tmp_path / "one", flip=True)
    assert labels_in(tmp_path / "out") == expected
    other = one_process(artefacts / "model.keras", files, tmp_path / "unmirrored")
    assert other != expected


def test_what_cannot_be_predicted_is_named_and_the_rest_is_done(artefacts, images, tmp_path):
    (images / "cut.jpg").write_bytes((images / "turned.jpg").read_bytes()[:400])
    (images / "text.png").write_text("no picture")
    (images / "clip.mp4").write_bytes(b"video")
    (images / "rgb.jpg").write_bytes((images / "grey.jpg").read_bytes())
    out = tmp_path / "out"
    with pytest.raises(DeeplabError, match="5 of 9 images could not be predicted: ") as error:
        model, said = Model(artefacts / "saved", {}), []
        predict_by_beam(LOCAL, model, ImageFiles(str(images)), out, 2, said.append)
    assert said == [f"4 of 9 images predicted into {out}"]
    assert str(error.value).count("cut.jpg") == 1  # a name is not said twice
    rows = [json.loads(line) for line in (out / "failed.jsonl").read_text().splitlines()]
    reasons = {pathlib.Path(row["source"]).name: row["reason"] for row in rows}
    assert len(rows) == len(reasons) == 5
    assert "cut.jpg cannot be read" in reasons["cut.jpg"]
    assert "text.png cannot be read: it is no image" in reasons["text.png"]
    assert reasons["clip.mp4"] == "the file is a video; predict videos without --runner"
    assert "rgb.jpg would have one name, rgb" in reasons["rgb.png"]
    assert "rgb.png would have one name, rgb" in reasons["rgb.jpg"]
    assert sorted(labels_in(out)) == ["alpha.png", "grey.png", "thin.png", "turned.png"]
    counts = json.loads((out / "job.json").read_text())
    assert [counts[name] for name in ("predicted", "there_before", "failed")] == [4, 0, 5]

    # Mended and run again: only what was missing is done, and what a killed worker left is gone.
    for name in ("cut.jpg", "text.png", "clip.mp4", "rgb.jpg"):
        (images / name).unlink()
    ended = subprocess.Popen(["true"])
    ended.wait()
    left = out / f".writing-{process_space()}-{ended.pid}-0"
    left.mkdir()
    (left / "half.png").write_bytes(b"half")
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.png")}
    said = predict(artefacts / "saved", images, out)
    assert said == f"5 of 5 images predicted into {out}, 4 of them before"
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("*.png")}
    assert after.keys() - before.keys() == {"rgb.png"} and after.items() >= before.items()
    assert sorted(path.name for path in out.iterdir() if path.suffix != ".png") == [
        "failed.jsonl",
        "job.json",
    ]


def test_a_folder_of_another_job_is_refused(artefacts, images, tmp_path):
    out = tmp_path / "out"
    predict(artefacts / "saved", images / "below", out)
    with pytest.raises(DeeplabError, match="predictions of another job: images below "):
        predict(artefacts / "saved", images, out)
    with pytest.raises(DeeplabError, match=r"another job: model \w+ \(now \w+\)"):
        predict(artefacts / "model.keras", images / "below", out)
    with pytest.raises(DeeplabError, match="must be empty or have the job.json"):
        predict(artefacts / "saved", images, images)
    with pytest.raises(DeeplabError, match="matches no image"):
        predict(artefacts / "saved", tmp_path / "*.webp", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_labels_among_the_images_are_not_taken_for_images(artefacts, images, tmp_path):
    out = images / "labels"
    predict(artefacts / "saved", images / "**" / "*.png", out)
    said = predict(artefacts / "saved", images / "**" / "*.png", out)
    assert said == f"4 of 4 images predicted into {out}, 4 of them before"


def test_records_of_a_split(artefacts, shapes_data, tmp_path):
    records = open_records(shapes_data, "shapes")
    inputs = RecordImages("shapes/train", records.split("train"), records.fingerprint)
    out = tmp_path / "out"
    for before in ("", ", 12 of them before"):
        said = []
        predict_by_beam(LOCAL, Model(artefacts / "saved"), inputs, out, report=said.append)
        assert said == [f"12 of 12 images predicted into {out}{before}"]
    predictor = predictor_of(artefacts / "saved")
    for serialized in tf.data.TFRecordDataset(inputs.split.files):
        parsed = parse_record(serialized)
        name, image = parsed["id"].numpy().decode(), parsed["image"].numpy()
        with Image.open(out / f"{name}.png") as labels:
            np.testing.assert_array_equal(np.asarray(labels), predictor.predict(image[None])[0])
    assert len(labels_in(out)) == 12


def test_broken_records_are_named_and_the_rest_is_done(artefacts, tmp_path, capsys):
    image = encode_png(random_picture(20, 30))
    shards = [
        write_shard(tmp_path / "a", record("a1", image), record("a2", image[:90]), b"nothing"),
        write_shard(tmp_path / "b", record("b1", image), record("b2", image), record("b3", image)),
        write_shard(tmp_path / "c", record("../c", image), record("deep/c", image)),
    ]
    content = bytearray(pathlib.Path(shards[1]).read_bytes())
    content[len(content) // 2] ^= 1  # in the second record
    pathlib.Path(shards[1]).write_bytes(content)
    out = tmp_path / "out"
    inputs = RecordImages("own/all", SplitFiles(shards, 8), "f")
    with pytest.raises(DeeplabError, match="4 of 7 images could not be predicted"):
        predict_by_beam(LOCAL, Model(artefacts / "saved"), inputs, out)
    rows = [json.loads(line) for line in (out / "failed.jsonl").read_text().splitlines()]
    assert {(row["source"], row["reason"][:26]) for row in rows} == {
        (f"a2 in {shards[0]}", "Invalid PNG data, size 90 "),
        (f"record 2 in {shards[0]}", "Could not parse example in"),
        (f"{shards[1]} after record 1", "the record file is corrupt"),
        ("record '../c'", "the record's id must name "),
    }
    assert sorted(labels_in(out)) == ["a1.png", "b1.png", "deep/c.png"]


def test_two_workers_may_write_the_same_image(tmp_path):
    """A runner may do a part again while its first try is still writing."""
    writing = tmp_path / "writing"
    writing.mkdir()
    pixels = random_picture(300, 400)
    done = Predicted(Picture(Named("a/b"), pixels), pixels[..., 0] % 6)
    writer = Writer(Writes(("labels",)), SHAPES, RGB, tmp_path, writing, durable=True)
    assert list(_write(done, writer)) == ["a/b"]
    whole = (tmp_path / "a" / "b.png").read_bytes()

    def write_often():
        for _ in range(20):
            assert list(_write(done, writer)) == ["a/b"]

    threads = [threading.Thread(target=write_often) for _ in range(2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert (tmp_path / "a" / "b.png").read_bytes() == whole
    assert os.listdir(writing) == [] and os.listdir(tmp_path / "a") == ["b.png"]


def test_the_digest_is_of_what_is_in_the_model(artefacts, tmp_path):
    first = model_digest(artefacts / "saved")
    copy = tmp_path / "copy"
    shutil.copytree(artefacts / "saved", copy)
    assert model_digest(copy) == first
    for file in copy.rglob("variables.data*"):
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
    assert first == model_digest(artefacts / "saved") != model_digest(copy)
    assert model_digest(artefacts / "model.keras") != first


COUNT = 40
"""Images of a job that is killed: several seconds' work for two processes."""


def test_a_killed_job_goes_on_to_each_image_once(artefacts, tmp_path):
    """Two processes of the runner are killed in the middle."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(COUNT):
        sides = (257, 301 + 8 * (number % 3))
        Image.fromarray(random_picture(*sides, number)).save(folder / f"{number}.jpg")
    out = tmp_path / "out"
    arguments = [f"--model={artefacts}/saved", f"--images={folder}", f"--out={out}"]
    arguments += ["--runner=DirectRunner", "--batch_size=1"]
    options = "--beam_options=direct_num_workers=2,direct_running_mode=multi_processing"
    program = "import os; os.setsid(); from deeplab_tf.cli import predict; predict.run()"
    job = Command("-c", program, *arguments, options)
    deadline = time.monotonic() + 120
    while not list(out.glob("*.png")):
        assert job.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(job.pid, signal.SIGKILL)  # a worker left alone ends within seconds by itself
    job.wait()
    expected = one_process(artefacts / "saved", list(folder.iterdir()), tmp_path / "one")
    there = {path.name: path.read_bytes() for path in out.glob("*.png")}
    assert 0 < len(there) < COUNT and there.items() <= expected.items()  # whole ones

    done = call("predict", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        done.stdout
        == f"{COUNT} of {COUNT} images predicted into {out}, {len(there)} of them before\n"
    )
    assert labels_in(out) == expected


class KeepSizes(apache_beam.DoFn):
    """What `RunInference` would get, as (names, pictures) a batch."""

    def process(self, batch):
        yield "".join(sorted({picture.source for picture in batch})), len(batch)


def test_a_batch_of_beams_is_bounded_and_never_empty(tmp_path):
    """Pictures may be small, as large as a batch or larger, or half that."""
    small = [Picture("s", np.zeros((3, 5, 3), np.uint8))] * 40
    large = [Picture("l", np.zeros((4100, 4100, 1), np.uint8))] * 2
    half = [Picture("h", np.zeros((2048, 4096, 1), np.uint8))] * 3
    handler = PredictorHandler(Model(pathlib.Path("m")), batch_size=4)
    with LOCAL.pipeline() as pipeline:
        sizes = (
            pipeline
            | apache_beam.Create([[*small, *large, *half]])
            | apache_beam.FlatMap(list)
            | apache_beam.BatchElements(**handler.batch_elements_kwargs())
            | apache_beam.ParDo(KeepSizes())
        )
        write_lines(sizes | apache_beam.Map(json.dumps), tmp_path / "sizes", "write")
    found = [tuple(json.loads(line)) for line in (tmp_path / "sizes").read_text().splitlines()]
    assert sorted(found) == [("h", 1), ("h", 2), ("l", 1), ("l", 1), ("s", 8), ("s", 16), ("s", 16)]


def test_the_labels_of_a_geotiff_keep_its_place_and_its_void(tmp_path):
    pixels = random_picture(20, 30)
    pixels[:4] = 0
    write_geotiff(tmp_path / "images" / "a" / "scene.tif", pixels, "0")
    ((name, path),) = _named_files(f"{tmp_path}/images/**/*.tif", tmp_path / "out")
    assert name == "a/scene"
    reading = _ReadImage(Outputs(tmp_path / "out"), RGB)
    (picture,) = reading.process((name, [path]))
    assert picture.missing[:4].all() and not picture.missing[4:].any()
    writing = tmp_path / "writing"
    writing.mkdir()
    done = Predicted(picture, np.zeros((20, 30), np.uint8))
    writer = Writer(Writes(("labels",)), SHAPES, RGB, tmp_path / "out", writing, durable=True)
    assert list(_write(done, writer)) == [name]
    labels = tmp_path / "out" / "a" / "scene.tif"
    np.testing.assert_array_equal(tifffile.imread(labels), done.labels)
    assert place_of(labels) == PLACE_OF_TAGS
    assert Outputs(tmp_path / "out").are_there(name, is_geo=True)
    assert not Outputs(tmp_path / "out", ("labels", "overlay")).are_there(name, is_geo=True)


def test_what_else_is_written_is_that_of_one_process_and_goes_on(artefacts, images, tmp_path):
    pytest.importorskip("rasterio")
    folder, out = images / "below", tmp_path / "out"
    writes = Writes(("labels", "overlay", "confidence", "polygons"), ("geojson", "labelme"), 9)
    model, inputs = Model(artefacts / "saved"), ImageFiles(str(folder))
    run_files(predictor_of(model.path), sorted(folder.iterdir()), tmp_path / "one", 1, str, writes)
    for before in ("", ", 4 of them before"):  # the second time one image lacks a file
        said = []
        predict_by_beam(LOCAL, model, inputs, out, 2, said.append, writes)
        assert said == [f"5 of 5 images predicted into {out}{before}"]
        found = labels_in(out)
        assert found == labels_in(tmp_path / "one") and len(found) == 5 * 5 + 1
        (out / "0.geojson").unlink()
    with pytest.raises(DeeplabError, match="another job: writes .*min_area"):
        predict_by_beam(LOCAL, model, inputs, out, 2, str)
    refused = Writes(("areas", "polygons"), ("coco", "geojson"))
    with pytest.raises(DeeplabError, match="--runner has no areas or coco; predict image files"):
        predict_by_beam(LOCAL, model, inputs, tmp_path / "none", 2, str, refused)
    assert not (tmp_path / "none").exists()

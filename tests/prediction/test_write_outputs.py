"""What is written besides labels and overlay: of photos, GeoTIFFs, scenes, streams and videos."""

import csv
import dataclasses
import fractions
import functools
import io

import numpy as np
import pytest
import tensorflow as tf
import tifffile
from PIL import Image
from scipy import ndimage
from support import geo_files
from support.geo_files import PLACE_OF_TAGS, place_of, write_geotiff
from support.random_model import random_picture, random_trained_model

from deeplab_tf.config import EvaluateConfig
from deeplab_tf.errors import DeeplabError, StoreLostError
from deeplab_tf.images.classes import CAMVID, SHAPES, VOID
from deeplab_tf.inference.predictor import Predictor, load_predictor, trained_predictor
from deeplab_tf.inference.strategies import images_to_probabilities
from deeplab_tf.prediction.predict_files import check_files, check_stream, run_files, run_stream
from deeplab_tf.prediction.predict_images import predict_images
from deeplab_tf.prediction.predict_scene import is_scene
from deeplab_tf.prediction.predict_stream import predict_stream
from deeplab_tf.prediction.write_outputs import Writer, collected
from deeplab_tf.prediction.writes import FORMS, KINDS, Writes

pytest.importorskip("rasterio")
SHARES = Writes(("labels", "probabilities", "confidence"))
EVERYTHING = Writes(KINDS, FORMS)
UTM_KEYS = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633)
"""GeoKeys of a projected map, EPSG 32633."""


def quiet(_line):
    pass


@pytest.fixture(scope="module")
def infer():
    """From a strategy to the predictor, and to its probabilities as Python has them."""
    trained = random_trained_model(aspp_rates=(1, 2))

    @functools.cache
    def make(**given):
        config = EvaluateConfig(**given)
        predictor = trained_predictor(trained, config, quiet)
        return predictor, images_to_probabilities(trained, config, quiet)

    return make


@pytest.fixture
def predictor(infer):
    return infer()[0]


def photo(path, pixels):
    Image.fromarray(pixels).save(path)
    return path


def test_probabilities_of_a_photo_are_those_in_python(infer, tmp_path):
    predictor, probabilities = infer()
    pixels, out = random_picture(40, 53), tmp_path / "out"
    assert predict_images(predictor, [photo(tmp_path / "a.png", pixels)], out, writes=SHARES) == []
    labels = np.asarray(Image.open(out / "a.png"))
    np.testing.assert_array_equal(labels, predictor.predict(pixels[None])[0])
    expected = probabilities(pixels[None])[0]
    with np.load(out / "a_probabilities.npz") as found:
        shares = found["probabilities"]
        assert shares.dtype == np.uint16 and found["scale"] == 65535
        assert tuple(found["classes"]) == SHAPES.names
    np.testing.assert_allclose(shares / 65535, expected, atol=1e-5)
    confidence = Image.open(out / "a_confidence.png")
    assert confidence.mode == "I;16"
    np.testing.assert_array_equal(np.asarray(confidence), shares.max(-1))
    of_label = np.take_along_axis(shares, labels[..., None].astype(int), -1)[..., 0]
    np.testing.assert_array_equal(of_label, shares.max(-1))
    assert len(list(out.iterdir())) == 3


@pytest.mark.parametrize("suffix", ["png", "avi"])
def test_a_lost_store_is_no_image_that_could_not_be_read(predictor, tmp_path, monkeypatch, suffix):
    calls = []

    def lost(*_given, **_more):
        calls.append(1)
        raise StoreLostError("lost")

    monkeypatch.setattr(Writer, "write", lost)
    monkeypatch.setattr("deeplab_tf.prediction.predict_files.predict_video", lost)
    if suffix == "png":
        files = [photo(tmp_path / f"{i}.png", random_picture(33, 33)) for i in range(40)]
    else:
        files = [tmp_path / f"{i}.avi" for i in range(40)]
    with pytest.raises(StoreLostError, match="^lost$"):
        run_files(predictor, files, tmp_path / "out", 1, quiet)
    assert len(calls) < 30


@pytest.mark.parametrize(
    "given",
    [{"working_size": 49, "scales": (0.75, 1.25), "flip": True}, {"window": 65, "pad_to": 80}],
)
def test_every_strategy_has_its_probabilities(infer, tmp_path, given):
    model, probabilities = infer(**given)
    pixels = random_picture(60, 79)
    path = photo(tmp_path / "a.png", pixels)
    assert predict_images(model, [path], tmp_path / "out", writes=SHARES) == []
    labels = np.asarray(Image.open(tmp_path / "out" / "a.png"))
    np.testing.assert_array_equal(labels, model.predict(pixels[None])[0])
    expected = probabilities(pixels[None])[0]
    with np.load(tmp_path / "out" / "a_probabilities.npz") as found:
        np.testing.assert_allclose(found["probabilities"] / 65535, expected, atol=1e-5)


@pytest.mark.parametrize("given", [{}, {"window": 65}])
def test_a_geotiff_has_geotiffs_also_by_rows_of_windows(infer, given, tmp_path):
    model, probabilities = infer(**given)
    pixels = random_picture(150, 131)
    pixels[:90, :20] = 0
    path, out = write_geotiff(tmp_path / "a.tif", pixels, "0"), tmp_path / "out"
    assert is_scene(path, model) == bool(given)
    run_files(model, [path], out, 1, quiet, EVERYTHING)
    missing = (pixels == 0).all(-1)
    labels, shares, confidence = (
        tifffile.imread(out / name) for name in ("a.tif", "a_probabilities.tif", "a_confidence.tif")
    )
    np.testing.assert_array_equal(labels == VOID, missing)
    np.testing.assert_array_equal(labels[~missing], model.predict(pixels[None])[0][~missing])
    assert shares.dtype == confidence.dtype == np.uint16 and shares.shape == (150, 131, 6)
    expected = probabilities(pixels[None])[0]
    np.testing.assert_allclose(shares[~missing] / 65535, expected[~missing], atol=1e-5)
    assert not shares[missing].any() and not confidence[missing].any()
    np.testing.assert_array_equal(confidence, shares.max(-1))
    import rasterio

    with rasterio.open(out / "a_probabilities.tif") as file:  # GDAL, as QGIS opens it
        assert file.descriptions == SHAPES.names and file.scales[0] == pytest.approx(1 / 65535)
    for name in ("a.tif", "a_probabilities.tif", "a_confidence.tif"):
        assert place_of(out / name) == PLACE_OF_TAGS
    assert sorted(path.name for path in out.iterdir()) == [
        "a.geojson",
        "a.json",
        "a.tif",
        "a_confidence.tif",
        "a_overlay.jpg",
        "a_probabilities.tif",
        "areas.csv",
        "coco.json",
        "labels.txt",
    ]


def test_a_broken_scene_leaves_no_file(infer, tmp_path):
    model, _ = infer(window=65)
    path = write_geotiff(tmp_path / "a.tif", random_picture(200, 90), compression="zlib")
    with tifffile.TiffFile(path) as file:
        last = file.pages[0].dataoffsets[-1]
    data = bytearray(path.read_bytes())
    data[last : last + 40] = bytes(40)
    path.write_bytes(data)
    good = photo(tmp_path / "b.png", random_picture(40, 53))
    with pytest.raises(DeeplabError, match=r"1 of 2 files .*a\.tif cannot be read"):
        run_files(model, [path, good], tmp_path / "out", 1, quiet, EVERYTHING)
    names = {path.name.split(".")[0].split("_")[0] for path in (tmp_path / "out").iterdir()}
    assert names == {"b", "areas", "coco", "labels"}
    assert len(rows_of(tmp_path / "out")) == 6


def rows_of(out):
    with (out / "areas.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def by_red(images):
    """Labels by the red channel."""
    return images[..., 0] // 50


def of_labels(labels):
    """Pixels of which `by_red` makes the labels; none is black."""
    return np.stack([labels * 50, labels + 1, labels], axis=-1).astype(np.uint8)


def test_areas_of_each_image_and_class(tmp_path):
    labels = np.zeros((12, 10), np.uint8)
    labels[2:5, 2:5], labels[7, 7], labels[10:, :3] = 1, 1, 4
    paths = [
        photo(tmp_path / "a.png", of_labels(labels)),
        write_geotiff(tmp_path / "b,c.tif", of_labels(np.full((4, 5), 2))),
    ]
    out = tmp_path / "out"
    run_files(Predictor(SHAPES, by_red), paths, out, 1, quiet, Writes(("areas",)))
    rows = rows_of(out)
    assert [path.name for path in out.iterdir()] == ["areas.csv"]
    assert {row["image"] for row in rows} == {"a.png", "b,c.tif"} and len(rows) == 12
    first = [row for row in rows if row["image"] == "a.png"]
    assert [row["class"] for row in first] == list(SHAPES.names)
    assert [int(row["pixels"]) for row in first] == [104, 10, 0, 0, 6, 0]
    assert [int(row["regions"]) for row in first] == [1, 2, 0, 0, 1, 0]
    assert [row["share"] for row in first][:2] == [f"{104 / 120:.6f}", f"{10 / 120:.6f}"]
    assert {(row["area"], row["unit"]) for row in first} == {("", "")}


def test_areas_on_the_map_are_in_its_unit(tmp_path, monkeypatch):
    monkeypatch.setitem(geo_files.TAGS, 34735, (3, UTM_KEYS))
    pixels = of_labels(np.full((4, 5), 2))
    pixels[0, 0] = 1  # class 0
    pixels[3] = 0  # no data
    path, out = write_geotiff(tmp_path / "b.tif", pixels, "0"), tmp_path / "out"
    run_files(Predictor(CAMVID, by_red), [path], out, 1, quiet, Writes(("areas",)))
    rows = {row["class"]: row for row in rows_of(out)}
    assert rows["pole"]["pixels"] == "14" and float(rows["pole"]["area"]) == 3.5
    assert rows["pole"]["unit"] == "metre" and rows["pole"]["share"] == f"{14 / 15:.6f}"
    assert rows["void"]["pixels"] == "5" and float(rows["void"]["area"]) == 1.25
    assert list(rows)[-1] == "void" and len(rows) == CAMVID.num_classes + 1


def test_labels_are_tidy_in_everything_and_probabilities_stay(predictor, tmp_path):
    path = photo(tmp_path / "a.png", random_picture(60, 79))
    tidy = dataclasses.replace(EVERYTHING, min_area=40, fill_holes=90)
    for name, writes in (("raw", EVERYTHING), ("tidy", tidy)):
        run_files(predictor, [path], tmp_path / name, 1, quiet, writes)
    raw, found = (np.asarray(Image.open(tmp_path / n / "a.png")) for n in ("raw", "tidy"))
    np.testing.assert_array_equal(found, tidy.tidy(raw, SHAPES))
    assert (found != raw).any()
    for row in rows_of(tmp_path / "tidy"):
        mask = found == int(row["class_id"])
        assert int(row["pixels"]) == mask.sum() and int(row["regions"]) == ndimage.label(mask)[1]
    for name in ("a_probabilities.npz", "a_confidence.png"):
        assert (tmp_path / "raw" / name).read_bytes() == (tmp_path / "tidy" / name).read_bytes()
    for name in ("a.geojson", "a.json", "coco.json", "a_overlay.jpg"):
        assert (tmp_path / "raw" / name).read_bytes() != (tmp_path / "tidy" / name).read_bytes()


def test_a_stream_has_all_but_what_needs_image_files(predictor, tmp_path):
    for form in ("labelme", "coco"):
        with pytest.raises(DeeplabError, match=f"a stream has no {form}; labelling tools need"):
            check_stream(Writes(("polygons",), (form,)))
    writes = Writes(KINDS)
    check_stream(writes)
    buffer = io.BytesIO()
    for seed in range(2):
        Image.fromarray(random_picture(20, 30, seed)).save(buffer, "PNG")
    buffer.seek(0)
    tmp_path.joinpath("out").mkdir()
    writer = Writer.of(predictor, writes, tmp_path / "out")
    with collected(writer) as add:
        assert predict_stream(predictor, buffer, writer, print, add).frames == 2
    assert len(list((tmp_path / "out").iterdir())) == 2 * 5 + 1
    assert {row["image"] for row in rows_of(tmp_path / "out")} == {"frame_000001", "frame_000002"}


def test_a_video_has_labels_overlay_and_areas(tmp_path):
    pytest.importorskip("av")
    from deeplab_tf.images.video import Frame, video_file

    clip = tmp_path / "clip.mp4"
    with video_file(clip, (32, 48), fractions.Fraction(5)) as add:
        for k in range(3):
            add(Frame(fractions.Fraction(k, 5), random_picture(32, 48, k)))
    for kind in ("probabilities", "confidence", "polygons"):
        with pytest.raises(DeeplabError, match=r"a video has no \w+; cut it into images"):
            check_files([clip], tmp_path / "out", Writes((kind,)))
    writes = Writes(("labels", "areas"), min_area=30)
    run_files(Predictor(SHAPES, by_red), [clip], tmp_path / "out", 1, quiet, writes)
    assert not (tmp_path / "out" / "clip_overlay.mp4").exists()
    rows = rows_of(tmp_path / "out")
    for number in range(1, 4):
        labels = np.asarray(Image.open(tmp_path / "out" / "clip" / f"{number:06}.png"))
        own = [row for row in rows if row["image"] == f"clip.mp4/{number:06}"]
        assert [int(row["pixels"]) for row in own] == [(labels == c).sum() for c in range(6)]
        assert all(ndimage.label(labels == c)[1] == int(own[c]["regions"]) for c in range(6))


def test_a_video_that_fails_leaves_no_rows(tmp_path):
    pytest.importorskip("av")
    from deeplab_tf.images.video import Frame, video_file

    for name, frames in (("a", 3), ("b", 40), ("c", 3)):
        with video_file(tmp_path / f"{name}.mp4", (32, 48), fractions.Fraction(5)) as add:
            for k in range(frames):
                add(Frame(fractions.Fraction(k, 5), random_picture(32, 48, k)))
    calls = 0

    def fails_late(images):
        nonlocal calls
        calls += 1
        if calls == 41:  # so that rows of frames before have come
            raise DeeplabError("no more")
        return by_red(images)

    clips = [tmp_path / f"{name}.mp4" for name in "abc"]
    writes, out = Writes(("labels", "areas")), tmp_path / "out"
    with pytest.raises(DeeplabError, match="1 of 3 files .* no more"):
        run_files(Predictor(SHAPES, fails_late), clips, out, 1, quiet, writes)
    assert sorted(path.name for path in out.iterdir()) == ["a", "areas.csv", "c"]
    found = [row["image"] for row in rows_of(out)]
    assert list(dict.fromkeys(found)) == [f"{n}.mp4/{k:06}" for n in "ac" for k in (1, 2, 3)]
    assert len(found) == 6 * SHAPES.num_classes


def test_a_stream_without_an_image_leaves_no_areas(predictor, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    with pytest.raises(DeeplabError, match="standard input ended before any image came"):
        run_stream(predictor, tmp_path / "out", quiet, quiet, Writes(KINDS))
    assert not list((tmp_path / "out").iterdir())


def test_a_saved_model_gives_the_probabilities_of_its_keras_file(artefacts, tmp_path):
    pixels, found = random_picture(49, 65), []
    path = photo(tmp_path / "a.png", pixels)
    for name in ("model.keras", "saved"):
        model = load_predictor(artefacts / name, quiet)
        run_files(model, [path], tmp_path / name, 1, quiet, SHARES)
        with np.load(tmp_path / name / "a_probabilities.npz") as file:
            found.append(file["probabilities"] / 65535)
        labels = np.asarray(Image.open(tmp_path / name / "a.png"))
        np.testing.assert_array_equal(labels, model.predict(pixels[None])[0])
    np.testing.assert_allclose(found[1], found[0], atol=1e-4)


LOGITS = np.random.default_rng(0).normal(0, 3, (1, 9, 11, 4)).astype(np.float32)


@pytest.mark.parametrize(
    ("last", "gives"),
    [(tf.identity, "probabilities"), (tf.nn.softmax, "probabilities"), (tf.argmax, "labels")],
)
def test_a_file_of_others_gives_probabilities_or_says_why_not(last, gives, tmp_path):
    """A file that ends in a softmax has its probabilities as they are."""
    taken = tf.TensorSpec([1, 9, 11, 3], tf.float32)

    @tf.function(input_signature=[taken])
    def network(images):
        scores = LOGITS + 0 * images[..., :1]
        return last(scores, -1) if last is tf.argmax else last(scores)

    module = tf.Module()
    concrete = network.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    (tmp_path / "b.tflite").write_bytes(converter.convert())
    model, out = load_predictor(tmp_path / "b.tflite", quiet), tmp_path / "out"
    path = photo(tmp_path / "a.png", random_picture(9, 11))
    if gives == "labels":
        with pytest.raises(DeeplabError, match=r"b\.tflite gives only labels; export it again"):
            run_files(model, [path], out, 1, quiet, SHARES)
        assert not out.exists()
        return
    run_files(model, [path], out, 1, quiet, SHARES)
    with np.load(out / "a_probabilities.npz") as file:
        expected = tf.nn.softmax(LOGITS)[0]
        np.testing.assert_allclose(file["probabilities"] / 65535, expected, atol=1e-4)


def test_a_function_of_labels_alone_has_no_probabilities(tmp_path):
    path = photo(tmp_path / "a.png", random_picture(9, 11))
    with pytest.raises(DeeplabError, match="the model gives only labels"):
        run_files(Predictor(SHAPES, by_red), [path], tmp_path / "out", 1, quiet, SHARES)

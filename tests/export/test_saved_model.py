"""The SavedModel: what plain TensorFlow finds in it, and that it answers as the Keras model."""

import io
import json
import shutil
import struct
import zlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps
from support.commands import run
from support.random_model import random_picture, random_trained_model
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from deeplab_tf.artefacts.description import parse_description
from deeplab_tf.config import EvaluateConfig
from deeplab_tf.errors import DeeplabError
from deeplab_tf.export import parity as parity_module
from deeplab_tf.export import saved_model
from deeplab_tf.export.operations import graph_operations, saved_model_operations
from deeplab_tf.export.saved_model import Serving, decode_images, export_saved_model
from deeplab_tf.inference.predictor import load_predictor, trained_predictor


@pytest.fixture(scope="module")
def exported(trained, pictures, tmp_path_factory):
    out = tmp_path_factory.mktemp("export") / "served"
    return export_saved_model(trained, out, pictures)


@pytest.fixture(scope="module")
def served(exported):
    return tf.saved_model.load(str(exported.artefact))


@pytest.fixture
def written_once(exported, monkeypatch):
    """What an export writes is the SavedModel of `exported`, copied."""

    def copy(trained, directory, serving):
        shutil.copytree(exported.artefact, directory, dirs_exist_ok=True)
        (directory / "parity.json").unlink()

    monkeypatch.setattr(saved_model, "write_saved_model", copy)


def encode(picture, format="PNG", **options) -> bytes:
    file = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(file, format, **options)
    return file.getvalue()


def labels_of(trained, picture) -> np.ndarray:
    return np.argmax(np.asarray(trained.model(picture[None])), axis=-1)[0]


def test_signatures_have_the_promised_names_types_and_shapes(served):
    assert set(served.signatures) == {"serving_default", "image_bytes"}
    inputs = {"serving_default": ("images", tf.uint8, [None, None, None, 3])}
    inputs["image_bytes"] = ("image_bytes", tf.string, [None])
    for name, (argument, dtype, shape) in inputs.items():
        signature = served.signatures[name]
        (spec,) = signature.structured_input_signature[1].values()
        assert (spec.name, spec.dtype, spec.shape.as_list()) == (argument, dtype, shape)
        outputs = {
            key: (spec.dtype, spec.shape.rank) for key, spec in signature.structured_outputs.items()
        }
        assert outputs == {"labels": (tf.uint8, 3), "confidence": (tf.float32, 3)}


def test_answers_equal_the_keras_model(trained, pictures, served):
    for picture in (shown.image for shown in pictures):
        logits = np.asarray(trained.model(picture[None]), np.float64)
        exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
        answer = served.signatures["serving_default"](images=picture[None])
        np.testing.assert_array_equal(answer["labels"], logits.argmax(axis=-1))
        confidence = (exponentials / exponentials.sum(axis=-1, keepdims=True)).max(axis=-1)
        np.testing.assert_allclose(answer["confidence"], confidence, atol=1e-5)
        np.testing.assert_allclose(served.scores(picture[None]), logits, atol=1e-4)
    assert len(np.unique(labels_of(trained, pictures[0][1]))) == 6


def test_a_batch_is_answered_image_by_image(trained, served):
    pictures = np.stack([random_picture(33, 47, seed) for seed in range(3)])
    labels = served.signatures["serving_default"](images=pictures)["labels"]
    np.testing.assert_array_equal(labels, [labels_of(trained, picture) for picture in pictures])
    encoded = [encode(picture) for picture in pictures]
    labels = served.signatures["image_bytes"](image_bytes=tf.constant(encoded))["labels"]
    np.testing.assert_array_equal(labels, [labels_of(trained, picture) for picture in pictures])


def test_a_turned_photograph_is_labelled_upright(trained, served):
    exif = Image.Exif()
    exif[0x0112] = 6
    encoded = encode(random_picture(40, 60), "JPEG", exif=exif)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))))
    labels = served.signatures["image_bytes"](image_bytes=tf.constant([encoded]))["labels"]
    assert labels.shape == (1, 60, 40)
    np.testing.assert_array_equal(labels[0], labels_of(trained, shown))


def png16(picture: np.ndarray, low_byte: int) -> bytes:
    """A 16-bit PNG whose high bytes are `picture`, [H, W] or [H, W, 3]; Pillow cannot write RGB."""
    height, width = picture.shape[:2]
    samples = (picture.astype(">u2") * 256 + low_byte).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    color_type = 2 if picture.ndim == 3 else 0

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


PICTURE = random_picture(24, 40)
GREY = np.asarray(Image.fromarray(PICTURE).convert("L"))
ALPHA = np.dstack([PICTURE, GREY])
ENCODINGS = {
    "rgb jpeg": encode(PICTURE, "JPEG"),
    "progressive jpeg": encode(PICTURE, "JPEG", progressive=True),
    "grey jpeg": encode(GREY, "JPEG"),
    "cmyk jpeg": encode(Image.fromarray(PICTURE).convert("CMYK"), "JPEG", quality=95),
    "rgb png": encode(PICTURE),
    "rgba png": encode(ALPHA),
    "palette png": encode(Image.fromarray(PICTURE).quantize(16)),
    "transparent palette png": encode(Image.fromarray(PICTURE).quantize(16), transparency=3),
    "bilevel png": encode(Image.fromarray(GREY > 127)),
    "grey and alpha png": encode(Image.fromarray(GREY).convert("LA")),
    "1x1 jpeg": encode(PICTURE[:1, :1], "JPEG"),
    "1x2000 jpeg": encode(random_picture(1, 2000), "JPEG"),
    "2000x1 png": encode(random_picture(2000, 1)),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_decoding_equals_pillow(name):
    with Image.open(io.BytesIO(ENCODINGS[name])) as image:
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(decode_images(tf.constant([ENCODINGS[name]]))[0], expected)


def test_16_bit_png_keeps_the_high_byte():
    np.testing.assert_array_equal(decode_images(tf.constant([png16(PICTURE, 200)]))[0], PICTURE)
    grey = np.repeat(GREY[..., None], 3, axis=-1)
    np.testing.assert_array_equal(decode_images(tf.constant([png16(GREY, 200)]))[0], grey)


@pytest.mark.parametrize("name", ["1x1 jpeg", "1x2000 jpeg", "2000x1 png", "cmyk jpeg"])
def test_odd_images_are_labelled_at_their_own_size(name, trained, served):
    with Image.open(io.BytesIO(ENCODINGS[name])) as image:
        picture = np.asarray(image.convert("RGB"))
    labels = served.signatures["image_bytes"](image_bytes=tf.constant([ENCODINGS[name]]))["labels"]
    np.testing.assert_array_equal(labels[0], labels_of(trained, picture))


@pytest.mark.parametrize(
    ("encoded", "message"),
    [
        ([encode(PICTURE), encode(PICTURE[:, 1:])], "images of one request must have one size"),
        ([], "image_bytes is empty"),
        ([encode(PICTURE, "WEBP")], "image_bytes must be JPEG or PNG"),
        ([encode(PICTURE, "JPEG")[:-200]], "Invalid JPEG data"),
        ([b"no picture"], "image_bytes must be JPEG or PNG"),
        ([b""], "image_bytes must be JPEG or PNG"),
    ],
)
def test_wrong_requests_are_told_what_is_wrong(encoded, message, served):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        served.signatures["image_bytes"](image_bytes=tf.constant(encoded, tf.string))


def test_plain_tensorflow_loads_it(trained, pictures, exported, tmp_path):
    """Another process loads it, where importing this package or Keras' layers by it would fail."""
    picture = pictures[1].image
    np.save(tmp_path / "picture.npy", picture)
    program = (
        "import sys; sys.modules['deeplab_tf'] = None\n"
        "import numpy as np, tensorflow as tf\n"
        f"served = tf.saved_model.load({str(exported.artefact)!r})\n"
        f"picture = np.load({str(tmp_path / 'picture.npy')!r})\n"
        "labels = served.signatures['serving_default'](images=picture[None])['labels']\n"
        f"np.save({str(tmp_path / 'labels.npy')!r}, labels)\n"
    )
    assert run("-c", program).returncode == 0
    labels = np.load(tmp_path / "labels.npy")
    np.testing.assert_array_equal(labels[0], labels_of(trained, picture))


def test_no_space_to_batch_in_any_graph_and_the_reader_would_see_one(exported):
    operations = saved_model_operations(exported.artefact)
    # One model graph, that both signatures call.
    assert operations["Conv2D"] == 33
    assert operations["FusedBatchNormV3"] == 0 and operations["BiasAdd"] == 33
    assert not [name for name in operations if "Batch" in name and "Space" in name]
    # Nor is anything left of the gradients that training has.
    assert operations["IdentityN"] == 0
    file = SavedModel.FromString((exported.artefact / "saved_model.pb").read_bytes())
    (meta_graph,) = file.meta_graphs
    assert not meta_graph.graph_def.library.gradient
    functions = meta_graph.graph_def.library.function
    assert not [
        node.name for f in functions for node in f.node_def if "_gradient_op_type" in node.attr
    ]
    atrous = keras.layers.Conv2D(1, 3, dilation_rate=2, padding="same")
    atrous.build((None, 9, 9, 1))

    @tf.function(input_signature=[tf.TensorSpec((1, 9, 9, 1))])
    def inner(x):
        return atrous(x)

    outer = tf.function(lambda x: inner(x), input_signature=inner.input_signature)
    graph = outer.get_concrete_function().graph.as_graph_def()
    assert "SpaceToBatchND" not in [node.op for node in graph.node]
    assert graph_operations(graph)["SpaceToBatchND"] == 1


def test_the_description_travels_along(trained, exported):
    text = (exported.artefact / "assets.extra" / "deeplab_tf.json").read_text()
    assert parse_description(text, "SavedModel") == (trained.experiment, trained.classes)


def test_the_report_has_the_numbers(exported, pictures):
    report = json.loads((exported.artefact / "parity.json").read_text())
    assert report["label_agreement"] == 1.0
    assert 0 <= report["largest_logit_difference"] < 1e-4
    assert report["largest_logit_difference_at"]["image"] in [picture.name for picture in pictures]
    assert report["images"] == 3
    assert (report["artefact"], report["format"], report["quantize"]) == (
        "served",
        "saved_model",
        "none",
    )
    files = [path for path in exported.artefact.rglob("*") if path.is_file()]
    rest = sum(path.stat().st_size for path in files if path.name != "parity.json")
    assert report["size_bytes"] == rest
    assert report["versions"]["tensorflow"] == tf.__version__


def test_an_earlier_export_is_replaced_and_anything_else_kept(
    trained, pictures, exported, written_once, tmp_path
):
    out = tmp_path / "served"
    shutil.copytree(exported.artefact, out)
    (out / "parity.json").unlink()
    export_saved_model(trained, out, pictures[:1])
    assert json.loads((out / "parity.json").read_text())["images"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["served"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    with pytest.raises(DeeplabError, match="other would be replaced"):
        export_saved_model(trained, other, pictures)
    assert (other / "thesis.txt").read_text() == "years of work"
    with pytest.raises(DeeplabError, match="is a file"):
        export_saved_model(trained, other / "thesis.txt", pictures)


def test_disagreement_publishes_nothing_and_keeps_the_earlier_export(
    trained, pictures, exported, written_once, tmp_path, monkeypatch
):
    out = tmp_path / "served"
    shutil.copytree(exported.artefact, out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    monkeypatch.setitem(parity_module.THRESHOLDS, "none", 1.1)
    with pytest.raises(DeeplabError, match=r"agree .* on 100\.0000% of the pixels of 3 images"):
        export_saved_model(trained, out, pictures)
    with pytest.raises(DeeplabError, match="is not published"):
        export_saved_model(trained, tmp_path / "new", pictures)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["served"]


def test_a_full_disk_leaves_nothing(trained, pictures, written_once, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saved_model, "write_report", full)
    with pytest.raises(OSError, match="No space left"):
        export_saved_model(trained, tmp_path / "served", pictures[:1])
    assert list(tmp_path.iterdir()) == []


def test_half_pixel_and_a_head_convolution_are_served_too(pictures, tmp_path):
    trained = random_trained_model(
        upsampling="half_pixel", normalization="mean_std", head_conv=True, aspp_dropout=0.5
    )
    export = export_saved_model(trained, tmp_path / "served", pictures)
    # Dropout in the served graph would show as a difference of whole logits.
    assert export.parity.largest_logit_difference < 1e-4


def entropy(shares):
    return -np.sum(shares * np.log(shares), axis=-1)


def test_signatures_on_request(trained, pictures, tmp_path):
    serving = Serving(("probabilities", "logits", "uncertainty"))
    export_saved_model(trained, tmp_path / "served", pictures, serving)
    signatures = tf.saved_model.load(str(tmp_path / "served")).signatures
    asked = {"probabilities", "logits", "uncertainty", "serving_default", "image_bytes"}
    assert set(signatures) == asked
    picture = tf.constant(pictures[0].image[None])
    logits = trained.model(picture, training=False).numpy().astype(np.float64)
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    expected = {"logits": logits, "probabilities": shares, "uncertainty": entropy(shares)}
    for name, value in expected.items():
        (found,) = signatures[name](images=picture).values()
        np.testing.assert_allclose(found, value, atol=1e-4)
    assert 0 < expected["uncertainty"].max() < np.log(6)


def test_many_scales_and_flip_inside(trained, pictures, tmp_path):
    serving = Serving(("probabilities",), (0.75, 1.25), True)
    export = export_saved_model(trained, tmp_path / "served", pictures, serving)
    assert export.parity.label_agreement > 0.9999
    report = json.loads((tmp_path / "served" / "parity.json").read_text())
    assert (report["scales"], report["flip"]) == ([0.75, 1.25], True)
    predictor = load_predictor(tmp_path / "served")
    assert predictor.experiment.evaluate.scales == (0.75, 1.25)
    by_keras = trained_predictor(trained, EvaluateConfig(scales=(0.75, 1.25), flip=True))
    once = trained_predictor(trained, EvaluateConfig())
    images = pictures[0].image[None]
    assert np.mean(predictor.predict(images) == by_keras.predict(images)) > 0.9999
    assert np.mean(predictor.predict(images) == once.predict(images)) < 0.9999


def test_logits_of_several_views_are_refused(trained, pictures, tmp_path):
    with pytest.raises(DeeplabError, match="average probabilities, of which there are no logits"):
        export_saved_model(trained, tmp_path / "served", pictures, Serving(("logits",), flip=True))
    assert not (tmp_path / "served").exists()

"""An OpenVINO model behind the server's two protocols: the same forms as a SavedModel's."""

import asyncio

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from support.random_model import random_picture, random_trained_model
from support.serving_requests import ask, encode, newest, png_that_claims, rows
from tensorflow_serving.apis import get_model_metadata_pb2

from deeplab_tf.artefacts.openvino import open_openvino
from deeplab_tf.config import Backbone
from deeplab_tf.errors import DeeplabError
from deeplab_tf.export.openvino_model import write_openvino
from deeplab_tf.inference.predictor import load_predictor
from deeplab_tf.serving.limits import Limits
from deeplab_tf.serving.model_info import model_metadata
from deeplab_tf.serving.refusal import Reason, RefusedError
from deeplab_tf.serving.served_model import open_served_model
from deeplab_tf.serving.service import Service

PICTURES = np.stack([random_picture(33, 47, seed) for seed in range(2)])
PREDICT = "/v1/models/street:predict"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An OpenVINO model as OpenVINO Model Server wants it: street/4."""
    folder = tmp_path_factory.mktemp("models") / "street" / "4"
    folder.mkdir(parents=True)
    write_openvino(random_trained_model(backbone=Backbone.RESNET_TINY, multi_grid=(1,)), folder)
    return folder


@pytest.fixture(scope="module")
def service(folder):
    return Service(open_served_model(folder), Limits(max_pixels=100_000))


def labels_and_confidence(folder, pictures):
    logits = open_openvino(folder).run(pictures)[1].astype(np.float64)
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return logits.argmax(axis=-1), 1 / shares.sum(axis=-1)


def check(predictions, folder, pictures):
    labels, confidence = labels_and_confidence(folder, pictures)
    assert len(predictions) == len(pictures)
    for told, label, share in zip(predictions, labels, confidence, strict=True):
        np.testing.assert_array_equal(told["labels"], label)
        np.testing.assert_allclose(told["confidence"], share, rtol=1e-5)


def test_pixels_and_encoded_images_are_answered(service, folder):
    answer = ask(service, "POST", PREDICT, json={"instances": PICTURES.tolist()})
    check(answer.json()["predictions"], folder, PICTURES)
    answer = ask(service, "POST", PREDICT, content=rows(*map(encode, PICTURES)))
    check(answer.json()["predictions"], folder, PICTURES)


def test_a_turned_photograph_is_labelled_upright(service, folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = encode(PICTURES[0], "PNG", exif=exif)
    answer = ask(service, "POST", PREDICT, content=rows(photo))
    check(answer.json()["predictions"], folder, np.rot90(PICTURES[:1], -1, axes=(1, 2)))


def test_a_broken_image_is_the_senders_fault(service):
    answer = ask(service, "POST", PREDICT, content=rows(png_that_claims(33, 47)))
    assert answer.status_code == 400 and "cannot be read" in answer.json()["error"]


def test_it_says_what_it_takes_and_gives(service):
    assert (newest(service).name, newest(service).version) == ("street", 4)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    model_metadata(newest(service)).metadata["signature_def"].Unpack(signatures)
    found = {
        name: [
            {key: (info.dtype, [dim.size for dim in info.tensor_shape.dim]) for key, info in part}
            for part in (definition.inputs.items(), definition.outputs.items())
        ]
        for name, definition in signatures.signature_def.items()
    }
    uint8, float32, string = 4, 1, 7  # of tensorflow/core/framework/types.proto
    outputs = {"labels": (uint8, [-1] * 3), "confidence": (float32, [-1] * 3)}
    assert found == {
        "serving_default": [{"images": (uint8, [-1, -1, -1, 3])}, outputs],
        "image_bytes": [{"image_bytes": (string, [-1])}, outputs],
    }


def test_a_working_size_is_that_of_the_predictor(folder):
    picture = random_picture(70, 130)[None]
    served = open_served_model(folder, None, 65)
    assert (served.name, served.working.longest) == ("street", 65)
    answer = served.run("serving_default", picture)
    predictor = load_predictor(folder, lambda line: None, working_size=65)
    np.testing.assert_array_equal(answer["labels"], predictor.predict(picture))
    assert answer["confidence"].shape == (1, 70, 130)


def test_it_is_ready_after_one_small_image(service):
    asyncio.run(service.warm_up())
    assert service.ready


def test_a_damaged_one_is_refused_at_the_start(folder, tmp_path):
    (tmp_path / "model.xml").write_text("<net>")
    with pytest.raises(DeeplabError, match=r"model.xml is damaged"):
        open_served_model(tmp_path)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"),
        RuntimeError("Failed to allocate 9 bytes"),
    ],
)
def test_no_memory_after_the_network_is_a_busy_server(error, folder, monkeypatch):
    def fail(*_):
        raise error

    monkeypatch.setattr("deeplab_tf.serving.openvino_model._enlarged", fail)
    served = open_served_model(folder)
    with pytest.raises(RefusedError, match="out of memory") as caught:
        served.run("serving_default", PICTURES)
    assert caught.value.reason is Reason.BUSY

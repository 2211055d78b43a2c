"""TensorFlow Serving's gRPC form, asked by the official stubs through a port of 127.0.0.1."""

import asyncio
import contextlib

import grpc
import numpy as np
import pytest
import tensorflow as tf
from support.random_model import random_picture
from support.serving_requests import (
    encode,
    grpc_channel,
    held,
    metric,
    newest,
    png_that_claims,
    until,
)
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from deeplab_tf.errors import DeeplabError
from deeplab_tf.serving.grpc_service import start_grpc
from deeplab_tf.serving.limits import Limits
from deeplab_tf.serving.service import Service

PICTURES = np.stack([random_picture(33, 47, seed) for seed in range(3)])
ENCODED = [encode(picture) for picture in PICTURES]


@pytest.fixture(scope="module")
def service(model):
    """One for all, since TensorFlow prepares itself in each service's thread anew."""
    return Service(model, Limits(max_pixels=20_000, max_request_bytes=100_000))


def question(signature, value, name=None, **spec) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = spec.pop("model", "street")
    request.model_spec.signature_name = signature
    if "version" in spec:
        request.model_spec.version.value = spec.pop("version")
    if "version_label" in spec:
        request.model_spec.version_label = spec.pop("version_label")
    key = name or {"image_bytes": "image_bytes"}.get(signature, "images")
    for number in range(spec.pop("extra", 0)):
        request.inputs[str(number)].dtype = 1
    tensor = value if isinstance(value, TensorProto) else tf.make_tensor_proto(value)
    request.inputs[key].CopyFrom(tensor)
    return request


def call(service, stub, method, *requests):
    """Answers, or errors, to requests that are sent together."""

    async def all_of_them():
        async with grpc_channel(service) as channel:
            function = getattr(stub(channel), method)
            return await asyncio.gather(*map(function, requests), return_exceptions=True)

    return asyncio.run(all_of_them())


def predict(service, *requests):
    stub = prediction_service_pb2_grpc.PredictionServiceStub
    return call(service, stub, "Predict", *requests)


@pytest.fixture(scope="module")
def ask(service):
    """`predict` through one channel for all, since a server takes seconds to start and stop."""
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        channel = runner.run(stack.enter_async_context(grpc_channel(service)))
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

        async def all_of_them(requests):
            return await asyncio.gather(*map(stub.Predict, requests), return_exceptions=True)

        yield lambda *requests: runner.run(all_of_them(requests))
        runner.run(stack.aclose())


@pytest.mark.parametrize("signature", ["", "serving_default", "image_bytes"])
def test_answers_are_the_saved_models_to_the_bit(signature, service, ask, reference):
    value = ENCODED if signature == "image_bytes" else PICTURES
    before = metric(service, "deeplab_requests_total", protocol="grpc", code="OK")
    (answer,) = ask(question(signature, value, version=3))
    expected = reference(signature or "serving_default", value)
    assert set(answer.outputs) == set(expected)
    for name, array in expected.items():
        told = tf.make_ndarray(answer.outputs[name])
        assert told.dtype == array.dtype
        np.testing.assert_array_equal(told, array)
    assert answer.model_spec.name == "street" and answer.model_spec.version.value == 3
    assert answer.model_spec.signature_name == (signature or "serving_default")
    assert metric(service, "deeplab_requests_total", protocol="grpc", code="OK") == before + 1


def test_only_the_outputs_that_are_asked_for_are_sent(ask):
    request = question("image_bytes", ENCODED)
    request.output_filter.append("labels")
    (answer,) = ask(request)
    assert list(answer.outputs) == ["labels"]


def test_state_and_metadata(service):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "street"
    stub = prediction_service_pb2_grpc.PredictionServiceStub
    (answer,) = call(service, stub, "GetModelMetadata", request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    assert signatures.signature_def["image_bytes"].inputs["image_bytes"].dtype == 7  # DT_STRING
    assert answer.model_spec.version.value == 3

    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "street"
    (answer,) = call(service, model_service_pb2_grpc.ModelServiceStub, "GetModelStatus", request)
    (version,) = answer.model_version_status
    assert (version.version, version.state, version.status.error_code) == (3, 30, 0)


def announced(shape, dtype=tf.uint8, **values):
    """A tensor of any shape with the values given."""
    return TensorProto(
        dtype=dtype.as_datatype_enum,
        tensor_shape=tf.TensorShape(shape).as_proto(),
        **values,
    )


CODE = grpc.StatusCode
SMALL = PICTURES[:, :2, :2]
WRONG = {
    "unknown model": (question("", SMALL, model="road"), CODE.NOT_FOUND, "Latest(road)"),
    "unknown version": (question("", SMALL, version=4), CODE.NOT_FOUND, "Specific(street, 4)"),
    "label": (question("", SMALL, version_label="a"), CODE.NOT_FOUND, "version label 'a'"),
    "unknown signature": (question("logits", SMALL), CODE.INVALID_ARGUMENT, "no signature"),
    "unknown input": (question("", SMALL, "image"), CODE.INVALID_ARGUMENT, "takes 'images'"),
    "wrong dtype": (
        question("", SMALL.astype(np.float32)),
        CODE.INVALID_ARGUMENT,
        "images must be uint8; received data type 1",
    ),
    "wrong rank": (question("", SMALL[0]), CODE.INVALID_ARGUMENT, "shape [B, H, W, 3]"),
    "no images": (question("", SMALL[:0]), CODE.INVALID_ARGUMENT, "none of them 0"),
    "no encoded images": (
        question("image_bytes", announced([0], tf.string)),
        CODE.INVALID_ARGUMENT,
        "a list of one or more images",
    ),
    "one encoded image": (
        question("image_bytes", ENCODED[0]),
        CODE.INVALID_ARGUMENT,
        "shape [B] and B values",
    ),
    "not an image": (question("image_bytes", [b"GIF89a"]), CODE.INVALID_ARGUMENT, "neither JPEG"),
    "cut off": (question("image_bytes", [ENCODED[0][:-60]]), CODE.INVALID_ARGUMENT, "Invalid PNG"),
    "a bomb": (
        question("image_bytes", [png_that_claims(8992, 8992)]),
        CODE.RESOURCE_EXHAUSTED,
        "have 80,856,064 pixels, with each side rounded up to a multiple of 16; the server takes "
        "at most 20,000",
    ),
    "one value for a huge tensor": (
        question("", announced([1, 2**40, 2**30, 3], int_val=[1])),
        CODE.RESOURCE_EXHAUSTED,
        "at most 20,000",
    ),
    "many inputs": (
        question("", SMALL, **{"extra": 5000}),
        CODE.INVALID_ARGUMENT,
        "signature serving_default takes 'images'; received '",
    ),
    "one value for many images": (
        question("", announced([2**40, 1, 1, 3], int_val=[1])),
        CODE.RESOURCE_EXHAUSTED,
        "has 1,099,511,627,776 images; the server takes at most 1,024 (--max_images)",
    ),
    "many images of one pixel": (
        question("", announced([79, 1, 1, 3], int_val=[1])),
        CODE.RESOURCE_EXHAUSTED,
        "have 20,224 pixels, with each side rounded up to a multiple of 16",
    ),
    "many empty images": (
        question("image_bytes", [b""] * 1025),
        CODE.RESOURCE_EXHAUSTED,
        "has 1,025 images; the server takes at most 1,024 (--max_images)",
    ),
    "one value for many strings": (
        question("image_bytes", announced([2**40], tf.string, string_val=[ENCODED[0]])),
        CODE.INVALID_ARGUMENT,
        "and 1 values",
    ),
    "too few bytes": (
        question("", announced([1, 5, 5, 3], tensor_content=b"abc")),
        CODE.INVALID_ARGUMENT,
        "must have as many values as its shape",
    ),
    "unknown shape": (
        question("", announced([None, 5, 5, 3], int_val=[1])),
        CODE.INVALID_ARGUMENT,
        "a known shape",
    ),
    "too large": (
        question("image_bytes", [b"\xff\xd8" * 60_000]),
        CODE.RESOURCE_EXHAUSTED,
        "larger than max",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_requests_are_told_what_is_wrong(name, ask, reference):
    request, code, reason = WRONG[name]
    wrong, good = ask(request, question("image_bytes", ENCODED))
    assert wrong.code() == code, wrong
    assert reason in wrong.details() and "\n" not in wrong.details()
    labels = tf.make_ndarray(good.outputs["labels"])
    np.testing.assert_array_equal(labels, reference("image_bytes", ENCODED)["labels"])


def test_other_methods_are_reported_as_unimplemented(service, ask):
    stub = prediction_service_pb2_grpc.PredictionServiceStub
    (error,) = call(service, stub, "Classify", classification_pb2.ClassificationRequest())
    assert (error.code(), error.details()) == (
        CODE.UNIMPLEMENTED,
        "the server answers only Predict and GetModelMetadata",
    )
    request = question("image_bytes", ENCODED)
    request.output_filter.append("logits")
    (error,) = ask(request)
    assert error.code() == CODE.INVALID_ARGUMENT and "no output 'logits'" in error.details()


def test_a_full_queue_and_a_late_answer_have_their_codes(model):
    service = Service(held(model), Limits(queue_size=2, time_limit=0.3))
    errors = predict(service, *[question("image_bytes", ENCODED)] * 3)
    newest(service).release.set()
    codes = sorted(error.code().name for error in errors)
    assert codes == ["DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", "UNAVAILABLE"]
    assert service.gate.inside == 0


def test_requests_of_both_protocols_are_counted_and_batched(model, reference):
    service = Service(held(model), Limits())

    async def many():
        async with grpc_channel(service) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            requests = [question("image_bytes", [data]) for data in ENCODED * 2]
            # The first runs alone, and is held until the others wait.
            tasks = [asyncio.create_task(_done(stub.Predict(requests[0])))]
            await until(lambda: bool(newest(service).ran))
            tasks += [asyncio.create_task(_done(stub.Predict(each))) for each in requests[1:]]
            await until(lambda: len(service._batcher._waiting) == 5)
            newest(service).release.set()
            return await asyncio.gather(*tasks)

    answers = asyncio.run(many())
    expected = reference("image_bytes", ENCODED)["labels"]
    for answer, labels in zip(answers, [*expected, *expected], strict=True):
        np.testing.assert_array_equal(tf.make_ndarray(answer.outputs["labels"])[0], labels)
    assert metric(service, "deeplab_batch_images_count") == 2
    assert metric(service, "deeplab_requests_total", protocol="grpc", code="OK") == 6


async def _done(call):
    return await call


def test_a_port_that_is_taken_is_reported(service):
    async def twice():
        server, port = start_grpc(service, "127.0.0.1:0")
        await server.start()
        try:
            with pytest.raises(DeeplabError, match=f"the server cannot listen at 127.0.0.1:{port}"):
                start_grpc(service, f"127.0.0.1:{port}")
        finally:
            await server.stop(0)

    asyncio.run(twice())

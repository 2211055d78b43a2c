"""Requests of any form keep the server's memory under a bound that its limits give.

The bound, above the memory at rest, is `MESSAGE_FACTOR` times the largest message, since messages
are parsed one at a time, and what the network takes for the largest image. DEEPLAB_FUZZ_CASES sets
the number of requests (60), so that more can be tried by hand:

    DEEPLAB_FUZZ_CASES=2000 pytest -s tests/serving/test_server_memory.py
"""

import asyncio
import os
import pathlib

import grpc
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from support.serving_requests import PREDICT, client, encode, grpc_channel, rows
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from deeplab_tf.machine.system import STATUS, own_peak
from deeplab_tf.serving.limits import Limits
from deeplab_tf.serving.models import Visit
from deeplab_tf.serving.service import Service
from deeplab_tf.serving.work import Question

CASES = int(os.environ.get("DEEPLAB_FUZZ_CASES", "60"))
LIMITS = Limits(max_request_bytes=1_000_000, max_pixels=1 << 17, max_images=512)
MESSAGE_FACTOR = 40
"""The most bytes that a parsed byte of JSON takes; `[[]],` as often as it fits took 40.1 times."""
CLEAR = pathlib.Path("/proc/self/clear_refs")

UNITS = ("[]", "{}", '{"":0}', "[[]]", "[0]", "0.5", "256", '"a"', '{"b64":""}', "[[[[0,0,0]]]]")
SIDES = st.sampled_from((1, 2, 15, 16, 17, 64, 130, 400, 2000, 100_000))
COUNTS = st.sampled_from((1, 2, 7, 64, 511, 512, 513, 5000, 80_000, 10**7))


def at_rest() -> int:
    lines = STATUS.read_text().splitlines()
    (line,) = (text for text in lines if text.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def message(signature: str, tensor: TensorProto) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "street", signature
    request.inputs["image_bytes" if signature == "image_bytes" else "images"].CopyFrom(tensor)
    return request


@st.composite
def requests(draw) -> bytes | predict_pb2.PredictRequest:
    """Draws a body of REST or a message of gRPC, of any size up to the limit and a little more."""
    count, height, width = draw(COUNTS), draw(SIDES), draw(SIDES)
    match draw(st.sampled_from(("json", "pixels", "files", "tensor", "strings"))):
        case "json":
            unit = draw(st.sampled_from(UNITS))
            depth = draw(st.integers(0, 3))
            units = min(count, LIMITS.max_request_bytes // (len(unit) + 1))
            name = draw(st.sampled_from(("image_bytes", "serving_default")))
            text = "[" * depth + ",".join([unit] * units) + "]" * depth
            return f'{{"signature_name":"{name}","instances":[{text}]}}'.encode()
        case "pixels":
            row = "[" + ",".join(["[0,0,0]"] * min(width, 130_000)) + "]"
            image = "[" + ",".join([row] * min(height, 1 + 10**6 // len(row))) + "]"
            images = ",".join([image] * min(count, 1 + 10**6 // len(image)))
            return f'{{"inputs":[{images}]}}'.encode()
        case "files":
            file = encode(np.zeros((min(height, 2000), min(width, 2000), 3), np.uint8))
            return rows(*[file] * min(count, 1 + 10**6 // len(file)))
        case "tensor":
            shape = tf.TensorShape((count, height, width, 3)).as_proto()
            tensor = TensorProto(dtype=tf.uint8.as_datatype_enum, tensor_shape=shape, int_val=[0])
            return message("serving_default", tensor)
        case _:
            texts = [b""] * min(count, 400_000)
            shape = tf.TensorShape((len(texts),)).as_proto()
            tensor = TensorProto(
                dtype=tf.string.as_datatype_enum, tensor_shape=shape, string_val=texts
            )
            return message("image_bytes", tensor)


@pytest.mark.skipif(not os.access(CLEAR, os.W_OK), reason="the system does not forget a peak")
def test_no_request_takes_more_than_the_limits_allow(model):
    service = Service(model, LIMITS)
    largest, statuses = 0, set()

    async def peak_of(asking) -> int:
        before = at_rest()
        CLEAR.write_text("5")
        await asking
        return (own_peak() or 0) - before

    async def by_rest(http, body):
        answer = await http.post(PREDICT, content=body)
        assert answer.status_code < 500, answer.text
        statuses.add(answer.status_code)

    async def by_grpc(stub, request):
        try:
            await stub.Predict(request)
            statuses.add("OK")
        except grpc.aio.AioRpcError as error:
            assert error.code().name in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"), error
            statuses.add(error.code().name)

    with asyncio.Runner() as runner:
        runner.run(service.warm_up())
        signature = model.signatures["serving_default"]
        side = int(LIMITS.max_pixels**0.5) // 16 * 16
        image = np.zeros((1, side, LIMITS.max_pixels // side // 16 * 16, 3), np.uint8)
        visit = Visit()
        visit.bind(service.models["street"].newest)
        network = runner.run(peak_of(service.answer(lambda: Question(signature, image), visit)))
        bound = MESSAGE_FACTOR * LIMITS.max_request_bytes + network
        channel = grpc_channel(service)
        stub = prediction_service_pb2_grpc.PredictionServiceStub(runner.run(channel.__aenter__()))
        http = client(service)

        @settings(max_examples=CASES, deadline=None, derandomize=True)
        @given(request=requests())
        def check(request):
            nonlocal largest
            asking = (
                by_rest(http, request) if isinstance(request, bytes) else by_grpc(stub, request)
            )
            peak = runner.run(peak_of(asking))
            largest = max(largest, peak)
            assert peak <= bound

        check()
        runner.run(http.aclose())
        runner.run(channel.__aexit__(None, None, None))
    print(f"{CASES} requests: peak {largest / 1e6:.0f} MB, bound {bound / 1e6:.0f} MB, {statuses}")
    assert {200, 400, 413, "RESOURCE_EXHAUSTED"} <= statuses

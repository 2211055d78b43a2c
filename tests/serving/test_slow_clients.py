"""Clients that send, read or leave slowly on purpose keep nobody else out."""

import asyncio
import contextlib
import dataclasses
import json
import socket
import time

import grpc
import numpy as np
import orjson
import pytest
import tensorflow as tf
from support.random_model import random_picture
from support.serving_requests import (
    PREDICT,
    ask,
    encode,
    grpc_channel,
    held,
    metric,
    newest,
    rows,
    until,
)
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from deeplab_tf.serving import grpc_service, limits, server
from deeplab_tf.serving.limits import Limits
from deeplab_tf.serving.rest_json import answer_json
from deeplab_tf.serving.served_model import ServedModel
from deeplab_tf.serving.service import Service

SMALL = encode(random_picture(24, 40))
BODY = rows(SMALL)
HEAD = f"POST {PREDICT} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.http2.bdp_probe", 0)]
"""Without the probe gRPC reads 64 KB before it is asked to."""


class TalkativeModel(ServedModel):
    """Answers every image with 30 MB of JSON, more than a connection's buffers hold."""

    ANSWER = np.random.default_rng(0).random((1, 500, 1000, 3), np.float32)

    def run(self, signature, images):
        return {"probabilities": self.ANSWER}


def talkative(model):
    return TalkativeModel(**{f.name: getattr(model, f.name) for f in dataclasses.fields(model)})


@contextlib.asynccontextmanager
async def http_port(service):
    """A real server in this process."""
    with server._listening(server.Address("127.0.0.1", 0)) as listener:
        http = server._HttpServer(server._settings(service))
        task = asyncio.create_task(http.serve([listener]))
        try:
            yield listener.getsockname()[1]
        finally:
            http.should_exit = True
            await task


async def answer_of(reader):
    """(status, body) of the next answer on a connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    (length,) = (
        int(line.split(b":")[1]) for line in head.lower().splitlines() if b"content-length" in line
    )
    return int(head.split()[1]), await reader.readexactly(length)


async def post(port, body=BODY):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 26)
    writer.write(HEAD + body)
    answer = await answer_of(reader)
    writer.close()
    return answer


@pytest.mark.parametrize("sent", [b"", b"POST ", HEAD[:-2] + b"X-More: "])
def test_a_first_connection_without_a_whole_head_is_closed(sent, model):
    check_closed(sent, model, after_a_request=False)


@pytest.mark.parametrize("sent", [b"POST ", HEAD[:-2] + b"X-More: "])
def test_a_second_head_has_the_same_time(sent, model):
    check_closed(sent, model, after_a_request=True)


def check_closed(sent, model, after_a_request):
    service = Service(model, Limits(time_limit=0.6))

    async def trickle():
        async with http_port(service) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 26)
            if after_a_request:
                service.limits = Limits()
                writer.write(HEAD + BODY)
                assert (await answer_of(reader))[0] == 200
            begun = time.monotonic()
            writer.write(sent)
            closed = asyncio.create_task(reader.read())
            while not closed.done() and time.monotonic() < begun + 20:
                await asyncio.sleep(0.1)
                if sent:  # a byte now and then does not begin anew
                    writer.write(b"a")
            assert closed.done() and 0.5 < time.monotonic() - begun < 5
            writer.close()
            with contextlib.suppress(ConnectionResetError):
                assert closed.result() == b""
            service.limits = Limits()
            return await post(port)

    status, _ = asyncio.run(trickle())
    assert status == 200


def test_an_answer_that_nobody_takes_counts_as_inside_and_is_dropped(model):
    service = Service(talkative(model), Limits(queue_size=1, time_limit=1.5))

    async def unread():
        async with http_port(service) as port:
            deaf = socket.create_connection(("127.0.0.1", port))
            deaf.sendall(HEAD + BODY)
            await until(lambda: service._batcher._task is not None)
            await until(lambda: service._batcher._task.done())
            await asyncio.sleep(0.5)
            assert service.gate.inside == 1
            assert (await post(port))[0] == 503
            await until(lambda: service.gate.inside == 0)
            deaf.setblocking(False)
            told = 0
            with contextlib.suppress(ConnectionResetError, BlockingIOError):
                while part := deaf.recv(1 << 20):
                    told += len(part)
            deaf.close()
            return told, await post(port)

    told, (status, body) = asyncio.run(unread())
    assert status == 200 and told < len(body)
    np.testing.assert_array_equal(
        np.array(json.loads(body)["predictions"][0]["probabilities"], np.float32),
        TalkativeModel.ANSWER[0],
    )


def test_what_a_client_that_left_waited_for_is_not_computed(model):
    service = Service(held(model), Limits())

    async def leave():
        async with http_port(service) as port:
            first = asyncio.create_task(post(port))
            await until(lambda: newest(service).ran)
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HEAD + BODY)
            await until(lambda: len(service._batcher._waiting) == 1)
            writer.close()
            await until(lambda: service.gate.inside == 1)
            newest(service).release.set()
            assert (await first)[0] == 200
            await asyncio.sleep(0.2)

    asyncio.run(leave())
    assert len(newest(service).ran) == 1
    assert metric(service, "deeplab_requests_total", protocol="rest", code="499") == 1


@pytest.mark.parametrize("by_row", [True, False])
@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 70, 1000, 21), (3, 2, 70_000), (1, 1, 200_001)])
def test_answers_are_written_in_short_pieces(shape, by_row):
    """orjson holds the interpreter, and with it the event loop."""
    rng = np.random.default_rng(0)
    outputs = {"a": rng.random(shape, np.float32), "b": rng.integers(0, 255, shape, np.uint8)}
    pieces = answer_json(outputs, by_row)
    assert max(map(len, pieces)) < 3 << 20
    told = json.loads(b"".join(pieces))
    whole = {"outputs": outputs}
    if by_row:
        whole = {"predictions": [{k: v[i] for k, v in outputs.items()} for i in range(shape[0])]}
    assert told == json.loads(orjson.dumps(whole, option=orjson.OPT_SERIALIZE_NUMPY))


def test_an_answer_that_would_be_too_large_is_reported(model, monkeypatch):
    monkeypatch.setattr(limits, "MAX_ANSWER_BYTES", 3_000_000)
    service = Service(talkative(model), Limits())
    answer = ask(service, "POST", PREDICT, content=BODY)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("the answer is larger than 3,000,000 bytes")

    async def by_grpc():
        async with grpc_channel(service, OPTIONS, 0) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError, match="larger than 3,000,000 bytes"):
                await stub.Predict(question())

    asyncio.run(by_grpc())


def question():
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "street", "image_bytes"
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([SMALL]))
    return request


METHOD = "/tensorflow.serving.PredictionService/"


@pytest.mark.parametrize("method", ["Predict", "GetModelMetadata"])
def test_grpc_calls_without_a_message_are_ended(method, model):
    service = Service(model, Limits(queue_size=1, time_limit=1.5))

    async def silent():
        await asyncio.sleep(600)
        yield b""

    async def idle_then_good():
        async with grpc_channel(service, OPTIONS, 0) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            call = channel.stream_unary(METHOD + method)
            idle = [asyncio.ensure_future(_done(call(silent()))) for _ in range(2)]
            await asyncio.sleep(0.5)
            with pytest.raises(grpc.aio.AioRpcError, match="RESOURCE_EXHAUSTED"):
                await stub.Predict(question())
            told = await asyncio.wait_for(asyncio.gather(*idle, return_exceptions=True), 20)
            service.limits = Limits()
            return told, await stub.Predict(question())

    told, good = asyncio.run(idle_then_good())
    for error in told:
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert error.details() == "the request did not arrive within 1.5 s"
    assert tf.make_ndarray(good.outputs["labels"]).shape == (1, 24, 40)


async def _done(call):
    return await call


def test_a_grpc_call_without_any_message_is_wrong(model):
    async def none():
        return
        yield

    async def one():
        async with grpc_channel(Service(model, Limits()), OPTIONS, 0) as channel:
            with pytest.raises(grpc.aio.AioRpcError, match="ended without a message") as error:
                await channel.stream_unary(METHOD + "Predict")(none())
            return error.value.code()

    assert asyncio.run(one()) == grpc.StatusCode.INVALID_ARGUMENT


def test_a_grpc_answer_that_nobody_takes_ends_with_its_connection(model, monkeypatch):
    monkeypatch.setattr(grpc_service, "_CONNECTION_SECONDS", 2)
    monkeypatch.setattr(limits, "_SPARE_SECONDS", 0)
    service = Service(talkative(model), Limits(queue_size=1, time_limit=0.5))

    def answered():
        return metric(service, "deeplab_requests_total", protocol="grpc", code="OK")

    async def unread():
        async with grpc_channel(service, OPTIONS, 0) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            ask = channel.unary_stream(METHOD + "Predict")  # which reads when it is asked to
            calls = []
            for count in (1, 2):
                calls.append(ask(question().SerializeToString()))
                await until(lambda count=count: answered() == count)
            with pytest.raises(grpc.aio.AioRpcError, match="RESOURCE_EXHAUSTED"):
                await stub.Predict(question())
            await asyncio.sleep(4)
            answer = await stub.Predict(question())
            for call in calls:
                with pytest.raises(grpc.aio.AioRpcError, match="max connection age"):
                    await call.read()
            return answer

    answer = asyncio.run(unread())
    told = tf.make_ndarray(answer.outputs["probabilities"])
    np.testing.assert_array_equal(told, TalkativeModel.ANSWER)


def test_a_grpc_client_that_left_is_not_computed_for(model):
    service = Service(held(model), Limits())

    async def leave():
        async with grpc_channel(service, OPTIONS, 0) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            first = asyncio.ensure_future(_done(stub.Predict(question())))
            await until(lambda: newest(service).ran)
            second = stub.Predict(question())
            await until(lambda: len(service._batcher._waiting) == 1)
            second.cancel()
            await until(lambda: service.gate.inside == 1)
            newest(service).release.set()
            await first

    asyncio.run(leave())
    assert len(newest(service).ran) == 1

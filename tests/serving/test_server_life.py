"""The real server in a process of its own: start, answers through ports, end at SIGTERM."""

import concurrent.futures
import contextlib
import http.client
import json
import re
import signal
import socket
import time
import urllib.request

import grpc
import numpy as np
import pytest
import tensorflow as tf
from support.commands import Command
from support.random_model import random_picture
from support.serving_requests import PREDICT, encode, rows
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

# So large that each is a batch alone, and there is time to send the signal meanwhile.
LARGE = encode(random_picture(1600, 1600), "JPEG")


def start(model_folder, *arguments):
    return Command("-m", "deeplab_tf.cli.serve", f"--model={model_folder}", *arguments)


@contextlib.contextmanager
def server(model_folder, *arguments):
    """(process, REST port, gRPC port) of a server that is ready."""
    process = start(model_folder, "--port=0", "--grpc_port=0", *arguments)
    try:
        while not process.said().endswith("\n") and process.poll() is None:
            time.sleep(0.02)
        found = re.fullmatch(
            r"serving street, version 3, at http://127\.0\.0\.1:(\d+) and gRPC at "
            r"127\.0\.0\.1:(\d+)\n",
            process.said(),
        )
        assert found, process.said()
        yield process, int(found[1]), int(found[2])
    finally:
        process.kill()
        process.wait()


def post(port, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("POST", PREDICT, body)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def predict(port, data):
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "street", "image_bytes"
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([data]))
    unlimited = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", unlimited) as channel:
        answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request)
    return tf.make_ndarray(answer.outputs["labels"])[0]


def get(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
        return answer.read().decode()


def test_sigterm_delivers_the_answers_of_requests_inside_and_ends_with_0(model_folder, reference):
    with (
        concurrent.futures.ThreadPoolExecutor() as pool,
        server(model_folder, "--time_limit=120") as (process, port, grpc_port),
    ):
        body = rows(LARGE)
        answers = [pool.submit(predict, grpc_port, LARGE)]
        answers += [pool.submit(post, port, body) for _ in range(2)]
        while "deeplab_requests_inside 3.0" not in get(port, "/metrics"):
            assert not any(answer.done() for answer in answers)
        process.send_signal(signal.SIGTERM)
        assert not all(answer.done() for answer in answers)
        expected = reference("image_bytes", [LARGE])["labels"][0]
        for answer in answers[1:]:
            status, content = answer.result(120)
            assert status == 200
            np.testing.assert_array_equal(content["predictions"][0]["labels"], expected)
        np.testing.assert_array_equal(answers[0].result(120), expected)
        assert process.wait(60) == 0
        assert process.communicate()[1] == ""
        with pytest.raises(ConnectionRefusedError):
            post(port, body)


def test_refusals_reach_clients_that_are_still_sending(model_folder, reference):
    """A connection cut off in the middle of the body would be reported as that."""
    small = encode(random_picture(24, 40))
    with server(model_folder, "--max_request_mb=1", "--model_name=street") as (process, port, _):
        for _ in range(3):
            status, content = post(port, b" " * (20 << 20))
            assert status == 413 and "larger than 1,048,576 bytes" in content["error"]
        assert json.loads(get(port, "/readyz")) == {"status": "ready"}
        status, content = post(port, rows(small))
        expected = reference("image_bytes", [small])["labels"][0]
        np.testing.assert_array_equal(content["predictions"][0]["labels"], expected)

        # What is no HTTP at all, and clients that go away in the middle.
        for data in (b"\0" * 100, b"POST " + PREDICT.encode() + b" HTTP/1.1\r\nHost: a\r\n"):
            with socket.create_connection(("127.0.0.1", port)) as raw:
                raw.sendall(data)
        with socket.create_connection(("127.0.0.1", port)) as raw:
            head = f"POST {PREDICT} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc"
            raw.sendall(head.encode())
        deadline = time.monotonic() + 30
        while 'code="499",protocol="rest"} 1.0' not in get(port, "/metrics"):
            assert time.monotonic() < deadline
        status, content = post(port, rows(small))
        assert status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_a_taken_port_is_one_line_and_exit_code_1(model_folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(model_folder, f"--port={port}")
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert errors == (
        f"deeplab-serve: error: the server cannot listen at 127.0.0.1:{port}: Address already in "
        "use; give another --port or --host\n"
    )

"""A new version takes over while requests run: none is lost, and no answer is of two versions."""

import asyncio
import gc
import shutil
import sys
import weakref

import httpx
import numpy as np
import pytest
import tensorflow as tf
from support.model_versions import (
    numbers_in,
    open_number,
    question,
    ticks,
    write_version,
)
from support.serving_requests import PREDICT, client, grpc_channel, metric, newest, until
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from deeplab_tf.serving import hand_over as hand_over_module
from deeplab_tf.serving import server as server_module
from deeplab_tf.serving.hand_over import HandOver, watch
from deeplab_tf.serving.limits import Limits
from deeplab_tf.serving.model_folder import ModelFolder
from deeplab_tf.serving.service import Service
from deeplab_tf.serving.version_policy import parse_policy


class Server:
    """A service whose model has version 1, and a folder that further versions come into."""

    def __init__(self, path, policy="latest", limits=None):
        self.path, self.lines = path / "street", []
        write_version(self.path / "1")
        self.folder = ModelFolder(
            self.path, "street", parse_policy(policy), open_number, self.lines.append
        )
        self.service = Service(self.folder.open_first(), limits or Limits())
        self.hand_over = HandOver(self.service, self.folder)

    async def looks(self, count=2):
        for _ in range(count):
            await self.hand_over.look()

    def states(self):
        states = self.service.models["street"].states
        return {number: state.state.value for number, state in states.items()}


@pytest.fixture(autouse=True, scope="module")
def frozen():
    """What is imported is not looked at by the collections, as in deeplab-serve: a second each."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def server(tmp_path):
    return Server(tmp_path)


def message() -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "street"
    request.inputs["images"].CopyFrom(tf.make_tensor_proto(np.zeros((1, 4, 5, 3), np.uint8)))
    return request


async def one_after_the_other(ask, until_set: asyncio.Event) -> list[int]:
    """The versions that answered one client, which asks until the event, and then once more."""
    versions = []
    while True:
        last = until_set.is_set()
        versions.append(await ask())
        if last:
            return versions


def test_requests_in_flight_end_on_the_old_version_and_none_is_lost(server):
    async def everything():
        done = asyncio.Event()
        async with client(server.service) as http, grpc_channel(server.service) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

            async def by_rest():
                (version,) = numbers_in(await http.post(PREDICT, json=question()))
                return version

            async def by_grpc():
                answer = await stub.Predict(message())
                (version,) = np.unique(tf.make_ndarray(answer.outputs["labels"]))
                assert answer.model_spec.version.value == version
                return int(version)

            asking = [by_rest, by_grpc] * 3
            clients = [asyncio.create_task(one_after_the_other(ask, done)) for ask in asking]
            await ticks()
            write_version(server.path / "2")
            await server.looks()
            write_version(server.path / "3")
            await server.looks()
            done.set()
            return await asyncio.gather(*clients)

    for versions in asyncio.run(everything()):
        assert versions == sorted(versions) and {versions[0], versions[-1]} == {1, 3}
    assert server.lines == [
        "street: version 2 answers",
        "street: version 1 has ended",
        "street: version 3 answers",
        "street: version 2 has ended",
    ]
    assert server.states() == {1: "END", 2: "END", 3: "AVAILABLE"}
    assert metric(server.service, "deeplab_hand_overs_total", model="street") == 2


def test_the_old_version_is_freed_when_its_last_request_has_ended(server):
    old = weakref.ref(newest(server.service))

    async def everything():
        async with client(server.service) as http:
            held = asyncio.create_task(http.post(PREDICT, json=question(held=True)))
            waiting = asyncio.create_task(http.post(PREDICT, json=question(9)))
            await until(lambda: len(server.service._batcher._waiting) == 1)
            write_version(server.path / "2")
            await server.looks(1)
            looking = asyncio.create_task(server.looks(1))
            # The new one is warmed by the thread that the held request occupies.
            await until(lambda: server.states().get(2) == "LOADING")
            old().release.set()
            assert numbers_in(await held) == numbers_in(await waiting) == {1}
            await looking
            return await http.post(PREDICT, json=question())

    assert numbers_in(asyncio.run(everything())) == {2}
    gc.collect()
    assert old() is None
    assert server.states() == {1: "END", 2: "AVAILABLE"}


def test_a_request_that_is_bound_keeps_its_version_while_the_new_one_answers(server):
    """The old one is unloading until the request, whose body is still to come, has its answer."""
    body = httpx.Request("POST", "http://server", json=question()).content
    rest = asyncio.Event()

    async def slow():
        yield body[:10]
        await rest.wait()
        yield body[10:]

    async def everything():
        async with client(server.service) as http:
            early = asyncio.create_task(http.post(PREDICT, content=slow()))
            await until(lambda: server.service.models["street"].newest.inside == 1)
            write_version(server.path / "2")
            await server.looks(1)
            looking = asyncio.create_task(server.looks(1))
            await until(lambda: server.states() == {1: "UNLOADING", 2: "AVAILABLE"})
            inside = "deeplab_version_requests_inside"
            assert metric(server.service, inside, model="street", version="1") == 1
            late = await http.post(PREDICT, json=question())
            gone = await http.post(PREDICT.replace(":", "/versions/1:"), json=question())
            write_version(server.path / "3")
            await ticks()
            assert 3 not in server.states() and not looking.done()
            rest.set()
            answers = numbers_in(await early), numbers_in(late), gone
            await looking
            return answers

    early, late, gone = asyncio.run(everything())
    assert (early, late) == ({1}, {2})
    assert gone.status_code == 404 and "the server has street, version 2" in gone.json()["error"]
    assert server.lines[-1] == "street: version 1 has ended"


def test_a_broken_new_version_is_refused_and_the_old_one_stays(server):
    async def everything():
        async with client(server.service) as http:
            write_version(server.path / "2", "half a graph")
            await server.looks(4)
            state = (await http.get("/v1/models/street")).json()["model_version_status"]
            ready = await http.get("/readyz/street/versions/2")
            answer = await http.post(PREDICT, json=question())
            write_version(server.path / "2")
            await server.looks()
            return state, ready, answer, await http.post(PREDICT, json=question())

    (second, first), ready, before, after = asyncio.run(everything())
    assert numbers_in(before) == {1} and numbers_in(after) == {2}
    assert first["state"] == "AVAILABLE" and second["state"] == "END"
    assert second["status"]["error_code"] == "UNKNOWN"
    assert "is damaged: half a graph" in second["status"]["error_message"]
    assert ready.status_code == 503 and "is in the state END" in ready.json()["error"]
    assert [line.partition(":")[2][:21] for line in server.lines] == [
        " version 2 is refused",
        " version 2 answers",
        " version 1 has ended",
    ]


def test_a_version_that_is_refused_at_the_start_is_told(server):
    write_version(server.path / "2", "half a graph")
    server.folder.open_first()
    again = HandOver(server.service, server.folder)
    assert server.states() == {1: "AVAILABLE", 2: "END"}
    assert "is damaged" in server.service.models["street"].states[2].error
    asyncio.run(again.look())
    assert len(server.lines) == 1


def test_a_version_that_cannot_answer_is_refused(server, monkeypatch):
    class Mute:
        version, name = 2, "street"
        signatures = newest(server.service).signatures

        def run(self, signature, images):
            raise ValueError("no such\noperation")

    monkeypatch.setattr(server.folder, "_open", lambda folder: Mute())
    write_version(server.path / "2")
    asyncio.run(server.looks(4))
    assert server.states() == {1: "AVAILABLE", 2: "END"}
    (line,) = server.lines
    assert line.endswith("and version 1 stays: ValueError: no such operation")


def test_where_the_served_version_is_removed_the_highest_of_the_others_takes_over(server):
    async def everything():
        async with client(server.service) as http:
            write_version(server.path / "2")
            await server.looks()
            shutil.rmtree(server.path / "2")
            await server.looks(1)
            assert server.states() == {1: "END", 2: "AVAILABLE"}
            await server.looks(1)
            answer = await http.post(PREDICT, json=question())
            shutil.rmtree(server.path)
            await server.looks(3)
            return answer, await http.post(PREDICT, json=question())

    for answer in asyncio.run(everything()):
        assert numbers_in(answer) == {1}
    assert server.lines[2:] == [
        "street: version 1 answers",
        "street: version 2 has ended",
        f"street: version 1 goes on: {server.path} has no version to replace it",
    ]
    assert server.states() == {1: "AVAILABLE"}


def test_with_all_versions_each_answers_by_its_number(tmp_path):
    server = Server(tmp_path, "all")

    async def everything():
        async with client(server.service) as http:
            write_version(server.path / "2")
            await server.looks()
            paths = ("/versions/1:", "/versions/2:", ":")
            return [await http.post(PREDICT.replace(":", path), json=question()) for path in paths]

    assert [numbers_in(answer) for answer in asyncio.run(everything())] == [{1}, {2}, {2}]
    assert server.states() == {1: "AVAILABLE", 2: "AVAILABLE"}


def test_the_interpreter_changes_threads_more_often_while_a_version_is_loaded(server, monkeypatch):
    during, before = [], sys.getswitchinterval()
    load = server.folder._open
    noted = lambda folder: during.append(sys.getswitchinterval()) or load(folder)  # noqa: E731
    monkeypatch.setattr(server.folder, "_open", noted)
    write_version(server.path / "2")
    asyncio.run(server.looks())
    assert during == pytest.approx([before / 10], rel=0.01)
    assert sys.getswitchinterval() == before


def test_of_several_new_versions_one_at_a_time_is_more_than_are_served(tmp_path):
    write_version(tmp_path / "street" / "2")
    server = Server(tmp_path, "latest:2")
    for number in "34":
        write_version(server.path / number)
    asyncio.run(server.looks())
    assert [line.removeprefix("street: version ") for line in server.lines] == [
        "3 answers",
        "1 has ended",
        "4 answers",
        "2 has ended",
    ]


def test_a_version_that_something_holds_is_told(server, monkeypatch):
    monkeypatch.setattr(hand_over_module, "_FREED_SECONDS", 0)
    kept = newest(server.service)
    write_version(server.path / "2")
    asyncio.run(server.looks())
    assert kept.version == 1
    assert server.lines[-1] == "street: version 1 has ended, but is still in memory"


def test_a_fault_of_a_look_is_told_once_and_the_next_look_goes_on(server, monkeypatch):
    def fault(loaded):
        raise PermissionError("not yours")

    async def everything():
        watching = asyncio.create_task(watch(server.service, [server.folder], 0.001))
        with monkeypatch.context() as patch:
            patch.setattr(server.folder, "wanted", fault)
            await until(lambda: bool(server.lines))
            await ticks()
        write_version(server.path / "2")
        await until(lambda: server.states() == {1: "END", 2: "AVAILABLE"})
        watching.cancel()

    asyncio.run(everything())
    assert server.lines[0] == "street: PermissionError: not yours"
    assert server.lines[1:] == ["street: version 2 answers", "street: version 1 has ended"]


def test_a_fault_of_a_refusal_leaves_no_version_loading(server, monkeypatch):
    def fault(*arguments):
        raise PermissionError("not yours")

    monkeypatch.setattr(server.folder, "refuse", fault)
    write_version(server.path / "2", "half a graph")
    asyncio.run(server.looks())
    assert server.states() == {1: "AVAILABLE", 2: "START"}
    assert server.lines == ["street: PermissionError: not yours"]


def test_a_watcher_that_ends_ends_the_server_with_its_error(server, monkeypatch):
    async def fault(*arguments):
        raise RuntimeError("no more looks")

    monkeypatch.setattr(server_module, "watch", fault)
    lines = []

    def report(line):
        lines.append(line)
        raise BrokenPipeError

    address = server_module.Address("127.0.0.1", 0)
    with pytest.raises(RuntimeError, match="no more looks"):
        server_module.serve(server.service, address, report, [server.folder])
    assert len(lines) == 1 and not server.service.ready

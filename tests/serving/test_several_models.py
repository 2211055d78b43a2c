"""Several models in one process: each answers by its name and version, by REST and gRPC."""

import asyncio
import types
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from support.commands import call
from support.model_versions import (
    number_model,
    numbers_in,
    open_number,
    question,
    write_version,
)
from support.serving_requests import client, grpc_channel, metric, until
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from deeplab_tf.cli import stores
from deeplab_tf.errors import DeeplabError
from deeplab_tf.files.mirror import stands_for
from deeplab_tf.serving import sources
from deeplab_tf.serving.limits import Limits
from deeplab_tf.serving.service import Service
from deeplab_tf.serving.sources import open_models, split_name
from deeplab_tf.serving.version_policy import parse_policy


@pytest.fixture
def service():
    models = [number_model(1, "streets"), number_model(2, "streets"), number_model(7, "roofs")]
    return Service(models, Limits())


def asked(service, *requests):
    """Answers to (method, path, JSON) by REST."""

    async def all_of_them():
        async with client(service) as http:
            return [await http.request(m, path, json=body) for m, path, body in requests]

    return asyncio.run(all_of_them())


def test_rest_answers_by_name_and_version(service):
    paths = {"streets": 2, "streets/versions/2": 2, "streets/versions/1": 1, "roofs": 7}
    answers = asked(
        service, *[("POST", f"/v1/models/{path}:predict", question()) for path in paths]
    )
    assert [numbers_in(answer) for answer in answers] == [{n} for n in paths.values()]
    wrong = {
        "streets/versions/7:predict": "Specific(streets, 7)",
        "roofs/versions/2:predict": "Specific(roofs, 2)",
        "fields:predict": "Latest(fields)",
    }
    answers = asked(service, *[("POST", f"/v1/models/{path}", question()) for path in wrong])
    for answer, reason in zip(answers, wrong.values(), strict=True):
        assert answer.status_code == 404
        assert answer.json()["error"] == (
            f"Servable not found for request: {reason}; the server has streets, versions 1 and 2 "
            "and roofs, version 7"
        )


def test_rest_tells_states_metadata_and_readiness_by_model_and_version(service):
    gets = [
        "/v1/models/streets",
        "/v1/models/streets/versions/1",
        "/v1/models/roofs/metadata",
        "/v1/models/streets/versions/1/metadata",
        "/readyz/streets",
        "/readyz/fields",
        "/readyz/roofs/versions/6",
        "/readyz/streets/versions/1",
    ]
    before = asked(service, ("GET", "/readyz/streets", None))[0]
    assert before.status_code == 503
    asyncio.run(service.warm_up())
    answers = asked(service, *[("GET", path, None) for path in gets])
    states = [
        [(each["version"], each["state"]) for each in answer.json()["model_version_status"]]
        for answer in answers[:2]
    ]
    assert states == [[("2", "AVAILABLE"), ("1", "AVAILABLE")], [("1", "AVAILABLE")]]
    specs = [answer.json()["model_spec"] for answer in answers[2:4]]
    assert [(spec["name"], spec["version"]) for spec in specs] == [("roofs", "7"), ("streets", "1")]
    assert [answer.status_code for answer in answers[4:]] == [200, 404, 404, 200]
    assert answers[4].json() == {"status": "ready", "model": "streets", "version": 2}
    assert answers[7].json() == {"status": "ready", "model": "streets", "version": 1}


def test_grpc_answers_by_name_and_version(service):
    def named(request, name, version):
        request.model_spec.name = name
        if version is not None:
            request.model_spec.version.value = version
        return request

    def predict(name, version=None):
        request = named(predict_pb2.PredictRequest(), name, version)
        request.inputs["images"].CopyFrom(tf.make_tensor_proto(np.zeros((1, 4, 5, 3), np.uint8)))
        return request

    async def everything():
        async with grpc_channel(service) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            right = [
                await stub.Predict(predict(*spec))
                for spec in (("streets",), ("streets", 1), ("roofs", 7))
            ]
            metadata = get_model_metadata_pb2.GetModelMetadataRequest(
                metadata_field=["signature_def"]
            )
            right.append(await stub.GetModelMetadata(named(metadata, "streets", 1)))
            status = get_model_status_pb2.GetModelStatusRequest()
            status = await model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(
                named(status, "streets", None)
            )
            wrong = [("fields", None), ("roofs", 1)]
            errors = await asyncio.gather(
                *(stub.Predict(predict(*spec)) for spec in wrong), return_exceptions=True
            )
            return right, status, errors

    right, status, errors = asyncio.run(everything())
    specs = [(answer.model_spec.name, answer.model_spec.version.value) for answer in right]
    assert specs == [("streets", 2), ("streets", 1), ("roofs", 7), ("streets", 1)]
    assert [np.unique(tf.make_ndarray(a.outputs["labels"])) for a in right[:3]] == [2, 1, 7]
    assert [(s.version, s.state) for s in status.model_version_status] == [(2, 30), (1, 30)]
    assert [error.code() for error in errors] == [grpc.StatusCode.NOT_FOUND] * 2
    assert "Specific(roofs, 1)" in errors[1].details()


def test_requests_of_different_models_share_no_batch(service):
    """Three of each wait while one is held: two batches, in the order of their first requests."""
    roofs, streets = (service.models[name].newest.model for name in ("roofs", "streets"))

    async def everything():
        async with client(service) as http:

            def post(name, **arguments):
                path = f"/v1/models/{name}:predict"
                return asyncio.create_task(http.post(path, json=question(**arguments)))

            tasks = [post("roofs", held=True)]
            await until(lambda: roofs.ran == [1])
            for name in ("streets", "roofs", "streets", "roofs", "streets"):
                count = len(tasks)
                tasks.append(post(name))
                await until(lambda count=count: len(service._batcher._waiting) == count)
            page = (await http.get("/metrics")).text
            roofs.release.set()
            return page, await asyncio.gather(*tasks)

    page, answers = asyncio.run(everything())
    assert [numbers_in(answer) for answer in answers] == [{7}, {2}, {7}, {2}, {7}, {2}]
    assert (roofs.ran, streets.ran) == ([1, 2], [3])
    assert 'deeplab_version_requests_inside{model="roofs",version="7"} 3.0' in page
    assert 'deeplab_version_state{model="streets",state="AVAILABLE",version="1"} 1.0' in page


def test_the_figures_tell_requests_and_batches_by_version(service):
    path = "/v1/models/streets/versions/1:predict"
    asked(service, ("POST", path, question()), ("POST", path, {}), ("POST", path, question()))
    asked(service, ("POST", "/v1/models/fields:predict", question()))
    version = {"model": "streets", "version": "1"}
    for code, count in (("200", 2), ("400", 1)):
        told = metric(
            service, "deeplab_version_requests_total", **version, protocol="rest", code=code
        )
        assert told == count
    assert metric(service, "deeplab_version_seconds_count", **version) == 3
    assert metric(service, "deeplab_version_batch_images_sum", **version) == 2
    assert metric(service, "deeplab_version_requests_inside", **version) == 0
    assert metric(service, "deeplab_requests_total", protocol="rest", code="404") == 1


def test_a_name_before_a_model_is_split_off_unless_it_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert split_name("streets=runs/lr=0.1") == ("streets", "runs/lr=0.1")
    assert split_name("runs/lr=0.1") == (None, "runs/lr=0.1")
    assert split_name("streets") == (None, "streets")
    (tmp_path / "lr=0.1").mkdir()
    assert split_name("lr=0.1") == (None, "lr=0.1")
    assert split_name("streets=") == (None, "streets=")


def test_each_model_may_be_at_a_store(monkeypatch):
    monkeypatch.setattr(stores, "fetched", lambda address: f"/cache/{address.rpartition('/')[2]}")
    values = ["streets=s3://bucket/a=b/street", "roofs", "gs://bucket/roof", "lr=0.1/x"]
    flag: Any = types.SimpleNamespace(name="model", value=values)
    with stores.local_flags([flag], {"model": stores.Use.READ}):
        assert flag.value == ["streets=/cache/street", "roofs", "/cache/roof", "lr=0.1/x"]
    flag.value = ["roofs"]
    with stores.local_flags([flag], {"model": stores.Use.READ}):
        assert flag.value == ["roofs"]


def test_a_model_has_one_name():
    done = call("serve", "--model=a=DIR", "--model_name=b")
    assert done.returncode == 1
    assert "--model=a=DIR has a name already, so that --model_name=b" in done.stderr


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--model=a=x", "--model=b", "--model_name=c"], "--model_name names one model; give --mo"),
        (["--model=a", "--versions=newest"], "versions must be latest, latest:N with N of 1 or"),
        (["--model=a", "--poll_seconds=-1"], "poll_seconds"),
        ([], "missing --model"),
    ],
)
def test_wrong_flags_are_one_line_and_exit_code_2(flags, reason):
    done = call("serve", *flags)
    assert done.returncode == 2
    assert reason in done.stderr and done.stderr.count("\n") == 1


def test_models_are_opened_under_their_names(tmp_path, monkeypatch):
    opened = []

    def open_answering(path, name, working_size):
        opened.append((path.relative_to(tmp_path).as_posix(), name, working_size))
        return number_model(1, name)

    monkeypatch.setattr(sources, "open_answering", open_answering)
    for folder in ("streets/1", "streets/2", "roofs/7", "one"):
        write_version(tmp_path / folder)
    given = [("streets", None), ("roofs/7", None), ("one", None), ("streets/1", "old")]
    models, folders = open_models(
        [(tmp_path / path, name) for path, name in given], parse_policy("latest"), 65, print
    )
    assert opened == [
        ("streets/2", "streets", 65),
        ("roofs/7", "roofs", 65),
        ("one", "one", 65),
        ("streets/1", "old", 65),
    ]
    assert [folder.name for folder in folders] == ["streets"] and len(models) == 4
    twice = [(tmp_path / "one", None), (tmp_path / "roofs/7", "one")]
    with pytest.raises(DeeplabError, match="received one twice: give --model=NAME=MODEL"):
        open_models(twice, parse_policy("latest"), None, print)
    with pytest.raises(DeeplabError, match="--versions chooses among the numbered models"):
        open_models([(tmp_path / "streets/1", None)], parse_policy("3"), None, print)


def test_a_folder_of_versions_at_a_store_is_fetched_once(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "open_answering", lambda path, **_: open_number(path))
    write_version(tmp_path / "street" / "1")
    stands_for(tmp_path / "street", "s3://bucket/street")
    lines = []
    given = [(tmp_path / "street", None)]
    models, folders = open_models(given, parse_policy("latest"), None, lines.append)
    assert [model.version for model in models] == [1] and folders == []
    (line,) = lines
    assert line.endswith(
        f"{tmp_path / 'street'} was fetched once; further versions there are not seen"
    )

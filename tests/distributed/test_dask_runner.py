"""Beam on a cluster of Dask: nothing lost, what one process computes, and workers that die."""

import json
import os
import pathlib
import threading
import time
import types
import typing

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from support.random_model import random_picture
from support.tiny_voc import write_voc

pytest.importorskip("apache_beam")
pytest.importorskip("distributed")

import apache_beam as beam
import dask.config
import distributed
from apache_beam.transforms.core import Windowing
from apache_beam.transforms.window import FixedWindows, GlobalWindows
from support import dask_cluster
from support.dask_cluster import LocalCluster

from deeplab_tf.data.records import open_records, parse_encoded
from deeplab_tf.data.sources.voc import voc_source
from deeplab_tf.data.write_records import write_records
from deeplab_tf.distributed import dask_cluster as cluster_module
from deeplab_tf.distributed import dask_runner, stages
from deeplab_tf.distributed.beam import BeamRunner
from deeplab_tf.distributed.beam_plan import Step
from deeplab_tf.errors import DeeplabError
from deeplab_tf.evaluation.evaluate import evaluate
from deeplab_tf.evaluation.write_results import RESULTS
from deeplab_tf.inference.beam_steps import write_lines
from deeplab_tf.inference.model_handler import Model
from deeplab_tf.inference.predictor import load_predictor
from deeplab_tf.prediction.beam_predict import ImageFiles, predict_by_beam
from deeplab_tf.prediction.predict_images import predict_images


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    running = LocalCluster(tmp_path_factory.mktemp("workers"))
    for _ in range(2):
        running.add_worker()
    yield running
    running.close()


@pytest.fixture(autouse=True)
def _few_parts(monkeypatch):
    """Small jobs need few parts, but enough that accumulators are merged in two rounds."""
    monkeypatch.setattr(dask_runner, "PARTS", 3)
    monkeypatch.setattr(dask_runner, "MERGED", 2)


def lines(path: pathlib.Path) -> list:
    return sorted(json.loads(line) for line in path.read_text().splitlines())


def test_a_pipeline_of_all_kinds_of_steps_computes_what_python_does(cluster, tmp_path):
    """Beam's own DaskRunner loses held elements, tagged outputs and all branches but the last."""
    numbers = range(1000)
    with cluster.runner.pipeline() as pipeline:
        held = (
            pipeline
            | beam.Create(numbers)
            | beam.BatchElements(min_batch_size=7, max_batch_size=7)
            | beam.FlatMap(list)
            | beam.ParDo(dask_cluster.HoldAll())
        )
        rest, three = held | beam.FlatMap(dask_cluster.tag_threes).with_outputs(
            "three", main="rest"
        )
        count = three | beam.combiners.Count.Globally()
        both = (rest, three) | beam.Flatten()
        branches = {
            "sum": both | "sum" >> beam.CombineGlobally(sum),
            "largest": both | beam.combiners.Top.Largest(3),
            "equal": pipeline
            | "equal in Python" >> beam.Create([1, True, 1.0, 1])
            | beam.combiners.Count.PerElement()
            | "as text" >> beam.MapTuple(lambda key, count: [repr(key), count]),
            "workers": both | "process" >> beam.Map(lambda _: os.getpid()) | beam.Distinct(),
            "none": both | beam.Filter(lambda number: number < 0),
            "threes": three
            | beam.Map(lambda number, of, all_: [number, of, sum(all_)],
                       beam.pvalue.AsSingleton(count), beam.pvalue.AsList(three)),
            "digits": both
            | beam.Map(dask_cluster.last_digit)
            | beam.GroupByKey()
            | beam.MapTuple(lambda key, values: [key, sorted(values)]),
            "means": both
            | "again" >> beam.Map(dask_cluster.last_digit)
            | beam.combiners.Mean.PerKey()
            | "as list" >> beam.Map(list),
        }  # fmt: skip
        for name, branch in branches.items():
            text = branch | f"json of {name}" >> beam.Map(json.dumps)
            write_lines(text, tmp_path / name, f"write {name}")
    threes = [number for number in numbers if number % 3 == 0]
    by_digit = {f"ends with {digit}": [*range(digit, 1000, 10)] for digit in range(10)}
    assert lines(tmp_path / "sum") == [sum(numbers)]
    assert lines(tmp_path / "largest") == [[999, 998, 997]]
    # Tasks of milliseconds would all be done by the worker that has the data.
    assert lines(tmp_path / "workers") == sorted(worker.pid for worker in cluster.workers)
    assert lines(tmp_path / "none") == []
    assert lines(tmp_path / "equal") == [["1", 2], ["1.0", 1], ["True", 1]]  # as Beam has them
    assert lines(tmp_path / "threes") == [[n, len(threes), sum(threes)] for n in threes]
    assert lines(tmp_path / "digits") == [[key, values] for key, values in by_digit.items()]
    assert lines(tmp_path / "means") == [[key, np.mean(v)] for key, v in by_digit.items()]


def test_an_error_of_a_worker_ends_the_job_with_the_steps_name(cluster):
    with (
        pytest.raises(DeeplabError, match=r"^there must be no seven \[while running '.*seven") as e,
        cluster.runner.pipeline() as pipeline,
    ):
        _ = pipeline | beam.Create(range(20)) | "seven" >> beam.Map(dask_cluster.refuse_seven)
    assert "\n" not in str(e.value)


def test_what_the_runner_does_not_do_is_refused_by_name(cluster):
    with (
        pytest.raises(DeeplabError, match="has no other windows than the global one, which hours"),
        cluster.runner.pipeline() as pipeline,
    ):
        _ = pipeline | beam.Create([1]) | "hours" >> beam.WindowInto(FixedWindows(3600))


def test_a_part_that_differs_when_done_again_is_an_error():
    kept = {(1, stages.How.WHOLE): [["a", "b"]]}
    assert stages.pick(kept, (1, stages.How.WHOLE), 0, 2) == ["a", "b"]
    with pytest.raises(DeeplabError, match="done twice and had 3 elements at first, then 2"):
        stages.pick(kept, (1, stages.How.WHOLE), 0, 3)


def test_a_worker_with_other_versions_or_kernels_is_refused(monkeypatch):
    monkeypatch.setenv(stages.ONEDNN, "1")
    pickled = stages.pickler.dumps([])
    stages.import_all(stages.PickledStage(pickled), 0, ())
    with pytest.raises(DeeplabError, match="must have TF_ENABLE_ONEDNN_OPTS=0.*Received: '1'.*st"):
        stages.import_all(stages.PickledStage(pickled, onednn="0"), 0, ())
    other = {**stages.versions(), "tensorflow": "1.15.0"}
    with pytest.raises(DeeplabError, match="must have tensorflow 1.15.0.*Received: 2"):
        stages.import_all(stages.PickledStage(pickled, versions=other), 0, ())


@pytest.mark.parametrize(("threads", "parts"), [(2, 6), (128, 256), (300, 300)])
def test_a_shuffle_has_parts_for_all_threads_but_not_its_square(threads, parts):
    cluster = typing.cast("cluster_module.Cluster", types.SimpleNamespace(threads=threads))
    assert dask_runner._Run([], cluster)._buckets == parts


def test_parts_that_dask_gives_up_are_submitted_anew():
    """Dask counts lost workers against what waited there and never began."""

    def work(given, number, part):
        time.sleep(0.2)
        return number

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(
            n_workers=3, threads_per_worker=1, processes=False, dashboard_address=":0"
        ) as local,
        distributed.Client(local) as client,
    ):
        cluster = cluster_module.Cluster(client, "here")
        anew = []

        def again(number):
            anew.append(number)
            return cluster.submit("again", work, None, number, None)

        def lose_one(futures):
            while not (held := [name for name, keys in client.processing().items() if keys]):
                time.sleep(0.01)
            client.sync(local.scheduler.remove_worker, address=held[0], stimulus_id="test")
            return futures

        parts = lose_one(cluster.submit_parts("part", work, None, range(12)))
        assert cluster.results(parts, again) == [*range(12)]
        assert 1 <= len(anew) == len(set(anew)) <= 4
        parts = lose_one(cluster.submit_parts("part", work, None, range(12)))
        with pytest.raises(DeeplabError, match="workers of here were lost again and again with on"):
            cluster.results(parts)


class Counting(beam.DoFn):
    """Adds the number of elements at the end of each part, and says when it is made and let go."""

    said: typing.ClassVar[list[str]] = []

    def setup(self):
        self.said.append("made")

    def start_bundle(self):
        self.count = 0

    def process(self, element):
        self.count += 1

    def finish_bundle(self):
        yield GlobalWindows.windowed_value(self.count)

    def teardown(self):
        self.said.append("let go")


def test_the_steps_of_a_stage_are_made_once_for_all_parts():
    """A model that is loaded for each part costs time, and memory that TensorFlow never frees."""
    windowing = Windowing(GlobalWindows())
    step = Step("count", Counting(), 1, {None: 2}, windowing)
    keep = 2, stages.How.WHOLE
    given, *others = (
        stages.PickledStage(stages.pickler.dumps(stages.Stage(1, False, steps, (), {}, (keep,), 1)))
        for steps in [(step,), *[()] * stages.MOST_STAGES]
    )
    Counting.said.clear()
    for part in ([7, 8], [9]), ([],), ([1],):
        kept = stages.run_stage(given, 0, [*part])
        assert kept == {keep: [[sum(map(len, part))]]}
    assert Counting.said == ["made"]
    for other in others:
        stages.run_stage(other, 0, [])
    assert Counting.said == ["made", "let go"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("DaskRunner", (), "takes one option, the address of Dask's scheduler.*Received: none"),
        ("dask", ("--region=a",), "as --beam_options=dask_client_address=.*Received: --region=a"),
        ("DaskRunner", ("--dask_client_address=tcp://127.0.0.1:1",), "no scheduler of Dask answ"),
        ("DaskRunner", ("--dask_client_address=tls://127.0.0.1:1",), "no scheduler of Dask answ"),
        ("apache_beam.runners.dask.dask_runner.DaskRunner", (), "is Beam's own runner for Dask"),
    ],
)
def test_a_cluster_that_is_not_there_is_said_in_one_line(monkeypatch, name, options, message):
    monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 1)
    with pytest.raises(DeeplabError, match=message) as error:
        BeamRunner(name, options).check()
    assert "\n" not in str(error.value)


def test_records_are_those_of_one_process(cluster, tmp_path):
    source = voc_source(write_voc(tmp_path, train=["a", "b", "c", "d", "e"], val=["f", "g"]))
    found = []
    for runner in (None, cluster.runner):
        folder = tmp_path / ("cluster" if runner else "one")
        write_records(source, folder, workers=1, runner=runner)
        records = open_records(folder, "voc")
        examples = {
            (name, key, parsed[key].numpy())
            for name, split in records.splits.items()
            for parsed in map(parse_encoded, tf.data.TFRecordDataset(split.files))
            for key in parsed
        }
        found.append((examples, records.pixels, records.fingerprint))
    assert found[0] == found[1] and len(found[0][0]) == 3 * 7


def test_an_evaluation_is_that_of_one_process(
    cluster, artefacts, shapes_data, tmp_path, monkeypatch
):
    """The paths are relative, and the workers have another working folder."""
    monkeypatch.chdir(tmp_path)
    model, data = map(os.path.relpath, (artefacts / "saved", shapes_data))
    for runner in (None, cluster.runner):
        evaluate(model, data, "cluster" if runner else "one", runner=runner)
    for name in RESULTS:
        assert (tmp_path / "cluster" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


COUNT = 40
"""Images of a job in whose middle a worker is killed."""


def test_a_killed_workers_images_are_done_by_the_other(cluster, artefacts, tmp_path, monkeypatch):
    """`kill -9` after the first labels: none missing, none twice, the broken image named.

    The paths are relative, and the workers have another working folder.
    """
    monkeypatch.chdir(tmp_path)
    folder, out = tmp_path / "images", tmp_path / "out"
    folder.mkdir()
    for number in range(COUNT):
        Image.fromarray(random_picture(65, 81, number)).save(folder / f"{number}.png")
    (folder / "broken.png").write_text("no picture")
    there: list[int] = []

    def kill_when_it_works():
        deadline = time.monotonic() + 60
        while not list(out.glob("*.png")) and time.monotonic() < deadline:
            time.sleep(0.002)
        cluster.kill_worker()
        there.append(len(list(out.glob("*.png"))))

    killer = threading.Thread(target=kill_when_it_works)
    killer.start()
    said: list[str] = []
    with pytest.raises(DeeplabError, match="1 of 41 images could not be predicted: .*broken.png"):
        model = Model(pathlib.Path(os.path.relpath(artefacts / "saved")))
        predict_by_beam(
            cluster.runner, model, ImageFiles("images"), pathlib.Path("out"), 1, said.append
        )
    killer.join()
    assert 0 < there[0] < COUNT and len(cluster.workers) == 1
    assert said == [f"{COUNT} of {COUNT + 1} images predicted into out"]
    counts = json.loads((out / "job.json").read_text())
    assert [counts[name] for name in ("predicted", "there_before", "failed")] == [COUNT, 0, 1]
    predictor = load_predictor(artefacts / "saved")
    (folder / "broken.png").unlink()
    assert predict_images(predictor, sorted(folder.iterdir()), tmp_path / "one") == []
    expected = {path.name: path.read_bytes() for path in (tmp_path / "one").glob("*.png")}
    assert {path.name: path.read_bytes() for path in out.glob("*.png")} == expected
    assert len(expected) == COUNT
    left = sorted(path.name for path in out.iterdir() if path.suffix != ".png")
    assert left == ["failed.jsonl", "job.json"]


def long_job(cluster) -> DeeplabError:
    """The error of a job that would take minutes."""
    with pytest.raises(DeeplabError) as error, cluster.runner.pipeline() as pipeline:
        _ = pipeline | beam.Create(range(3)) | beam.Map(dask_cluster.sleep_long)
    assert "\n" not in str(error.value)
    return error.value


def test_a_job_ends_when_all_workers_or_the_scheduler_are_gone(cluster, monkeypatch):
    monkeypatch.setattr(cluster_module, "WORKERS_SECONDS", 2)
    begun = time.monotonic()
    threading.Timer(2, cluster.kill_worker).start()
    assert "all workers of tcp://127.0.0.1:" in str(long_job(cluster))
    with pytest.raises(DeeplabError, match="has no worker within 2 s; start some by"):
        cluster.runner.check()
    monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 3)
    monkeypatch.setattr(cluster_module, "WORKERS_SECONDS", 60)
    cluster.add_worker()
    cluster.runner.check()
    threading.Timer(2, dask_cluster.kill, [cluster.scheduler]).start()
    assert "the scheduler tcp://127.0.0.1:" in str(long_job(cluster))
    assert time.monotonic() - begun < 60

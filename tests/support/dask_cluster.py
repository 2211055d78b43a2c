"""A scheduler of Dask and workers on the loopback address, and steps of a pipeline for them."""

import contextlib
import os
import pathlib
import signal
import socket
import time

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindows

from deeplab_tf.distributed.beam import BeamRunner
from deeplab_tf.errors import DeeplabError
from support.commands import Command

TESTS = pathlib.Path(__file__).parents[1]


class LocalCluster:
    """A scheduler and workers of one task at a time, each a process."""

    def __init__(self, folder: pathlib.Path):
        self._folder = folder
        port = free_port()
        self.address = f"tcp://127.0.0.1:{port}"
        # It ends by itself, and its workers do, where the tests are killed.
        arguments = "--host=127.0.0.1", f"--port={port}", "--idle-timeout=300s"
        self.scheduler = self._start("scheduler", *arguments)
        self.workers: list[Command] = []

    @property
    def runner(self) -> BeamRunner:
        return BeamRunner("DaskRunner", (f"--dask_client_address={self.address}",))

    def add_worker(self) -> None:
        # Without the process that starts a killed worker again.
        arguments = "--nthreads=1", "--no-nanny", "--death-timeout=60"
        local = f"--local-directory={self._folder}"
        worker = self._start("worker", self.address, *arguments, local)
        self.workers.append(worker)

    def kill_worker(self) -> None:
        kill(self.workers.pop())

    def close(self) -> None:
        while self.workers:
            self.kill_worker()
        kill(self.scheduler)

    def _start(self, kind: str, *arguments: str) -> Command:
        module = f"distributed.cli.dask_{kind}"
        # The folder of tests, so that workers find the steps of this module.
        return Command("-m", module, *arguments, "--no-dashboard", cwd=TESTS)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def kill(command: Command) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(command.pid, signal.SIGKILL)
    command.wait(20)


class HoldAll(beam.DoFn):
    """Gives all elements at the end of the bundle, as `BatchElements` may."""

    def start_bundle(self):
        self.held = []

    def process(self, element):
        self.held.append(element)

    def finish_bundle(self):
        for element in self.held:
            yield GlobalWindows.windowed_value(element)


def tag_threes(number):
    """Sends multiples of 3 to the output `three`."""
    yield beam.pvalue.TaggedOutput("three", number) if number % 3 == 0 else number


def last_digit(number):
    return f"ends with {number % 10}", number


def refuse_seven(number):
    if number == 7:
        raise DeeplabError("there must be no seven")
    return number


def sleep_long(number):
    time.sleep(600)
    return number

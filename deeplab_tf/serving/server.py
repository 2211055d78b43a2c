"""The server's life: it listens, answers, and ends at a signal with all answers delivered.

Tested in tests/serving/test_server_life.py and tests/serving/test_slow_clients.py, through
`deeplab_tf.cli.serve`.
"""

import asyncio
import contextlib
import dataclasses
import os
import signal
import socket
import warnings
from collections.abc import Callable, Iterator, Sequence

import uvicorn

from deeplab_tf.errors import DeeplabError
from deeplab_tf.machine.signals import handling_stops
from deeplab_tf.serving.app import make_app
from deeplab_tf.serving.grpc_service import start_grpc
from deeplab_tf.serving.hand_over import watch
from deeplab_tf.serving.http_protocol import timed_protocol
from deeplab_tf.serving.model_folder import ModelFolder, unfailing
from deeplab_tf.serving.models import told_versions
from deeplab_tf.serving.service import Service


@dataclasses.dataclass(frozen=True)
class Address:
    """The host and ports to listen at; port 0 takes a free one, `grpc_port` None means no gRPC."""

    host: str
    port: int
    grpc_port: int | None = None


def serve(
    service: Service,
    address: Address,
    report: Callable[[str], None] = print,
    folders: Sequence[ModelFolder] = (),
    poll_seconds: float = 1,
) -> None:
    """Answers until SIGTERM or SIGINT, and returns when every request inside has its answer.

    Args:
        service: what answers.
        address: where it listens.
        report: gets the lines for the log.
        folders: the folders of models of `service` that are looked at for new versions.
        poll_seconds: the seconds between two looks; 0: no look.

    Raises:
        DeeplabError: a port is taken.
        Exception: what ended the looks at `folders`, when the requests inside have their answers.
    """
    # Pillow warns of odd headers in clients' images, and these warnings could fill the log.
    warnings.filterwarnings("ignore", module=r"PIL\b")
    asyncio.run(_serve(service, address, unfailing(report), folders, poll_seconds))


async def _serve(
    service: Service,
    address: Address,
    report: Callable[[str], None],
    folders: Sequence[ModelFolder],
    poll_seconds: float,
) -> None:
    with _stopped_by_signal() as stop, _listening(address) as listener:
        grpc_server = None
        told = f"http://{_host_port(address.host, listener.getsockname()[1])}"
        if address.grpc_port is not None:
            at = _host_port(address.host, address.grpc_port)
            grpc_server, port = start_grpc(service, at)
            await grpc_server.start()
            told += f" and gRPC at {_host_port(address.host, port)}"
        http_server = _HttpServer(_settings(service))
        http = asyncio.create_task(http_server.serve([listener]))
        await service.warm_up()
        for versions in service.models.values():
            report(f"serving {told_versions(versions)}, at {told}")
            if note := versions.newest.model.working.note:
                report(note if len(service.models) == 1 else f"{versions.name}: {note}")
        ends: list[asyncio.Task] = [asyncio.create_task(stop.wait())]
        if folders and poll_seconds:
            ends.append(asyncio.create_task(watch(service, folders, poll_seconds)))
        ended, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        service.ready = False
        for task in ends:
            task.cancel()
        http_server.should_exit = True
        if grpc_server is not None:
            await grpc_server.stop(service.limits.longest_stay)
        await http
        for task in ended:
            task.result()  # raises what ended the watcher: without one no version would be seen


class _HttpServer(uvicorn.Server):
    """uvicorn without its own signal handling.

    One signal must end both REST and gRPC, and with exit code 0.
    """

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _settings(service: Service) -> uvicorn.Config:
    return uvicorn.Config(
        make_app(service),
        http=timed_protocol(service.limits.time_limit),
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,  # /metrics counts the requests
        timeout_graceful_shutdown=int(service.limits.longest_stay) + 1,
    )


@contextlib.contextmanager
def _stopped_by_signal() -> Iterator[asyncio.Event]:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def first_signal(_number, _frame):
        loop.call_soon_threadsafe(stop.set)
        # A second Ctrl-C ends the process at once, for someone who will not wait.
        signal.signal(signal.SIGINT, signal.default_int_handler)

    # The signals are not handled by the loop, which takes none on Windows.
    with handling_stops(first_signal):
        yield stop


def _listening(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((address.host, address.port), family=family, backlog=2048)
    except OSError as error:
        where, why = _host_port(address.host, address.port), _reason(error)
        raise DeeplabError(
            f"the server cannot listen at {where}: {why}; give another --port or --host"
        ) from error


def _reason(error: OSError) -> str:
    """Returns the reason in words; a name that cannot be resolved has a number of its own."""
    if isinstance(error, socket.gaierror):
        return str(error.strerror)
    return os.strerror(error.errno or 0)


def _host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

"""The watch over the other workers, against peers that stand still, refuse, or come back."""

import contextlib
import os
import socket
import threading
import time

import pytest

from deeplab_tf.distributed import connection, processes, watch
from deeplab_tf.distributed.processes import Reach, Workers, reach


@contextlib.contextmanager
def peer(port=0, backlog=8):
    with socket.create_server(("127.0.0.1", port), backlog=backlog) as listener:
        yield listener


@contextlib.contextmanager
def silent_peer():
    """A peer whose system takes no more connections: an attempt to connect meets no answer."""
    with peer(backlog=0) as listener, contextlib.ExitStack() as stack:
        while reach(address_of(listener)) is Reach.LISTENS:
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener


def address_of(listener):
    return f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def ended(monkeypatch):
    """The times at which the process would have ended; all waits are a tenth of what they are."""
    times = []
    monkeypatch.setattr(os, "_exit", lambda code: times.append(time.monotonic()))
    monkeypatch.setattr(watch, "PROBE_SECONDS", 0.1)
    monkeypatch.setattr(watch, "GOODBYE_SECONDS", 0.3)
    monkeypatch.setattr(watch, "SILENCE_SECONDS", 2.0)
    monkeypatch.setattr(processes, "CONNECT_SECONDS", 0.1)
    monkeypatch.setattr(connection, "CONNECTED", threading.Event())
    monkeypatch.setattr(watch, "CONNECTED", connection.CONNECTED)
    connection.CONNECTED.set()
    return times


@contextlib.contextmanager
def watched(address, ended):
    done = threading.Event()
    workers = Workers(("127.0.0.1:1", address), index=0)
    thread = threading.Thread(target=watch._watch, args=(workers, done, lambda: "it is gone"))
    thread.start()
    try:
        yield thread
    finally:
        done.set()
        thread.join(10)


def test_what_a_connection_meets(monkeypatch):
    monkeypatch.setattr(processes, "CONNECT_SECONDS", 0.1)
    with peer() as listener:
        address = address_of(listener)
        assert reach(address) is Reach.LISTENS
    assert reach(address) is Reach.REFUSED
    with silent_peer() as listener:
        assert reach(address_of(listener)) is Reach.SILENT
    assert reach("no-such-host.invalid:1") is Reach.SILENT


def test_a_hiccup_shorter_than_the_silence_ends_nothing(ended):
    """It ended a run after 7 s, a third of the 20 s."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(silent_peer())
        address, port = address_of(listener), listener.getsockname()[1]
        with watched(address, ended) as thread:
            time.sleep(1.2)
            stack.close()
            with peer(port):
                time.sleep(1.5)  # together longer than the silence that is allowed
                assert thread.is_alive() and ended == []


def test_a_silence_ends_the_process_when_it_is_as_long_as_is_said(ended, capsys):
    begun = time.monotonic()
    with silent_peer() as listener, watched(address_of(listener), ended) as thread:
        thread.join(10)
    assert 2.0 < ended[0] - begun < 4
    assert capsys.readouterr().err == "error: it is gone\n"


def test_a_refused_connection_ends_the_process_soon(ended):
    with peer() as listener:
        address = address_of(listener)
    begun = time.monotonic()
    with watched(address, ended) as thread:
        thread.join(10)
    assert 0.5 <= ended[0] - begun < 1.5  # two probes and the goodbye

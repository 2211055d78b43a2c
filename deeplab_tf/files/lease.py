"""A folder of a store that one process at a time writes into.

A store has no locks that end with their process. The object `HELD` names the process that holds the
folder, and is written anew every `BEAT_SECONDS`. Another process takes the folder over where the
object stays as it is for `LEASE_SECONDS`, or at once where the process was one of this machine and
has ended. No clocks are compared.

Tested in tests/test_store.py.
"""

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator

from deeplab_tf.errors import DeeplabError, StoreLostError
from deeplab_tf.files.mirror import Mirror
from deeplab_tf.files.store import HELD, Store
from deeplab_tf.machine.system import is_running, process_space

BEAT_SECONDS = 5.0
"""The seconds between two signs of life."""

LEASE_SECONDS = 30.0
"""The seconds without a sign of life after which a process is taken for gone."""

SETTLE_SECONDS = 1.0
"""The seconds after which a process that took a folder over sees whether another did so too."""

_OWN: set[str] = set()
"""The tokens of the folders that this process holds."""


@contextlib.contextmanager
def leased(mirror: Mirror, name: str, busy: str) -> Iterator[None]:
    """Holds the folder `name` of a store until the block ends.

    Meanwhile `mirror.check` raises `DeeplabError` where another process has taken the folder over,
    as it may where this one was cut off from the store for `LEASE_SECONDS`.

    Raises:
        DeeplabError: another process holds the folder, and the message begins with `busy`.
    """
    lease = _Lease(mirror.store, f"{name}/{HELD}", busy)
    try:
        lease.take()
    except BaseException:
        lease.forget()
        raise
    done = threading.Event()
    threading.Thread(target=lease.beat_until, args=(done,), daemon=True).start()

    def release() -> None:
        done.set()
        with contextlib.suppress(DeeplabError):  # then `check` goes on to say what is wrong
            lease.give_back()
            mirror.check = mirror.release = done.set
        mirror.held = None
        mirror.ended.add(name)

    mirror.check, mirror.release, mirror.held = lease.check, release, name
    try:
        yield
    except StoreLostError:  # another wait for the store would end as this one
        done.set()
        lease.forget()
        raise
    except BaseException:
        release()
        raise
    release()


class _Lease:
    def __init__(self, store: Store, name: str, busy: str):
        self._store, self._name, self._busy = store, name, busy
        self._token = uuid.uuid4().hex
        _OWN.add(self._token)
        self._beats = 0
        self._lock = threading.Lock()

    def _content(self) -> bytes:
        self._beats += 1
        holder = {"space": process_space(), "pid": os.getpid(), "token": self._token}
        return json.dumps({**holder, "beats": self._beats}).encode()

    def take(self) -> None:
        # Not every store knows of a put that is refused where there is an object, so all is looked
        # at before and after.
        if self._store.read(self._name) or not self._store.create(self._name, self._content()):
            self._await_end()
            self._store.write(self._name, self._content())
        time.sleep(SETTLE_SECONDS)
        self.check()

    def _await_end(self) -> None:
        """Returns when the holder is gone.

        Raises:
            DeeplabError: the holder gave a sign of life.
        """
        first, begun = self._store.read(self._name), time.monotonic()
        while time.monotonic() < begun + LEASE_SECONDS:
            now = self._store.read(self._name)
            if now is None or _has_ended(now) or self._is_own(now):
                return
            if now != first:
                raise DeeplabError(f"{self._busy}; wait until it ends")
            time.sleep(BEAT_SECONDS / 10)

    def check(self) -> None:
        content = self._store.read(self._name)
        if content is None:
            raise DeeplabError(
                f"{self._store.address_of(self._name)} is gone, so another process may write "
                "there, and this one writes nothing more; start it again"
            )
        if not self._is_own(content):
            raise DeeplabError(f"{self._busy} since, and this one writes nothing more")

    def _is_own(self, content: bytes) -> bool:
        return _fields(content).get("token") == self._token

    def beat_until(self, done: threading.Event) -> None:
        while not done.wait(BEAT_SECONDS):
            with contextlib.suppress(DeeplabError), self._lock:  # `check` says what is wrong
                self.check()
                if not done.is_set():
                    self._store.write(self._name, self._content())

    def forget(self) -> None:
        _OWN.discard(self._token)

    def give_back(self) -> None:
        self.forget()
        with self._lock:
            self.check()
            self._store.delete([self._name])


def _fields(content: bytes) -> dict:
    try:
        fields = json.loads(content)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _has_ended(content: bytes) -> bool:
    """Returns whether the holder was a process of this machine that has ended."""
    fields = _fields(content)
    pid = fields.get("pid")
    if fields.get("space") != process_space() or not isinstance(pid, int):
        return False
    if pid == os.getpid():  # a number comes again, as 1 in each start of a container
        return fields.get("token") not in _OWN
    return is_running(pid) is False

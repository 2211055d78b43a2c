"""The hand-over from one version of a model to another, while requests run.

The new version is loaded and warmed beside the old one, then answers; the old one answers the
requests that are bound to it, and its memory is freed.
"""

import asyncio
import contextlib
import gc
import sys
import weakref
from collections.abc import Iterable, Iterator

from deeplab_tf.errors import one_line
from deeplab_tf.serving.model_folder import ModelFolder
from deeplab_tf.serving.models import ModelVersions, State, Version, VersionState
from deeplab_tf.serving.service import Service

_FREED_SECONDS = 10.0
"""Seconds after the last request of a version in which its memory is freed, or a line says that it
is not."""
_TURN = 0.0005
"""Seconds for which a thread that loads keeps the interpreter from those that answer, which ask for
it many times a request; Python's own is ten times as long."""
_PAUSE = 0.02
"""Seconds between two looks whether a version's requests have ended."""


async def watch(service: Service, folders: Iterable[ModelFolder], seconds: float) -> None:
    """Looks at the folders every so many seconds, one after the other, until it is cancelled.

    Hand-overs follow one another, so that never more than one version more than those that are
    wanted is in memory, but for one that a line in the log says is still there.
    """
    hand_overs = [HandOver(service, folder) for folder in folders]
    while True:
        await asyncio.sleep(seconds)
        for hand_over in hand_overs:
            await hand_over.look()


class HandOver:
    """One model's versions, brought to what its folder has at each look.

    Args:
        service: the service, which answers with a version of the model already.
        folder: the model's folder.
    """

    def __init__(self, service: Service, folder: ModelFolder):
        self._service = service
        self._folder = folder
        self._told = ""
        for number in folder.refused:
            self._versions.states[number] = VersionState(State.ENDED, folder.error(number))

    async def look(self) -> None:
        """Loads the versions that are new, and unloads those that are not wanted any more.

        A fault is a line in the log, once, and the next look tries again.
        """
        try:
            await self._look()
        except Exception as error:
            told = f"{self._folder.name}: {type(error).__name__}: {one_line(str(error))}"
            if told != self._told:
                self._folder.report(told)
            self._told = told

    @property
    def _versions(self) -> ModelVersions:
        return self._service.models[self._folder.name]

    async def _look(self) -> None:
        versions = self._versions
        wanted = await asyncio.to_thread(self._folder.wanted, sorted(versions.available))
        versions.forget(lambda number: not self._folder.has(number))
        for number in sorted(wanted - set(versions.available)):
            if not await self._load(number):
                return
            if len(versions.available) > len(wanted):
                await self._unload(min(set(versions.available) - wanted))
        for number in sorted(set(versions.available) - wanted) if wanted else ():
            await self._unload(number)

    async def _load(self, number: int) -> bool:
        """Loads and warms a version, and lets it answer; returns whether it does."""
        versions, folder = self._versions, self._folder
        stay = sorted(versions.available)
        versions.states[number] = VersionState(State.LOADING)
        try:
            with _short_turns():
                model = await asyncio.to_thread(folder.open, number, stay)
                if model is not None:
                    try:
                        await self._service.warm(model)
                    except Exception as error:
                        await asyncio.to_thread(folder.refuse, number, error, stay)
                        model = None
        except Exception:
            versions.states[number] = VersionState(State.WAITING)
            raise
        if model is None:
            error = folder.error(number)
            state = State.ENDED if error else State.WAITING
            versions.states[number] = VersionState(state, error)
            return False
        versions.add(Version(model))
        self._service.metrics.hand_overs.labels(folder.name).inc()
        folder.report(f"{folder.name}: version {number} answers")
        return True

    async def _unload(self, number: int) -> None:
        """Frees a version's memory when the requests that are bound to it have ended."""
        version = self._versions.remove(number)
        clock = asyncio.get_running_loop().time
        end = clock() + self._service.limits.longest_stay
        while version.inside and clock() < end:
            await asyncio.sleep(_PAUSE)
        freed = weakref.ref(version.model)
        self._versions.let_go(number)
        del version
        end = clock() + _FREED_SECONDS
        while True:
            # TensorFlow's objects hold each other, so that only the collector frees them.
            await asyncio.to_thread(gc.collect)
            if freed() is None or clock() > end:
                break
            await asyncio.sleep(1)
        self._versions.states[number] = VersionState(State.ENDED)
        told = "has ended" if freed() is None else "has ended, but is still in memory"
        self._folder.report(f"{self._folder.name}: version {number} {told}")


@contextlib.contextmanager
def _short_turns() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(_TURN)
    try:
        yield
    finally:
        sys.setswitchinterval(before)

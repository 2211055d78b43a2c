"""The models of a server by name, and the versions of each: which answers, and what became of them.

Tested in tests/serving/test_hand_over.py and tests/serving/test_several_models.py, through
`Service`.
"""

import dataclasses
import enum
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping

from deeplab_tf.serving.refusal import Reason, RefusedError
from deeplab_tf.serving.served_model import ServedModel


class State(enum.Enum):
    """What a version is doing; the values are TensorFlow Serving's names."""

    WAITING = "START"
    LOADING = "LOADING"
    AVAILABLE = "AVAILABLE"
    UNLOADING = "UNLOADING"
    ENDED = "END"


@dataclasses.dataclass(frozen=True)
class VersionState:
    """A version's state; `error` says why it was refused, and is empty where it was not."""

    state: State
    error: str = ""


class Version:
    """A version that answers, or has answered: its model, and the requests bound to it.

    Attributes:
        model: the model.
    """

    def __init__(self, model: ServedModel):
        self.model = model
        self._inside = 0
        self._lock = threading.Lock()

    @property
    def inside(self) -> int:
        """The number of requests that are bound to the version and have not ended."""
        return self._inside

    def count(self, change: int) -> None:
        """Adds `change` to `inside`, from any thread."""
        with self._lock:
            self._inside += change


class Visit:
    """One request, from its head to its end, and the version that answers it.

    A request is bound to one version, and all of its answer is that version's.
    """

    def __init__(self):
        self._version: Version | None = None
        self._ended = False
        self._lock = threading.Lock()

    @property
    def model(self) -> ServedModel:
        """The model of the version that the request is bound to."""
        assert self._version is not None
        return self._version.model

    @property
    def bound(self) -> tuple[str, int] | None:
        """The name and number of the version; None before the request is bound."""
        return self._version and (self._version.model.name, self._version.model.version)

    def bind(self, version: Version) -> None:
        """Binds the request to `version`, from any thread.

        Raises:
            RefusedError: the request has ended meanwhile.
        """
        with self._lock:
            if self._ended:
                raise RefusedError(Reason.CLIENT_GONE, "the request has ended")
            self._version = version
            version.count(1)

    def end(self) -> None:
        """Lets the version go, so that nothing of the request keeps it in memory."""
        with self._lock:
            self._ended = True
            if self._version is not None:
                self._version.count(-1)
                self._version = None


class ModelVersions:
    """The versions of one model.

    Attributes:
        name: the model's name.
        states: what became of each version that was seen, by number.
        unloading: the versions that get no more requests and still have some, by number; a change
            makes another mapping.
    """

    def __init__(self, name: str):
        self.name = name
        self.states: dict[int, VersionState] = {}
        self.unloading: Mapping[int, Version] = {}
        self._available: Mapping[int, Version] = {}

    @property
    def available(self) -> Mapping[int, Version]:
        """The versions that answer, by number; a change makes another mapping."""
        return self._available

    @property
    def newest(self) -> Version:
        """The version that answers requests that name none: the highest number."""
        available = self._available
        return available[max(available)]

    def add(self, version: Version) -> None:
        """Lets a version answer; where its number is the highest, it answers from now on."""
        number = version.model.version
        self._available = {**self._available, number: version}
        self.states[number] = VersionState(State.AVAILABLE)

    def forget(self, gone: Callable[[int], bool]) -> None:
        """Forgets the states of versions that are not in memory and are `gone`."""
        self.states = {
            number: state
            for number, state in self.states.items()
            if state.state not in (State.ENDED, State.WAITING) or not gone(number)
        }

    def remove(self, number: int) -> Version:
        """Binds no more requests to a version, and returns it; another one must be available.

        `let_go` is to follow when its requests have ended.
        """
        version = self._available[number]
        self._available = {key: kept for key, kept in self._available.items() if key != number}
        assert self._available
        self.unloading = {**self.unloading, number: version}
        self.states[number] = VersionState(State.UNLOADING)
        return version

    def let_go(self, number: int) -> None:
        """Holds a version that is unloading no more, so that its memory can be freed."""
        self.unloading = {key: kept for key, kept in self.unloading.items() if key != number}


class Models(Mapping[str, ModelVersions]):
    """All models of a server, by name; the first stands first."""

    def __init__(self, models: Iterable[ServedModel]):
        self._models: dict[str, ModelVersions] = {}
        for model in models:
            self._models.setdefault(model.name, ModelVersions(model.name)).add(Version(model))

    def __getitem__(self, name: str) -> ModelVersions:
        return self._models[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)

    def find(self, name: str, number: int | None) -> Version:
        """Returns the version that a client means; without a number, the newest.

        Raises:
            RefusedError: there is no such model, or its version does not answer.
        """
        versions = self._models.get(name)
        if versions is not None:
            if number is None:
                return versions.newest
            if found := versions.available.get(number):
                return found
        raise self._not_found(name, number)

    def states(self, name: str, number: int | None) -> dict[int, VersionState]:
        """Returns the states of a model's versions, highest number first, or of the one named.

        Raises:
            RefusedError: there is no such model, or no such version was seen.
        """
        versions = self._models.get(name)
        if versions is None or number not in (None, *versions.states):
            raise self._not_found(name, number)
        numbers = sorted(versions.states, reverse=True) if number is None else [number]
        return {each: versions.states[each] for each in numbers}

    def _not_found(self, name: str, number: int | None) -> RefusedError:
        asked = f"Latest({name})" if number is None else f"Specific({name}, {number})"
        had = " and ".join(told_versions(versions) for versions in self._models.values())
        return RefusedError(
            Reason.NOT_FOUND, f"Servable not found for request: {asked}; the server has {had}"
        )


def told_versions(versions: ModelVersions) -> str:
    """Returns a model's name and the numbers that answer, as in "street, version 3"."""
    numbers = sorted(versions.available)
    plural = "s" if len(numbers) > 1 else ""
    return f"{versions.name}, version{plural} {' and '.join(map(str, numbers))}"

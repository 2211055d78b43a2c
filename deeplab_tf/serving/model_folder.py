"""The folder of a model with numbered versions: which are to be loaded, and which were refused."""

import contextlib
import pathlib
from collections.abc import Callable, Collection

from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.serving.served_model import ServedModel
from deeplab_tf.serving.version_files import VersionFiles, version_files
from deeplab_tf.serving.version_policy import VersionPolicy

_LONGEST_REASON = 400


def unfailing(report: Callable[[str], None]) -> Callable[[str], None]:
    """Returns `report` without its OSError: a log that takes no line, as a broken pipe or a full
    disk, ends no server.
    """

    def reported(line: str) -> None:
        with contextlib.suppress(OSError):
            report(line)

    return reported


class ModelFolder:
    """A folder NAME of the models NAME/1, NAME/2, ..., looked at again and again.

    Args:
        path: the folder.
        name: the model's name.
        policy: the versions that are wanted, of those whose files are usable.
        open_version: loads the model in a version's folder, and raises where it is broken or
            cannot answer.
        report: gets the lines for the log.
    """

    def __init__(
        self,
        path: pathlib.Path,
        name: str,
        policy: VersionPolicy,
        open_version: Callable[[pathlib.Path], ServedModel],
        report: Callable[[str], None],
    ):
        self.path = path
        self.name = name
        self.report = unfailing(report)
        self._policy = policy
        self._open = open_version
        self._seen: dict[int, VersionFiles] = {}
        self._loaded: dict[int, VersionFiles] = {}
        self._refused: dict[int, VersionFiles] = {}
        self._told: dict[int, str] = {}

    def open_first(self) -> list[ServedModel]:
        """Loads the versions to begin with, lowest number first.

        A version that is broken or incomplete is passed over where another one can be served.

        Raises:
            DeeplabError: no version can be served; the message is that of the highest.
        """
        self._seen = version_files(self.path)
        usable = {number for number, files in self._seen.items() if not files.missing}
        opened: dict[int, ServedModel] = {}
        errors: dict[int, Exception] = {}
        while wanted := self._policy.wanted(usable) - set(opened):
            number = max(wanted)
            try:
                opened[number] = self._load(number)
            except Exception as error:
                errors[number] = error
                usable.remove(number)
        if not opened:
            raise self._none(errors)
        for number, error in errors.items():
            self.refuse(number, error, sorted(opened))
        return [opened[number] for number in sorted(opened)]

    def _none(self, errors: dict[int, Exception]) -> Exception:
        if errors:
            return errors[max(errors)]
        lacks = [
            f"{number} lacks {files.missing or 'nothing'}" for number, files in self._seen.items()
        ]
        return DeeplabError(
            f"{self.path} has no model of deeplab-export that is complete and that --versions "
            f"wants: {'; '.join(lacks)}"
        )

    def wanted(self, loaded: Collection[int]) -> set[int]:
        """Looks at the files, and returns the versions that are to be served now.

        Versions that were refused are not among them until their files change, nor are those whose
        files are incomplete, or have changed since the look before: they may still be being
        copied. Versions of `loaded` are not loaded again, however their files change, and are gone
        when two looks do not find them: they may be being renamed.

        Raises:
            OSError: a folder cannot be read.
            DeeplabError: two folders have one number.
        """
        before, self._seen = self._seen, version_files(self.path)
        self._refused = {
            number: files
            for number, files in self._refused.items()
            if self._seen.get(number) == files
        }
        self._loaded = {number: self._loaded[number] for number in loaded}
        usable = {number for number in loaded if number in before or number in self._seen}
        for number, files in self._seen.items():
            if number in loaded:
                if self._loaded[number] != files:
                    self._tell(number, "has other files; what is loaded goes on: give a new number")
            elif number not in self._refused and before.get(number) == files:
                if files.missing:
                    self._tell(number, f"is waited for: {files.missing} is missing")
                else:
                    usable.add(number)
        wanted = self._policy.wanted(usable)
        if not wanted:
            self._tell(max(loaded), f"goes on: {self.path} has no version to replace it")
        return wanted

    def open(self, number: int, stay: Collection[int]) -> ServedModel | None:
        """Loads a version of the look before; None where it is refused, or is waited for again.

        The versions `stay` are named in the log as those that go on.
        """
        try:
            return self._load(number)
        except Exception as error:
            self.refuse(number, error, stay)
            return None

    def _load(self, number: int) -> ServedModel:
        files = self._seen[number]
        model = self._open(files.folder)
        if version_files(self.path).get(number) != files:
            raise DeeplabError(
                f"{files.folder} must stay as it is while it is loaded; received other files: "
                "start again when they are all there"
            )
        self._loaded[number] = files
        return model

    def refuse(self, number: int, error: Exception, stay: Collection[int]) -> None:
        """Refuses a version for `error`, with a line in the log, until its files change.

        A version whose files have changed since the look is not refused: it is still being copied.
        """
        files = self._seen[number]
        if version_files(self.path).get(number) != files:
            return
        self._refused[number] = files
        self._told.pop(number, None)  # told anew where other files have the same fault
        goes_on = " and ".join(map(str, stay))
        self._tell(
            number,
            f"is refused until its files change (touch one to try again), and version {goes_on} "
            f"stays: {_reason(error)}",
        )

    @property
    def refused(self) -> Collection[int]:
        """The versions that are refused."""
        return self._refused

    def has(self, number: int) -> bool:
        """Returns whether the look before saw a version's folder."""
        return number in self._seen

    def error(self, number: int) -> str:
        """Returns why a version is refused; empty where it is not."""
        return self._told[number] if number in self._refused else ""

    def _tell(self, number: int, text: str) -> None:
        if self._told.get(number) != text:
            self._told[number] = text
            self.report(f"{self.name}: version {number} {text}")


def _reason(error: Exception) -> str:
    text = one_line(str(error))[:_LONGEST_REASON]
    return text if isinstance(error, DeeplabError) else f"{type(error).__name__}: {text}"

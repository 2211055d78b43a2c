"""The folder of one large prediction, which can be stopped and go on.

A file in the folder says which model and which inputs the predictions belong to.

Tested in tests/prediction/test_beam_predict.py.
"""

import contextlib
import hashlib
import json
import pathlib
from collections.abc import Iterator

from deeplab_tf.artefacts.best import weight_files
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.files import (
    check_file,
    containing,
    held_folder,
    is_temporary,
    json_text,
    json_with,
    temporary_folder,
    write_text,
)
from deeplab_tf.runs.workdir import CONFIG_FILE

JOB_FILE = "job.json"
FAILED_FILE = "failed.jsonl"
WRITES = "writes"
"""The key of what the job writes; a job of an earlier version lacks it and wrote only labels."""
is_job = json_with("model", "inference")
"""Recognises a `JOB_FILE`."""
is_failures = containing(b'{"source": ', b'"reason": ')
"""Recognises a `FAILED_FILE` that is not empty."""


@contextlib.contextmanager
def job_folder(out: pathlib.Path, job: dict[str, object]) -> Iterator[pathlib.Path]:
    """Holds the folder `out` for `job`, which begins there or goes on.

    Yields a folder inside `out` for temporary files, which workers write there and then rename; the
    files of a killed worker go with the folder.

    Raises:
        DeeplabError: `out` has another job or other files, or another process holds `out`.
    """
    with held_folder(out, f"{out} is being predicted into by another process"):
        _check_job(out, job)
        check_file(out / FAILED_FILE, is_failures)
        write_job(out, job)
        (out / FAILED_FILE).unlink(missing_ok=True)
        with temporary_folder(out) as writing:
            yield writing


def write_job(out: pathlib.Path, content: dict[str, object]) -> None:
    """Writes the `JOB_FILE` of the job in `out`."""
    write_text(out / JOB_FILE, json_text(content), is_job)


def check_reserved(out: pathlib.Path) -> None:
    """Raises `DeeplabError` where the folder `out` has files and no `JOB_FILE`."""
    if not out.is_dir() or (out / JOB_FILE).is_file():
        return
    if not all(map(is_temporary, out.iterdir())):
        raise DeeplabError(
            f"{out} must be empty or have the {JOB_FILE} of an earlier deeplab-predict "
            "--runner. Received: other files; give another --out"
        )


def _check_job(out: pathlib.Path, job: dict[str, object]) -> None:
    check_reserved(out)
    file = out / JOB_FILE
    if not file.is_file():
        return
    try:
        before = dict(json.loads(file.read_text()))
    except (ValueError, TypeError) as error:
        raise DeeplabError(
            f"{file} is damaged: {one_line(str(error))}; give another --out"
        ) from error
    before.setdefault(WRITES, {})
    changed = [
        f"{name} {before.get(name)} (now {value})"
        for name, value in job.items()
        if before.get(name) != value
    ]
    if changed:
        raise DeeplabError(
            f"{out} has the predictions of another job: {'; '.join(changed)}; give another --out"
        )


def model_digest(path: pathlib.Path) -> str:
    """Returns a sha256 in hex over the files of an artefact.

    The files of a workdir are its experiment and those of its weights.
    """
    weights = weight_files(path) if (path / CONFIG_FILE).is_file() else []
    if weights:
        files = [path / CONFIG_FILE, *weights]
    else:
        files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.is_file())
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0")
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()

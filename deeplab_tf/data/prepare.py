"""The preparation of a data set, `deeplab-prepare` as a function: read, check, write as records.

Tested in tests/cli/test_prepare.py and tests/test_tutorial.py.
"""

import os
import pathlib
from collections.abc import Callable

from deeplab_tf.data.check.doctor import examine, format_report
from deeplab_tf.data.check.pixel_table import pixel_table
from deeplab_tf.data.check.results import write_check
from deeplab_tf.data.records import Records
from deeplab_tf.data.sources.choices import Choices
from deeplab_tf.data.sources.describe_folder import write_description
from deeplab_tf.data.sources.find_export import find_export
from deeplab_tf.data.sources.folder import DESCRIPTION_FILE
from deeplab_tf.data.sources.known import DATA_SETS, FOLDER, TOOLS
from deeplab_tf.data.sources.source import Source
from deeplab_tf.data.tiles import Tiling
from deeplab_tf.data.write_records import write_records, written_before
from deeplab_tf.distributed.beam import BeamRunner
from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import check_file, never, refreshed

SHOWN = 5
"""The number of errors and warnings that are reported; report.txt has all."""


def prepare(
    source: str | os.PathLike | None,
    data_dir: str | os.PathLike,
    dataset: str = "folder",
    *,
    choices: Choices | None = None,
    tiling: Tiling | None = None,
    skip_errors: bool = False,
    workers: int | None = None,
    runner: BeamRunner | None = None,
    describe: bool = False,
    report: Callable[[str], None] = print,
) -> Records:
    """Checks a data set on disk and writes it as records, unless the same records are there.

    `data_dir/NAME.check` gets the report of the check, whatever it finds.

    Args:
        source: the folder of the data set. For shapes, the folder that they are drawn into if it
            does not exist; None is `data_dir/shapes_VOCdevkit`.
        data_dir: the folder that gets a folder with the name of the data set.
        dataset: a name of `DATA_SETS` or `TOOLS`, or `folder`: a folder with a `dataset.json`, or
            the export of a labelling tool, which is found by its files.
        choices: what a user decides about a labelling tool's export.
        tiling: how images are cut into tiles; None leaves them whole.
        skip_errors: whether to leave out the images that have errors.
        workers: the number of processes that read and check; None is one for each core.
        runner: the Apache Beam runner that writes the records.
        describe: whether a `folder` without a `dataset.json` gets one first, by what is seen in it;
            else such a folder is an error.
        report: gets lines about what is read, found and written.

    Raises:
        DeeplabError: the folder is not understood, a pair cannot be used, or another process
            prepares the same data set.
    """
    data_dir = pathlib.Path(data_dir)
    if runner:  # whose workers have working folders of their own
        data_dir = data_dir.absolute()
        source = None if source is None else pathlib.Path(source).absolute()
    if describe and source is not None and dataset == "folder":
        _describe(pathlib.Path(source), report)
    read = _read(source, data_dir, dataset, choices or Choices(), tiling, report)
    records, written = written_before(read, data_dir), False
    if records:
        images = {name: split.num_examples for name, split in records.splits.items()}
        report(pixel_table(records.classes.names, images, records.pixels))
    else:
        checked = _checked(read, data_dir, skip_errors, workers, report)
        records, written = write_records(checked, data_dir, workers, runner)
    report(f"\n{'written' if written else 'already prepared'}: {records.folder}")
    return records


def check(
    source: str | os.PathLike | None,
    data_dir: str | os.PathLike,
    dataset: str = "folder",
    *,
    choices: Choices | None = None,
    tiling: Tiling | None = None,
    workers: int | None = None,
    report: Callable[[str], None] = print,
) -> None:
    """Checks a data set as `prepare` does, and writes only the report of the check.

    Raises:
        DeeplabError: the check found an error.
    """
    data_dir = pathlib.Path(data_dir)
    read = _read(source, data_dir, dataset, choices or Choices(), tiling, report)
    _checked(read, data_dir, None, workers, report)


def _describe(folder: pathlib.Path, report: Callable[[str], None]) -> None:
    """Writes the `dataset.json` of a folder that has none and is no labelling tool's export."""
    file = folder / DESCRIPTION_FILE
    if file.exists() or find_export(folder):
        return
    check_file(file, never)  # of a copy of what is at a store, before everything is looked at
    report(write_description(folder, lambda: None, None).seen)
    report(f"written: {file}; its names of classes can be changed there, for another run")


def _read(
    source: str | os.PathLike | None,
    data_dir: pathlib.Path,
    dataset: str,
    choices: Choices,
    tiling: Tiling | None,
    report: Callable[[str], None],
) -> Source:
    folder = pathlib.Path(source or data_dir / "shapes_VOCdevkit")
    refreshed(folder)
    tool = _tool(folder, dataset, choices, report)
    there = folder.exists()
    read = (
        TOOLS[tool].read(folder, choices) if tool else DATA_SETS.get(dataset, FOLDER).read(folder)
    )
    if dataset == "shapes":
        report(
            f"the shapes in {folder} stay as they are; remove the folder to draw the shapes again"
            if there
            else f"the shapes were drawn in {folder}"
        )
    if tiling:
        read.tiling = tiling
    return read


def _tool(
    folder: pathlib.Path, dataset: str, choices: Choices, report: Callable[[str], None]
) -> str | None:
    """Returns the name of the tool whose export is to be read, given or found; None for no tool.

    Raises:
        DeeplabError: choices that go with an export were made for another folder.
    """
    if dataset != "folder":
        return dataset if dataset in TOOLS else None
    export = None if (folder / DESCRIPTION_FILE).exists() else find_export(folder)
    if export:
        report(f"{folder} is {TOOLS[export[0]].title} ({export[1]}): read as --dataset={export[0]}")
        return export[0]
    if choices != Choices():
        raise DeeplabError(
            f"{folder} is no labelling tool's export that this program knows; --name, --void, "
            "--on_top, --unlabelled and --class_attribute go with one"
        )
    return None


def _checked(
    source: Source,
    data_dir: pathlib.Path,
    skip_errors: bool | None,
    workers: int | None,
    report: Callable[[str], None],
) -> Source:
    """Returns the source without the pairs that cannot be used.

    Raises:
        DeeplabError: there are such pairs, and `skip_errors` is not true; where it is None, the
            message does not offer to skip them.
    """
    examined = examine(source, workers)
    report(format_report(examined, most=SHOWN).rstrip("\n"))
    folder = data_dir / f"{source.classes.dataset}.check"
    write_check(examined, folder)
    report(f"\ncheck: {folder}")
    errors = examined.errors
    if errors and not skip_errors:
        text = folder / "report.txt"
        more = f" ({len(errors) - 1:,} more errors in {text})" if errors[1:] else ""
        skip = "; --on_error=skip would leave out every image with an error"
        raise DeeplabError(errors[0] + more + ("" if skip_errors is None else skip))
    if errors:
        report(f"skipped: {len(errors):,} errors, which {folder / 'report.txt'} lists")
    return examined.healthy()

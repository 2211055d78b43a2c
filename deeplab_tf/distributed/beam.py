"""The Apache Beam runner of a command and its options; Beam is imported only when it is used.

`DaskRunner` is the runner of this package; all others are Beam's.

Tested in tests/data/test_write_records.py, tests/prediction/test_beam_predict.py and
tests/distributed/test_dask_runner.py.
"""

import contextlib
import dataclasses
import logging
from collections.abc import Iterator
from typing import Any

from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.machine.stderr import quiet_stderr

QUIET = "--default_sdk_harness_log_level=ERROR"
DASK = "DaskRunner"
ADDRESS = "--dask_client_address="
"""The option that names Dask's scheduler, as Beam's own runner for Dask has it."""


@dataclasses.dataclass(frozen=True)
class BeamRunner:
    """The way that Apache Beam runs.

    Attributes:
        name: the name of the runner, for example `DirectRunner`. `DaskRunner` is ours, since
            Beam's own loses elements.
        options: Beam's options, for example `--region=...`.
    """

    name: str
    options: tuple[str, ...] = ()

    def check(self) -> None:
        """Raises `DeeplabError` where Beam or Dask is not installed or there is no such runner.

        There is no `DaskRunner` where its scheduler does not answer or has no workers.
        """
        try:
            with quiet_stderr():  # Beam prints warnings about Google's libraries
                from apache_beam.runners.runner import create_runner
        except ImportError as error:
            raise DeeplabError("--runner needs Apache Beam: pip install apache-beam") from error
        if self._is_dask:
            self._check_dask()
            return
        try:
            runner = create_runner(self.name)
        except (ValueError, ImportError, AttributeError) as error:
            raise DeeplabError(
                f"--runner={self.name} must be a runner of Beam: {one_line(str(error))}"
            ) from error
        if "dask" in type(runner).__module__:
            raise DeeplabError(
                f"--runner={self.name} is Beam's own runner for Dask, which loses elements; use "
                f"--runner={DASK}, which is another one"
            )

    def runner(self) -> Any:
        """Returns what a Beam pipeline takes as its runner: a name, or the runner itself."""
        if not self._is_dask:
            return self.name
        from deeplab_tf.distributed.dask_runner import DaskRunner

        return DaskRunner(self._address())

    def pipeline_options(self) -> Any:
        """Returns Beam's `PipelineOptions`.

        Raises:
            DeeplabError: Beam has no such runner. Dask's scheduler is not asked again.
        """
        if not self._is_dask:  # whose runner connects by itself
            self.check()
        from apache_beam.options.pipeline_options import PipelineOptions

        # Without an argument PipelineOptions would read the flags of this process.
        return PipelineOptions([QUIET, *(() if self._is_dask else self.options)])

    @contextlib.contextmanager
    def pipeline(self) -> Iterator[Any]:
        """Yields a pipeline, and runs it to its end when the body ends.

        Raises:
            DeeplabError: Beam is not installed or has no such runner. An error that a worker raises
                passes, with the step's name added.
        """
        options = self.pipeline_options()
        import apache_beam

        # Beam raises the error that ends a pipeline and logs it too, so the log is silenced.
        logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
        with apache_beam.Pipeline(self.runner(), options=options) as pipeline:
            yield pipeline

    @property
    def _is_dask(self) -> bool:
        return self.name.lower() in ("dask", DASK.lower())

    def _check_dask(self) -> None:
        address = self._address()
        try:
            from deeplab_tf.distributed.dask_cluster import connected
        except ImportError as error:
            raise DeeplabError(f"--runner={DASK} needs Dask: pip install distributed") from error
        with connected(address):
            pass

    def _address(self) -> str:
        """Returns the address of Dask's scheduler.

        Raises:
            DeeplabError: the options do not name one, or have others.
        """
        match self.options:
            case [option] if option.startswith(ADDRESS) and option != ADDRESS:
                return option.removeprefix(ADDRESS)
        raise DeeplabError(
            f"--runner={DASK} takes one option, the address of Dask's scheduler, as "
            f"--beam_options={ADDRESS.lstrip('-')}tcp://host:8786. "
            f"Received: {', '.join(self.options) or 'none'}"
        )

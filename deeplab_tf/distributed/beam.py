"""The Apache Beam runner of a command and its options; Beam is imported only when it is used.

Tested in tests/data/test_write_records.py and tests/prediction/test_beam_predict.py.
"""

import contextlib
import dataclasses
import logging
from collections.abc import Iterator
from typing import Any

from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.machine.stderr import quiet_stderr

QUIET = "--default_sdk_harness_log_level=ERROR"


@dataclasses.dataclass(frozen=True)
class BeamRunner:
    """The way that Apache Beam runs.

    Attributes:
        name: the name of the runner, for example `DirectRunner`.
        options: Beam's options, for example `--region=...`.
    """

    name: str
    options: tuple[str, ...] = ()

    def check(self) -> None:
        """Raises `DeeplabError` where Beam is not installed or has no such runner."""
        try:
            with quiet_stderr():  # Beam prints warnings about Google's libraries
                from apache_beam.runners.runner import create_runner
        except ImportError as error:
            raise DeeplabError("--runner needs Apache Beam: pip install apache-beam") from error
        try:
            create_runner(self.name)
        except (ValueError, ImportError, AttributeError) as error:
            raise DeeplabError(
                f"--runner={self.name} must be a runner of Beam: {one_line(str(error))}"
            ) from error

    def pipeline_options(self) -> Any:
        """Returns Beam's `PipelineOptions`.

        Raises:
            DeeplabError: Beam is not installed or has no such runner.
        """
        self.check()
        from apache_beam.options.pipeline_options import PipelineOptions

        # Without an argument PipelineOptions would read the flags of this process.
        return PipelineOptions([QUIET, *self.options])

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
        with apache_beam.Pipeline(self.name, options=options) as pipeline:
            yield pipeline

"""Apache Beam where it is asked for: which runner, with which options. Imported on use alone."""

import contextlib
import dataclasses
import logging
from collections.abc import Iterator
from typing import Any

from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.files import quiet_stderr

QUIET = "--default_sdk_harness_log_level=ERROR"


@dataclasses.dataclass(frozen=True)
class BeamRunner:
    """How Apache Beam runs: its runner, as `DirectRunner`, and its options, as `--region=...`."""

    name: str
    options: tuple[str, ...] = ()

    def check(self) -> None:
        """Raises `DeeplabError` where Beam is not installed or has no such runner."""
        try:
            with quiet_stderr():  # what it says of Google's libraries
                from apache_beam.runners.runner import create_runner
        except ImportError as error:
            raise DeeplabError("--runner needs Apache Beam: pip install apache-beam") from error
        try:
            create_runner(self.name)
        except (ValueError, ImportError, AttributeError) as error:
            raise DeeplabError(f"no Beam runner {self.name!r}: {one_line(str(error))}") from error

    def pipeline_options(self) -> Any:
        """Beam's `PipelineOptions`; raises `DeeplabError` as `check`."""
        self.check()
        from apache_beam.options.pipeline_options import PipelineOptions

        # Without flags of its own it would take this process' for its own.
        return PipelineOptions([QUIET, *self.options])

    @contextlib.contextmanager
    def pipeline(self) -> Iterator[Any]:
        """A pipeline that is run when the body ends, and waited for.

        Raises:
            DeeplabError: as `check`. What a worker raises passes, with the step's name added.
        """
        options = self.pipeline_options()
        import apache_beam

        # What ends the pipeline is raised as well.
        logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
        with apache_beam.Pipeline(self.name, options=options) as pipeline:
            yield pipeline

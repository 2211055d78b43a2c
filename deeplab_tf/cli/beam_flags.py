"""The flags of Apache Beam, shared by deeplab-prepare, deeplab-predict and deeplab-eval."""

from absl import flags

from deeplab_tf.cli.flag_rules import require
from deeplab_tf.distributed.beam import BeamRunner

RUNNER = flags.DEFINE_string(
    "runner",
    None,
    "Do the work by this runner of Apache Beam (pip install apache-beam): DirectRunner on this "
    "machine, DaskRunner on a cluster of Dask (pip install distributed; the runner is this "
    "package's own), DataflowRunner and others. The runner's workers must see all files under the "
    "same paths.",
)
OPTIONS = flags.DEFINE_list(
    "beam_options",
    [],
    "Give the runner these options, as region=europe-west1,job_name=voc; to DaskRunner the address "
    "of its scheduler, as dask_client_address=tcp://host:8786.",
)
require(
    {
        "--beam_options needs --runner, as --runner=DirectRunner": (
            lambda runner, beam_options: runner or not beam_options
        )
    }
)


def runner() -> BeamRunner | None:
    """Returns the runner that the flags ask for; None without `--runner`."""
    if RUNNER.value is None:
        return None
    return BeamRunner(RUNNER.value, tuple(f"--{option.lstrip('-')}" for option in OPTIONS.value))

"""The flags of Apache Beam, shared by deeplab-prepare, deeplab-predict and deeplab-eval."""

from absl import flags

from deeplab_tf.distributed.beam import BeamRunner

RUNNER = flags.DEFINE_string(
    "runner",
    None,
    "Do the work by this runner of Apache Beam (pip install apache-beam), as DirectRunner on this "
    "machine or DataflowRunner. The runner's workers must see all files under the same paths.",
)
OPTIONS = flags.DEFINE_list(
    "beam_options", [], "Give the runner these options, as region=europe-west1,job_name=voc."
)
flags.register_multi_flags_validator(
    ["runner", "beam_options"],
    lambda values: bool(values["runner"] or not values["beam_options"]),
    "--beam_options needs --runner, as --runner=DirectRunner",
)


def runner() -> BeamRunner | None:
    """Returns the runner that the flags ask for; None without `--runner`."""
    if RUNNER.value is None:
        return None
    return BeamRunner(RUNNER.value, tuple(f"--{option.lstrip('-')}" for option in OPTIONS.value))

"""That the options of memory save memory, by the benchmark on a small network."""

import pathlib
import subprocess
import sys

SCRIPT = pathlib.Path(__file__).parents[1] / "benchmarks" / "train_memory.py"


def test_parts_and_rematerialisation_lower_the_peak_of_a_step():
    # Three processes, 10 s each: a peak is of a process, and nothing else would see it rise.
    options = ["float32", "accumulate_steps=4", "rematerialize"]
    done = subprocess.run(
        [
            *(sys.executable, SCRIPT, "--backbone=resnet_slim", "--side=193", "--batch=16"),
            *("--steps=1", f"--options={';'.join(options)}"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith(tuple(options))]
    whole, parts, again = (
        float(row.removeprefix(name).split()[1]) for name, row in zip(options, rows, strict=True)
    )
    assert parts < 0.7 * whole
    assert again < 0.9 * whole

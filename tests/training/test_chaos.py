"""Two random kills; `make chaos` does twenty."""

import re
import subprocess
import sys


def test_a_run_that_is_killed_at_random_ends_as_the_undisturbed_one(shapes_data):
    command = [sys.executable, "tests/training/chaos.py", "--kills=2", f"--data_dir={shapes_data}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(r"^2 kills .* arrays are bit for bit those of the undis", done.stdout, re.M)

"""Two random kills; `make chaos` does twenty."""

import re

from support.commands import run

CHAOS = "import runpy; runpy.run_path('tests/training/chaos.py', run_name='__main__')"


def test_a_run_that_is_killed_at_random_ends_as_the_undisturbed_one(shapes_data):
    done = run("-c", CHAOS, "--kills=2", f"--data_dir={shapes_data}", timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(r"^2 kills .* arrays are bit for bit those of the undis", done.stdout, re.M)

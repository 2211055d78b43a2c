"""A training that is killed again and again, held against one that was left alone.

python tests/training/chaos.py --kills=20

Each start is the same `deeplab-train` command. Most are ended by SIGKILL and some by SIGTERM, at
random times: before the first step, between steps, while a checkpoint is written, which happens
after every step. The last one is left to its end. Then every number must be that of the undisturbed
run, bit for bit: the weights of `model.keras`, and weights and optimiser of the last checkpoint.

Starts are forks of this process, which has imported TensorFlow and not used it yet: that spares
the import, which takes longer than a short training.
"""

import argparse
import os
import pathlib
import random
import signal
import sys
import tempfile
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from support.drawn_records import draw
from support.same_trainings import compare
from support.train_processes import CONFIG, metrics

from deeplab_tf.cli import flags, train

STEPS_A_KILL = 6
"""Steps of the training, so that it has not ended before the last kill."""

EVALUATED = {"evaluate_every": 3, "evaluate_images": 2, "keep": "best"}
SIGTERMS = 0.2
"""Share of the ends that are SIGTERM."""


def start(data_dir: pathlib.Path, workdir: pathlib.Path, log: pathlib.Path, steps: int) -> int:
    """The process id of a `deeplab-train`; its output is added to `log`."""
    fields = {"steps": steps, "checkpoint_every": 1, "log_every": 1, **EVALUATED}
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        overrides = [f"--config.train.{name}={value}" for name, value in fields.items()]
        sys.argv = ["train", CONFIG, f"--data_dir={data_dir}", f"--workdir={workdir}", *overrides]
        train.run()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def ended(pid: int) -> int | None:
    """The exit code, minus the signal where one killed it; None while it runs."""
    done, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None


def wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def last_step(workdir: pathlib.Path) -> int:
    try:
        return metrics(workdir)[-1]["step"]
    except (OSError, IndexError, ValueError):  # none yet, or a line that is being written
        return 0


def disturb(pid: int, workdir: pathlib.Path, rng: random.Random) -> tuple[int, int | None]:
    """Ends the process after some steps more, and a moment; the signal, and the exit code."""
    begun, steps = last_step(workdir), rng.randrange(4)
    # One in four is not let come to its first step.
    deadline = time.monotonic() + (rng.uniform(0, 4) if rng.random() < 0.25 else 120)
    while last_step(workdir) < begun + steps and time.monotonic() < deadline:
        code = ended(pid)
        if code is not None:
            return 0, code
        time.sleep(0.005)
    time.sleep(rng.uniform(0, 0.3))
    number = signal.SIGTERM if rng.random() < SIGTERMS else signal.SIGKILL
    code = ended(pid)
    if code is not None:
        return 0, code
    os.kill(pid, number)
    return number, wait(pid)


def in_pieces(workdir: pathlib.Path) -> bool:
    """Whether the end came while TensorFlow wrote a checkpoint."""
    from deeplab_tf.runs.workdir import CHECKPOINT_DIR

    names = {path.name for path in (workdir / CHECKPOINT_DIR).glob("*")}
    data = {name.partition(".data-")[0] for name in names if ".data-" in name}
    indices = {name.removesuffix(".index") for name in names if name.endswith(".index")}
    return any("temp" in name for name in names) or data != indices


def run(data_dir: pathlib.Path, root: pathlib.Path, kills: int, seed: int) -> str:
    """Both trainings and their comparison; what happened, in one line.

    Raises:
        AssertionError: a start failed, or the two are not the same.
    """
    rng, log, workdir = random.Random(seed), root / "log.txt", root / "disturbed"
    steps = STEPS_A_KILL * kills + min(20, 4 * kills)  # the rest for SIGTERMs
    undisturbed = start(data_dir, root / "undisturbed", root / "undisturbed.txt", steps)
    assert wait(undisturbed) == 0, (root / "undisturbed.txt").read_text()[-2000:]
    counts = {signal.SIGKILL: 0, signal.SIGTERM: 0}
    in_writing, begun = 0, time.monotonic()
    while counts[signal.SIGKILL] < kills:
        number, code = disturb(start(data_dir, workdir, log, steps), workdir, rng)
        assert number, f"the run ended by itself, code {code}: {log.read_text()[-2000:]}"
        # A SIGTERM before the first step ends it at once.
        expected = {-signal.SIGKILL} if number == signal.SIGKILL else {143, -signal.SIGTERM}
        assert code in expected, log.read_text()[-2000:]
        counts[number] += 1
        in_writing += in_pieces(workdir)
    assert wait(start(data_dir, workdir, log, steps)) == 0, log.read_text()[-2000:]
    arrays = compare(root / "undisturbed", workdir, steps)
    return (
        f"{counts[signal.SIGKILL]} kills ({in_writing} while a checkpoint was written) and "
        f"{counts[signal.SIGTERM]} SIGTERMs in {steps} steps, {time.monotonic() - begun:.0f} s: "
        f"{arrays} arrays are bit for bit those of the undisturbed run"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data_dir", type=pathlib.Path, help="default: 12 drawn images")
    given = parser.parse_args()
    flags.import_tensorflow()
    import deeplab_tf.training.overfit
    import deeplab_tf.training.stages  # noqa: F401

    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        print(run(given.data_dir or draw(root), root, given.kills, given.seed))


if __name__ == "__main__":
    main()

"""A training on two workers that are killed at random, and that nobody starts again.

python tests/training/chaos_workers.py --kills=10

Each worker runs under `examples/restart/supervise.sh`, which starts it again. One worker at a time
is ended, most by SIGKILL and some by SIGTERM, at random times: while the workers look for each
other, between steps, while a checkpoint is written. Both supervisors must end by themselves, and
every number must be that of two workers that were left alone, bit for bit.

Workers are forks of this process, which has imported TensorFlow and not used it yet: what the
supervisor starts is `start_by_server.py`, which ends as the fork ends.
"""

import argparse
import json
import os
import pathlib
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from support.drawn_records import draw
from support.same_trainings import compare
from support.train_processes import CONFIG, free_ports, metrics, tf_config

from deeplab_tf.cli import flags, train

TESTS = pathlib.Path(__file__).parents[1]
SUPERVISE = TESTS.parent / "examples" / "restart" / "supervise.sh"
START = TESTS / "support" / "start_by_server.py"
STEPS_A_KILL = 6
SIGTERMS = 0.25
"""How many SIGTERMs there are for each kill."""
PAUSE_SECONDS = 1
"""What the supervisors wait; a worker that is back before the others have ended makes them end."""
FIELDS = {
    "checkpoint_every": 1,
    "log_every": 1,
    "evaluate_every": 3,
    "evaluate_images": 2,
    "keep": "best",
}


class Workers:
    """Two supervised workers of one training, whose processes are forks of this one."""

    def __init__(self, data_dir, workdir, fields: dict[str, object], log: pathlib.Path):
        self._log, self._ports = log, free_ports(2)
        overrides = [f"--config.train.{name}={value}" for name, value in fields.items()]
        self._argv = ["train", CONFIG, f"--data_dir={data_dir}", f"--workdir={workdir}", *overrides]
        path = log.with_suffix(".socket")
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self.running: dict[int, tuple[int, socket.socket]] = {}
        self.codes: list[tuple[int, int]] = []
        self._survivor: tuple[int, float] | None = None
        self.survived = 0.0
        """The most seconds from the end of a worker to the end of the other."""
        self._supervisors = [
            subprocess.Popen(
                [SUPERVISE, sys.executable, "-S", "-E", START, path, str(index)],
                env={**os.environ, "PAUSE_SECONDS": str(PAUSE_SECONDS), "RESTARTS": "1000"},
                stderr=log.open("a"),
            )
            for index in range(2)
        ]

    def turn(self, seconds: float) -> None:
        """Forks what is asked for and answers for what has ended, for some time."""
        end = time.monotonic() + seconds
        while True:
            if select.select([self._server], [], [], 0.01)[0]:
                connection = self._server.accept()[0]
                index = int(connection.recv(16))
                self.running[index] = (self._fork(index), connection)
            for index, (pid, connection) in list(self.running.items()):
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    code = os.waitstatus_to_exitcode(status)
                    self.codes.append((index, code))
                    if self._survivor and self._survivor[0] == pid and code in (75, 143):
                        self.survived = max(self.survived, time.monotonic() - self._survivor[1])
                    connection.sendall(str(code).encode())
                    connection.close()
                    del self.running[index]
            if time.monotonic() >= end:
                return

    def end(self, index: int, number: int) -> None:
        """Sends the signal to the process of a worker, when it has one."""
        while index not in self.running:
            self.turn(0)
        os.kill(self.running[index][0], number)
        other = self.running.get(1 - index)
        self._survivor = other and (other[0], time.monotonic())

    def _fork(self, index: int) -> int:
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            os.environ["TF_CONFIG"] = tf_config(self._ports, index)
            handle = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            sys.argv = self._argv
            train.run()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)

    def ended(self) -> list[int | None]:
        """The exit codes of the supervisors, None of one that runs."""
        return [supervisor.poll() for supervisor in self._supervisors]

    def close(self) -> None:
        """Ends what still runs."""
        for supervisor in self._supervisors:
            supervisor.terminate()
        for pid, _ in self.running.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for supervisor in self._supervisors:
            supervisor.wait()
        self._server.close()


def last_step(workdir: pathlib.Path) -> int:
    try:
        return metrics(workdir)[-1]["step"]
    except (OSError, IndexError, ValueError):  # none yet, or a line that is being written
        return 0


def disturb(workers: Workers, workdir: pathlib.Path, rng: random.Random, number: int) -> None:
    """Ends one worker by the signal `number` after some steps more, and a moment."""
    begun, steps, index = last_step(workdir), rng.randrange(1, 4), rng.randrange(2)
    # One in four is not let come to its next step.
    early = rng.random() < 0.25
    deadline = time.monotonic() + (rng.uniform(0, 4) if early else 240)
    while time.monotonic() < deadline and last_step(workdir) < begun + steps:
        workers.turn(0)
    assert early or time.monotonic() < deadline, f"no step after {begun}"
    workers.turn(rng.uniform(0, 0.3))
    workers.end(index, number)


def finish(workers: Workers, seconds: float) -> None:
    """Waits until both supervisors have ended by themselves."""
    deadline = time.monotonic() + seconds
    while None in workers.ended() and time.monotonic() < deadline:
        workers.turn(0.05)
    assert workers.ended() == [0, 0], workers.ended()


def run(given: argparse.Namespace, data_dir: pathlib.Path, root: pathlib.Path) -> str:
    """Both trainings and their comparison; what happened, in one line.

    Raises:
        AssertionError: the workers did not come back, or the two are not the same.
    """
    rng, steps = random.Random(given.seed), given.steps or 12 + STEPS_A_KILL * given.kills
    fields = {**(given.fields or FIELDS), "steps": steps}
    terms = round(given.kills * SIGTERMS) if given.terms is None else given.terms
    signals = [signal.SIGKILL] * given.kills + [signal.SIGTERM] * terms
    rng.shuffle(signals)
    for name in ("undisturbed", "disturbed"):
        if name == "undisturbed" and given.undisturbed:
            continue
        log, begun = root / f"{name}.txt", time.monotonic()
        workers = Workers(data_dir, root / name, fields, log)
        try:
            for number in signals if name == "disturbed" else ():
                disturb(workers, root / name, rng, number)
            finish(workers, 400)
        except AssertionError:
            print(workers.codes, log.read_text()[-4000:], file=sys.stderr)
            raise
        finally:
            workers.close()
    seconds, codes = time.monotonic() - begun, {code for _, code in workers.codes}
    assert codes <= {0, 75, 143, -signal.SIGKILL, -signal.SIGTERM}, workers.codes
    arrays = compare(given.undisturbed or root / "undisturbed", root / "disturbed", steps)
    return (
        f"{given.kills} kills and {terms} SIGTERMs of either of two workers in {steps} steps, "
        f"{len(workers.codes)} starts, the other worker at most {workers.survived:.1f} s longer, "
        f"{seconds:.0f} s: {arrays} arrays are bit for bit those of the undisturbed run"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--terms", type=int, help="default: a quarter of the kills")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data_dir", type=pathlib.Path, help="default: 12 drawn images")
    parser.add_argument("--undisturbed", type=pathlib.Path, help="the workdir to compare with")
    parser.add_argument("--fields", type=json.loads, default={}, help="of train, as JSON")
    parser.add_argument("--out", type=pathlib.Path, help="keep the workdirs and logs here")
    given = parser.parse_args()
    flags.import_tensorflow()
    import deeplab_tf.training.overfit
    import deeplab_tf.training.stages  # noqa: F401

    with tempfile.TemporaryDirectory() as name:
        root = given.out or pathlib.Path(name)
        print(run(given, given.data_dir or draw(root), root))


if __name__ == "__main__":
    main()

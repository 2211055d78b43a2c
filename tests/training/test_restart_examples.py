"""The supervisors of examples/restart: what the script does, and what the others say."""

import configparser
import json
import os
import pathlib
import signal
import subprocess
import time

import pytest
import yaml

from deeplab_tf.errors import WorkerGoneError

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples" / "restart"
GONE = WorkerGoneError.exit_code

COUNTING = """
echo >> starts
set -- $(sed -n "$(wc -l < starts)p" codes)
case $1 in KILL | TERM) kill -$1 $$ ;; esac
exit $1
"""


def supervised(folder, codes, **variables):
    """A supervisor of a command that ends as `codes` say, one after the other."""
    (folder / "codes").write_text("".join(f"{code}\n" for code in codes))
    (folder / "starts").touch()
    return subprocess.Popen(
        [EXAMPLES / "supervise.sh", "sh", "-c", COUNTING],
        cwd=folder,
        env={**os.environ, "PAUSE_SECONDS": "0", **variables},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("codes", "code", "starts"),
    [
        ([0], 0, 1),
        ([2, 0], 2, 1),
        ([GONE, "KILL", 143, "TERM", 134, 0, 0], 0, 6),
        ([127, 0], 127, 1),
        ([1, 1, 1, 1, 0], 1, 3),
        ([134, "KILL", GONE, 143, 1, 0], 1, 5),
        ([1, GONE, GONE, GONE, 130, 1, 0], 0, 7),
    ],
    ids=str,
)
def test_a_command_is_started_again_until_it_is_finished(tmp_path, codes, code, starts):
    process = supervised(tmp_path, codes, RESTARTS="2")
    _, err = process.communicate(timeout=30)
    assert (process.returncode, len((tmp_path / "starts").read_text())) == (code, starts)
    assert err.count("starting again in 0 s") == starts - 1
    assert err.endswith("ended 3 times, now with exit code 1; given up\n") == (code == 1)


def test_ends_of_yesterday_do_not_count(tmp_path):
    process = supervised(tmp_path, [1, 1, 1, 0], RESTARTS="1", WINDOW_SECONDS="-1")
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_a_supervisor_that_is_told_to_stop_tells_its_command_and_waits(tmp_path):
    answering = "trap 'sleep 0.3; exit 143' TERM; echo > up; while :; do sleep 0.05; done"
    process = subprocess.Popen([EXAMPLES / "supervise.sh", "sh", "-c", answering], cwd=tmp_path)
    deadline = time.monotonic() + 30
    while not (tmp_path / "up").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143 and time.monotonic() - begun > 0.3


def test_a_supervisor_stops_in_its_pause(tmp_path):
    process = supervised(tmp_path, [GONE, 0], PAUSE_SECONDS="60")
    assert "starting again in 60 s" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == GONE
    process.stderr.close()


def test_the_unit_restarts_all_but_the_end_and_a_wrong_flag():
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str
    unit.read(EXAMPLES / "deeplab-train@.service")
    service = unit["Service"]
    assert (service["Restart"], service["RestartPreventExitStatus"]) == ("on-failure", "2 203")
    assert service["ExecStart"].endswith("/deeplab-train $FLAGS")
    limit = unit["Unit"]
    assert limit["StartLimitIntervalSec"] == "1d"
    assert int(limit["StartLimitBurst"]) * int(service["RestartSec"]) < 24 * 3600 / 2


def test_the_job_names_its_workers_as_its_pods_are_named():
    service, job = yaml.safe_load_all((EXAMPLES / "job.yaml").read_text())
    spec = job["spec"]
    pod = spec["template"]["spec"]
    name, count = job["metadata"]["name"], spec["completions"]
    names = [f"{name}-{index}.{pod['subdomain']}" for index in range(count)]
    assert service["metadata"]["name"] == pod["subdomain"]
    assert service["spec"]["selector"] == {"job-name": name}
    (container,) = pod["containers"]
    shown = container["args"][0].partition("exec ")[0] + 'printf %s "$TF_CONFIG"'
    done = subprocess.run(
        [*container["command"], shown], env={"JOB_COMPLETION_INDEX": "1"}, capture_output=True
    )
    config = json.loads(done.stdout)
    port = container["ports"][0]["containerPort"]
    assert config["cluster"] == {"worker": [f"{each}:{port}" for each in names]}
    assert config["task"] == {"type": "worker", "index": 1}
    assert spec["parallelism"] == count and spec["completionMode"] == "Indexed"
    # Kubernetes takes a failure policy with this restart policy only.
    assert pod["restartPolicy"] == "Never"
    actions = {
        code: rule["action"]
        for rule in spec["podFailurePolicy"]["rules"]
        for code in rule.get("onExitCodes", {}).get("values", [])
    }
    assert actions == {2: "FailJob", GONE: "Ignore", 143: "Ignore"}
    assert spec["successPolicy"]["rules"] == [{"succeededIndexes": "0"}]

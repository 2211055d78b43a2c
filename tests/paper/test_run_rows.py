"""Rows by name, trained and evaluated by one call; what is done is not done again."""

import json
import signal
import subprocess
import time
import types

import pytest
from support.commands import Command

from deeplab_tf.errors import DeeplabError
from deeplab_tf.paper import run_rows
from deeplab_tf.paper.run_rows import _run, plan_jobs, run_jobs
from deeplab_tf.runs.checkpoints import checkpoint_steps

ROWS = """
import dataclasses
from deeplab_tf.config import DataConfig, EvaluateConfig, Head, TrainConfig, load_experiment

FILE = {file!r}
SMOKE = load_experiment("configs/shapes.py:smoke")
TRAINED = dataclasses.replace(
    SMOKE,
    model=dataclasses.replace(SMOKE.model, head=Head.NONE),
    data=DataConfig(dataset="shapes", crop_size=33),
    train=TrainConfig(steps=1, batch_size=2, log_every=1),
)
EXPERIMENTS = {{
    "at8": TRAINED,
    "at16": dataclasses.replace(
        TRAINED, evaluate=EvaluateConfig(output_stride=16), checkpoint_of=FILE + ":at8"
    ),
    "server": dataclasses.replace(
        TRAINED,
        data=dataclasses.replace(TRAINED.data, dataset="voc_aug"),
        evaluate=EvaluateConfig(split="test"),
        checkpoint_of=FILE + ":at8",
    ),
}}
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "rows.py"
    path.write_text(ROWS.format(file=str(path)))
    return path


def test_folders_are_named_after_row_and_seed(config, tmp_path):
    jobs = plan_jobs(str(config), tmp_path / "runs", [0, 3])
    assert [(job.workdir.name, job.out.name) for job in jobs] == [
        ("rows_at8_seed0", "rows_at8_seed0"),
        ("rows_at8_seed0", "rows_at16_seed0"),
        ("rows_at8_seed0", "rows_server_seed0"),
        ("rows_at8_seed3", "rows_at8_seed3"),
        ("rows_at8_seed3", "rows_at16_seed3"),
        ("rows_at8_seed3", "rows_server_seed3"),
    ]
    (job,) = plan_jobs("configs/paper/table4.py:os16", tmp_path, [0])
    assert job.workdir == job.out == tmp_path / "table3_mg121_block7_seed0"
    (job,) = plan_jobs("configs/paper/table4.py:os8_ms", tmp_path, [0])
    assert job.workdir == tmp_path / "table3_mg121_block7_seed0"
    assert job.out == tmp_path / "table4_os8_ms_seed0"


def test_a_file_of_rows_is_trained_once_and_evaluated_twice(
    config, shapes_data, tmp_path, capsys, monkeypatch
):
    # Five processes that need not import TensorFlow anew.
    forked = types.SimpleNamespace(
        Popen=lambda command: Command(*command[1:]),
        CalledProcessError=subprocess.CalledProcessError,
    )
    monkeypatch.setattr(run_rows, "subprocess", forked)
    jobs = plan_jobs(str(config), tmp_path / "runs", [5])
    run_jobs(jobs, shapes_data, None)
    assert "VOC's test set has no masks" in capsys.readouterr().out
    at8 = json.loads((tmp_path / "runs/rows_at8_seed5/eval.json").read_text())
    at16 = json.loads((tmp_path / "runs/rows_at16_seed5/eval.json").read_text())
    assert (at8["output_stride"], at16["output_stride"]) == (8, 16)
    assert at8["experiment"] == at16["experiment"]
    assert at8["experiment"]["train"]["seed"] == 5
    assert at8["experiment"]["row"] == f"{config}:at8"
    assert not (tmp_path / "runs/rows_at16_seed5/model.keras").exists()
    # Again: nothing to do, so nothing can fail for want of data.
    run_jobs(jobs, tmp_path / "absent", None)
    # An evaluation of an earlier step, or by other settings, is not the row's.
    path = tmp_path / "runs/rows_at8_seed5/eval.json"
    for changes in ({"step": 0}, {"flip": True}):
        path.write_text(json.dumps(at8 | changes))
        run_jobs(jobs[:1], shapes_data, None)
        assert json.loads(path.read_text()) == at8
    # Other initial weights are another training.
    with pytest.raises(
        DeeplabError, match=r"rows_at8_seed5 holds another training .*init_from=None"
    ):
        run_jobs(jobs, shapes_data, "other.keras")


def test_a_process_that_fails_ends_the_jobs(config, tmp_path, capfd):
    jobs = plan_jobs(f"{config}:at8", tmp_path / "runs", [0, 1])
    with pytest.raises(subprocess.CalledProcessError) as raised:
        run_jobs(jobs, tmp_path / "absent", None)
    assert raised.value.returncode == 1
    said = capfd.readouterr()
    assert said.err.count("\n") == 1 and "2 of 2" not in said.out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_training(config, shapes_data, tmp_path, number):
    """It saves a checkpoint and ends, and so does the one that started it."""
    text = config.read_text().replace("steps=1,", "steps=1000, checkpoint_every=1000,")
    config.write_text(text)
    process = Command(
        *("-m", "deeplab_tf.cli.paper", f"--config={config}:at8"),
        *(f"--data_dir={shapes_data}", f"--runs={tmp_path}/runs"),
    )
    workdir = tmp_path / "runs" / "rows_at8_seed0"
    deadline = time.monotonic() + 120
    while not (workdir / "metrics.jsonl").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (128 + number, "")
    assert "checkpoint saved; run the same command to go on" in out
    assert len(checkpoint_steps(workdir)) == 1
    assert not (workdir / "eval.json").exists()


def test_ctrl_c_is_left_to_a_child_that_cannot_be_sent_it(monkeypatch):
    """On Windows, where the console gives it to both."""

    class Child:
        def __init__(self, command):
            assert command[-1] == "--flag"

        def send_signal(self, number):
            raise ValueError(f"Unsupported signal: {number}")

        def wait(self):
            signal.raise_signal(signal.SIGINT)
            return 3

    monkeypatch.setattr(subprocess, "Popen", Child)
    with pytest.raises(subprocess.CalledProcessError) as raised:
        _run("train", "--flag")
    assert raised.value.returncode == 3

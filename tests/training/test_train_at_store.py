"""A training whose records and workdir are at a store, killed, cut off, and started again."""

import json
import time

import pytest
from support.same_trainings import compare
from support.train_processes import start

pytest.importorskip("moto.server")
pytest.importorskip("s3fs")

from support.object_store import BUCKET, object_store

S3 = f"s3://{BUCKET}"
FIELDS = {"steps": 16, "checkpoint_every": 2, "log_every": 1}


def wait_for_step(process, store, step, seconds=120):
    """Returns when the run at the store has a checkpoint of `step` or later."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        indices = [name for name in store.names() if name.endswith(".index")]
        if any(int(name.rpartition("-")[2].split(".")[0]) >= step for name in indices):
            return
        time.sleep(0.2)
    raise AssertionError(f"step {step} was not reached in {seconds} s")


def test_a_training_at_a_store_ends_as_one_on_the_disk(shapes_data, tmp_path, monkeypatch):
    undisturbed = start(shapes_data, tmp_path / "undisturbed", **FIELDS)
    with object_store() as store:
        for name in [name for name in store.env if name.startswith("AWS_")]:
            monkeypatch.setenv(name, store.env[name])
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        for path in shapes_data.rglob("*.*"):
            if path.is_file():
                store.put(f"data/{path.relative_to(shapes_data).as_posix()}", path.read_bytes())

        def train():
            return start(f"{S3}/data", f"{S3}/runs/a", **FIELDS)

        cut_off = train()
        wait_for_step(cut_off, store, 3)
    _, err = cut_off.communicate(60)
    assert cut_off.returncode == 75 and err.count("\n") == 1
    assert "error: s3://bucket/runs/a: the connection to the store is lost (" in err
    assert err.endswith("run the same command again when the store answers\n")
    with object_store(store.port):
        killed = train()
        wait_for_step(killed, store, 8)
        killed.kill()
        killed.wait()
        assert "runs/a/model.keras" not in store.names() and "runs/a/.held.json" in store.names()
        last = train()
        out, err = last.communicate(60)
        assert (last.returncode, err) == (0, "")
        assert "going on from step" in out and f"done: {S3}/runs/a/model.keras" in out
        assert "runs/a/.held.json" not in store.names()
        store.fetch("runs/a", tmp_path / "disturbed")
    assert undisturbed.wait() == 0
    assert compare(tmp_path / "undisturbed", tmp_path / "disturbed", 16) > 200
    # No path of this machine is left in what others read.
    for file in (tmp_path / "disturbed").glob("*.json*"):
        assert str(tmp_path) not in file.read_text(), file
    state = json.loads((tmp_path / "disturbed" / "data.json").read_text())
    assert state["labels"]

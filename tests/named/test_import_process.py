"""The import in a process of its own: before workers connect, and however the process ends."""

import hashlib
import os

import pytest
from support.commands import Command
from support.light_network import light_model, write_light
from support.tiny_voc import write_voc
from support.train_processes import free_ports, tf_config

from deeplab_tf.data.sources.voc import voc_source
from deeplab_tf.data.write_records import write_records
from deeplab_tf.errors import DeeplabError
from deeplab_tf.named import import_process
from deeplab_tf.named.cache import MIRROR
from deeplab_tf.named.import_process import import_in_a_process

EVALUATION = """
from deeplab_tf.named.table import MODELS, NamedModel
MODELS["tiny"] = NamedModel(
    "https://nowhere/tiny.tflite", "sha256:{digest}", 0.4, "none", "tflite", "VOC's 21", "nothing"
)
from deeplab_tf.cli import eval
eval.run()
"""


def test_two_workers_begin_with_an_empty_cache(tmp_path):
    """TensorFlow, used before `connect`, would refuse the second worker."""
    folder = write_voc(tmp_path, train=["a"], val=["b", "c"])
    write_records(voc_source(folder.parent), tmp_path / "data")
    content = write_light(light_model(21), tmp_path / "tiny.tflite").read_bytes()
    program = EVALUATION.format(digest=hashlib.sha256(content).hexdigest())
    flags = ("--model=tiny", f"--data_dir={tmp_path / 'data'}", "--dataset=voc")
    ports = free_ports(2)
    environment = {**os.environ, MIRROR: str(tmp_path), "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    workers = [
        Command(
            *("-c", program, *flags, f"--out={tmp_path / 'out'}"),
            env={**environment, "TF_CONFIG": tf_config(ports, index)},
        )
        for index in range(2)
    ]
    said = [worker.communicate(timeout=240) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    assert sum("tiny: imported into" in out for out, _ in said) == 1
    assert (tmp_path / "out" / "eval.json").is_file()


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (
            "import os; os.kill(os.getpid(), 9)",
            "the import of a.tflite was ended by signal SIGKILL, as a system does that is out of "
            "memory; free memory and try again",
        ),
        (
            "import sys; print('2026 I tensorflow/core a log line', file=sys.stderr); sys.exit(3)",
            "the import of a.tflite ended with exit code 3",
        ),
        (
            "raise ValueError('a cause')",
            "the import of a.tflite ended with exit code 1 (ValueError: a cause)",
        ),
        (
            "import sys; print('deeplab-import: error: what must hold', file=sys.stderr)\n"
            "print('a log line at the exit', file=sys.stderr); sys.exit(1)",
            "what must hold",
        ),
    ],
)
def test_how_the_process_ended_is_said(program, said, tmp_path, monkeypatch):
    monkeypatch.setattr(import_process, "_PROGRAM", program)
    with pytest.raises(DeeplabError) as raised:
        import_in_a_process("tflite", tmp_path / "a.tflite", tmp_path / "out.keras")
    assert str(raised.value) == said

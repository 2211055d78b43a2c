"""What `import deeplab_tf` offers: names that an editor sees, and files that Keras loads."""

import json
import subprocess
import sys

import pytest
from support.train_processes import small

import deeplab_tf

LOADS = """
import sys
import {imports}
print(keras.saving.load_model(sys.argv[1]).output_shape)
"""


def test_every_name_is_found_on_first_use():
    assert len(deeplab_tf.__all__) == 33
    for name in deeplab_tf.__all__:
        assert getattr(deeplab_tf, name).__name__ == name
    with pytest.raises(AttributeError, match="No deeplab_tf attribute nothing"):
        _ = deeplab_tf.nothing  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("imports", ["deeplab_tf, keras", "keras, deeplab_tf"])
def test_keras_loads_a_file_of_ours(artefacts, imports):
    program = LOADS.format(imports=imports)
    command = [sys.executable, "-c", program, artefacts / "model.keras"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "(None, None, None, 6)\n"), done.stderr


def test_from_records_to_an_artefact_in_python(shapes_data, tmp_path):
    """`train`, `evaluate` and `export_model` return what the commands print."""
    said = []
    result = deeplab_tf.train(small(steps=2), shapes_data, tmp_path / "run", report=said.append)
    assert (result.step, result.stopped_by) == (2, None)
    assert said[-1] == f"done: {tmp_path / 'run' / 'model.keras'}"

    evaluation = deeplab_tf.evaluate(
        tmp_path / "run", shapes_data, tmp_path / "results", report=said.append
    )
    figures = json.loads((tmp_path / "results" / "eval.json").read_text())
    assert evaluation.images == figures["images"] == 4
    assert evaluation.scores.mean_iou == figures["mean_iou"]
    assert said[-1] == (tmp_path / "results" / "eval.txt").read_text().rstrip()

    exported = deeplab_tf.export_model(
        tmp_path / "run", tmp_path / "litert", "litert", data_dir=shapes_data
    )
    assert exported.artefact == tmp_path / "litert" / "model.tflite"
    assert exported.parity.images == 4 and exported.parity.label_agreement >= 0.999
    with pytest.raises(deeplab_tf.DeeplabError, match="format=onnx has no option flip, quantize"):
        deeplab_tf.export_model(
            *(tmp_path / "run", tmp_path / "onnx", "onnx"),
            **{"data_dir": shapes_data, "flip": True, "quantize": "int8"},
        )

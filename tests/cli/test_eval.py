"""deeplab-eval, deeplab-predict and deeplab-score after one another, as a user runs them."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from support.commands import call, run
from support.random_model import random_picture, shared_model

from deeplab_tf.config import to_json
from deeplab_tf.data.sources.masks import IndexMask, plain_values
from deeplab_tf.data.sources.source import Pair, Source
from deeplab_tf.data.write_records import write_records
from deeplab_tf.images.classes import SHAPES, VOID
from deeplab_tf.images.confusion import confusion_matrix
from deeplab_tf.images.drawing import write_labels
from deeplab_tf.runs.workdir import data_to_json

FULL_FOR_EVAL_JSON = """
from deeplab_tf.cli import eval
from deeplab_tf.files import whole
named = whole.temporary_path
whole.temporary_path = lambda path, within=None: (
    path.with_name("full") if path.name == "eval.json" else named(path, within)
)
eval.run()
"""
FIGURES = (
    *("mean IoU", "pixel accuracy", "mean accuracy", "frequency-weighted IoU"),
    "mean boundary IoU",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """`images/`, `masks/`, their records in `data/`, and a workdir `run/` at step 12."""
    root = tmp_path_factory.mktemp("place")
    (root / "images").mkdir()
    pairs = []
    for index, size in enumerate([(40, 53), (33, 33), (50, 41)]):
        image, mask = root / "images" / f"{index}.jpg", root / "masks" / f"{index}.png"
        Image.fromarray(random_picture(*size, seed=index)).save(image)
        coarse = np.random.default_rng(index).choice([0, 1, 2, VOID], (3, 3)).astype(np.uint8)
        labels = Image.fromarray(coarse).resize(size[::-1], Image.Resampling.NEAREST)
        write_labels(np.asarray(labels), SHAPES, mask)
        values = plain_values(SHAPES.num_classes, VOID)
        pairs.append(Pair(str(index), image, IndexMask(mask, values)))
    write_records(Source(SHAPES, {"val": pairs}), root / "data")

    trained = shared_model()
    run = root / "run"
    run.mkdir()
    (run / "config.json").write_text(to_json(trained.experiment))
    (run / "data.json").write_text(data_to_json(SHAPES, "a" * 64))
    rows = [{"step": s, "loss": 2.0 / s, "learning_rate": 0.1} for s in (4, 8, 12)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    checkpoint, folder = tf.train.Checkpoint(model=trained.model), str(run / "checkpoints")
    manager = tf.train.CheckpointManager(checkpoint, folder, 1, checkpoint_name="step")
    manager.save(checkpoint_number=12)
    return root


def figures(text):
    """The four lines under the table, as printed."""
    return {name: re.search(rf"^{name} +(\S+)$", text, re.MULTILINE)[1] for name in FIGURES}


def test_eval_predict_and_score_agree_to_the_last_digit(place):
    options = ("--output_stride=8", "--scales=0.5,1", "--flip")
    evaluated = call("eval", f"--model={place}/run", f"--data_dir={place}/data", *options)
    assert (evaluated.returncode, evaluated.stderr) == (0, "")
    content = json.loads((place / "run" / "eval.json").read_text())
    assert (content["step"], content["images"], content["dataset"]) == (12, 3, "shapes")
    assert (content["output_stride"], content["scales"], content["flip"]) == (8, [0.5, 1.0], True)
    assert content["working_size"] is None
    assert re.fullmatch("[0-9a-f]{64}", content["fingerprint"])
    assert figures(evaluated.stdout)["mean IoU"] == f"{100 * content['mean_iou']:.2f}"
    covered = r"shapes/val; the truth is \d+\.\d\d % void; classes without true pixels: \d of 6"
    assert re.search(f"^3 images of {covered}", evaluated.stdout, re.MULTILINE)
    assert (place / "run" / "confusion_matrix.csv").is_file()
    page = (place / "run" / "report" / "index.html").read_text()
    assert "loss.png" in page and "sample2_truth.png" in page

    out = place / "predictions"
    images = f"--images={place}/images/*.jpg"
    predicted = call("predict", f"--model={place}/run", images, f"--out={out}", *options)
    assert (predicted.returncode, predicted.stderr) == (0, "")
    assert predicted.stdout == f"3 of 3 images predicted into {out}\n"
    scored = call(
        "score", f"--predictions={out}", f"--ground_truth={place}/masks", "--num_classes=6"
    )
    assert (scored.returncode, scored.stderr) == (0, "")
    assert figures(scored.stdout) == figures(evaluated.stdout)
    table = [line.split()[-6:] for line in evaluated.stdout.splitlines()[2:8]]
    assert [line.split()[-6:] for line in scored.stdout.splitlines()[2:8]] == table


def test_exported_models_are_evaluated_as_they_are(place, artefacts, tmp_path):
    common = (f"--data_dir={place}/data", f"--out={tmp_path}/out")
    saved = call("eval", f"--model={artefacts}/saved", *common)
    kept = call("eval", f"--workdir={place}/run", *common)
    assert (saved.returncode, saved.stderr) == (kept.returncode, kept.stderr) == (0, "")
    assert figures(saved.stdout) == figures(kept.stdout)
    refused = call("eval", f"--model={artefacts}/saved", *common, "--flip")
    assert refused.returncode == 1 and "whose inference is fixed: --flip needs" in refused.stderr


def test_a_tflite_file_of_others_is_evaluated_as_it_is(place, tmp_path):
    """Pixels in [-1, 1], one size, nothing about classes; smaller images padded with grey."""
    model = shared_model().model
    signature = tf.TensorSpec((1, 65, 65, 3), tf.float32)
    function = tf.function(
        lambda image: model(image * 127.5 + 127.5, training=False), input_signature=[signature]
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    path = tmp_path / "other.tflite"
    path.write_bytes(converter.convert())
    common = (f"--model={path}", f"--data_dir={place}/data", f"--out={tmp_path}/out")
    silent = call("eval", *common)
    assert silent.returncode == 1 and "does not say its data set; give --dataset" in silent.stderr
    done = call("eval", *common, "--dataset=shapes")
    assert (done.returncode, done.stderr) == (0, "")
    content = json.loads((tmp_path / "out" / "eval.json").read_text())
    assert content["images"] == 3 and content["exported"] and "experiment" not in content

    expected = np.zeros((6, 6), np.int64)
    for mask_path in sorted((place / "masks").iterdir()):
        image = np.asarray(Image.open(place / "images" / f"{mask_path.stem}.jpg"))
        framed = np.full((1, 65, 65, 3), 128, np.uint8)
        framed[0, : image.shape[0], : image.shape[1]] = image
        labels = model(framed).numpy()[0].argmax(-1)[: image.shape[0], : image.shape[1]]
        expected += confusion_matrix(np.asarray(Image.open(mask_path)), labels, 6)
    rows = (tmp_path / "out" / "confusion_matrix.csv").read_text().splitlines()[1:]
    found = np.array([[int(cell) for cell in row.split(",")[1:]] for row in rows])
    assert np.abs(found - expected).sum() <= 0.001 * expected.sum()


def test_a_row_says_how_to_evaluate_and_flags_override_it(place, tmp_path):
    rows = tmp_path / "rows.py"
    rows.write_text(
        "from deeplab_tf.config import EvaluateConfig, Experiment\n"
        "EVALUATE = EvaluateConfig(output_stride=16, scales=(0.5, 1.0), flip=True)\n"
        "EXPERIMENTS = {'row': Experiment(evaluate=EVALUATE)}\n"
    )
    for flags, expected in (
        ((), (16, [0.5, 1.0], True, None)),
        (("--scales=1", "--noflip", "--working_size=40"), (16, [1.0], False, 40)),
    ):
        done = call(
            "eval",
            f"--workdir={place}/run",
            f"--config={rows}:row",
            f"--data_dir={place}/data",
            f"--out={tmp_path}/out",
            *flags,
        )
        assert (done.returncode, done.stderr) == (0, "")
        content = json.loads((tmp_path / "out" / "eval.json").read_text())
        names = ("output_stride", "scales", "flip", "working_size")
        assert tuple(content[name] for name in names) == expected
        assert done.stdout.count("images longer than 40 pixels are shrunk") == (expected[3] == 40)
        # The experiment is the trained one's, not the row's.
        assert content["experiment"] == json.loads((place / "run" / "config.json").read_text())


def test_a_full_disk_is_one_line_that_names_the_file(place, tmp_path):
    (tmp_path / "full").symlink_to("/dev/full")
    arguments = (f"--workdir={place}/run", f"--data_dir={place}/data", f"--out={tmp_path}")
    done = run("-c", FULL_FOR_EVAL_JSON, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"deeplab-eval: error: no space left on the disk, writing {tmp_path}/eval.json; free space "
        "and run the command again\n"
    )
    # eval.json is written last: what has one has the rest.
    names = ["confusion_matrix.csv", "eval.txt", "images.csv", "images_by_class.csv", "report"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_bad_input_of_eval_is_one_line(place):
    data = f"--data_dir={place}/data"
    for code, message, arguments in (
        (2, "missing --model (see deeplab-eval --help)", (data,)),
        (1, "0.jpg is no workdir; give --out=DIR", (data, f"--model={place}/images/0.jpg")),
        (1, "model model.keras does not exist", (data, "--model=model.keras")),
        (2, "a and b: give one of them", (data, "--model=a", "--workdir=b")),
        (2, "b and a: give one of them", (data, "--workdir=b", "--model=a")),
        (1, "model a does not exist", (data, "--model=a", "--workdir=a/")),
        (2, "must be positive numbers with commas", (data, "--workdir=a", "--scales=1,x")),
        (2, "--model is empty", (data, "--workdir=")),
        (2, "--beam_options needs --runner", (data, "--workdir=a", "--beam_options=a=b")),
        (1, "--runner=Nobody must be a runner of Beam", (data, "--workdir=a", "--runner=Nobody")),
        (2, "rows are resnet50", (data, "--workdir=a", "--config=configs/voc.py:")),
        (1, "at least 65 pixels", (data, f"--workdir={place}/run", "--window=32")),
        (1, "model nowhere does not exist", (data, "--workdir=nowhere")),
        (1, "0.jpg is a file", (data, f"--workdir={place}/run", f"--out={place}/images/0.jpg")),
    ):
        done = call("eval", *arguments)
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
        assert (done.returncode, done.stdout) == (code, "")

"""Two evaluations side by side, as a user compares them."""

import dataclasses
import json
import re
import zipfile

import numpy as np
import pytest
from support.commands import call

from deeplab_tf.artefacts.best import Best
from deeplab_tf.config import Experiment, Keep, TrainConfig, to_json
from deeplab_tf.errors import DeeplabError
from deeplab_tf.evaluation.calibration import BINS
from deeplab_tf.evaluation.compare import compare
from deeplab_tf.evaluation.evaluation import Evaluation
from deeplab_tf.evaluation.image_counts import ImageCounts
from deeplab_tf.evaluation.write_results import write_results
from deeplab_tf.images.classes import SHAPES, VOID
from deeplab_tf.images.confusion import Scores, confusion_matrix

FACTS = {"dataset": "shapes", "split": "val", "model": "a", "step": 3, "scales": [1.0]}


def write_run(folder, right, facts=FACTS, classes=SHAPES, names="abcdef", void=0):
    """Results in which the share `right` of the pixels is right; returns the matrices by image."""
    rng = np.random.default_rng(7)
    matrices, images = {}, []
    for name in names:
        mask = rng.integers(0, 3, (9, 8)).astype(np.uint8)
        mask[:, :void] = VOID
        drawn = rng.random(mask.shape)
        labels = np.where(drawn < right, mask, (mask + 1) % 3)
        matrix = confusion_matrix(mask, labels, 6)
        matrices[name] = matrix
        images.append(ImageCounts.of(f"<{name}>", mask, matrix, None))
    evaluation = Evaluation(sum(matrices.values()), len(images), (), tuple(images))
    write_results(evaluation, classes, facts, folder)
    return matrices


@pytest.fixture
def runs(tmp_path):
    """The folders of two runs, the second better, and their matrices by image."""
    folders = tmp_path / "a", tmp_path / "b"
    better = FACTS | {"step": 9, "scales": [0.5, 1.0]}
    return folders, (write_run(folders[0], 0.6), write_run(folders[1], 0.8, better))


def test_figures_page_and_text(runs):
    (before, after), matrices = runs
    said = []
    compare(before, after, said.append)
    scores = [Scores.from_matrix(sum(each.values())) for each in matrices]
    content = json.loads((after / "comparison.json").read_text())
    mean = content["mean_iou"]
    assert (mean["before"], mean["after"]) == pytest.approx([s.mean_iou for s in scores])
    assert mean["low"] <= mean["change"] <= mean["high"] and mean["low"] > 0
    by_class = {entry["name"]: entry for entry in content["classes"]}
    assert by_class["circle"]["after"] == pytest.approx(scores[1].classes[1].iou)
    assert by_class["ring"]["change"] is by_class["ring"]["low"] is None

    changes = {}
    for name, pair in {n: [m[n] for m in matrices] for n in "abcdef"}.items():
        iou = [Scores.from_matrix(m) for m in pair]
        means = [np.mean([c.iou for c in s.classes if c.truth_pixels]) for s in iou]
        changes[f"<{name}>"] = means[1] - means[0]
    listed = [image["name"] for image in content["better"]]
    assert listed == sorted(changes, key=lambda name: -changes[name]) and not content["worse"]
    first = content["better"][0]
    assert first["after"] - first["before"] == pytest.approx(changes[listed[0]])

    (row,) = (line.split() for line in said[0].splitlines() if line.startswith("mean"))
    assert row[1:5] == [
        "6",
        *(f"{100 * mean[which]:.2f}" for which in ("before", "after")),
        f"{100 * mean['change']:+.2f}",
    ]
    assert row[5:] == [f"{100 * mean['low']:+.2f}", "to", f"{100 * mean['high']:+.2f}", "*"]
    assert "6 images of shapes/val; * the interval (1000 bootstrap draws of images)" in said[0]
    page = (after / "comparison.html").read_text()
    assert "&lt;a&gt;" in page and "<a>" not in page
    assert f"<b>{100 * mean['change']:+.2f}</b><span>change of mean IoU" in page
    assert "<th>scales</th><td>[1.0]</td><td>[0.5, 1.0]</td>" in page
    assert not re.search(r"https?://|@import|url\(|src=|href=", page)
    assert page.count("<svg") == 3  # three classes have an interval
    before_bytes = (after / "comparison.html").read_bytes()
    compare(before, after, said.append)  # takes the place of its own
    assert (after / "comparison.html").read_bytes() == before_bytes and said[0] == said[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"facts": FACTS | {"split": "test"}},
            "on one split. .*/a is on shapes/val, and .*/c on sh",
        ),
        ({"names": "abcde"}, "the same images. .*/c lacks 1 of .*/a, the first <f>"),
        ({"names": "abcdefg"}, "the same images. .*/a lacks 1 of .*/c, the first <g>"),
        ({"void": 1}, "the same truth. Image <a> has other true pixels of a class, or other void"),
        (
            {"classes": dataclasses.replace(SHAPES, names=(*SHAPES.names[:5], "torus"))},
            "the same classes. .*/a has 6: background, circle, square, triangle, ...; .*/c has 6",
        ),
    ],
)
def test_what_does_not_compare_is_refused(runs, tmp_path, changes, message):
    write_run(tmp_path / "c", 0.8, **changes)
    with pytest.raises(DeeplabError, match=f"two runs must .*{message}"):
        compare(tmp_path / "a", tmp_path / "c")
    assert not (tmp_path / "c" / "comparison.json").exists()


def test_folders_without_results_are_named(runs, tmp_path):
    (before, after), _ = runs
    with pytest.raises(DeeplabError, match="is the folder of the results themselves"):
        compare(before, tmp_path / "b" / ".." / "a")
    with pytest.raises(DeeplabError, match="nowhere has no eval.json; evaluate the run"):
        compare(tmp_path / "nowhere", after)
    (before / "images_by_class.csv").unlink()
    with pytest.raises(DeeplabError, match="has no images_by_class.csv, which earlier versions"):
        compare(before, after)
    (before / "eval.json").write_text('{"classes": 3}')
    with pytest.raises(DeeplabError, match="eval.json is damaged .*; run deeplab-eval again"):
        compare(before, after)


def test_the_command_compares_without_data(runs):
    (before, after), _ = runs
    done = call("eval", "--model=model.keras", f"--out={after}", f"--compare={before}")
    assert (done.returncode, done.stderr) == (0, "")
    head = f"before  {before}, step 3\nafter   {after}, step 9\n6 images of shapes/val"
    assert done.stdout.startswith(head)
    assert done.stdout.endswith(f"comparison {after}/comparison.html\n")
    for code, message, arguments in (
        (2, "missing --data_dir; give it, or --compare", (f"--out={after}",)),
        (1, "is the folder of the results themselves", (f"--out={after}", f"--compare={after}")),
    ):
        done = call("eval", "--model=model.keras", *arguments)
        assert (done.returncode, done.stdout) == (code, "")
        assert message in done.stderr and done.stderr.count("\n") == 1


def test_an_evaluation_of_an_earlier_step_is_noted(runs):
    (before, after), _ = runs
    said = []
    for folder, steps in ((before, (1, 3)), (after, (9, 1200))):
        (folder / "checkpoints").mkdir()
        for step in steps:
            (folder / "checkpoints" / f"step-{step}.index").touch()
    compare(before, after, said.append)
    assert "note" not in said[0]  # results beside no run
    for folder in (before, after):
        (folder / "config.json").write_text(to_json(Experiment()))
    compare(before, after, said.append)
    note = f"{after} was evaluated at step 9, and its latest checkpoint is of step 1,200: evaluate"
    assert said[1].splitlines()[2].startswith(f"note    {note} it again") and note not in said[0]
    assert said[1].count("note ") == 1 and note in (after / "comparison.html").read_text()

    keeps_best = Experiment(train=TrainConfig(keep=Keep.BEST, evaluate_every=1))
    for folder, step in ((before, 4), (after, 9)):
        (folder / "config.json").write_text(to_json(keeps_best))
        with zipfile.ZipFile(folder / "best.keras", "w") as archive:
            archive.writestr("best.json", Best(step, 0.5, "val").to_json())
    compare(before, after, said.append)
    assert f"note    {before} was evaluated at step 3, and its best weights are of st" in said[2]
    assert said[2].count("note ") == 1


def test_an_evaluation_without_details_has_none(runs):
    figures = json.loads((runs[0][0] / "eval.json").read_text())
    assert not {"calibration", "objects", "mean_boundary_iou"} & figures.keys()
    assert figures["classes"][1]["precision"] is not None and BINS == 15

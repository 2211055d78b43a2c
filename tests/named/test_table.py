"""The table: what every entry must have, what is printed of it, and docs/models.md."""

import dataclasses
import pathlib
import re

import pytest
from support import commands
from support.slim_networks import slim_networks

from deeplab_tf.config import load_rows
from deeplab_tf.errors import DeeplabError
from deeplab_tf.named.listing import format_model, format_models
from deeplab_tf.named.table import IMPORTER_NOTES, MODELS
from deeplab_tf.training.initial_weights import CONVENTIONS, WIDTHS
from deeplab_tf.weights.convert import READERS

DOCS = pathlib.Path(__file__).parents[2] / "docs"


def test_every_entry_can_be_a_name_and_be_fetched():
    files = [model.file for model in MODELS.values()]
    assert len(set(files)) == len(files)  # a mirror has them all in one folder
    for name, model in MODELS.items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", name), name
        assert model.address.startswith("https://") and "." in model.file
        digits = {"sha256": 64, "md5": 32, "sha256-prefix": 8}
        if model.hash is not None:
            kind, _, value = model.hash.partition(":")
            assert re.fullmatch(f"[0-9a-f]{{{digits[kind]}}}", value), name
        if model.source == "torchvision":  # whose file names carry the first digits
            assert model.hash and f"-{model.hash.partition(':')[2][:8]}." in model.file
        assert model.source in READERS and model.source in IMPORTER_NOTES
        assert name.startswith("voc-") == (model.classes == "VOC's 21")


def test_the_papers_rows_take_the_weights_that_are_named_after_theirs():
    for name, network in (("resnet50", "resnet_v1_50"), ("resnet101", "resnet_v1_101")):
        assert MODELS[f"imagenet-{name}"].file.startswith(f"{network}_2016")
        theirs = slim_networks()[network][1]
        for row in load_rows("configs/paper/table3.py").values():
            ours = dataclasses.replace(row.model, backbone=theirs.backbone)
            for field in (*WIDTHS, *CONVENTIONS):
                assert getattr(ours, field) == getattr(theirs, field), field


def test_the_list_and_one_entry_say_what_was_not_tried():
    lines = commands.call("models").stdout.splitlines()
    assert [line.split()[0] for line in lines[1 : len(MODELS) + 1]] == list(MODELS)
    assert all(line.endswith("not tried") for line in lines[1 : len(MODELS) + 1])
    said = format_model("imagenet-resnet101")
    assert re.search(r"^hash +none: no hash is known, and the file is not checked$", said, re.M)
    assert re.search(r"^measured +not measured here$", said, re.M)
    assert "77.28 % mean IoU on 467 images" in format_model("voc-mobilenet-v2")
    with pytest.raises(DeeplabError, match="no model is called voc; deeplab-models lists"):
        format_model("voc")
    done = commands.call("models", "--show=a", "--fetch=b")
    assert done.returncode == 2 and "give one of --show=NAME and --fetch=NAMES" in done.stderr


def test_the_page_has_the_table():
    rows = format_models().partition("\n\n")[0]
    assert rows in (DOCS / "models.md").read_text()


def test_our_figures_are_those_of_the_page_of_weights():
    page = (DOCS / "weights.md").read_text()
    for model in MODELS.values():
        if model.mean_iou is not None:
            stem = model.file.removesuffix(".tflite")
            assert re.search(rf"^{stem} .* {model.mean_iou:.2f}$", page, re.MULTILINE), stem

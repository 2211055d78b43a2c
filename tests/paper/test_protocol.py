"""--explain: the paper's rows deviate in nothing but their initial weights, others in what they
change."""

import dataclasses

import pytest

from deeplab_tf.config import load_experiment, load_rows
from deeplab_tf.config.augmentation import AUGMENTATIONS
from deeplab_tf.paper.protocol import deviations, explain, stage_of

FILES = [f"table{n}" for n in range(1, 7)] + ["coco", "test_server"]


@pytest.mark.parametrize("file", FILES)
def test_the_papers_rows_follow_its_protocol(file):
    for experiment in load_rows(f"configs/paper/{file}.py").values():
        fields = [field for field, _, _ in deviations(experiment)]
        assert fields == ["init_from"], experiment.row
        assert deviations(dataclasses.replace(experiment, init_from="imagenet.keras")) == []


@pytest.mark.parametrize(
    ("row", "stage"),
    [
        ("table1.py:os8", "stage 1 (section 4.1)"),
        ("coco.py:pretraining", "COCO pretraining (section 4.3)"),
        ("table6.py:os8_ms_flip_coco", "stage 1 after COCO (section 4.3)"),
        ("test_server.py:deeplabv3", "stage 2, for the test server (sections 4.1 and 4.3)"),
    ],
)
def test_stage(row, stage):
    assert stage_of(load_experiment(f"configs/paper/{row}")) == stage


def test_deviations_of_the_small_network():
    """Everything that configs/voc.py:slim sets otherwise, by hand."""
    found = {
        field: (here, paper)
        for field, here, paper in deviations(load_experiment("configs/voc.py:slim"))
    }
    assert found == {
        "model.backbone": ("resnet_slim", "resnet50 or resnet101 (section 4)"),
        "model.batch_norm_momentum": ("0.95", "0.9997 (section 4.1)"),
        "data.crop_size": ("257", "513 (section 4.1)"),
        "data.dataset": ("voc", "voc_aug (section 4)"),
        "data.split": ("train", "trainaug (section 4)"),
        "train.steps": ("2000", "30000 (section 4.1)"),
        "train.batch_size": ("8", "16 (section 4.1)"),
        "train.base_learning_rate": ("0.05", "0.007 (section 4.1)"),
        "init_from": ("none: random weights", "weights of ImageNet (section 4)"),
    }


def test_a_field_that_is_to_be_chosen_is_said_to_be():
    found = {field: here for field, here, _ in deviations(load_experiment("configs/own.py:slim"))}
    assert found["train.steps"] == found["data.crop_size"] == "chosen by the training"
    assert found["data.dataset"] == "own"


def test_every_field_is_held_to_the_paper():
    """Each field of the network, the optimisation and the inference, changed, is a deviation."""
    experiment = load_experiment("configs/paper/table5.py:mg124_aspp_pool")
    changes = {
        "model": {
            "backbone": "resnet_slim",
            "num_blocks": 5,
            "output_stride": 8,
            "multi_grid": (1, 4, 2),
            "head": "aspp_v2",
            "aspp_rates": (12, 24, 36),
            "stride_placement": "first_unit",
            "normalization": "mean_std",
            "atrous": False,
            "early_rates": True,
            "upsampling": "half_pixel",
            "batch_norm_momentum": 0.99,
            "batch_norm_epsilon": 1e-3,
            "zero_init_residual": True,
            "head_conv": True,
            "decoder_kernels": (3, 3),
            "separable": True,
            "aspp_dropout": 0.5,
        },
        "data": {
            "dataset": "voc",
            "split": "trainval",
            "crop_size": 321,
            "crop_width": 321,
            "fit": "letterbox",
            "min_scale": 1.0,
            "max_scale": 1.0,
            "flip": False,
            **dict.fromkeys(AUGMENTATIONS, 0.25),
            "duplicate_classes": ("chair",),
            "balance": 0.1,
            "mixed_in": ("coco_voc:0.5",),
        },
        "train": {
            "steps": 100,
            "batch_size": 8,
            "optimizer": "adamw",
            "schedule": "cosine",
            "warmup_steps": 10,
            "clip_norm": 1.0,
            "layer_decay": 0.9,
            "label_smoothing": 0.1,
            "auxiliary_loss": 0.4,
            "base_learning_rate": 0.1,
            "power": 1.0,
            "momentum": 0.0,
            "weight_decay": 0.0,
            "loss": "focal",
            "class_weights": "auto",
            "ohem_share": 0.2,
            "batch_norm": "train",
            "keep": "best",
            "patience": 3,
        },
        "evaluate": {
            "split": "train",
            "output_stride": 4,
            "scales": (2.0,),
            "window": 513,
            "working_size": 257,
            "crf": True,
        },
    }
    for section, fields in changes.items():
        for name, value in fields.items():
            changed = dataclasses.replace(
                experiment,
                init_from="imagenet.keras",
                **{section: dataclasses.replace(getattr(experiment, section), **{name: value})},
            )
            assert [field for field, _, _ in deviations(changed)] == [f"{section}.{name}"]


def test_the_stage_before_is_held_to_the_paper_too():
    server = load_experiment("configs/paper/test_server.py:deeplabv3")
    text = explain(server, "deeplabv3")
    assert text.count("against the paper's protocol") == 3
    assert "configs/paper/coco.py:pretraining against the paper's protocol, COCO" in text
    for previous_stage in (None, "configs/shapes.py:demo"):
        changed = dataclasses.replace(
            server, init_from="imagenet.keras", previous_stage=previous_stage
        )
        assert [field for field, _, _ in deviations(changed)] == ["previous_stage"]


def test_format():
    text = explain(load_experiment("configs/paper/table6.py:os8"), "table6.py:os8")
    assert text.startswith("table6.py:os8 against the paper's protocol, stage 1 (section 4.1)")
    assert "init_from  none: random weights  weights of ImageNet (section 4)" in text
    assert "the paper's mean IoU that the row carries: 78.51 %" in text
    assert "every run of this code deviates in:\n- momentum holds" in text

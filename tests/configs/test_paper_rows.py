"""The rows of the paper's configs: names, printed numbers, protocol and chains, written out by hand
from the paper."""

import dataclasses

import pytest

from deeplab_tf.config import (
    Backbone,
    BatchNormMode,
    EvaluateConfig,
    Head,
    Upsampling,
    load_experiment,
    load_rows,
)
from deeplab_tf.images.classes import VOC

# Mean IoU in %, of Tables 1 to 7. None: a row of this project that the paper prints no number of.
PAPER = {
    "table1.py": {
        "os8": 75.18,
        "os16": 73.88,
        "os32": 70.06,
        "os64": 59.99,
        "os128": 42.34,
        "os256": 20.29,
    },
    "table2.py": {
        "resnet50_block4": 64.81,
        "resnet50_block5": 72.14,
        "resnet50_block6": 74.29,
        "resnet50_block7": 73.88,
        "resnet101_block4": 68.39,
        "resnet101_block5": 73.21,
        "resnet101_block6": 75.34,
        "resnet101_block7": 75.76,
    },
    "table3.py": {
        "mg111_block4": 68.39,
        "mg111_block5": 73.21,
        "mg111_block6": 75.34,
        "mg111_block7": 75.76,
        "mg121_block4": 70.23,
        "mg121_block5": 75.67,
        "mg121_block6": 76.09,
        "mg121_block7": 76.66,
        "mg123_block4": 73.14,
        "mg123_block5": 75.78,
        "mg123_block6": 75.96,
        "mg123_block7": 76.11,
        "mg124_block4": 73.45,
        "mg124_block5": 75.74,
        "mg124_block6": 75.85,
        "mg124_block7": 76.02,
        "mg222_block4": 71.45,
        "mg222_block5": 74.30,
        "mg222_block6": 74.70,
        "mg222_block7": 74.62,
    },
    "table4.py": {"os16": 76.66, "os8": 78.05, "os8_ms": 78.93, "os8_ms_flip": 79.35},
    "table5.py": {
        "mg111_aspp": 75.36,
        "mg121_aspp": 75.93,
        "mg124_aspp": 76.58,
        "mg124_aspp4": 76.46,
        "mg124_aspp_pool": 77.21,
    },
    "table6.py": {
        "os16": 77.21,
        "os8": 78.51,
        "os8_ms": 79.45,
        "os8_ms_flip": 79.77,
        "os8_ms_flip_coco": 82.70,
    },
    "test_server.py": {"deeplabv3": 85.7, "deeplabv3_jft": 86.9},
    "coco.py": {"pretraining": None},
    "deeplabv2.py": {"resnet101": None, "resnet101_crf": None},
}
ROWS = {f"{file}:{row}": miou for file, rows in PAPER.items() for row, miou in rows.items()}

# What a training row of Tables 1, 2, 3 and 5 is, on top of section 4.1.
TRAINING_ROWS = [
    row for row in ROWS if row.startswith(("table1.py", "table2.py", "table3.py", "table5.py"))
]


def paper_row(row):
    return load_experiment(f"configs/paper/{row}")


@pytest.mark.parametrize("file", list(PAPER))
def test_rows_of_the_file(file):
    assert list(load_rows(f"configs/paper/{file}")) == list(PAPER[file])


@pytest.mark.parametrize(("row", "miou"), ROWS.items())
def test_printed_number(row, miou):
    experiment = paper_row(row)
    assert experiment.paper_miou == miou
    assert experiment.row == f"configs/paper/{row}"


def check_stage1(experiment):
    """Section 4.1, with whatever base rate and training images."""
    train, data, model = experiment.train, experiment.data, experiment.model
    assert (train.power, train.steps, train.batch_size) == (0.9, 30_000, 16)
    assert (train.momentum, train.weight_decay) == (0.9, 1e-4)
    assert (data.crop_size, data.min_scale, data.max_scale, data.flip) == (513, 0.5, 2.0, True)
    assert (model.batch_norm_momentum, model.batch_norm_epsilon) == (0.9997, 1e-5)
    assert model.upsampling is Upsampling.ALIGN_CORNERS
    assert (model.atrous, model.zero_init_residual, model.aspp_dropout) == (True, False, 0)
    assert not model.head_conv


@pytest.mark.parametrize("row", [*TRAINING_ROWS, "deeplabv2.py:resnet101"])
def test_protocol_of_a_training_row(row):
    experiment = paper_row(row)
    check_stage1(experiment)
    assert experiment.train.base_learning_rate == 0.007
    assert experiment.train.batch_norm is BatchNormMode.SYNC
    assert (experiment.data.dataset, experiment.data.split) == ("voc_aug", "trainaug")
    assert experiment.data.duplicate_classes == ()
    assert experiment.evaluate == EvaluateConfig(split="val", scales=(1.0,), flip=False)
    assert experiment.previous_stage is experiment.checkpoint_of is experiment.init_from is None
    assert experiment.initial_weights == "ImageNet"


SIX_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
BLOCK7, ASPP = "table3.py:mg121_block7", "table5.py:mg124_aspp_pool"

# The training, the evaluation's output_stride, scales and flip.
INFERENCE = {
    "table4.py:os16": (BLOCK7, 16, (1.0,), False),
    "table4.py:os8": (BLOCK7, 8, (1.0,), False),
    "table4.py:os8_ms": (BLOCK7, 8, SIX_SCALES, False),
    "table4.py:os8_ms_flip": (BLOCK7, 8, SIX_SCALES, True),
    "table6.py:os16": (ASPP, 16, (1.0,), False),
    "table6.py:os8": (ASPP, 8, (1.0,), False),
    "table6.py:os8_ms": (ASPP, 8, SIX_SCALES, False),
    "table6.py:os8_ms_flip": (ASPP, 8, SIX_SCALES, True),
}


def differing_fields(one, other):
    return {
        field.name
        for field in dataclasses.fields(one)
        if getattr(one, field.name) != getattr(other, field.name)
    }


@pytest.mark.parametrize(("row", "expected"), INFERENCE.items())
def test_inference_row(row, expected):
    training, output_stride, scales, flip = expected
    experiment = paper_row(row)
    assert experiment.checkpoint_of == f"configs/paper/{training}"
    assert experiment.evaluate == EvaluateConfig("val", output_stride, scales=scales, flip=flip)
    assert differing_fields(experiment, load_experiment(experiment.checkpoint_of)) <= {
        "evaluate",
        "checkpoint_of",
        "paper_miou",
        "row",
    }


def test_deeplabv2_with_the_crf():
    """The same checkpoint and evaluation, and the fully connected CRF after it."""
    experiment = paper_row("deeplabv2.py:resnet101_crf")
    assert experiment.checkpoint_of == "configs/paper/deeplabv2.py:resnet101"
    training = paper_row("deeplabv2.py:resnet101")
    assert differing_fields(experiment, training) == {"evaluate", "checkpoint_of", "row"}
    assert differing_fields(experiment.evaluate, training.evaluate) == {"crf"}
    assert experiment.evaluate.crf


def test_networks_of_the_strategies():
    """Block7 with multi-grid (1, 2, 1) in Table 4, the best ASPP in Table 6."""
    block7 = paper_row("table4.py:os8").model
    assert (block7.backbone, block7.num_blocks) == (Backbone.RESNET101, 7)
    assert (block7.multi_grid, block7.head, block7.output_stride) == ((1, 2, 1), Head.NONE, 16)
    best = paper_row("table6.py:os8").model
    assert (best.backbone, best.num_blocks) == (Backbone.RESNET101, 4)
    assert (best.multi_grid, best.head, best.output_stride) == ((1, 2, 4), Head.ASPP, 16)
    assert (best.aspp_rates, best.image_pooling) == ((6, 12, 18), True)


def test_coco_row_of_table_6():
    """A training of its own after COCO, at the base rate 0.0001; the rest is the best ASPP's."""
    experiment = paper_row("table6.py:os8_ms_flip_coco")
    check_stage1(experiment)
    assert experiment.train.base_learning_rate == 0.0001
    assert experiment.train.batch_norm is BatchNormMode.SYNC
    assert (experiment.data.dataset, experiment.data.split) == ("voc_aug", "trainaug")
    assert experiment.previous_stage == "configs/paper/coco.py:pretraining"
    assert experiment.checkpoint_of is None
    assert experiment.model == paper_row("table5.py:mg124_aspp_pool").model
    assert experiment.model.output_stride == 16
    assert experiment.evaluate == EvaluateConfig("val", 8, scales=SIX_SCALES, flip=True)


def test_pretraining_on_coco():
    experiment = paper_row("coco.py:pretraining")
    check_stage1(experiment)
    assert experiment.data.dataset == "coco_voc"
    assert experiment.train.batch_norm is BatchNormMode.SYNC
    assert experiment.model == paper_row("table5.py:mg124_aspp_pool").model
    assert experiment.previous_stage is experiment.checkpoint_of is None


@pytest.mark.parametrize("row", ["deeplabv3", "deeplabv3_jft"])
def test_test_server_stage(row):
    """Frozen batch norm, output_stride 8, trainval, base rate 0.001, hard classes twice."""
    experiment = paper_row(f"test_server.py:{row}")
    check_stage1(experiment)
    assert experiment.train.base_learning_rate == 0.001
    assert experiment.train.batch_norm is BatchNormMode.FROZEN
    assert (experiment.data.dataset, experiment.data.split) == ("voc_aug", "trainval")
    hard = {"bicycle", "chair", "diningtable", "pottedplant", "sofa"}
    assert set(experiment.data.duplicate_classes) == hard
    assert len(experiment.data.duplicate_classes) == 5
    assert hard <= set(VOC.names)
    model_config, stage1 = experiment.model, paper_row("table6.py:os8_ms_flip_coco").model
    assert model_config.output_stride == 8
    assert differing_fields(model_config, stage1) == {"output_stride"}
    # The number is the server's, with the strategy of Table 6's best row.
    assert dataclasses.replace(experiment.evaluate, output_stride=8) == EvaluateConfig(
        "test", 8, scales=SIX_SCALES, flip=True
    )
    assert experiment.evaluate.output_stride in (None, 8)
    assert experiment.checkpoint_of is None


@pytest.mark.parametrize("row", ["deeplabv3", "deeplabv3_jft"])
def test_test_server_chain(row):
    stages = [f"configs/paper/test_server.py:{row}"]
    while stages[-1] is not None:
        stages.append(load_experiment(stages[-1]).previous_stage)
    assert stages == [
        f"configs/paper/test_server.py:{row}",
        "configs/paper/table6.py:os8_ms_flip_coco",
        "configs/paper/coco.py:pretraining",
        None,
    ]


def test_jft_row_differs_only_in_its_initial_weights():
    """They were never published, so that they are given by hand."""
    plain, jft = paper_row("test_server.py:deeplabv3"), paper_row("test_server.py:deeplabv3_jft")
    assert differing_fields(plain, jft) == {"initial_weights", "paper_miou", "row"}
    assert (plain.initial_weights, jft.initial_weights) == ("ImageNet", "ImageNet and JFT-300M")


# The miniature's rows, and the rows of the paper that they stand for.
MINIATURE = {
    "table1_os8": ("table1.py:os8", 75.18),
    "table1_os16": ("table1.py:os16", 73.88),
    "table1_os32": ("table1.py:os32", 70.06),
    "table1_os64": ("table1.py:os64", 59.99),
    "table1_os128": ("table1.py:os128", 42.34),
    "table1_os256": ("table1.py:os256", 20.29),
    "table2_block4": ("table2.py:resnet50_block4", 64.81),
    "table2_block5": ("table2.py:resnet50_block5", 72.14),
    "table2_block6": ("table2.py:resnet50_block6", 74.29),
    "table2_block7": ("table2.py:resnet50_block7", 73.88),
    "table4_os16": ("table4.py:os16", 76.66),
    "table4_os8": ("table4.py:os8", 78.05),
    "table4_os8_ms": ("table4.py:os8_ms", 78.93),
    "table4_os8_ms_flip": ("table4.py:os8_ms_flip", 79.35),
    "table5_mg111_aspp": ("table5.py:mg111_aspp", 75.36),
    "table5_mg121_aspp": ("table5.py:mg121_aspp", 75.93),
    "table5_mg124_aspp": ("table5.py:mg124_aspp", 76.58),
    "table5_mg124_aspp4": ("table5.py:mg124_aspp4", 76.46),
    "table5_mg124_aspp_pool": ("table5.py:mg124_aspp_pool", 77.21),
    "table6_os16": ("table6.py:os16", 77.21),
    "table6_os8": ("table6.py:os8", 78.51),
    "table6_os8_ms": ("table6.py:os8_ms", 79.45),
    "table6_os8_ms_flip": ("table6.py:os8_ms_flip", 79.77),
}


def test_rows_of_the_miniature():
    assert set(load_rows("configs/paper/miniature.py")) == set(MINIATURE)


@pytest.mark.parametrize(("row", "counterpart"), MINIATURE.items())
def test_miniature_row(row, counterpart):
    """The paper's number and the paper's network, a size smaller."""
    name, miou = counterpart
    small, paper = paper_row(f"miniature.py:{row}"), paper_row(name)
    assert small.paper_miou == miou
    assert small.model.backbone is Backbone.RESNET_SLIM
    smaller = {
        "backbone",
        "batch_norm_momentum",
        "zero_init_residual",
        # Half of the paper's, as the crop is.
        "aspp_rates",
    }
    if row.startswith("table4"):
        # On the block7 of Table 2.
        smaller.add("multi_grid")
    if small.model.head is Head.NONE:
        smaller.add("image_pooling")
    assert differing_fields(small.model, paper.model) <= smaller
    if small.model.head is Head.ASPP:
        assert [2 * rate for rate in small.model.aspp_rates] == list(paper.model.aspp_rates)
    assert small.evaluate == paper.evaluate


def test_miniature_rows_share_data_and_schedule():
    rows = load_rows("configs/paper/miniature.py")
    first = rows["table1_os8"]
    for experiment in rows.values():
        assert experiment.data == first.data
        assert experiment.train == first.train
        assert experiment.evaluate.split == "val"
        assert experiment.previous_stage is experiment.init_from is None
        assert experiment.initial_weights is None
    assert (first.data.dataset, first.data.split) == ("camvid", "train")


@pytest.mark.parametrize(
    ("row", "training"),
    [
        ("table2_block7", "table1_os16"),
        ("table4_os16", "table1_os16"),
        ("table4_os8", "table1_os16"),
        ("table4_os8_ms", "table1_os16"),
        ("table4_os8_ms_flip", "table1_os16"),
        ("table6_os16", "table5_mg124_aspp_pool"),
        ("table6_os8", "table5_mg124_aspp_pool"),
        ("table6_os8_ms", "table5_mg124_aspp_pool"),
        ("table6_os8_ms_flip", "table5_mg124_aspp_pool"),
    ],
)
def test_miniature_rows_that_are_only_evaluated(row, training):
    experiment = paper_row(f"miniature.py:{row}")
    assert experiment.checkpoint_of == f"configs/paper/miniature.py:{training}"
    trained = load_experiment(experiment.checkpoint_of)
    assert trained.checkpoint_of is None
    allowed = {"evaluate", "checkpoint_of", "paper_miou", "row"}
    assert differing_fields(experiment, trained) <= allowed

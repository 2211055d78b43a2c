"""The atrous rate and the stride of every convolution in the networks of the paper's figures and
tables, each written out by hand from the paper and read off the layers of the built model."""

import contextlib
import dataclasses
import functools

import keras
import numpy as np
import pytest

from deeplab_tf.config import (
    Backbone,
    EvaluateConfig,
    Experiment,
    Head,
    ModelConfig,
    StridePlacement,
    load_experiment,
    validate,
)
from deeplab_tf.errors import DeeplabError
from deeplab_tf.models import (
    AtrousConv2D,
    FusedBatchNormalization,
    build_model,
    with_output_stride,
)
from deeplab_tf.models.resnet import resnet

# Units of block1 to block7; block5 to block7 are replicas of block4.
UNITS = {
    Backbone.RESNET50: (3, 4, 6, 3, 3, 3, 3),
    Backbone.RESNET101: (3, 4, 23, 3, 3, 3, 3),
    Backbone.RESNET_SLIM: (1, 1, 2, 3, 3, 3, 3),
}

# The blocks that still have stride 2, by output_stride: conv1 and pool1 make 4 (figure 3).
STRIDED = {
    8: (1,),
    16: (1, 2),
    32: (1, 2, 3),
    64: (1, 2, 3, 4),
    128: (1, 2, 3, 4, 5),
    256: (1, 2, 3, 4, 5, 6),
}


@dataclasses.dataclass(frozen=True)
class Expected:
    """What a row's network must have.

    `output_stride`; the rate of all 3x3 convolutions of `block3`; the three rates of each of
    `blocks`, block4 on; the rates of `aspp_atrous1` on; whether there is image `pooling`.
    """

    output_stride: int
    block3: int
    blocks: tuple[tuple[int, int, int], ...]
    aspp: tuple[int, ...] = ()
    pooling: bool = False


# ResNet-50, block7.
TABLE_1 = {
    "table1.py:os8": Expected(8, 2, ((4, 4, 4), (8, 8, 8), (16, 16, 16), (32, 32, 32))),
    "table1.py:os16": Expected(16, 1, ((2, 2, 2), (4, 4, 4), (8, 8, 8), (16, 16, 16))),
    "table1.py:os32": Expected(32, 1, ((1, 1, 1), (2, 2, 2), (4, 4, 4), (8, 8, 8))),
    "table1.py:os64": Expected(64, 1, ((1, 1, 1), (1, 1, 1), (2, 2, 2), (4, 4, 4))),
    "table1.py:os128": Expected(128, 1, ((1, 1, 1), (1, 1, 1), (1, 1, 1), (2, 2, 2))),
    "table1.py:os256": Expected(256, 1, ((1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 1, 1))),
}

# output_stride 16, block4 to block7.
TABLE_2 = {
    "table2.py:resnet50_block4": Expected(16, 1, ((2, 2, 2),)),
    "table2.py:resnet50_block5": Expected(16, 1, ((2, 2, 2), (4, 4, 4))),
    "table2.py:resnet50_block6": Expected(16, 1, ((2, 2, 2), (4, 4, 4), (8, 8, 8))),
    "table2.py:resnet50_block7": Expected(16, 1, ((2, 2, 2), (4, 4, 4), (8, 8, 8), (16, 16, 16))),
    "table2.py:resnet101_block4": Expected(16, 1, ((2, 2, 2),)),
    "table2.py:resnet101_block5": Expected(16, 1, ((2, 2, 2), (4, 4, 4))),
    "table2.py:resnet101_block6": Expected(16, 1, ((2, 2, 2), (4, 4, 4), (8, 8, 8))),
    "table2.py:resnet101_block7": Expected(16, 1, ((2, 2, 2), (4, 4, 4), (8, 8, 8), (16, 16, 16))),
}

# ResNet-101, output_stride 16: the blocks' own rates 2, 4, 8, 16 times the unit rates.
TABLE_3 = {
    "table3.py:mg111_block4": Expected(16, 1, ((2, 2, 2),)),
    "table3.py:mg111_block5": Expected(16, 1, ((2, 2, 2), (4, 4, 4))),
    "table3.py:mg111_block6": Expected(16, 1, ((2, 2, 2), (4, 4, 4), (8, 8, 8))),
    "table3.py:mg111_block7": Expected(16, 1, ((2, 2, 2), (4, 4, 4), (8, 8, 8), (16, 16, 16))),
    "table3.py:mg121_block4": Expected(16, 1, ((2, 4, 2),)),
    "table3.py:mg121_block5": Expected(16, 1, ((2, 4, 2), (4, 8, 4))),
    "table3.py:mg121_block6": Expected(16, 1, ((2, 4, 2), (4, 8, 4), (8, 16, 8))),
    "table3.py:mg121_block7": Expected(16, 1, ((2, 4, 2), (4, 8, 4), (8, 16, 8), (16, 32, 16))),
    "table3.py:mg123_block4": Expected(16, 1, ((2, 4, 6),)),
    "table3.py:mg123_block5": Expected(16, 1, ((2, 4, 6), (4, 8, 12))),
    "table3.py:mg123_block6": Expected(16, 1, ((2, 4, 6), (4, 8, 12), (8, 16, 24))),
    "table3.py:mg123_block7": Expected(16, 1, ((2, 4, 6), (4, 8, 12), (8, 16, 24), (16, 32, 48))),
    "table3.py:mg124_block4": Expected(16, 1, ((2, 4, 8),)),
    "table3.py:mg124_block5": Expected(16, 1, ((2, 4, 8), (4, 8, 16))),
    "table3.py:mg124_block6": Expected(16, 1, ((2, 4, 8), (4, 8, 16), (8, 16, 32))),
    "table3.py:mg124_block7": Expected(16, 1, ((2, 4, 8), (4, 8, 16), (8, 16, 32), (16, 32, 64))),
    "table3.py:mg222_block4": Expected(16, 1, ((4, 4, 4),)),
    "table3.py:mg222_block5": Expected(16, 1, ((4, 4, 4), (8, 8, 8))),
    "table3.py:mg222_block6": Expected(16, 1, ((4, 4, 4), (8, 8, 8), (16, 16, 16))),
    "table3.py:mg222_block7": Expected(16, 1, ((4, 4, 4), (8, 8, 8), (16, 16, 16), (32, 32, 32))),
}

# Block7 with multi-grid (1, 2, 1), trained at 16.
MG121_AT_16 = Expected(16, 1, ((2, 4, 2), (4, 8, 4), (8, 16, 8), (16, 32, 16)))
MG121_AT_8 = Expected(8, 2, ((4, 8, 4), (8, 16, 8), (16, 32, 16), (32, 64, 32)))
TABLE_4 = dict.fromkeys(
    ["table4.py:os16", "table4.py:os8", "table4.py:os8_ms", "table4.py:os8_ms_flip"], MG121_AT_16
)
TABLE_4_EVALUATED = {
    "table4.py:os16": MG121_AT_16,
    "table4.py:os8": MG121_AT_8,
    "table4.py:os8_ms": MG121_AT_8,
    "table4.py:os8_ms_flip": MG121_AT_8,
}

# ResNet-101 to block4, output_stride 16.
TABLE_5 = {
    "table5.py:mg111_aspp": Expected(16, 1, ((2, 2, 2),), (6, 12, 18)),
    "table5.py:mg121_aspp": Expected(16, 1, ((2, 4, 2),), (6, 12, 18)),
    "table5.py:mg124_aspp": Expected(16, 1, ((2, 4, 8),), (6, 12, 18)),
    "table5.py:mg124_aspp4": Expected(16, 1, ((2, 4, 8),), (6, 12, 18, 24)),
    "table5.py:mg124_aspp_pool": Expected(16, 1, ((2, 4, 8),), (6, 12, 18), pooling=True),
}

# The last row of Table 5; the ASPP's rates are doubled at 8.
BEST_AT_16 = Expected(16, 1, ((2, 4, 8),), (6, 12, 18), pooling=True)
BEST_AT_8 = Expected(8, 2, ((4, 8, 16),), (12, 24, 36), pooling=True)
TABLE_6 = {
    "table6.py:os16": BEST_AT_16,
    "table6.py:os8": BEST_AT_16,
    "table6.py:os8_ms": BEST_AT_16,
    "table6.py:os8_ms_flip": BEST_AT_16,
    "table6.py:os8_ms_flip_coco": BEST_AT_16,
}
TABLE_6_EVALUATED = {
    "table6.py:os16": BEST_AT_16,
    "table6.py:os8": BEST_AT_8,
    "table6.py:os8_ms": BEST_AT_8,
    "table6.py:os8_ms_flip": BEST_AT_8,
    "table6.py:os8_ms_flip_coco": BEST_AT_8,
}

# Trained at 16 on COCO, and at 8 for the test server.
COCO = {"coco.py:pretraining": BEST_AT_16}
TEST_SERVER = {"test_server.py:deeplabv3": BEST_AT_8, "test_server.py:deeplabv3_jft": BEST_AT_8}

# DeepLabv2's four rates on the map at output_stride 8.
DEEPLAB_V2 = {
    "deeplabv2.py:resnet101": Expected(8, 2, ((4, 4, 4),), (6, 12, 18, 24)),
    "deeplabv2.py:resnet101_crf": Expected(8, 2, ((4, 4, 4),), (6, 12, 18, 24)),
}

TRAINED = (
    TABLE_1 | TABLE_2 | TABLE_3 | TABLE_4 | TABLE_5 | TABLE_6 | COCO | TEST_SERVER | DEEPLAB_V2
)
# The rows that do not evaluate at the output_stride they train at are only the strategies'.
EVALUATED = TRAINED | TABLE_4_EVALUATED | TABLE_6_EVALUATED

# Built at full width as evaluated, one or more a table. Everything else is built of the slim
# backbone, whose block4 to block7 have as many units.
FULL_WIDTH = {
    "table1.py:os8",
    "table2.py:resnet101_block7",
    "table3.py:mg124_block7",
    "table4.py:os8",
    "table5.py:mg124_aspp4",
    "table6.py:os8",
    "test_server.py:deeplabv3",
    "deeplabv2.py:resnet101",
}


@dataclasses.dataclass(frozen=True)
class Convolution:
    """What an AtrousConv2D of a built model says of itself."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    rate: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Layers:
    """A built model's layer names, convolutions, strides of pooling layers, weights by path."""

    names: frozenset[str]
    convolutions: dict[str, Convolution]
    pools: dict[str, tuple[int, int]]
    weights: list[tuple[str, tuple[int, ...]]]


def read_layers(model):
    return Layers(
        frozenset(layer.name for layer in model.layers),
        {
            layer.name: Convolution(layer.kernel_size, layer.strides, layer.dilation_rate)
            for layer in model.layers
            if isinstance(layer, keras.layers.Conv2D)
        },
        {
            layer.name: layer.strides
            for layer in model.layers
            if isinstance(layer, keras.layers.MaxPooling2D)
        },
        [(weight.path, tuple(weight.shape)) for weight in model.weights],
    )


@contextlib.contextmanager
def undrawn():
    """Makes weights of zeros in the block: drawing random ones is half the time of a build."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            keras.initializers.VarianceScaling,
            "__call__",
            lambda self, shape, dtype=None, **kwargs: keras.ops.zeros(shape, dtype),
        )
        yield


@functools.cache
def _layers_of(fields):
    with undrawn():
        return read_layers(build_model(ModelConfig(*fields)))


def layers_of(model_config):
    """The layers of the network of `model_config`, built once."""
    return _layers_of(dataclasses.astuple(dataclasses.replace(model_config, num_classes=21)))


def slim(**fields):
    return ModelConfig(
        backbone=Backbone.RESNET_SLIM,
        num_classes=21,
        **{"num_blocks": 7, "multi_grid": (1, 1, 1), "head": Head.NONE, **fields},
    )


def check_strides(layers, backbone, last_block, strided):
    """Stride 2 in conv1, pool1 and the last unit of each block of `strided`; 1 everywhere else."""
    two, pools = {"conv1"}, {"pool1"}
    for block in strided:
        last = UNITS[backbone][block - 1]
        two.add(f"block{block}_unit{last}_conv2")
        # A first unit's shortcut is a convolution, any other's takes every second sample.
        (two if last == 1 else pools).add(f"block{block}_unit{last}_shortcut")
    assert {
        name: layer.stride for name, layer in layers.convolutions.items() if layer.stride != (1, 1)
    } == dict.fromkeys(two, (2, 2))
    assert layers.pools == dict.fromkeys(pools, (2, 2))
    units = {name for name in layers.convolutions if name.endswith("_conv2")}
    assert units == {
        f"block{block}_unit{unit}_conv2"
        for block in range(1, last_block + 1)
        for unit in range(1, UNITS[backbone][block - 1] + 1)
    }


def check_rates(layers, backbone, expected):
    """The rates of `expected` in the layers of those names; 1 in every other convolution."""
    rates = dict.fromkeys(layers.convolutions, 1)
    named = {f"block3_unit{i}_conv2": expected.block3 for i in range(1, UNITS[backbone][2] + 1)}
    for block, units in enumerate(expected.blocks, start=4):
        named |= {f"block{block}_unit{unit}_conv2": rate for unit, rate in enumerate(units, 1)}
    named |= {f"aspp_atrous{index}": rate for index, rate in enumerate(expected.aspp, start=1)}
    rates |= named
    assert {name: layer.rate for name, layer in layers.convolutions.items()} == {
        name: (rate, rate) for name, rate in rates.items()
    }
    assert {layers.convolutions[name].kernel for name in named} == {(3, 3)}


@pytest.mark.parametrize(
    ("row", "evaluated", "expected"),
    [
        pytest.param(row, evaluated, expected, id=f"{row}-{'eval' if evaluated else 'train'}")
        for evaluated, rows in ((False, TRAINED), (True, EVALUATED))
        for row, expected in rows.items()
    ],
)
def test_table_row(row, evaluated, expected):
    experiment = load_experiment(f"configs/paper/{row}")
    model_config = experiment.model
    small = row.startswith(("table1", "table2.py:resnet50"))
    assert model_config.backbone is (Backbone.RESNET50 if small else Backbone.RESNET101)
    if evaluated:
        model_config = dataclasses.replace(
            model_config,
            output_stride=experiment.evaluate.output_stride or model_config.output_stride,
        )
    if not (evaluated and row in FULL_WIDTH):
        model_config = dataclasses.replace(model_config, backbone=Backbone.RESNET_SLIM)
    layers = layers_of(model_config)
    last_block = 3 + len(expected.blocks)
    check_strides(layers, model_config.backbone, last_block, STRIDED[expected.output_stride])
    check_rates(layers, model_config.backbone, expected)
    assert ("aspp_pool" in layers.names) is expected.pooling
    head = {name for name in layers.convolutions if not name.startswith(("conv1", "block"))}
    if row in DEEPLAB_V2:
        assert head == {"aspp_atrous1", "aspp_atrous2", "aspp_atrous3", "aspp_atrous4"}
    elif expected.aspp:
        assert head - {"aspp_atrous4", "aspp_pool"} == {
            "aspp_conv1",
            "aspp_atrous1",
            "aspp_atrous2",
            "aspp_atrous3",
            "aspp_project",
            "logits",
        }
    else:
        assert head == {"logits"}


@pytest.mark.parametrize("file", ["table4.py", "table6.py"])
def test_trained_at_16_evaluated_at_8(file):
    """The evaluated network is the trained one with other rates and strides, and its weights."""
    experiment = load_experiment(f"configs/paper/{file}:os8")
    model_config = dataclasses.replace(
        experiment.model, backbone=Backbone.RESNET_SLIM, num_classes=21
    )
    trained = build_model(model_config)
    evaluated = with_output_stride(trained, model_config, experiment.evaluate.output_stride)
    for model, rows in ((trained, TRAINED), (evaluated, EVALUATED)):
        expected = rows[f"{file}:os8"]
        layers = read_layers(model)
        strided = STRIDED[expected.output_stride]
        check_strides(layers, model_config.backbone, model_config.num_blocks, strided)
        check_rates(layers, model_config.backbone, expected)
    for before, after in zip(trained.weights, evaluated.weights, strict=True):
        np.testing.assert_array_equal(before, after)


ONES = ((1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 1, 1))


@pytest.mark.parametrize("output_stride", [8, 16, 32, 64, 128, 256])
def test_without_atrous_convolution_every_rate_is_1(output_stride):
    """Figure 3a's rates with the strides of the atrous network."""
    layers = layers_of(slim(output_stride=output_stride, atrous=False))
    check_strides(layers, Backbone.RESNET_SLIM, 7, STRIDED[output_stride])
    check_rates(layers, Backbone.RESNET_SLIM, Expected(output_stride, 1, ONES))


# The side of each stage's map of an image of 257 pixels: pool1, then block1 to block7. Figure 3a
# has the strides 4, 8, 16, 32, 64, 128, 256, 256, figure 3b 4, 8, 16 and 16 from there on.
STAGES = {
    8: [65, 33, 33, 33, 33, 33, 33, 33],
    16: [65, 33, 17, 17, 17, 17, 17, 17],
    32: [65, 33, 17, 9, 9, 9, 9, 9],
    64: [65, 33, 17, 9, 5, 5, 5, 5],
    128: [65, 33, 17, 9, 5, 3, 3, 3],
    256: [65, 33, 17, 9, 5, 3, 2, 2],
}
STAGE_ENDS = [
    "pool1",
    "block1_unit1_relu",
    "block2_unit1_relu",
    "block3_unit2_relu",
    "block4_unit3_relu",
    "block5_unit3_relu",
    "block6_unit3_relu",
    "block7_unit3_relu",
]


@pytest.mark.parametrize(
    ("output_stride", "atrous"),
    [(8, True), (16, True), (16, False), (32, True), (64, True), (128, True), (256, False)],
)
def test_size_of_every_stage(output_stride, atrous):
    with undrawn():
        model = build_model(slim(output_stride=output_stride, atrous=atrous))
    stages = keras.Model(model.input, [model.get_layer(name).output for name in STAGE_ENDS])
    maps = stages(np.zeros((1, 257, 257, 3), np.float32))
    assert [tuple(stage.shape[1:3]) for stage in maps] == [
        (side, side) for side in STAGES[output_stride]
    ]
    assert model(np.zeros((1, 65, 97, 3), np.float32)).shape == (1, 65, 97, 21)


def test_names_of_the_replicas():
    """Block5 to block7 are block4 again, but that a replica's input has the channels already."""
    layers = layers_of(slim(multi_grid=(1, 2, 4)))
    convolutions = {name for name in layers.convolutions if "block4" <= name < "block8"}
    replica = {
        "{}_unit1_conv1",
        "{}_unit1_conv2",
        "{}_unit1_conv3",
        "{}_unit2_conv1",
        "{}_unit2_conv2",
        "{}_unit2_conv3",
        "{}_unit3_conv1",
        "{}_unit3_conv2",
        "{}_unit3_conv3",
    }
    assert convolutions == {
        "block4_unit1_shortcut",
        *(name.format("block4") for name in replica),
        *(name.format("block5") for name in replica),
        *(name.format("block6") for name in replica),
        *(name.format("block7") for name in replica),
    }


def test_shapes_of_the_replicas():
    """ResNet's block4 has units of 512, 512 and 2048 filters, the slim one a quarter of that."""
    weights = dict(layers_of(slim()).weights)
    shapes = {
        block: [
            weights[f"block{block}_unit{unit}_conv{i}/kernel"]
            for unit in (1, 2, 3)
            for i in (1, 2, 3)
        ]
        for block in (4, 5, 6, 7)
    }
    unit = [(1, 1, 512, 128), (3, 3, 128, 128), (1, 1, 128, 512)]
    # Block3 ends with 256 channels.
    assert shapes[4] == [(1, 1, 256, 128), *unit[1:], *unit, *unit]
    assert shapes[5] == shapes[6] == shapes[7] == unit * 3


@pytest.mark.parametrize(
    "fields",
    [
        {"output_stride": 16},
        {"output_stride": 256},
        {"output_stride": 256, "atrous": False},
        {"output_stride": 8, "atrous": False},
        {"output_stride": 8, "multi_grid": (1, 2, 4)},
    ],
    ids=str,
)
@pytest.mark.parametrize("head", [Head.NONE, Head.ASPP])
def test_weights_depend_on_neither_strides_nor_rates(fields, head):
    got = layers_of(slim(head=head, **fields)).weights
    assert got == layers_of(slim(head=head, output_stride=8)).weights
    assert ("block7_unit3_conv2/kernel", (3, 3, 128, 128)) in got


def test_deeplabv2_head():
    """Four 3x3 convolutions straight to class scores, summed; no batch norm, nothing else."""
    experiment = load_experiment("configs/paper/deeplabv2.py:resnet101")
    model = build_model(
        dataclasses.replace(experiment.model, backbone=Backbone.RESNET_SLIM, num_classes=21)
    )
    names = [layer.name for layer in model.layers]
    head = names[names.index("block4_unit3_relu") + 1 :]
    branches = ["aspp_atrous1", "aspp_atrous2", "aspp_atrous3", "aspp_atrous4"]
    assert sorted(head) == [*branches, "logits", "upsample"]
    assert not any(isinstance(model.get_layer(name), FusedBatchNormalization) for name in head)
    features = model.get_layer("block4_unit3_relu").output
    random = np.random.default_rng(0)
    for name in branches:
        layer = model.get_layer(name)
        assert isinstance(layer, AtrousConv2D)
        assert layer.input is features
        assert layer.kernel.shape == (3, 3, 512, 21)
        assert layer.activation is keras.activations.linear
        layer.kernel.assign(random.normal(0, 0.1, layer.kernel.shape))
        layer.bias.assign(random.normal(0, 1, layer.bias.shape))
    x = random.normal(0, 1, (2, 29, 53, 512)).astype(np.float32)
    logits = keras.Model(features, model.get_layer("logits").output)(x).numpy()
    scores = [model.get_layer(name)(x).numpy() for name in branches]
    assert min(score.std() for score in scores) > 1
    np.testing.assert_allclose(logits, np.sum(scores, axis=0), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"num_blocks": 4, "output_stride": 64},
            r"output_stride must be one of \(4, 8, 16, 32\), since the last block is block4. "
            "Received: 64",
        ),
        (
            {"num_blocks": 5, "output_stride": 128},
            r"output_stride must be one of \(4, 8, 16, 32, 64\), since the last block is block5",
        ),
        (
            {"num_blocks": 6, "output_stride": 256},
            r"one of \(4, 8, 16, 32, 64, 128\), since the last block is block6",
        ),
        (
            {"num_blocks": 7, "output_stride": 512},
            r"one of \(4, 8, 16, 32, 64, 128, 256\), since the last block is block7",
        ),
        ({"num_blocks": 3}, "config.model.num_blocks must be .* Received: 3"),
        ({"num_blocks": 8}, "config.model.num_blocks must be .* Received: 8"),
        (
            {"atrous": False, "multi_grid": (1, 2, 4)},
            "config.model.atrous must be on where multi_grid has rates",
        ),
        (
            {"num_blocks": 7, "output_stride": 128},
            "config.model.multi_grid must be 1 for the unit that strides, which at "
            "output_stride=128 with stride_placement=last_unit is block4_unit3 and block5_unit3: "
            ".*give 1 there or a smaller output_stride. Received: \\(1, 2, 4\\)",
        ),
        (
            {"output_stride": 32, "multi_grid": (2, 2, 2), "stride_placement": "first_unit"},
            "multi_grid must be .* stride_placement=first_unit is block4_unit1: ",
        ),
        (
            {"head": Head.ASPP_V2, "aspp_rates": ()},
            "config.model.aspp_rates must be .*one or more with the head aspp_v2",
        ),
    ],
    ids=str,
)
def test_networks_that_cannot_be(fields, message):
    with pytest.raises(DeeplabError, match=message):
        validate(Experiment(model=ModelConfig(**fields)))


def test_evaluation_at_a_stride_that_the_blocks_do_not_have():
    """Block4's network of Table 5 evaluated at 64."""
    experiment = Experiment(evaluate=EvaluateConfig(output_stride=64))
    with pytest.raises(
        DeeplabError,
        match=r"config.evaluate.output_stride must be one of \(4, 8, 16, 32\), .*block4",
    ):
        validate(experiment)


def test_evaluation_at_a_stride_that_the_multi_grid_does_not_allow():
    experiment = Experiment(
        model=ModelConfig(num_blocks=5), evaluate=EvaluateConfig(output_stride=64)
    )
    with pytest.raises(
        DeeplabError,
        match=r"config.evaluate.output_stride must be one that config.model.multi_grid=\(1, 2, 4\) "
        "allows, and that must be 1 for .* block4_unit3: .* Received: 64",
    ):
        validate(experiment)


@pytest.mark.parametrize(
    ("num_blocks", "output_stride"), [(4, 4), (4, 32), (5, 64), (6, 128), (7, 256)]
)
def test_the_ends_of_what_can_be(num_blocks, output_stride):
    model_config = ModelConfig(
        num_blocks=num_blocks, output_stride=output_stride, multi_grid=(1, 2, 1)
    )
    assert validate(Experiment(model=model_config)).model == model_config


def test_without_atrous_convolution_multi_grid_of_ones_is_fine():
    model_config = ModelConfig(atrous=False, multi_grid=(1, 1, 1))
    assert validate(Experiment(model=model_config)).model == model_config


REACH = [(4, 8), (4, 32), (5, 64), (7, 256)]
GRIDS = [(1, 1, 1), (1, 2, 1), (1, 2, 4), (2, 1, 1)]
SMALL = [(Backbone.RESNET_SLIM, *reach, grid) for reach in REACH for grid in GRIDS]


@pytest.mark.parametrize(
    ("placement", "refusals"),
    # Beyond 32 the paper's placement strides in unit 3 of block4; others at 32 in its unit 1.
    [("last_unit", 3), ("first_unit", 3), ("first_conv", 0)],
)
def test_what_is_refused_is_what_cannot_be_built(placement, refusals):
    refused = 0
    for backbone, blocks, stride, grid in [*SMALL, (Backbone.RESNET50, 5, 64, (1, 2, 4))]:
        model_config = ModelConfig(
            backbone=backbone,
            num_blocks=blocks,
            output_stride=stride,
            multi_grid=grid,
            stride_placement=StridePlacement(placement),
        )
        try:
            with undrawn():
                resnet(keras.Input((65, 65, 3)), model_config)
        except ValueError as error:
            assert "`strides > 1` not supported" in str(error)
            refused += 1
            with pytest.raises(
                DeeplabError, match="config.model.multi_grid must be 1 for the unit"
            ):
                validate(Experiment(model=model_config))
        else:
            assert validate(Experiment(model=model_config)).model == model_config
    assert refused == refusals

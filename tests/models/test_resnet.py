"""The atrous ResNet: strides, rates, names, sizes and reach, each written out by hand."""

import keras
import numpy as np
import pytest

from deeplab_tf.config import Backbone, ModelConfig, StridePlacement
from deeplab_tf.config.resnet_plan import plan_units
from deeplab_tf.models import build_model
from deeplab_tf.models.auxiliary import with_auxiliary
from deeplab_tf.models.resnet import resnet
from deeplab_tf.weights.torchvision import torchvision_config

LAST, FIRST = StridePlacement.LAST_UNIT, StridePlacement.FIRST_UNIT
FIRST_CONV = StridePlacement.FIRST_CONV


def plan(output_stride, placement, multi_grid=(1, 1, 1), backbone=Backbone.RESNET50):
    """(strides, rates), a tuple of units for each block."""
    model_config = ModelConfig(
        backbone=backbone,
        output_stride=output_stride,
        stride_placement=placement,
        multi_grid=multi_grid,
    )
    blocks = [[], [], [], []]
    for unit in plan_units(model_config):
        blocks[int(unit.name[5]) - 1].append(unit)
    strides = [tuple(unit.stride for unit in block) for block in blocks]
    rates = [tuple(unit.rate for unit in block) for block in blocks]
    return strides, rates


ONES = [(1,) * 3, (1,) * 4, (1,) * 6, (1,) * 3]

# The paper's placement, ResNet-50's (3, 4, 6, 3) units: the stride is in the last unit of block1 to
# block3, and block4 has none. A dropped stride doubles the rate of the units after it.
LAST_UNIT = {
    32: ([(1, 1, 2), (1, 1, 1, 2), (1, 1, 1, 1, 1, 2), (1, 1, 1)], ONES),
    16: (
        [(1, 1, 2), (1, 1, 1, 2), (1,) * 6, (1, 1, 1)],
        [(1, 1, 1), (1, 1, 1, 1), (1, 1, 1, 1, 1, 1), (2, 2, 2)],
    ),
    8: (
        [(1, 1, 2), (1, 1, 1, 1), (1,) * 6, (1, 1, 1)],
        [(1, 1, 1), (1, 1, 1, 1), (2, 2, 2, 2, 2, 2), (4, 4, 4)],
    ),
    4: (ONES, [(1, 1, 1), (2, 2, 2, 2), (4, 4, 4, 4, 4, 4), (8, 8, 8)]),
}

# torchvision's: the stride is in the first unit of block2 to block4; where it is dropped, that unit
# keeps the rate before it (`previous_dilation` there).
FIRST_UNIT = {
    32: ([(1, 1, 1), (2, 1, 1, 1), (2, 1, 1, 1, 1, 1), (2, 1, 1)], ONES),
    16: (
        [(1, 1, 1), (2, 1, 1, 1), (2, 1, 1, 1, 1, 1), (1, 1, 1)],
        [(1, 1, 1), (1, 1, 1, 1), (1, 1, 1, 1, 1, 1), (1, 2, 2)],
    ),
    8: (
        [(1, 1, 1), (2, 1, 1, 1), (1,) * 6, (1, 1, 1)],
        [(1, 1, 1), (1, 1, 1, 1), (1, 2, 2, 2, 2, 2), (2, 4, 4)],
    ),
    4: (ONES, [(1, 1, 1), (1, 2, 2, 2), (2, 4, 4, 4, 4, 4), (4, 8, 8)]),
}


# keras.applications': as torchvision's, but the unit's first 1x1 has the stride, so that its 3x3
# comes after a dropped one and has the new rate.
FIRST_CONV_UNIT = {
    32: FIRST_UNIT[32],
    16: (FIRST_UNIT[16][0], [(1, 1, 1), (1, 1, 1, 1), (1, 1, 1, 1, 1, 1), (2, 2, 2)]),
    8: (FIRST_UNIT[8][0], [(1, 1, 1), (1, 1, 1, 1), (2, 2, 2, 2, 2, 2), (4, 4, 4)]),
    4: (ONES, [(1, 1, 1), (2, 2, 2, 2), (4, 4, 4, 4, 4, 4), (8, 8, 8)]),
}


@pytest.mark.parametrize("output_stride", [4, 8, 16, 32])
@pytest.mark.parametrize(
    ("placement", "table"),
    [(LAST, LAST_UNIT), (FIRST, FIRST_UNIT), (FIRST_CONV, FIRST_CONV_UNIT)],
)
def test_strides_and_rates(output_stride, placement, table):
    assert plan(output_stride, placement) == table[output_stride]


# Section 3.2.1: the final rate is unit rate times the block's, e.g. 2 x (1, 2, 4) at 16.
MULTI_GRID_124 = {
    (32, LAST): (1, 2, 4),
    (16, LAST): (2, 4, 8),
    (8, LAST): (4, 8, 16),
    (4, LAST): (8, 16, 32),
    (32, FIRST): (1, 2, 4),
    (16, FIRST): (1, 4, 8),
    (8, FIRST): (2, 8, 16),
    (4, FIRST): (4, 16, 32),
}


@pytest.mark.parametrize(("output_stride", "placement"), list(MULTI_GRID_124))
def test_multi_grid_multiplies_only_block4(output_stride, placement):
    plain = plan(output_stride, placement)
    strides, rates = plan(output_stride, placement, (1, 2, 4))
    assert strides == plain[0]
    assert rates[:3] == plain[1][:3]
    assert rates[3] == MULTI_GRID_124[output_stride, placement]


def test_resnet101_and_slim_have_the_same_blocks():
    strides, rates = plan(8, LAST, (1, 2, 4), Backbone.RESNET101)
    assert strides == [(1, 1, 2), (1, 1, 1, 1), (1,) * 23, (1, 1, 1)]
    assert rates == [(1, 1, 1), (1, 1, 1, 1), (2,) * 23, (4, 8, 16)]
    # One unit is both first and last.
    assert plan(16, LAST, (1, 2, 4), Backbone.RESNET_SLIM) == (
        [(2,), (2,), (1, 1), (1, 1, 1)],
        [(1,), (1,), (1, 1), (2, 4, 8)],
    )


def test_widths_and_projections():
    units = plan_units(ModelConfig(backbone=Backbone.RESNET50))
    assert [unit.filters for unit in units] == [64] * 3 + [128] * 4 + [256] * 6 + [512] * 3
    assert [unit.name for unit in units if unit.projects] == [
        "block1_unit1",
        "block2_unit1",
        "block3_unit1",
        "block4_unit1",
    ]


def backbone(name, **fields):
    image = keras.Input((None, None, 3))
    model_config = ModelConfig(backbone=name, **fields)
    return keras.Model(image, resnet(image, model_config).last)


# The ImageNet classifiers' published 25,557,032 and 44,549,160 parameters, less the fully connected
# layer of 2048 x 1000 + 1000. Moving statistics are not among them.
@pytest.mark.parametrize(
    ("name", "parameters"),
    [(Backbone.RESNET50, 25_557_032 - 2_049_000), (Backbone.RESNET101, 44_549_160 - 2_049_000)],
)
def test_parameters_of_the_published_resnets(name, parameters):
    model = backbone(name)
    assert sum(int(np.prod(v.shape)) for v in model.trainable_weights) == parameters


def test_the_stride_is_of_the_convolution_that_the_placement_names():
    for placement, expected in ((FIRST, (1, 2)), (FIRST_CONV, (2, 1))):
        model = backbone(Backbone.RESNET50, stride_placement=placement)
        unit = [model.get_layer(f"block2_unit1_conv{i}").strides[0] for i in (1, 2)]
        assert tuple(unit) == expected


def test_the_deep_root_is_three_convolutions():
    """TF-Slim's "beta": 3x3 to 64 at stride 2, 3x3 to 64, 3x3 to 128."""
    plain, deep = (backbone(Backbone.RESNET50, deep_root=deep) for deep in (False, True))
    kernels = [deep.get_layer(f"conv1_{i}").kernel.shape for i in (1, 2, 3)]
    assert kernels == [(3, 3, 3, 64), (3, 3, 64, 64), (3, 3, 64, 128)]
    # 7x7x3x64 and its batch norm go, these and theirs come; block1's first unit sees 128 channels
    # instead of 64 in its 1x1 to 64 and in its shortcut to 256.
    more = 9 * (3 * 64 + 64 * 64 + 64 * 128) + 4 * (64 + 64 + 128) + 64 * (64 + 256)
    assert deep.count_params() - plain.count_params() == more - (49 * 3 * 64 + 4 * 64)
    image = np.zeros((1, 65, 97, 3), np.float32)
    assert deep(image).shape == plain(image).shape


def test_layer_names_are_stable():
    """Importers and users address layers by name."""
    names = [layer.name for layer in backbone(Backbone.RESNET_SLIM, output_stride=8).layers]
    assert names[1:8] == [
        "conv1_pad",
        "conv1",
        "conv1_bn",
        "conv1_relu",
        "pool1_pad",
        "pool1",
        "block1_unit1_conv1",
    ]
    unit = [name for name in names if name.startswith("block4_unit1_")]
    assert sorted(unit) == [
        "block4_unit1_add",
        "block4_unit1_conv1",
        "block4_unit1_conv1_bn",
        "block4_unit1_conv1_relu",
        "block4_unit1_conv2",
        "block4_unit1_conv2_bn",
        "block4_unit1_conv2_relu",
        "block4_unit1_conv3",
        "block4_unit1_conv3_bn",
        "block4_unit1_relu",
        "block4_unit1_shortcut",
        "block4_unit1_shortcut_bn",
    ]


@pytest.mark.parametrize(
    ("output_stride", "maps"),
    [
        (4, [(17, 25), (16, 13), (1, 9), (8, 1)]),
        (8, [(9, 13), (8, 7), (1, 5), (4, 1)]),
        (16, [(5, 7), (4, 4), (1, 3), (2, 1)]),
        (32, [(3, 4), (2, 2), (1, 2), (1, 1)]),
    ],
)
def test_map_is_the_image_divided_and_rounded_up(output_stride, maps):
    model = backbone(Backbone.RESNET_SLIM, output_stride=output_stride)
    for size, expected in zip([(65, 97), (64, 50), (1, 33), (31, 2)], maps, strict=True):
        features = model(np.zeros((1, *size, 3), np.float32))
        assert features.shape == (1, *expected, 512)


def sees(model, width, pixel):
    """Whether the middle sample of the map changes with the pixel column `pixel`.

    With positive kernels and no offsets anything that reaches a sample makes it positive.
    """
    image = np.zeros((1, 1, width, 3), np.float32)
    image[:, :, pixel] = 1e6
    features = model(image).numpy()[0, 0]
    return features[features.shape[0] // 2].max() > 0


def test_receptive_field_and_centre():
    """Half-widths in pixels at output_stride 16, slim, multi-grid (1, 2, 4), each convolution's
    rate times the stride of its input: conv1 3, pool1 2, block1 4, block2 8, block3 16 + 16,
    block4 16 x (2 + 4 + 8): 273 in all, to both sides of the pixel 16 i.
    """
    model = backbone(Backbone.RESNET_SLIM, output_stride=16)
    for variable in model.trainable_weights:
        if variable.name == "kernel":
            variable.assign(np.full(variable.shape, 1 / np.prod(variable.shape[:3])))
    for width in (577, 592):
        samples = -(-width // 16)
        centre = 16 * (samples // 2)
        reach = [sees(model, width, centre + offset) for offset in (-274, -273, 0, 273, 274)]
        assert reach == [False, True, True, True, False]


def test_whole_network_has_torchvisions_size():
    """deeplabv3_resnet50 is published with 42,004,074 parameters, of which its auxiliary classifier
    has 2,365,205: 1024 x 256 x 9, batch norm 2 x 256, 256 x 21 + 21."""
    model_config = torchvision_config(Backbone.RESNET50)
    model = build_model(model_config)
    for network, size in ((model, 39_638_869), (with_auxiliary(model, model_config), 42_004_074)):
        assert sum(int(np.prod(v.shape)) for v in network.trainable_weights) == size

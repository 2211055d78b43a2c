"""keras-hub's DeepLabV3 and DeepLabV3Plus of a narrow ResNet, in plain Keras layers.

keras-hub is not installed where the tests run. The layers, their names and the attributes that the
importer reads are keras-hub's; the ResNet is as slim as ours of that name.
"""

import re
import types

import keras
import numpy as np

UNITS, WIDTH, FILTERS = (1, 1, 2, 3), 16, 64


def encoder(side: int | None) -> types.SimpleNamespace:
    """ResNetBackbone: the stride lies in the 3x3 of the first unit, padding is symmetric."""
    x = image = keras.Input((side, side, 3))
    x = keras.layers.ZeroPadding2D(3)(x)
    x = _block(x, WIDTH, 7, "conv1_conv", "conv1_bn", strides=2, padding="valid")
    x = keras.layers.ZeroPadding2D(1)(x)
    x = keras.layers.MaxPooling2D(3, strides=2)(x)
    pyramid = {}
    for stack, count in enumerate(UNITS):
        for unit in range(count):
            stride = 2 if stack and not unit else 1
            x = _bottleneck(x, WIDTH * 2**stack, stride, f"stack{stack}_block{unit}", unit == 0)
        pyramid[f"P{stack + 2}"] = x
    model = keras.Model(image, x)
    return types.SimpleNamespace(
        model=model,
        layers=model.layers,
        pyramid_outputs=pyramid,
        block_type="bottleneck_block",
        use_pre_activation=False,
        stackwise_num_blocks=[*UNITS],
        stackwise_num_strides=[1, 2, 2, 2],
        input_conv_filters=[WIDTH],
    )


def segmenter(low_level: bool, classes: int, rates=(6, 12, 18)) -> types.SimpleNamespace:
    """DeepLabV3ImageSegmenter, with the image converter of ImageNet's statistics."""
    image_encoder = encoder(None)
    model = image_encoder.model
    x = image_encoder.pyramid_outputs["P5"]
    branches = [_block(x, FILTERS, 1, "aspp_conv_1", "aspp_bn_1", epsilon=1e-3)]
    for number, rate in enumerate(rates, start=2):
        names = f"aspp_conv_{number}", f"aspp_bn_{number}"
        branches.append(_block(x, FILTERS, 3, *names, epsilon=1e-3, dilation_rate=rate))
    pooled = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    pooled = _block(pooled, FILTERS, 1, "conv_pooling", "bn_pooling", epsilon=1e-3)
    # A pixel resized to a map is that pixel everywhere.
    branches.append(keras.layers.Add()([pooled, keras.layers.Lambda(lambda y: 0 * y)(branches[0])]))
    x = keras.layers.Concatenate()(branches)
    x = _block(x, FILTERS, 1, "conv_projection", "bn_projection", epsilon=1e-3)
    x = keras.layers.UpSampling2D(8, interpolation="bilinear")(x)
    if low_level:
        low = image_encoder.pyramid_outputs["P2"]
        low = _block(low, 48, 1, "decoder_conv", "decoder_norm", epsilon=1e-3)
        x = keras.layers.Concatenate()([x, low])
    names = "segmentation_head_conv", "segmentation_head_norm"
    x = _block(x, FILTERS, 1, *names, epsilon=1e-3)
    x = keras.layers.UpSampling2D(4, interpolation="bilinear")(x)
    x = keras.layers.Conv2D(classes, 1, use_bias=False, name="segmentation_output")(x)
    whole = keras.Model(model.input, x)
    _draw(whole)
    behind = [layer for layer in whole.layers if layer not in model.layers]
    in_pyramid = [layer for layer in behind if re.match("aspp_|bn_|conv_", layer.name)]
    pyramid = types.SimpleNamespace(
        aspp_parallel_channels=[types.SimpleNamespace(layers=in_pyramid[:4])],
        projection=types.SimpleNamespace(layers=in_pyramid[4:]),
    )
    hub = types.SimpleNamespace(
        image_encoder=image_encoder,
        dilation_rates=[*rates],
        low_level_feature_key="P2" if low_level else None,
        spatial_pyramid_pooling_key="P5",
        projection_filters=48,
        upsampling_size=8,
        layers=[pyramid, *(layer for layer in behind if layer not in in_pyramid)],
    )
    converter = types.SimpleNamespace(
        scale=[1 / 255 / std for std in (0.229, 0.224, 0.225)],
        offset=[-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225],
    )
    return types.SimpleNamespace(
        model=whole,
        layers=[],
        backbone=hub,
        num_classes=classes,
        preprocessor=types.SimpleNamespace(image_converter=converter),
    )


def _block(x, filters, side, conv, norm, epsilon=1e-5, relu=True, padding="same", **how):
    x = keras.layers.Conv2D(filters, side, padding=padding, use_bias=False, name=conv, **how)(x)
    x = keras.layers.BatchNormalization(epsilon=epsilon, name=norm)(x)
    return keras.layers.ReLU()(x) if relu else x


def _bottleneck(x, filters, stride, name, projects):
    names = [(f"{name}_{n}_conv", f"{name}_{n}_bn") for n in range(4)]
    y = _block(x, filters, 1, *names[1])
    if stride > 1:
        y = keras.layers.ZeroPadding2D(1)(y)
    padding = "valid" if stride > 1 else "same"
    y = _block(y, filters, 3, *names[2], strides=stride, padding=padding)
    y = _block(y, 4 * filters, 1, *names[3], relu=False)
    if projects:
        x = _block(x, 4 * filters, 1, *names[0], relu=False, strides=stride)
    return keras.layers.ReLU()(keras.layers.Add()([x, y]))


def _draw(model: keras.Model) -> None:
    """Weights as of a training: statistics far from 0 and 1, among them small variances."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            channels = layer.gamma.shape
            gamma, variance = rng.uniform(0.3, 1.0, (2, *channels))
            beta, mean = rng.normal(0, 0.3, (2, *channels))
            layer.set_weights([gamma, beta, mean, variance**4])

"""The block of convolution, batch norm and activation: its grid, its layers, what decays."""

import keras
import numpy as np
import pytest

from deeplab_tf.config import ModelConfig
from deeplab_tf.models.conv import decayed_kernels
from deeplab_tf.models.conv_bn import ConvBN

CONV_BN = ConvBN(ModelConfig(batch_norm_epsilon=1e-5))


def strided(size, kernel_size, stride=2):
    image = keras.Input((*size, 2))
    return keras.Model(image, CONV_BN(image, 3, kernel_size, name="c", stride=stride))


@pytest.mark.parametrize("kernel_size", [1, 3, 7])
def test_strided_convolution_keeps_the_grid(kernel_size):
    """Sample i is centred on sample 2 i, for odd and even sizes alike."""
    rng = np.random.default_rng(0)
    for size, half in (((9, 9), (5, 5)), ((10, 13), (5, 7)), ((8, 8), (4, 4)), ((1, 2), (1, 1))):
        x = rng.standard_normal((2, *size, 2)).astype(np.float32)
        block, dense = strided(size, kernel_size), strided(size, kernel_size, stride=1)
        dense.set_weights(block.get_weights())
        y = block(x).numpy()
        assert y.shape[1:3] == half and y.any()
        np.testing.assert_allclose(y, dense(x).numpy()[:, ::2, ::2], atol=1e-5)


def test_layers_and_decay_of_each_kind():
    image = keras.Input((8, 8, 2))
    plain = CONV_BN(image, 3, 3, name="plain", stride=2)
    depthwise = CONV_BN.depthwise(plain, 3, name="depthwise")
    linear = CONV_BN.linear(depthwise, 4, name="linear", zero_init=True)
    network = keras.Model(image, linear)
    assert [layer.name for layer in network.layers[1:]] == [
        *("plain_pad", "plain", "plain_bn", "plain_relu"),
        *("depthwise", "depthwise_bn", "depthwise_relu"),
        *("linear", "linear_bn"),
    ]
    assert [kernel.path for kernel in decayed_kernels(network)] == ["plain/kernel", "linear/kernel"]
    assert not network.get_layer("linear_bn").gamma.numpy().any()
    assert all(network.get_layer("plain_bn").gamma.numpy() == 1)


def test_the_network_chooses_the_activation_and_the_epsilon():
    image = keras.Input((2, 2, 1))
    block = ConvBN(ModelConfig(), epsilon=3.0, activation="relu6")
    network = keras.Model(image, block(image, 1, 1, name="c"))
    network.get_layer("c").kernel.assign([[[[2.0]]]])
    x = np.float32([1, 5, 100, -1]).reshape(1, 2, 2, 1)
    # The statistics begin at mean 0 and variance 1, so the divisor is sqrt(1 + 3).
    np.testing.assert_allclose(network(x).numpy().ravel(), [1, 5, 6, 0], rtol=1e-6)

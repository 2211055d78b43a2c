"""Every form of a convolution of stride 1 on every kind of machine, against numpy in float64."""

import itertools
import re
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.precisions import skip_without

from deeplab_tf.models import atrous, kernels
from deeplab_tf.models.atrous import Form, best_form, in_form, valid_share, zeros_around
from deeplab_tf.models.conv import AtrousConv2D, AtrousDepthwiseConv2D, Runs, traced_for
from deeplab_tf.models.kernels import OneDNN

SIZES = ((5, 7), (12, 9))
KERNELS = ((3, 3), (1, 1), (2, 5))
RATES = ((1, 1), (2, 3), (12, 12))
BITS = {"float32": 24, "bfloat16": 8, "float16": 11}


def cases():
    for size, kernel, rates, padding in itertools.product(SIZES, KERNELS, RATES, ("SAME", "VALID")):
        fits = all(n > (k - 1) * r for n, k, r in zip(size, kernel, rates, strict=True))
        if padding == "SAME" or fits:
            yield size, kernel, rates, padding


def as_machine(machine):
    """TensorFlow's own backward kernels are oneDNN's: without it they cannot be called."""
    here = kernels.onednn("float32")
    if machine is not OneDNN.OFF and here is OneDNN.OFF:
        pytest.skip("oneDNN is off")
    return mock.patch.object(kernels, "onednn", lambda dtype: machine)


def expected(x, kernel, rates, pads):
    """y[i] = sum over taps of x[i + offset] w[tap], zeros around; float64."""
    x = np.pad(np.float64(x), [(0, 0), *pads, (0, 0)])
    height, width = (
        n - (k - 1) * r for n, k, r in zip(x.shape[1:3], kernel.shape, rates, strict=False)
    )
    return sum(
        x[:, i * rates[0] : i * rates[0] + height, j * rates[1] : j * rates[1] + width]
        @ np.float64(kernel[i, j])
        for i in range(kernel.shape[0])
        for j in range(kernel.shape[1])
    )


def bound(dtype, terms, scale):
    """The error of a sum of `terms` standard normal products, each rounded once more at random."""
    return 4 * scale * 2.0 ** (1 - BITS[dtype]) * np.sqrt(terms)


IMAGES = tf.TensorSpec((None, None, None, 3))


def of_open_size(function, *others):
    """`function` of images and of `others`, in one graph for all images of three channels."""
    return tf.function(function, autograph=False, input_signature=[IMAGES, *others])


def computing(form, rates, pads):
    return lambda x, kernel: in_form(form, x, kernel, rates, pads)


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("is_open", [False, True])
def test_every_form_is_the_convolution(form, is_open):
    if is_open and form is Form.REGIONS:
        pytest.skip("regions are only of a known size")
    rng, graphs = np.random.default_rng(0), {}
    for size, sides, rates, padding in cases():
        x = rng.standard_normal((2, *size, 3)).astype(np.float32)
        kernel = rng.standard_normal((*sides, 3, 4)).astype(np.float32)
        pads = zeros_around(kernel.shape, rates, padding)
        convolution = computing(form, rates, pads)
        if is_open:  # which only a graph knows
            of_all_sizes = of_open_size(convolution, tf.TensorSpec(kernel.shape))
            convolution = graphs.setdefault((sides, rates, padding), of_all_sizes)
        want = expected(x, kernel, rates, pads)
        got = convolution(tf.constant(x), tf.constant(kernel)).numpy()
        assert got.shape == want.shape
        assert np.abs(got - want).max() < bound("float32", kernel[..., 0].size, 10)


@pytest.mark.parametrize("machine", OneDNN)
@pytest.mark.parametrize("is_open", [False, True])
def test_gradients_are_those_of_the_formula(machine, is_open):
    """The convolution is linear in both: <dy, A step> = <A^T dy, step> for steps of either."""
    rng, graphs = np.random.default_rng(1), {}
    with as_machine(machine):
        for size, sides, rates, padding in cases():
            x = rng.standard_normal((2, *size, 3)).astype(np.float32)
            kernel = rng.standard_normal((*sides, 3, 4)).astype(np.float32)
            pads = zeros_around(kernel.shape, rates, padding)
            dy = rng.standard_normal(expected(x, kernel, rates, pads).shape).astype(np.float32)
            both = differentiated(rates, padding)
            if is_open:
                others = (
                    tf.TensorSpec(kernel.shape),
                    tf.TensorSpec((None, None, None, kernel.shape[-1])),
                )
                both = graphs.setdefault((sides, rates, padding), of_open_size(both, *others))
            by_x, by_kernel = (each.numpy() for each in both(*map(tf.constant, (x, kernel, dy))))
            step, turn = rng.standard_normal(x.shape), rng.standard_normal(kernel.shape)
            along_x = np.sum(dy * expected(step, kernel, rates, pads))
            along_kernel = np.sum(dy * expected(x, turn, rates, pads))
            limit = bound("float32", dy.size * kernel[..., 0].size, 10)
            assert abs(np.sum(by_x * step) - along_x) < limit
            assert abs(np.sum(by_kernel * turn) - along_kernel) < limit


def differentiated(rates, padding):
    """A function of images, kernel and dy to the gradients of both."""

    def both(x, kernel, dy):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = atrous.convolve(x, kernel, rates, padding)
        return tape.gradient(y, [x, kernel], output_gradients=dy)

    return both


def gradients(x, kernel, dy, rates, padding, spec=None):
    """Computes both gradients in a graph of images as `spec` says, or without a graph."""
    kernel, dy = tf.constant(kernel), tf.constant(dy)

    def both(x):
        return differentiated(rates, padding)(x, kernel, dy)

    if spec is not None:
        both = tf.function(both, autograph=False, input_signature=[spec])
    return [gradient.numpy() for gradient in both(tf.convert_to_tensor(x))]


@pytest.mark.parametrize("machine", OneDNN)
@pytest.mark.parametrize("compiled", [False, True])
def test_second_derivatives(machine, compiled):
    """sum((A x)^3) has 6 A^T ((A x) (A v)) in the direction v, by XLA too."""
    rng = np.random.default_rng(2)
    x, v = rng.standard_normal((2, 1, 9, 8, 3)).astype(np.float32)
    kernel = rng.standard_normal((3, 3, 3, 4)).astype(np.float32)
    rates, pads = (4, 3), zeros_around(kernel.shape, (4, 3), "SAME")

    @tf.function(jit_compile=compiled)
    def second(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = tf.reduce_sum(atrous.convolve(x, tf.constant(kernel), rates, "SAME") ** 3)
            slope = tf.reduce_sum(inner.gradient(y, x) * v)
        return outer.gradient(slope, x)

    with as_machine(machine):
        got = second(tf.constant(x)).numpy()
    step = rng.standard_normal(x.shape)
    a_x, a_v, a_step = (expected(value, kernel, rates, pads) for value in (x, v, step))
    want = 6 * np.sum(a_x * a_v * a_step)
    assert abs(np.sum(got * step) - want) < 1e-5 * 6 * np.sum(np.abs(a_x * a_v * a_step))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("rate", [1, 2, 12])
def test_half_precision_rounds_no_more_than_its_digits(dtype, rate):
    skip_without(dtype)
    rng = np.random.default_rng(3)
    x, dy = (tf.cast(rng.standard_normal((2, 9, 9, 16)), dtype) for _ in range(2))
    kernel = tf.cast(rng.standard_normal((3, 3, 16, 16)), dtype)
    spec = tf.TensorSpec(x.shape, dtype)
    by_x, by_kernel = gradients(x, kernel, dy, (rate, rate), "SAME", spec)
    y = atrous.convolve(x, kernel, (rate, rate), "SAME")
    want = gradients(*(tf.cast(value, "float32") for value in (x, kernel, dy)), (rate,) * 2, "SAME")
    whole = atrous.convolve(*(tf.cast(v, "float32") for v in (x, kernel)), (rate, rate), "SAME")
    for got, exact in zip((y, by_x, by_kernel), (whole, *want), strict=True):
        exact = np.array(exact)
        assert got.dtype == dtype
        # Up to nine taps, each rounded, and the sum.
        assert (
            np.abs(np.float32(got) - exact).max() < 10 * 2.0 ** -BITS[dtype] * np.abs(exact).max()
        )


def test_groups():
    rng = np.random.default_rng(4)
    x = rng.standard_normal((1, 9, 9, 6)).astype(np.float32)
    kernel = rng.standard_normal((3, 3, 3, 8)).astype(np.float32)
    pads = zeros_around(kernel.shape, (4, 4), "SAME")
    got = atrous.convolve(tf.constant(x), tf.constant(kernel), (4, 4), "SAME")
    halves = [
        expected(x[..., 3 * i : 3 * i + 3], kernel[..., 4 * i : 4 * i + 4], (4, 4), pads)
        for i in (0, 1)
    ]
    np.testing.assert_allclose(got, np.concatenate(halves, -1), atol=1e-5 * 9)


@pytest.mark.parametrize("runs", Runs)
def test_layers_with_groups_or_a_bias_run_anywhere(runs):
    rng = np.random.default_rng(6)
    x = tf.constant(rng.standard_normal((1, 9, 9, 8)).astype(np.float32))
    for ours, theirs, options in (
        (AtrousConv2D, keras.layers.Conv2D, {"filters": 8, "groups": 4, "use_bias": False}),
        (AtrousDepthwiseConv2D, keras.layers.DepthwiseConv2D, {"bias_initializer": "ones"}),
    ):
        if runs in (Runs.CONVERTED, Runs.LITERT) and ours is AtrousDepthwiseConv2D:
            continue  # which TensorFlow itself runs by oneDNN only
        layer, parent = (
            cls(kernel_size=3, padding="same", dilation_rate=3, **options) for cls in (ours, theirs)
        )
        parent.build(x.shape)
        layer.build(x.shape)
        layer.set_weights(parent.get_weights())
        with traced_for(runs):
            graph = tf.function(layer).get_concrete_function(tf.TensorSpec(x.shape))
        assert not [op.type for op in graph.graph.get_operations() if "SpaceTo" in op.type]
        if ours is AtrousDepthwiseConv2D:  # Keras' groups want oneDNN
            np.testing.assert_allclose(graph(x), parent(x), atol=1e-5)
        else:
            np.testing.assert_allclose(graph(x), layer(x), atol=1e-5)


@pytest.mark.parametrize(("side", "products"), [(33, 0), (9, 9), (None, 0)])
def test_litert_gets_no_padding_where_the_size_is_fixed(side, products):
    """On 33x33 at rate 3 nine tenths of the multiplications are of pixels; on 9x9 four tenths."""
    rng = np.random.default_rng(7)
    x = tf.constant(rng.standard_normal((1, side or 9, side or 9, 4)).astype(np.float32))
    layer = AtrousConv2D(8, 3, padding="same", dilation_rate=3 if side == 33 else 6)
    layer.build(x.shape)
    with traced_for(Runs.LITERT):
        graph = tf.function(layer).get_concrete_function(tf.TensorSpec((1, side, side, 4)))
    operations = [op.type for op in graph.graph.get_operations()]
    assert operations.count("MatMul") == products
    assert operations.count("Conv2D") == (not products)
    np.testing.assert_allclose(graph(x), layer(x), atol=1e-5)


@pytest.mark.parametrize("machine", OneDNN)
def test_an_empty_map_stays_empty(machine):
    kernel = tf.zeros((3, 3, 2, 4))
    with as_machine(machine):
        assert tf.size(atrous.convolve(tf.zeros((1, 0, 5, 2)), kernel, (4, 4), "SAME")) == 0


def test_the_same_bits_on_every_run():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((2, 33, 33, 32)).astype(np.float32)
    kernel = rng.standard_normal((3, 3, 32, 32)).astype(np.float32)
    arguments = (x, kernel, x, (12, 12), "SAME", tf.TensorSpec(x.shape))
    first = gradients(*arguments)
    for _ in range(3):
        for got, before in zip(gradients(*arguments), first, strict=True):
            np.testing.assert_array_equal(got, before)


@pytest.mark.parametrize("layer", [AtrousConv2D, AtrousDepthwiseConv2D])
def test_gradients_are_named_in_their_replicas_scope(layer):
    """Else a graph adds them up in another order on each replica."""
    filters = (4,) if layer is AtrousConv2D else ()
    convolution = layer(*filters, 3, padding="same", dilation_rate=2)
    convolution.build((2, 9, 9, 4))

    @tf.function
    def differentiated(x):
        with tf.name_scope("replica_1"), tf.GradientTape() as tape:
            tape.watch(x)
            y = convolution(x)
        return tape.gradient(y, [x, convolution.kernel])

    graph = differentiated.get_concrete_function(tf.TensorSpec((2, 9, 9, 4))).graph
    kinds = ("Backprop", "MatMul")
    names = [n.name for n in graph.get_operations() if any(kind in n.type for kind in kinds)]
    assert names
    assert [name for name in names if not re.match("(gradient_tape/)*replica_1/", name)] == []


def test_the_share_that_is_multiplied():
    """The paper's figure 4, of the ASPP at output_stride 16 on 33x33: 0.58 in the mean."""
    shares = []
    for rate in (6, 12, 18):
        pads = zeros_around((3, 3), (rate, rate), "SAME")
        shares.append(valid_share((1, 33, 33, 8), (3, 3, 8, 8), (rate, rate), pads))
        by_hand = ((33 + 2 * (33 - rate)) / 99) ** 2
        assert shares[-1] == pytest.approx(by_hand)
    assert np.mean(shares) == pytest.approx(0.58, abs=0.005)
    beyond = zeros_around((3, 3), (64, 64), "SAME")
    assert valid_share((1, 33, 33, 8), (3, 3, 8, 8), (64, 64), beyond) == pytest.approx(1 / 9)


@pytest.mark.parametrize(
    ("machine", "rate", "batch", "channels", "filters", "form"),
    [
        (OneDNN.OFF, 2, 1, 512, 512, Form.NATIVE),
        (OneDNN.OFF, 12, 1, 2048, 256, Form.TAPS),
        (OneDNN.OFF, 12, 4, 256, 2048, Form.REGIONS),
        (OneDNN.OFF, 12, None, 2048, 256, Form.TAPS),
        (OneDNN.AVX2, 1, 1, 256, 256, Form.TAPS),
        (OneDNN.AVX2, 6, 4, 2048, 256, Form.NATIVE),
        (OneDNN.AVX2, 18, 4, 2048, 256, Form.TAPS),
        (OneDNN.AVX512, 18, 1, 2048, 256, Form.NATIVE),
    ],
)
def test_the_form_follows_the_machine_and_the_shape(machine, rate, batch, channels, filters, form):
    with mock.patch.object(kernels, "onednn", lambda dtype: machine):
        pads = zeros_around((3, 3), (rate, rate), "SAME")
        shape, kernel = (batch, 33, 33, channels), (3, 3, channels, filters)
        assert best_form(shape, kernel, (rate, rate), pads, "float32") is form


def test_an_accelerator_has_the_native_operation_with_its_gradient():
    with mock.patch.object(kernels, "on_cpu", lambda: False):
        spec = tf.TensorSpec((4, 33, 33, 8))
        kernel = tf.constant(np.zeros((3, 3, 8, 8), np.float32))
        graph = tf.function(
            lambda x: atrous.convolve(x, kernel, (18, 18), "SAME")
        ).get_concrete_function(spec)
    assert [node.type for node in graph.graph.get_operations() if "Conv" in node.type] == ["Conv2D"]
    assert "IdentityN" not in [node.type for node in graph.graph.get_operations()]

"""Full int8: everything in integers, calibrated; what loses too much is reported, and mended."""

import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from support.random_model import random_picture, random_trained_model
from support.shared_data import SHARED

from deeplab_tf.artefacts.litert import (
    CONVOLUTIONS,
    dequantized,
    new_interpreter,
    open_interpreter,
    open_segmenter,
)
from deeplab_tf.artefacts.trained_model import TrainedModel
from deeplab_tf.config import Backbone, Experiment
from deeplab_tf.errors import DeeplabError
from deeplab_tf.export.convolutions import ConvolutionFile
from deeplab_tf.export.full_int8 import quantize_full
from deeplab_tf.export.images import ComparedImage
from deeplab_tf.export.layer_noise import noisiest_layers
from deeplab_tf.export.litert import Options, convert, export_litert, layer_names, write_litert
from deeplab_tf.export.operations import litert_operations
from deeplab_tf.export.ranges import measure
from deeplab_tf.export.tensors import TensorReader, layer_of
from deeplab_tf.images.classes import VOC
from deeplab_tf.images.frame import into_frame
from deeplab_tf.inference.predictor import load_predictor
from deeplab_tf.models import AtrousConv2D
from deeplab_tf.models.squeeze_excitation import squeeze_excitation
from deeplab_tf.weights.imported import build_network
from deeplab_tf.weights.tflite import read_tflite

SIZE = (33, 49)
PICTURES = [random_picture(*SIZE, seed) for seed in range(4)]
CALIBRATION = [ComparedImage(str(seed), picture) for seed, picture in enumerate(PICTURES)]
SPOILT = "block3_unit1_conv1"


@pytest.fixture(scope="module")
def mobile():
    return random_trained_model(
        backbone=Backbone.MOBILENET_V2,
        width_multiplier=0.25,
        channel_divisor=1,
        multi_grid=(1, 1, 1),
        aspp_rates=(),
        normalization="symmetric",
    )


@pytest.fixture(scope="module")
def mobile_int8(mobile):
    return convert(
        mobile, Options(image_size=SIZE, quantize="int8", outputs="labels"), calibration=CALIBRATION
    )[0]


@pytest.fixture(scope="module")
def spoilt():
    """The random network, one channel of which is a thousand times as loud in between: the same
    function, and int8 has one scale for all channels of a tensor."""
    trained = random_trained_model(backbone=Backbone.RESNET_SLIM)
    norm, after = (trained.model.get_layer(n) for n in (f"{SPOILT}_bn", "block3_unit1_conv2"))
    loud = np.ones(norm.gamma.shape, np.float32)
    loud[0] = 1000
    norm.gamma.assign(norm.gamma * loud)
    norm.beta.assign(norm.beta * loud)
    after.kernel.assign(after.kernel / loud[:, None])
    return trained


@pytest.fixture(scope="module")
def labelled(spoilt):
    """Pictures whose truth is what the network itself says: its mean IoU is 1."""
    pictures = [random_picture(*SIZE, seed) for seed in range(10, 13)]
    return [
        ComparedImage(str(i), p, np.asarray(spoilt.model(p[None]))[0].argmax(-1).astype(np.uint8))
        for i, p in enumerate(pictures)
    ]


@pytest.fixture(scope="module")
def spoilt_files(spoilt, tmp_path_factory):
    """The float file and the full int8 one that is made of it."""
    path = tmp_path_factory.mktemp("spoilt") / "a.tflite"
    float_file = write_litert(
        spoilt, path, Options(image_size=SIZE, quantize="int8"), calibration=CALIBRATION
    )
    return float_file, path.read_bytes()


def float_tensors(content):
    """Names of the float tensors that operations of the file read or write."""
    reader = TensorReader(content)
    used = {name for o in reader.operations for name in (*o.inputs, o.output)}
    return [name for name in used if reader.dtypes[name].kind == "f"]


def test_pixels_go_in_as_bytes_and_no_tensor_is_float(mobile_int8, spoilt_files, tmp_path):
    both = (spoilt_files[1], ["labels", "logits"])
    for content, outputs in ((mobile_int8, ["labels"]), both):
        assert float_tensors(content) == []
        (tmp_path / "a.tflite").write_bytes(content)
        interpreter = open_interpreter(tmp_path / "a.tflite")
        signature = {"inputs": ["images"], "outputs": outputs}
        assert interpreter.get_signature_list() == {"serving_default": signature}
        (image,) = interpreter.get_input_details()
        assert (image["dtype"], image["quantization"]) == (np.uint8, (1.0, 0))
        types = {len(d["shape"]): d["dtype"] for d in interpreter.get_output_details()}
        assert types == {3: np.int32} | ({4: np.uint8} if "logits" in outputs else {})


def test_operations_are_builtin_and_native(mobile_int8):
    operations = litert_operations(mobile_int8)
    assert operations == {
        "QUANTIZE": 1,  # uint8 to int8
        "MUL": 1,
        "CONV_2D": 1 + 16 + 17 + 4,
        "DEPTHWISE_CONV_2D": 17,
        "ADD": 1 + 10,
        "MEAN": 1,
        "BROADCAST_TO": 1,
        "CONCATENATION": 1,
        "RESIZE_BILINEAR": 1,
        "ARG_MAX": 1,
    }


def test_weights_have_a_scale_a_channel(mobile_int8, tmp_path):
    (tmp_path / "a.tflite").write_bytes(mobile_int8)
    interpreter = open_interpreter(tmp_path / "a.tflite", delegates=False)
    tensors = {t["index"]: t for t in interpreter.get_tensor_details()}
    for operation in interpreter._get_ops_details():
        if operation["op_name"] in CONVOLUTIONS:
            kernel = tensors[operation["inputs"][1]]
            channels = tensors[operation["outputs"][0]]["shape"][-1]
            assert kernel["dtype"] == np.int8
            assert kernel["quantization_parameters"]["scales"].size == channels


def test_ranges_are_those_of_the_images_and_each_tensors_own(spoilt, spoilt_files):
    """The range of an addition's inputs is not that of the sum."""
    reader = TensorReader(spoilt_files[0])
    ranges = measure(reader, CALIBRATION).ranges(narrow=False)
    assert ranges[reader.input] == (0.0, 255.0)
    layers = layer_names(spoilt)
    by_layer = {layer_of(o.output, layers): o.output for o in reader.operations}
    # Keras' own tensors, of the same pictures.
    for name, inside in (("block3_unit2_conv3", "_bn"), ("block3_unit2", "_relu")):
        layer = f"{name}{inside}"
        tensor = by_layer.get(layer) or by_layer[name]
        part = type(spoilt.model)(spoilt.model.input, spoilt.model.get_layer(layer).output)
        values = np.asarray(part(np.stack(PICTURES), training=False))
        assert ranges[tensor] == pytest.approx((values.min(), values.max()), rel=1e-3, abs=1e-3)


def test_the_spoilt_layer_is_named_first(spoilt, spoilt_files):
    noisiest = noisiest_layers(*spoilt_files, layer_names(spoilt), PICTURES[:2])
    assert len(noisiest) == 5
    added = [noise.added for noise in noisiest]
    assert added == sorted(added, reverse=True)
    assert noisiest[0].layer == "block3_unit1_conv2"
    assert noisiest[0].signal_to_noise < 10


def test_too_much_loss_fails_names_layers_and_leaves_no_file(spoilt, labelled, tmp_path):
    with pytest.raises(DeeplabError, match="is not published: its mean IoU on 3 images is") as e:
        export_litert(
            spoilt,
            tmp_path / "a.tflite",
            labelled,
            Options(image_size=SIZE, quantize="int8"),
            calibration=labelled,
        )
    assert re.search("the layers that lose most: block3_unit1_conv2, .*--keep_float", str(e.value))
    assert list(tmp_path.iterdir()) == []


def test_kept_layers_are_float_and_mend_it(spoilt, spoilt_files, labelled, tmp_path):
    kept = convert(
        spoilt,
        Options(image_size=SIZE, quantize="int8", keep_float=["block3_unit1_conv[12]"]),
        calibration=CALIBRATION,
    )[0]
    reader, layers = TensorReader(kept), layer_names(spoilt)
    floats = {
        layer_of(o.output, layers)
        for o in reader.operations
        if o.kind in CONVOLUTIONS and reader.dtypes[o.output] == np.float32
    }
    assert floats == {"block3_unit1_conv1", "block3_unit1_conv2"}
    agreement = []
    for name, content in (("int8", spoilt_files[1]), ("kept", kept)):
        (tmp_path / name).write_bytes(content)
        run = open_segmenter(tmp_path / name).run
        equal = [np.mean(run(p.image[None])[0][0] == p.mask) for p in labelled]
        agreement.append(np.mean(equal))
    assert agreement[1] > agreement[0] + 0.1


def test_all_layers_kept_are_the_network_and_published_with_the_report(spoilt, labelled, tmp_path):
    exported = export_litert(
        spoilt,
        tmp_path / "model_int8.tflite",
        labelled,
        Options(image_size=SIZE, quantize="int8", outputs="labels", keep_float=[".*"]),
        calibration=labelled[:2],
    )
    report = json.loads(exported.report.read_text())
    assert report["quantize"] == "int8" and report["outputs"] == "labels"
    assert report["image_size"] == list(SIZE)
    assert report["calibration_images"] == 2 and report["keep_float"] == [".*"]
    assert report["calibration_images_compared"] == 2  # the first two of the three
    assert report["mean_iou"]["keras"] == 1.0
    assert 0.999 < report["mean_iou"]["artefact"] <= 1.0
    assert report["mean_iou_loss"] == 1.0 - report["mean_iou"]["artefact"]
    assert (report["threshold"], report["largest_mean_iou_loss"]) == (None, 0.01)
    assert report["layers_that_lose_most"] == [] == list(exported.noisiest)
    picture = labelled[0]
    labels = load_predictor(exported.artefact).predict(picture.image[None])[0]
    assert np.mean(labels == picture.mask) > 0.999


def test_a_pattern_that_fits_nothing_and_no_images_are_refused(spoilt, spoilt_files):
    layers = layer_names(spoilt)
    with pytest.raises(DeeplabError, match=r"--keep_float=conv must fit the whole name .* conv1, "):
        quantize_full(spoilt_files[0], layers, CALIBRATION, ["conv"])
    with pytest.raises(DeeplabError, match="no image to calibrate int8 on"):
        quantize_full(spoilt_files[0], layers, [])


def test_numbers_that_are_none_are_not_calibrated_on():
    @tf.function(input_signature=[tf.TensorSpec((1, 4, 5, 3), tf.float32)])
    def of_negative(image):
        return tf.math.log(image - 1)

    concrete = of_negative.get_concrete_function()
    content = tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()
    with pytest.raises(DeeplabError, match="is not finite; train the model anew"):
        measure(TensorReader(content), [ComparedImage("", np.zeros((4, 5, 3), np.uint8))])


def test_a_tensor_that_is_always_zero_leaves_a_file_that_runs():
    """A squeeze whose ReLU lets nothing through; its own range would be of no width."""
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 20, 3))
    x = AtrousConv2D(8, 3, padding="same", name="conv1")(image)
    x = squeeze_excitation(x, 4, name="se")
    model = keras.Model(image, AtrousConv2D(3, 1, name="logits")(x))
    model.get_layer("se_squeeze").bias.assign([-1e4] * 4)
    model.get_layer("se_excite").bias.assign(np.linspace(-2, 2, 8))

    @tf.function(input_signature=[tf.TensorSpec((1, 16, 20, 3), tf.float32, name="images")])
    def serve(images):
        return {"logits": model(images)}

    converter = tf.lite.TFLiteConverter.from_concrete_functions([serve.get_concrete_function()])
    pictures = [random_picture(16, 20, seed) for seed in range(3)]
    names = [layer.name for layer in model.layers]
    content = in_integers(converter.convert(), names, pictures)
    for picture in pictures:
        expected = model(picture[None].astype(np.float32)).numpy()
        off = np.abs(logits_of(content, picture) - expected).max()
        assert expected.std() > 1 and off < 0.1 * np.ptp(expected)


def in_integers(float_file, layers, pictures):
    return quantize_full(float_file, layers, [ComparedImage("", each) for each in pictures])


def logits_of(content, picture):
    interpreter = new_interpreter(model_content=content)
    (given,), (found,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.set_tensor(given["index"], picture[None].astype(given["dtype"]))
    interpreter.invoke()
    return dequantized(interpreter.get_tensor(found["index"]), found)


def drawn_kernels(*shapes):
    rng = np.random.default_rng(0)
    return [rng.normal(0, 0.3, shape).astype(np.float32) for shape in shapes]


def converted(network):
    """The float file of a function from float32 [1, 16, 20, 3] to logits."""

    @tf.function(input_signature=[tf.TensorSpec((1, 16, 20, 3), tf.float32, name="images")])
    def serve(images):
        return {"logits": network(images / 127.5 - 1)}

    concrete = serve.get_concrete_function()
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()


@pytest.mark.parametrize("loudness", [1e-6, 1e-42])
def test_a_dead_channel_keeps_its_bias(loudness):
    """The bias is more than int32 holds in steps that would fit such weights."""
    first, last = drawn_kernels((3, 3, 3, 4), (1, 1, 4, 3))
    first[..., 0] *= loudness
    first[..., 1] = 0
    bias = np.float32([1, 0, 0.2, -0.1])

    def network(x):
        return tf.nn.conv2d(tf.nn.relu6(tf.nn.conv2d(x, first, 1, "SAME") + bias), last, 1, "SAME")

    float_file = converted(lambda x: network(x) + 0.3)
    pictures = [random_picture(16, 20, seed) for seed in range(3)]
    found = logits_of(in_integers(float_file, ["logits"], pictures), pictures[0])
    expected = logits_of(float_file, pictures[0])
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.02 < 0.3 < expected.std()


def test_convolutions_that_share_a_kernel_keep_it():
    first, shared = drawn_kernels((3, 3, 3, 4), (3, 3, 4, 4))

    def network(x):
        x = tf.nn.relu6(tf.nn.conv2d(x, first, 1, "SAME") + 0.1)
        x = tf.nn.relu6(tf.nn.conv2d(x, shared, 1, "SAME") + 3.0)
        return tf.nn.conv2d(x, shared, 1, "SAME") - 1.0

    float_file = converted(network)
    pictures = [random_picture(16, 20, seed) for seed in range(3)]
    content = in_integers(float_file, ["logits"], pictures)
    file = ConvolutionFile(content)
    assert len({c.tensors[1] for c in file.convolutions}) == 2  # of three
    nearest = drawn_kernels((3, 3, 3, 4), (3, 3, 4, 4))[1].transpose(3, 0, 1, 2).reshape(4, -1)
    steps = np.abs(nearest).max(axis=1, keepdims=True) / 127
    np.testing.assert_array_equal(file.weights(file.convolutions[1]), np.round(nearest / steps))
    expected = logits_of(float_file, pictures[0])
    assert np.abs(logits_of(content, pictures[0]) - expected).max() < 0.05 * np.ptp(expected)


@pytest.mark.parametrize(
    ("tensor", "layer"),
    [
        ("deeplabv3_1/conv1_1_relu_1/Relu;deeplabv3_1/conv1_1_bn_1/Fused", "conv1_1"),
        ("deeplabv3_1/conv1_1/convolution", "conv1_1"),
        ("deeplabv3/block1_unit1_relu/Relu;deeplabv3/block1_unit1_add/Add", "block1_unit1_relu"),
        ("deeplabv3_2/logits_12/BiasAdd", "logits"),
        ("StatefulPartitionedCall:0", None),
    ],
)
def test_layers_of_tensors(tensor, layer):
    layers = ["conv1_1", "conv1_1_bn", "conv1_1_relu", "block1_unit1_relu", "logits"]
    assert layer_of(tensor, layers) == layer


MODELS = SHARED.parent / "models"


@pytest.mark.skipif(not MODELS.is_dir(), reason=f"no released models in {MODELS}")
def test_a_trained_network_keeps_its_labels(tmp_path):
    imported = read_tflite(MODELS / "deeplabv3_257_mv_gpu.tflite")
    model, _ = build_network(imported, "file")
    experiment = Experiment(model=imported.model_config)
    grey = np.full(3, 128, np.uint8)
    photos = [
        into_frame(np.asarray(Image.open(file).convert("RGB")), (257, 257), grey)[0][0]
        for file in sorted((MODELS / "photos").glob("*_segmentation.bmp"))
    ]
    assert photos
    exported = export_litert(
        TrainedModel(model, experiment, VOC),
        tmp_path / "a.tflite",
        [ComparedImage(str(i), photo) for i, photo in enumerate(photos)],
        Options(image_size=(257, 257), quantize="int8", outputs="labels"),
        calibration=[ComparedImage("", photo) for photo in photos],
    )
    assert exported.parity.label_agreement > 0.97

"""LiteRT, ONNX and OpenVINO files of networks for other bands and bits, from files to labels."""

import numpy as np
import pytest
import tifffile
from PIL import Image
from support.geo_files import PLACE_OF_TAGS, place_of, write_geotiff
from support.random_model import random_bands, random_trained_model

from deeplab_tf.artefacts.litert import open_interpreter, run_on_zeros
from deeplab_tf.config import Backbone
from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.errors import DeeplabError
from deeplab_tf.export.export_model import export_model
from deeplab_tf.export.images import ComparedImage
from deeplab_tf.export.litert import Options, convert
from deeplab_tf.export.operations import litert_operations
from deeplab_tf.export.parity import THRESHOLDS
from deeplab_tf.export.tensors import TensorReader
from deeplab_tf.images.bands import read_image_of
from deeplab_tf.images.frame import into_frame
from deeplab_tf.inference.predictor import load_predictor
from deeplab_tf.prediction.predict_images import predict_images

FORMATS = {
    # One band of small numbers among large ones, as of an elevation beside reflectances.
    "sixteen": ImageFormat(4, 16, (9000.0, 300.0, 21000.0, 12000.0), (4000.0, 40.0, 9000.0, 5e3)),
    "floats": ImageFormat(2, 32, (0.3, -4.0), (0.1, 2.0)),
    "bytes": ImageFormat(5, 8, (90.0, 120.0, 10.0, 130.0, 60.0), (40.0, 50.0, 2.0, 55.0, 20.0)),
}
SIZE = (49, 65)


@pytest.fixture(scope="module", params=["sixteen", "floats"])
def network(request):
    image_format = FORMATS[request.param]
    return random_trained_model(
        backbone=Backbone.RESNET_TINY, multi_grid=(2,), image_format=image_format
    )


def expected_logits(network, image):
    return np.asarray(network.model(image[None]))[0]


def assert_equal(found, expected):
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.fixture(scope="module")
def scenes(network, tmp_path_factory):
    """A folder of GeoTIFFs of the network's format: one of the size of the file, one larger."""
    folder = tmp_path_factory.mktemp("scenes")
    for index, size in enumerate((SIZE, (90, 70))):
        write_geotiff(folder / f"{index}.tif", random_bands(*size, network.image_format, index))
    return folder


@pytest.fixture(scope="module")
def litert(network, scenes, tmp_path_factory):
    """The LiteRT file of one size."""
    return export_model(
        network, tmp_path_factory.mktemp("edge"), "litert", images=scenes, image_size=SIZE
    )


def check_file(exported, network, scenes, out):
    """The file was exported on GeoTIFFs; deeplab-predict's function labels one by it."""
    assert exported.parity.images == 2 and exported.parity.label_agreement >= 0.999
    predictor = load_predictor(exported.artefact, lambda _: None)
    assert predictor.image_format == network.image_format
    image = tifffile.imread(scenes / "0.tif")
    assert image.dtype == network.image_format.dtype
    scores = predictor.scores(image[None]).values[0]
    assert_equal(scores, expected_logits(network, image))
    assert predict_images(predictor, [scenes / "0.tif"], out) == []
    assert place_of(out / "0.tif") == PLACE_OF_TAGS
    np.testing.assert_array_equal(tifffile.imread(out / "0.tif"), scores.argmax(axis=-1))


def test_a_litert_file_takes_the_numbers_as_they_are(litert, network, scenes, tmp_path):
    check_file(litert, network, scenes, tmp_path)


@pytest.mark.parametrize(
    ("format", "network"),
    [("onnx", "sixteen"), ("openvino", "sixteen"), ("openvino", "floats")],
    indirect=["network"],
)
def test_files_of_any_size_take_them_too(format, network, scenes, tmp_path):
    exported = export_model(network, tmp_path / "out", format, images=scenes)
    check_file(exported, network, scenes, tmp_path / "predicted")


@pytest.mark.parametrize("image_format", FORMATS.values(), ids=FORMATS)
def test_a_larger_image_is_shrunk_into_a_frame_as_pillow_shrinks_one_band(image_format):
    image, mean = random_bands(90, 70, image_format), image_format.mean_pixel
    framed, inner = into_frame(image, SIZE, mean)
    assert inner == (49, 38) and framed.dtype == image.dtype
    padding = np.broadcast_to(mean, (49, 27, image.shape[-1]))
    np.testing.assert_array_equal(framed[0, :, 38:], padding)
    for band in range(image.shape[-1]):
        alone = Image.fromarray(image[..., band].astype(np.float32))
        small = np.asarray(alone.resize((38, 49), Image.Resampling.BILINEAR))
        within = 0.501 if image.dtype.kind == "u" else 1e-4
        np.testing.assert_allclose(framed[0, :, :38, band], small, atol=within, rtol=1e-6)


def test_the_predictor_shrinks_and_pads_so_for_a_litert_file(litert, network, scenes):
    image = read_image_of(scenes / "1.tif", network.image_format)
    framed, _ = into_frame(image, SIZE, network.image_format.mean_pixel)
    predictor = load_predictor(litert.artefact, lambda _: None)
    scores = predictor.scores(image[None]).values[0]
    assert_equal(scores, expected_logits(network, framed[0])[:, :38])
    assert predictor.predict(image[None]).shape == (1, 90, 70)
    run_on_zeros(litert.artefact, (1, 1))


def test_int8_normalises_in_float32_and_computes_in_integers(
    network, scenes, tmp_path, monkeypatch
):
    monkeypatch.setitem(THRESHOLDS, "int8", 0.6)  # a random network has no margin between classes
    options = {"image_size": SIZE, "quantize": "int8", "parity_images": 1}
    exported = export_model(network, tmp_path, "litert", images=scenes, **options)
    interpreter = open_interpreter(exported.artefact, delegates=False)
    (taken,) = interpreter.get_input_details()
    assert (taken["dtype"], taken["quantization"]) == (network.image_format.dtype, (0.0, 0))
    kinds = [operation["op_name"] for operation in interpreter._get_ops_details()]
    assert (
        kinds[:4]
        == [
            *(["CAST"] if network.image_format.bits < 32 else []),
            *("MUL", "ADD", "QUANTIZE", "CONV_2D"),
        ][:4]
    )
    details = {d["index"]: d["dtype"] for d in interpreter.get_tensor_details()}
    for operation in interpreter._get_ops_details():
        if operation["op_name"] == "CONV_2D":
            assert [details[i] for i in operation["inputs"][:2]] == [np.int8, np.int8]
    image = tifffile.imread(scenes / "0.tif")
    scores = load_predictor(exported.artefact, lambda _: None).scores(image[None]).values[0]
    expected = expected_logits(network, image)
    noise = np.linalg.norm(scores - expected) / np.linalg.norm(expected - expected.mean((0, 1)))
    assert noise < 0.5


def test_int8_of_bands_that_need_no_normalising():
    """The converter leaves nothing of the first layer, which would stay float."""
    image_format = ImageFormat(2, 32, (0.0, 0.0), (1.0, 1.0))
    network = random_trained_model(
        backbone=Backbone.RESNET_TINY, multi_grid=(1,), image_format=image_format
    )
    pictures = [ComparedImage("", random_bands(*SIZE, image_format, i)) for i in range(4)]
    content, float_file = convert(network, Options(SIZE, "int8", "logits"), pictures)
    assert float_file is not None and litert_operations(float_file)["MUL"] == 0
    image = random_bands(*SIZE, image_format, 9)
    reader = TensorReader(content)
    assert reader.dtypes[reader.input] == np.float32
    found = reader.run(image)(reader.operations[-1].output)[0]
    expected = expected_logits(network, image)
    assert np.mean(found.argmax(-1) == expected.argmax(-1)) > 0.9


def test_images_of_another_format_are_refused(litert, network, scenes, tmp_path):
    Image.new("RGB", (20, 20)).save(tmp_path / "photo.png")
    predictor = load_predictor(litert.artefact, lambda _: None)
    (failed,) = predict_images(predictor, [tmp_path / "photo.png"], tmp_path / "out")
    assert f"must have {network.image_format}" in str(failed)
    said = f"takes RGB images, and this model {network.image_format}"
    with pytest.raises(DeeplabError, match=said):
        export_model(network, tmp_path / "page", "web", images=scenes)

"""The page's folder: what is in it, what it says of the model, and what is refused."""

import dataclasses
import json
import re
import shutil
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from deeplab_tf.artefacts.description import DESCRIPTION, describe
from deeplab_tf.config import Experiment, ModelConfig
from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.errors import DeeplabError
from deeplab_tf.export import web_page
from deeplab_tf.export.litert import Options
from deeplab_tf.export.litert_js import CORE, cache_folder, litert_js_files
from deeplab_tf.export.operations import custom_operations, refuse_custom_operations
from deeplab_tf.export.self_check import drawn_picture
from deeplab_tf.export.web_page import PAGE, cache_list, export_web, page_facts

SIZE = (65, 81)
RUNTIME = {
    f"litert_wasm{kind}_internal.{end}": b"" for kind in ("", "_compat") for end in ("js", "wasm")
}


@pytest.fixture(scope="module", autouse=True)
def _runtime():
    """A stand-in for the 28 MB of LiteRT.js, which these tests do not run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(web_page, "litert_js_files", lambda folder: RUNTIME)
        yield


@pytest.fixture(scope="module")
def exported(trained, pictures, tmp_path_factory):
    out = tmp_path_factory.mktemp("web") / "page"
    return export_web(trained, out, pictures, Options(image_size=SIZE, quantize="float16"))


@pytest.fixture(scope="module")
def facts(exported):
    return json.loads((exported.artefact / "model.json").read_text())


@pytest.fixture
def converted_once(exported, monkeypatch):
    """The LiteRT file and the report of each page are those of `exported`, copied."""

    def copy(trained, file, images, options):
        shutil.copy(exported.artefact / "model_float16.tflite", file)
        report = shutil.copy(exported.report, file.with_name("parity.json"))
        return dataclasses.replace(exported, artefact=file, report=report)

    monkeypatch.setattr(web_page, "export_litert", copy)


def files_of(folder):
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


def test_the_folder_is_the_page_the_model_and_the_runtime(exported):
    made = {"model_float16.tflite", "model.json", "cache_list.js"}
    runtime = {f"litert/{name}" for name in RUNTIME}
    assert files_of(exported.artefact) == files_of(PAGE) | made | runtime
    assert "Apache License" in (exported.artefact / "litert" / "LICENSE.txt").read_text()
    sizes = [(exported.artefact / file).stat().st_size for file in files_of(exported.artefact)]
    assert exported.size_bytes == sum(sizes)


def test_the_report_lies_beside_and_nothing_public_names_an_image(exported, pictures):
    assert exported.report == exported.artefact.with_name("page.parity.json")
    report = json.loads(exported.report.read_text())
    assert (report["artefact"], report["images"]) == ("model_float16.tflite", len(pictures))
    assert report["largest_logit_difference_at"]["image"] in {picture.name for picture in pictures}
    assert not list(exported.artefact.rglob("*parity*"))


def test_model_json_says_what_the_file_says_of_itself(trained, exported, facts):
    file = exported.artefact / "model_float16.tflite"
    assert facts["file"] == file.name
    assert facts["bytes"] == file.stat().st_size
    assert [entry["name"] for entry in facts["classes"]] == list(trained.classes.names)
    assert [tuple(entry["color"]) for entry in facts["classes"]] == list(trained.classes.palette)
    assert facts["background"] == 0
    # The mean pixel of the original DeepLab, rounded, which the network sees as zero.
    assert facts["input"] == {
        "name": "images",
        "height": 65,
        "width": 81,
        "pad": [123, 116, 103],
        "longest": None,
    }
    described = json.loads(describe(trained.experiment, trained.classes))
    assert facts["normalization"] == described["normalization"]


def test_what_a_browser_must_compute_is_what_the_keras_model_computes(trained, facts):
    logits = np.asarray(trained.model(drawn_picture(*SIZE)[None]))[0]
    check = facts["check"]
    assert len(check["index"]) == 16 * len(trained.classes.names)
    expected = logits.ravel()[check["index"]]
    largest = np.abs(expected).max()
    np.testing.assert_allclose(check["logits"], expected, atol=0.02 * largest)  # float16 weights
    assert np.ptp(check["logits"]) > largest  # places and classes differ by more than is allowed


def test_a_first_class_that_is_no_background_is_coloured(trained, exported, tmp_path):
    file = tmp_path / "model.tflite"
    content = (exported.artefact / "model_float16.tflite").read_bytes()
    text = describe(trained.experiment, trained.classes).replace('"background"', '"sky"')
    file.write_bytes(content[: zip_start(content)])
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(DESCRIPTION, text)
    facts = page_facts(file)
    assert facts["background"] is None
    assert facts["classes"][0]["name"] == "sky"


def zip_start(content):
    return content.index(b"PK\x03\x04")


def test_nothing_is_loaded_from_elsewhere_and_no_script_stands_in_the_page(exported):
    not_loaded = [
        "http://www.w3.org/2000/svg",
        "http://localhost:8000",
        "http://ns.adobe.com/xap/1.0/",  # the head of an XMP packet
    ]
    for name in files_of(PAGE) - {"litert/LICENSE.txt"}:
        text = (exported.artefact / name).read_text()
        for address in not_loaded:
            text = text.replace(address, "")
        assert not re.search(r"""https?:|wss?:|["'(]//""", text), name
    html = (exported.artefact / "index.html").read_text()
    policy = re.search('http-equiv="Content-Security-Policy" content="([^"]+)"', html)[1]
    assert "default-src 'none'; script-src 'self' 'wasm-unsafe-eval';" in policy
    assert "unsafe-inline" not in policy
    assert re.findall(r"<script\b.*?</script>", html, re.DOTALL) == [
        '<script type="module" src="app.js"></script>'
    ]
    assert not re.search(r"""<style|\son\w+=|\sstyle=""", html)


def test_every_file_that_is_named_is_there_and_kept(exported):
    names = files_of(exported.artefact)
    named = set()
    for file in names:
        if file.endswith((".html", ".js", ".webmanifest")) and not file.startswith("litert/"):
            text = (exported.artefact / file).read_text()
            named |= set(
                re.findall(r'(?:from|import\(|src=|href=|"src":) ?"(?:\./)?([^"]+)"', text)
            )
    assert named > {"app.js", "style.css", "icon.svg", "frame.js", "litert/index.js"}
    assert named - {"litert/index.js"} <= names  # that is in the real runtime
    kept = json.loads(re.search(r"FILES = (\[.*?\]);", cache_list(exported.artefact), re.DOTALL)[1])
    assert set(kept) == names - {"cache_list.js"}


def test_another_file_is_another_version(exported, tmp_path):
    def version():
        return cache_list(tmp_path).splitlines()[0]

    (tmp_path / "model.json").write_text("{}")
    first = version()
    assert first == version()
    (tmp_path / "model.json").write_text("{ }")
    assert version() != first


def test_a_page_is_replaced_and_other_folders_are_not(trained, pictures, converted_once, tmp_path):
    page = tmp_path / "page"
    (page / "litert").mkdir(parents=True)
    for name in ("model.json", "left_over.js"):
        (page / name).write_text('{"file": 0, "classes": 0, "runtime": 0}')
    (page / "cache_list.js").write_text(cache_list(page))
    export_web(trained, page, pictures, Options(image_size=SIZE))
    assert (page / "model.tflite").is_file()
    assert not (page / "left_over.js").exists()
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "thesis.tex").touch()
    for out, message in (("own", "own would be replaced"), ("own/thesis.tex", "is a file")):
        with pytest.raises(DeeplabError, match=message):
            export_web(trained, tmp_path / out, pictures, Options(image_size=SIZE))
    assert files_of(tmp_path / "own") == {"thesis.tex"}


def test_a_failure_keeps_the_earlier_page(trained, pictures, converted_once, tmp_path, monkeypatch):
    page = tmp_path / "page"
    (page / "litert").mkdir(parents=True)
    (page / "model.json").write_text('{"file": 0, "classes": 0, "runtime": 0}')
    (page / "cache_list.js").write_text(cache_list(page))

    def refuse(*_):
        raise DeeplabError("no")

    monkeypatch.setattr(web_page, "page_facts", refuse)
    with pytest.raises(DeeplabError, match="no"):
        export_web(trained, page, pictures, Options(image_size=(33, 33)))
    assert [path.name for path in tmp_path.iterdir()] == ["page"]
    assert files_of(page) == {"model.json", "cache_list.js"}


def converted(function, dtype=tf.uint8, **options):
    """A LiteRT file of a function of one 9x9 image, with a signature as ours."""
    signature = [tf.TensorSpec((1, 9, 9, 3), dtype, name="images")]
    concrete = tf.function(function, input_signature=signature).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module())
    for name, value in options.items():
        setattr(converter, name, value)
    return converter.convert()


def test_operations_that_a_browser_lacks_are_refused(exported):
    of_tensorflow = tf.lite.TargetSpec(
        supported_ops=[tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    )
    content = converted(
        lambda images: {"x": tf.bitwise.bitwise_and(images, 7)}, target_spec=of_tensorflow
    )
    assert custom_operations(content) == ["FlexBitwiseAnd"]
    content = converted(
        lambda images: {"x": tf.math.zeta(images, 2.0)}, tf.float32, allow_custom_ops=True
    )
    assert custom_operations(content) == ["Zeta"]
    with pytest.raises(DeeplabError, match=r"it has operations that are not .*: Zeta; a page"):
        refuse_custom_operations(content, "it")
    assert custom_operations((exported.artefact / "model_float16.tflite").read_bytes()) == []


@pytest.mark.parametrize(
    ("function", "dtype"),
    [
        (lambda x: {"labels": tf.argmax(x, -1, tf.int32), "logits": x}, tf.float32),
        (
            lambda x: {"labels": tf.argmax(x, -1, tf.int64), "logits": tf.cast(x, tf.float32)},
            tf.uint8,
        ),
        (lambda x: {"labels": tf.argmax(x, -1, tf.int32)}, tf.uint8),
    ],
)
def test_tensors_that_a_browser_cannot_hand_over_are_refused(trained, tmp_path, function, dtype):
    file = tmp_path / "model.tflite"
    file.write_bytes(converted(function, dtype))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(DESCRIPTION, describe(trained.experiment, trained.classes))
    with pytest.raises(DeeplabError, match="from uint8 pixels to labels .* Received: {"):
        page_facts(file)


def test_a_model_of_other_bands_is_refused_before_anything_is_written(trained, pictures, tmp_path):
    bands = Experiment(model=ModelConfig(image_format=ImageFormat(4, 8, (0.0,) * 4, (1.0,) * 4)))
    trained = dataclasses.replace(trained, experiment=bands)
    with pytest.raises(DeeplabError, match="takes RGB images, and this model 4 bands"):
        export_web(trained, tmp_path / "page", pictures, Options(image_size=SIZE))
    assert list(tmp_path.iterdir()) == []


def test_the_stand_in_has_the_names_of_the_real_runtime():
    if not (cache_folder() / CORE).is_file():
        pytest.skip("LiteRT.js has not been fetched; make web-test does")
    names = litert_js_files().keys()
    assert names > RUNTIME.keys()
    assert {"index.js", "wasm_utils.js"} < names

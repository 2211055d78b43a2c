"""TensorFlow Serving's REST form: the SavedModel's answers, its state, and wrong requests."""

import asyncio
import json

import numpy as np
import pytest
from PIL import Image
from support.random_model import random_picture
from support.serving_requests import (
    PREDICT,
    ask,
    b64,
    client,
    encode,
    metric,
    png_that_claims,
    rows,
)

from deeplab_tf.serving.limits import Limits
from deeplab_tf.serving.refusal import MAX_MESSAGE
from deeplab_tf.serving.service import Service

PICTURES = np.stack([random_picture(33, 47, seed) for seed in range(3)])
ENCODED = [encode(picture) for picture in PICTURES]
JPEG = encode(PICTURES[0], "JPEG")


@pytest.fixture(scope="module")
def service(model):
    """One for all, since TensorFlow prepares itself in each service's thread anew."""
    return Service(model, Limits(max_pixels=100_000))


def pixel_forms():
    """The ways to give pixels: (body, whether the answer is by row)."""
    pixels = PICTURES.tolist()
    yield {"instances": pixels}, True
    yield {"instances": [{"images": picture} for picture in pixels]}, True
    yield {"inputs": pixels}, False
    yield {"inputs": {"images": pixels}, "signature_name": "serving_default"}, False
    yield {"instances": pixels, "signature_name": ""}, True


def byte_forms():
    images = [b64(data) for data in ENCODED]
    for form in (
        {"instances": images},
        {"instances": [{"image_bytes": image} for image in images]},
        {"inputs": images},
        {"inputs": {"image_bytes": images}},
    ):
        yield {**form, "signature_name": "image_bytes"}, "instances" in form


FORMS = [("serving_default", *form) for form in pixel_forms()]
FORMS += [("image_bytes", *form) for form in byte_forms()]


@pytest.mark.parametrize(("signature", "body", "by_row"), FORMS)
def test_answers_are_the_saved_models_to_the_bit(signature, body, by_row, service, reference):
    answer = ask(service, "POST", PREDICT, json=body)
    assert answer.status_code == 200, answer.text
    expected = reference(signature, PICTURES if signature == "serving_default" else ENCODED)
    (form,) = answer.json()
    assert form == ("predictions" if by_row else "outputs")
    for name, array in expected.items():
        told = answer.json()[form]
        told = [row[name] for row in told] if by_row else told[name]
        np.testing.assert_array_equal(np.array(told, array.dtype), array)
    assert len(np.unique(expected["labels"])) > 2


def test_a_turned_photograph_is_labelled_upright(service, reference):
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = encode(PICTURES[0], "JPEG", exif=exif)
    answer = ask(service, "POST", PREDICT, content=rows(photo))
    labels = np.array(answer.json()["predictions"][0]["labels"])
    assert labels.shape == (47, 33)
    np.testing.assert_array_equal(labels, reference("image_bytes", [photo])["labels"][0])


@pytest.mark.parametrize(
    "inputs",
    [
        ["x" * 20_000, *[""] * 100_000],  # as an array 8 GB
        [[[["1", 2, 3]]]],
        [[[[True, 2, 3]]]],
        [[[[1.5, 2, 3]]]],
        [[[[None, 2, 3]]]],
    ],
)
def test_pixels_that_are_no_whole_numbers_make_no_array(inputs, service):
    answer = ask(service, "POST", PREDICT, json={"inputs": inputs})
    assert answer.status_code == 400
    assert "must be whole numbers from 0 to 255" in answer.json()["error"]


@pytest.mark.parametrize("version", ["x", "9" * 5000, "-1"])
def test_versions_that_are_no_numbers_are_not_found(version, service):
    answer = ask(service, "GET", f"/v1/models/street/versions/{version}")
    assert answer.status_code == 404 and answer.json()["error"]


def test_the_model_tells_its_state_and_signatures(service):
    for path in ("/v1/models/street", "/v1/models/street/versions/3"):
        (version,) = ask(service, "GET", path).json()["model_version_status"]
        assert version == {
            "version": "3",
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }
        answer = ask(service, "GET", path + "/metadata").json()
        assert answer["model_spec"] == {"name": "street", "signature_name": "", "version": "3"}
        signatures = answer["metadata"]["signature_def"]["signature_def"]
        images = signatures["serving_default"]["inputs"]["images"]
        assert images["dtype"] == "DT_UINT8"
        sizes = [dim["size"] for dim in images["tensor_shape"]["dim"]]
        assert sizes == ["-1", "-1", "-1", "3"]
        assert signatures["image_bytes"]["outputs"]["labels"]["dtype"] == "DT_UINT8"
        predicted = ask(service, "POST", path + ":predict", content=rows(JPEG))
        assert predicted.status_code == 200


def test_the_server_is_ready_once_it_is_warm(model):
    service = Service(model, Limits())
    assert ask(service, "GET", "/healthz").status_code == 200
    assert ask(service, "GET", "/readyz").status_code == 503
    asyncio.run(service.warm_up())
    assert ask(service, "GET", "/readyz").json() == {"status": "ready"}


def counted(service, code):
    return metric(service, "deeplab_requests_total", protocol="rest", code=code)


def asked(**fields) -> bytes:
    return json.dumps({"signature_name": "image_bytes", **fields}).encode()


WRONG = {
    "not JSON": (b"{", "the request is not JSON"),
    "empty": (b"", "the request is not JSON"),
    "too deep": (b"[" * 100_000, "the request is not JSON"),
    "not an object": (b"[1]", "must be a JSON object; received a list"),
    "wrong field": (asked(instance=[]), "received 'signature_name', 'instance'"),
    "both forms": (asked(instances=[], inputs=[]), "either 'instances' or 'inputs'"),
    "many fields": (asked(**{str(i): 0 for i in range(9999)}), "received 'signature_name', '0', "),
    "no images": (asked(instances=[]), "a list of one or more; received an empty list"),
    "no list": (asked(instances=7), "a list of one or more; received a number"),
    "no images by column": (asked(inputs=[]), "a list of one or more images"),
    "one image by column": (asked(inputs=b64(JPEG)), "must be a list of images"),
    "wrong input name": (asked(instances=[{"image": b64(JPEG)}]), "takes 'image_bytes'"),
    "a text": (asked(instances=["photo.jpg"]), '{"b64": "..."}; received a text'),
    "not base64": (asked(instances=[{"b64": "a*b="}]), "image 0 is not base64"),
    "not ASCII": (asked(instances=[{"b64": "ä"}]), "image 0 is not base64"),
    "not an image": (rows(b"GIF89a"), "image 0 is neither JPEG nor PNG"),
    "empty image": (rows(b""), "image 0 is neither JPEG nor PNG"),
    "header cut off": (rows(JPEG[:30]), "broken JPEG or PNG"),
    "JPEG cut off": (rows(JPEG[:-100]), "Invalid JPEG data"),
    "PNG cut off": (rows(ENCODED[0][:-60]), "Invalid PNG data"),
    "sizes differ": (
        rows(ENCODED[0], encode(PICTURES[0][:20])),
        "image 0 has 47x33 pixels and image 1 47x20",
    ),
    "too many pixels": (rows(png_that_claims(50_000, 50_000)), "more pixels than 100,000"),
    "a bomb": (
        rows(png_that_claims(10_000, 10_000)),
        "have 100,000,000 pixels, with each side rounded up to a multiple of 16; the server",
    ),
    "many scans": (rows(JPEG + b"\xff\xda" * 600), "JPEG of more than 500 scans"),
    "unknown signature": (asked(signature_name="logits"), "there is no signature 'logits'"),
    "odd signature": (asked(signature_name=["a"]), "there is no signature ['a']"),
}
PIXELS = {
    "ragged rows": ([[[[1, 2, 3]], [[1, 2, 3]] * 2]], "in rows of one length"),
    "no bands": ([[[1, 2], [3, 4]]], "[B, H, W, 3], none of them 0; received [1, 2, 2]"),
    "four bands": ([[[[1, 2, 3, 4]]]], "received [1, 1, 1, 4]"),
    "no pixels": ([[]], "received [1, 0]"),
    "fractions": ([[[[0.5, 0, 0]]]], "whole numbers from 0 to 255; received other values"),
    "texts": ([[[["a", 0, 0]]]], "whole numbers from 0 to 255; received other values"),
    "null": ([[[[None, 0, 0]]]], "whole numbers from 0 to 255; received other values"),
    "true": ([[[[True, True, True]]]], "received other values"),
    "too large": ([[[[0, 0, 256]]]], "received 0 to 256"),
    "negative": ([[[[0, 0, -1]]]], "received -1 to 0"),
    "far too large": ([[[[2**63] * 3]]], "received 9223372036854775808 to 9"),
    "too many": (np.zeros((1, 400, 400, 3), int).tolist(), "have 160,000 pixels"),
}
WRONG |= {
    name: (json.dumps({"instances": pixels}).encode(), reason)
    for name, (pixels, reason) in PIXELS.items()
}

TOO_LARGE = ("too many pixels", "a bomb", "too many")


@pytest.mark.parametrize("name", WRONG)
def test_wrong_requests_are_400_or_413_with_the_reason(name, service):
    body, reason = WRONG[name]
    status = 413 if name in TOO_LARGE else 400
    before = counted(service, str(status))
    answer = ask(service, "POST", PREDICT, content=body)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert reason in answer.json()["error"] and "\n" not in answer.json()["error"]
    assert len(answer.json()["error"]) <= MAX_MESSAGE + 3
    assert counted(service, str(status)) == before + 1


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("POST", "/v1/models/road:predict", 404, "Servable not found for request: Latest(road)"),
        ("POST", "/v1/models/street/versions/4:predict", 404, "Specific(street, 4)"),
        ("GET", "/v1/models/road", 404, "the server has street, version 3"),
        ("GET", "/v1/models/street/versions/4/metadata", 404, "the server has street, version 3"),
        ("POST", "/v1/models/street:classify", 405, "there are POST /v1/models/NAME:predict"),
        ("GET", "/", 404, "there are POST /v1/models/NAME:predict"),
    ],
)
def test_other_paths_are_told_what_there_is(method, path, status, reason, service):
    answer = ask(service, method, path)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"] and reason in answer.json()["error"]


def test_the_server_lives_through_all_wrong_requests(model, reference):
    service = Service(model, Limits(max_pixels=100_000))

    async def everything():
        async with client(service) as http:
            requests = [http.post(PREDICT, content=body) for body, _ in WRONG.values()]
            wrong = await asyncio.gather(*requests)
            good = await http.post(PREDICT, content=rows(*ENCODED))
            return wrong, good, (await http.get("/metrics")).text

    wrong, good, page = asyncio.run(everything())
    assert {answer.status_code for answer in wrong} == {400, 413}
    labels = [row["labels"] for row in good.json()["predictions"]]
    np.testing.assert_array_equal(labels, reference("image_bytes", ENCODED)["labels"])
    assert (
        f'deeplab_requests_total{{code="400",protocol="rest"}} {len(WRONG) - len(TOO_LARGE)}.0'
        in page
    )
    assert 'deeplab_requests_total{code="200",protocol="rest"} 1.0' in page
    assert 'deeplab_request_seconds_count{protocol="rest"} ' + f"{len(WRONG) + 1}.0" in page
    assert "deeplab_requests_inside 0.0" in page
    assert "process_resident_memory_bytes" in page


def test_a_fault_of_ours_is_500_and_the_next_request_is_answered(service, monkeypatch):
    def fault(*_):
        raise KeyError("fault")

    monkeypatch.setattr("deeplab_tf.serving.app.answer_json", fault)
    before = counted(service, "500")
    answer = ask(service, "POST", PREDICT, content=rows(JPEG))
    assert answer.status_code == 500
    assert answer.json() == {"error": "the server failed; its log has the reason"}
    assert counted(service, "500") == before + 1
    monkeypatch.undo()
    assert ask(service, "POST", PREDICT, content=rows(JPEG)).status_code == 200

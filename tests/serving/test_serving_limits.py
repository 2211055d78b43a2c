"""Each limit answers with its status, and the server goes on."""

import asyncio
import dataclasses
import io

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
    held,
    metric,
    newest,
    png_that_claims,
    rows,
    until,
)

from deeplab_tf.serving.limits import Limits
from deeplab_tf.serving.refusal import RefusedError
from deeplab_tf.serving.service import Service
from deeplab_tf.serving.work import check_images

BODY = rows(encode(random_picture(24, 40)))
ONE_PIXEL = encode(random_picture(1, 1))


async def in_pieces(body, size=1000, pause=0.0):
    """A body without an announced length."""
    for start in range(0, len(body), size):
        await asyncio.sleep(pause)
        yield body[start : start + size]


def is_right(answer, reference):
    labels = [row["labels"] for row in answer.json()["predictions"]]
    images = [encode(random_picture(24, 40))]
    np.testing.assert_array_equal(labels, reference("image_bytes", images)["labels"])


def test_a_request_that_is_too_large_is_413_announced_or_not(model, reference):
    service = Service(model, Limits(max_request_bytes=len(BODY)))
    for body in (BODY + b" ", in_pieces(BODY + b" "), in_pieces(BODY * 50)):
        answer = ask(service, "POST", PREDICT, content=body)
        assert answer.status_code == 413
        assert answer.json()["error"].startswith(f"the request is larger than {len(BODY):,} bytes")
    is_right(ask(service, "POST", PREDICT, content=BODY), reference)
    is_right(ask(service, "POST", PREDICT, content=in_pieces(BODY)), reference)


def test_a_request_that_comes_too_slowly_is_408(model, reference):
    service = Service(model, Limits(time_limit=0.5))
    answer = ask(service, "POST", PREDICT, content=in_pieces(BODY, 10, pause=0.2))
    assert answer.status_code == 408
    assert answer.json()["error"] == "the request did not arrive within 0.5 s"
    assert answer.headers["connection"] == "close"
    assert service.gate.inside == 0
    service.limits = Limits()
    is_right(ask(service, "POST", PREDICT, content=BODY), reference)


def test_no_answer_in_time_is_504_and_what_waits_behind_is_not_run(model, reference):
    service = Service(held(model), Limits(time_limit=0.5))

    async def two_then_one():
        async with client(service) as http:
            other = rows(encode(random_picture(30, 40)))
            late = await asyncio.gather(
                http.post(PREDICT, content=BODY), http.post(PREDICT, content=other)
            )
            service.limits = Limits()
            newest(service).release.set()
            return late, await http.post(PREDICT, content=BODY)

    late, good = asyncio.run(two_then_one())
    assert [answer.status_code for answer in late] == [504, 504]
    assert late[0].json()["error"].startswith("there is no answer within 0.5 s")
    is_right(good, reference)
    # Two were given up: the one in the network was run, the waiting one was not.
    assert len(newest(service).ran) == 2
    assert metric(service, "deeplab_requests_total", protocol="rest", code="504") == 2
    assert service.gate.inside == 0


def test_more_requests_than_the_queue_has_are_503_and_those_inside_are_answered(model, reference):
    service = Service(held(model), Limits(queue_size=3))

    async def five():
        async with client(service) as http:
            inside = [asyncio.create_task(http.post(PREDICT, content=BODY)) for _ in range(3)]
            await until(lambda: service.gate.inside == 3)
            refused = [await http.post(PREDICT, content=BODY) for _ in range(2)]
            assert (await http.get("/healthz")).status_code == 200
            newest(service).release.set()
            return refused, await asyncio.gather(*inside), await http.post(PREDICT, content=BODY)

    refused, inside, later = asyncio.run(five())
    for answer in refused:
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["error"].startswith("3 requests are waiting, and the server takes")
    for answer in (*inside, later):
        is_right(answer, reference)
    assert metric(service, "deeplab_requests_total", protocol="rest", code="503") == 2


@pytest.mark.parametrize("size", [(201, 100), (100, 201), (60_000, 60_000), (2**31 - 1, 1)])
def test_too_many_pixels_are_refused_before_an_image_is_decoded(size, model):
    service = Service(held(model), Limits(max_pixels=20_000))
    answer = ask(service, "POST", PREDICT, content=rows(png_that_claims(*size)))
    assert answer.status_code == 413
    assert "(--max_pixels)" in answer.json()["error"]
    assert newest(service).ran == []


def test_the_pixels_of_a_request_are_counted_together(model):
    image = encode(random_picture(90, 90))
    service = Service(model, Limits(max_pixels=20_000))
    assert ask(service, "POST", PREDICT, content=rows(image, image)).status_code == 200
    answer = ask(service, "POST", PREDICT, content=rows(image, image, image))
    assert answer.status_code == 413
    reason = (
        "have 27,648 pixels, with each side rounded up to a multiple of 16; the server takes at"
    )
    assert reason in answer.json()["error"]


@pytest.mark.parametrize(
    ("largest_scale", "longest", "pixels"),
    [
        (0.75, None, 96 * 96),
        (2.0, None, 192 * 192),  # 90 pixels are 180 for the network
        (2.0, 30, 96 * 96),  # 90 pixels are 30, and 60 for the network
        (2.0, 65, 144 * 144),
    ],
)
def test_pixels_that_the_network_sees_at_a_larger_scale_count(
    model, largest_scale, longest, pixels
):
    signature = dataclasses.replace(
        model.signatures["image_bytes"], largest_scale=largest_scale, longest=longest
    )
    images = np.array([encode(random_picture(90, 90))] * 2, object)
    assert check_images(signature, images, Limits(max_pixels=2 * pixels)).pixels == 2 * pixels
    with pytest.raises(RefusedError, match=f"have {2 * pixels:,} pixels, ") as caught:
        check_images(signature, images, Limits(max_pixels=2 * pixels - 1))
    assert ("enlarged 2 times" in str(caught.value)) == (largest_scale == 2)


@pytest.mark.parametrize("signature", ["image_bytes", "serving_default"])
def test_images_of_one_pixel_are_counted_as_the_cells_that_they_cost(signature, model):
    """65,536 of them in 0.8 MB raised the peak of a server by 1.8 GB."""
    service = Service(held(model), Limits())
    image = b64(ONE_PIXEL) if signature == "image_bytes" else [[[0, 0, 0]]]
    body = {"signature_name": signature, "instances": [image] * 65_536}
    answer = ask(service, "POST", PREDICT, json=body)
    assert answer.status_code == 413
    assert "has 65,536 images; the server takes at most 1,024" in answer.json()["error"]
    service.limits = Limits(max_pixels=50_000)
    body = {"signature_name": signature, "instances": [image] * 200}
    answer = ask(service, "POST", PREDICT, json=body)
    assert answer.status_code == 413
    assert "have 51,200 pixels, with each side rounded up" in answer.json()["error"]
    assert newest(service).ran == []


def test_a_progressive_photograph_has_few_scans(model, reference):
    photo = encode(random_picture(64, 64), "JPEG", progressive=True)
    assert Image.open(io.BytesIO(photo)).info["progressive"]
    answer = ask(Service(model, Limits()), "POST", PREDICT, content=rows(photo))
    labels = answer.json()["predictions"][0]["labels"]
    np.testing.assert_array_equal(labels, reference("image_bytes", [photo])["labels"][0])

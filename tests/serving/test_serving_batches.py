"""Waiting requests of one size go through the network together, and each gets its own answer."""

import asyncio

import numpy as np
import pytest
from support.random_model import random_picture
from support.serving_requests import PREDICT, b64, client, encode, held, metric, newest, rows, until

from deeplab_tf.serving import batching
from deeplab_tf.serving.limits import Limits
from deeplab_tf.serving.service import Service


async def ask_while_held(service, bodies):
    """All bodies at once; the first runs alone and is held until the others wait."""
    async with client(service) as http:
        tasks = []
        for body in bodies:
            tasks.append(asyncio.create_task(http.post(PREDICT, content=body)))
            # The order of asking is then the order of waiting.
            await until(
                lambda: newest(service).ran and len(service._batcher._waiting) == len(tasks) - 1
            )
        newest(service).release.set()
        return await asyncio.gather(*tasks)


def labels_of(answer):
    assert answer.status_code == 200, answer.text
    return np.array([row["labels"] for row in answer.json()["predictions"]])


def test_waiting_requests_of_one_size_are_joined_and_answered_each_with_its_own(model, reference):
    images = [encode(random_picture(24 + 9 * (i % 2), 40, seed=i)) for i in range(9)]
    service = Service(held(model), Limits(batch_size=3))
    answers = asyncio.run(ask_while_held(service, [rows(image) for image in images]))
    for image, answer in zip(images, answers, strict=True):
        expected = reference("image_bytes", [image])["labels"]
        np.testing.assert_array_equal(labels_of(answer), expected)
    # Image 0 alone; then what waited, oldest first: 1, 3, 5 of one size, 2, 4, 6 of the other, ...
    waited = [[images[i] for i in batch] for batch in ((0,), (1, 3, 5), (2, 4, 6), (7,), (8,))]
    assert [list(batch) for batch in newest(service).ran] == waited
    assert metric(service, "deeplab_batch_images_count") == 5
    assert metric(service, "deeplab_batch_images_sum") == 9


def test_requests_of_several_images_keep_theirs_together(model, reference):
    pictures = [encode(random_picture(24, 40, seed)) for seed in range(7)]
    requests = [pictures[:1], pictures[1:3], pictures[3:4], pictures[4:]]
    service = Service(held(model), Limits(batch_size=4))
    answers = asyncio.run(ask_while_held(service, [rows(*images) for images in requests]))
    for images, answer in zip(requests, answers, strict=True):
        expected = reference("image_bytes", images)["labels"]
        np.testing.assert_array_equal(labels_of(answer), expected)
    assert [len(batch) for batch in newest(service).ran] == [1, 3, 3]


def test_signatures_are_not_mixed(model, reference):
    picture = random_picture(24, 40)
    pixels = b'{"instances": [' + str(picture.tolist()).encode() + b"]}"
    image = rows(encode(picture))
    service = Service(held(model), Limits())
    answers = asyncio.run(ask_while_held(service, [image, image, pixels, image, pixels]))
    expected = reference("image_bytes", [encode(picture)])["labels"]
    for answer in answers:
        np.testing.assert_array_equal(labels_of(answer), expected)
    kinds = [(batch.dtype.kind, len(batch)) for batch in newest(service).ran]
    assert kinds == [("O", 1), ("O", 2), ("u", 2)]


def test_a_broken_image_in_a_batch_is_reported_only_to_its_client(model, reference):
    images = [encode(random_picture(24, 40, seed), "JPEG") for seed in range(5)]
    images[2] = images[2][:-100]  # its header is whole, so that only the decoder sees it
    service = Service(held(model), Limits())
    answers = asyncio.run(ask_while_held(service, [rows(image) for image in images]))
    assert [answer.status_code for answer in answers] == [200, 200, 400, 200, 200]
    assert "Invalid JPEG data" in answers[2].json()["error"]
    for i in (0, 1, 3, 4):
        expected = reference("image_bytes", [images[i]])["labels"]
        np.testing.assert_array_equal(labels_of(answers[i]), expected)
    assert [len(batch) for batch in newest(service).ran] == [1, 4, 1, 1, 1, 1]


def test_a_batch_has_no_more_pixels_than_are_allowed(model, monkeypatch):
    monkeypatch.setattr(batching, "BATCH_PIXELS", 2 * 32 * 48)  # rounded up to 16
    service = Service(held(model), Limits(batch_size=8))
    images = [encode(random_picture(24, 40, seed)) for seed in range(5)]
    asyncio.run(ask_while_held(service, [rows(image) for image in images]))
    assert [len(batch) for batch in newest(service).ran] == [1, 2, 2]


@pytest.mark.parametrize("signature", ["image_bytes", "serving_default"])
@pytest.mark.parametrize("pixels", [2 * 32 * 48, 1])
def test_a_large_request_goes_through_in_parts(signature, pixels, model, reference, monkeypatch):
    """Two images at a time, or one where one image alone has more pixels than a batch may have."""
    monkeypatch.setattr(batching, "BATCH_PIXELS", pixels)
    service = Service(held(model), Limits(batch_size=4))
    newest(service).release.set()
    pictures = [random_picture(24, 40, seed) for seed in range(5)]
    images = [encode(picture) for picture in pictures]
    if signature == "serving_default":
        images = np.stack(pictures)
    instances = images.tolist() if signature == "serving_default" else [*map(b64, images)]
    body = {"signature_name": signature, "instances": instances}

    async def one():
        async with client(service) as http:
            return await http.post(PREDICT, json=body)

    answer = asyncio.run(one())
    np.testing.assert_array_equal(labels_of(answer), reference(signature, images)["labels"])
    step = 2 if pixels > 1 else 1
    parts = [min(step, 5 - start) for start in range(0, 5, step)]
    assert [len(batch) for batch in newest(service).ran] == parts
    assert metric(service, "deeplab_batch_images_count") == len(parts)
    assert metric(service, "deeplab_batch_images_sum") == 5

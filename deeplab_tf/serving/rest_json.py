"""TensorFlow Serving's JSON forms of a prediction, converted to and from arrays.

A question by row, `{"instances": [image, ...]}`, is answered by `{"predictions": [{"labels": ...},
...]}`; a question by column, `{"inputs": images}`, by `{"outputs": {"labels": ...}}`. An image is
`{"b64": "..."}` or rows of pixels, and may stand under its input's name: `{"images": ...}`.

Tested in tests/serving/test_rest.py and tests/serving/test_slow_clients.py, through `Service`.
"""

import base64
import binascii
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson

from deeplab_tf.serving.batching import Outputs
from deeplab_tf.serving.limits import check_answer_size
from deeplab_tf.serving.refusal import bad_request
from deeplab_tf.serving.signature import Signature, find_signature
from deeplab_tf.serving.work import Question

_ROWS, _COLUMNS = "instances", "inputs"
_PIECE_NUMBERS = 1 << 16
_PIECE_BYTES = 1 << 20
_DEEPEST = 4
"""The depth of nested lists in a batch of images: batch, rows, columns, bands."""


@dataclasses.dataclass(frozen=True)
class JsonQuestion(Question):
    """A question in JSON.

    Attributes:
        by_row: whether the question is by row; the answer has the same form.
    """

    by_row: bool


def parse_question(body: bytes, signatures: dict[str, Signature]) -> JsonQuestion:
    """Returns the question in a request's body.

    Raises:
        RefusedError: the body is not a question; the message says what is wrong.
    """
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"the request is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise bad_request(f"the request must be a JSON object; received {_kind(content)}")
    signature = find_signature(content.get("signature_name"), signatures)
    forms = [form for form in (_ROWS, _COLUMNS) if form in content]
    if len(forms) != 1:
        raise bad_request(
            f"the request must have either {_ROWS!r} or {_COLUMNS!r}; received "
            f"{', '.join(map(repr, content)) or 'neither'}"
        )
    by_row = forms == [_ROWS]
    value = content[forms[0]]
    images = _by_row(value, signature) if by_row else _unnamed(value, signature)
    to_array = _encoded if signature.takes_bytes else _numbers
    return JsonQuestion(signature, to_array(images, signature), by_row)


def answer_json(outputs: Outputs, by_row: bool) -> list[bytes]:
    """Returns the body of the answer, by row or by column, in pieces of a megabyte or so.

    Raises:
        RefusedError: the body would be too large.
    """
    pieces, part, size = [], bytearray(), 0
    for text in _by_rows(outputs) if by_row else _by_columns(outputs):
        part += text
        if len(part) >= _PIECE_BYTES:
            pieces.append(bytes(part))
            part, size = bytearray(), size + len(part)
            check_answer_size(size)
    return [*pieces, bytes(part)]


def _by_rows(outputs: Outputs) -> Iterator[bytes]:
    yield b'{"predictions":['
    for index, row in enumerate(zip(*outputs.values(), strict=True)):
        yield b"," if index else b""
        yield from _object(dict(zip(outputs, row, strict=True)))
    yield b"]}"


def _by_columns(outputs: Outputs) -> Iterator[bytes]:
    yield b'{"outputs":'
    yield from _object(outputs)
    yield b"}"


def _object(arrays: Outputs) -> Iterator[bytes]:
    for index, (name, array) in enumerate(arrays.items()):
        yield (b"," if index else b"{") + orjson.dumps(name) + b":["
        yield from _numbers_of(array)
        yield b"]"
    yield b"}"


def _numbers_of(array: np.ndarray) -> Iterator[bytes]:
    """Yields the text of an array, without its outermost brackets.

    orjson holds the interpreter lock while it writes, so no more than `_PIECE_NUMBERS` numbers are
    given to orjson at a time.
    """
    each = array[0].size
    if each > _PIECE_NUMBERS:
        for index, part in enumerate(array):
            yield b",[" if index else b"["
            yield from _numbers_of(part)
            yield b"]"
        return
    step = _PIECE_NUMBERS // each
    for start in range(0, len(array), step):
        part = np.ascontiguousarray(array[start : start + step])
        yield b"," if start else b""
        yield orjson.dumps(part, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]


def _by_row(value: Any, signature: Signature) -> list:
    if not isinstance(value, list) or not value:
        raise bad_request(f"{_ROWS!r} must be a list of one or more; received {_kind(value)}")
    return [_unnamed(instance, signature) for instance in value]


def _unnamed(value: Any, signature: Signature) -> Any:
    """Returns the value without its input's name around it, where it has that name."""
    if not isinstance(value, dict) or _is_base64(value):
        return value
    if list(value) != [signature.input_name]:
        raise bad_request(
            f"signature {signature.name} takes {signature.input_name!r}; received "
            f"{', '.join(map(repr, value)) or 'an empty object'}"
        )
    return value[signature.input_name]


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and list(value) == ["b64"]


def _encoded(images: Any, signature: Signature) -> np.ndarray:
    if not isinstance(images, list):
        raise bad_request(
            f"{signature.input_name} must be a list of images; received {_kind(images)}"
        )
    array = np.empty(len(images), object)
    array[:] = [_decoded(image, f"image {i}") for i, image in enumerate(images)]
    return array


def _decoded(image: Any, name: str) -> bytes:
    if not _is_base64(image) or not isinstance(image["b64"], str):
        raise bad_request(f'{name} must be {{"b64": "..."}}; received {_kind(image)}')
    try:
        return base64.b64decode(image["b64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise bad_request(f"{name} is not base64: {error}") from error


def _numbers(images: Any, signature: Signature) -> np.ndarray:
    assert signature.dtype is not None
    most = np.iinfo(signature.dtype).max
    wanted = f"{signature.input_name} must be whole numbers from 0 to {most}"
    if not _only_whole_numbers(images):
        raise bad_request(f"{wanted}; received other values")
    try:
        array = np.array(images)
    except ValueError as error:
        raise bad_request(
            f"{wanted}, in rows of one length; received rows of several lengths"
        ) from error
    if array.dtype.kind not in "iu" and array.size:
        raise bad_request(f"{wanted}; received other values")
    if array.size and (array.min() < 0 or array.max() > most):
        raise bad_request(f"{wanted}; received {array.min()} to {array.max()}")
    return array.astype(signature.dtype)


def _only_whole_numbers(value: Any, depth: int = 0) -> bool:
    """Returns whether nested lists hold only whole numbers.

    Other values never reach NumPy: an array of one long text among many short ones would have the
    long one's size for each.
    """
    if not isinstance(value, list):
        return type(value) is int
    kinds = set(map(type, value))
    if kinds <= {int}:
        return True
    return (
        kinds == {list}
        and depth < _DEEPEST
        and all(_only_whole_numbers(part, depth + 1) for part in value)
    )


def _kind(value: Any) -> str:
    """Returns JSON's name of a value's type."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    if isinstance(value, list) and not value:
        return "an empty list"
    return "null" if value is None else names.get(type(value), "a number")

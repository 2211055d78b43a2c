"""TensorFlow Serving's gRPC services: Predict, GetModelMetadata and GetModelStatus."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NoReturn

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from deeplab_tf.errors import DeeplabError
from deeplab_tf.serving.batching import Outputs
from deeplab_tf.serving.limits import Limits, check_answer_size, within
from deeplab_tf.serving.metrics import GRPC
from deeplab_tf.serving.model_info import SIGNATURES, model_metadata, model_status
from deeplab_tf.serving.models import Visit
from deeplab_tf.serving.refusal import Reason, RefusedError, bad_request
from deeplab_tf.serving.served_model import ServedModel
from deeplab_tf.serving.service import Service
from deeplab_tf.serving.signature import Signature, find_signature
from deeplab_tf.serving.work import Question, check_amount, pixel_size

_OVERLOAD = 2
"""The largest number of open calls, as a multiple of the queue's size. Calls beyond the queue are
answered that it is full; gRPC refuses further calls before their message is read."""
_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_SHORT_MESSAGE = 1 << 16
"""The largest size in bytes of a message of other methods than Predict, which carries no image."""
_CONNECTION_SECONDS = 300
"""The age, in seconds, at which a connection is asked to end, so that answers that a client leaves
unread are freed. The client then opens another connection without an error."""


def start_grpc(service: Service, address: str) -> tuple[grpc.aio.Server, int]:
    """Returns a server for `service`, not yet started, and the port that it listens at.

    Raises:
        DeeplabError: the port is taken.
    """
    limits = service.limits
    options = [
        ("grpc.max_receive_message_length", limits.max_request_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", 0),  # with 1, two servers share a port, and clients get either
        ("grpc.server_handshake_timeout_ms", int(1000 * limits.time_limit)),
        ("grpc.max_connection_age_ms", 1000 * _CONNECTION_SECONDS),
        ("grpc.max_connection_age_grace_ms", int(1000 * limits.longest_stay)),
    ]
    server = grpc.aio.server(
        interceptors=[_TimedRequests(limits.time_limit)],
        options=options,
        maximum_concurrent_rpcs=_OVERLOAD * limits.queue_size,
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        _PredictionService(service), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelService(service), server)
    try:
        return server, server.add_insecure_port(address)
    except RuntimeError as error:
        raise DeeplabError(
            f"the server cannot listen at {address}; give another --grpc_port"
        ) from error


class _TimedRequests(grpc.aio.ServerInterceptor):
    """An interceptor that ends calls whose message does not arrive in time, or is too large.

    gRPC itself waits for the message without limit, so such calls would keep all others out. A call
    of one message is the same on the wire as a stream of one message, so the message is read here
    as a stream. Predict gets the bytes of its message, since a parsed message may take twenty times
    the bytes, and calls wait before they are read.
    """

    def __init__(self, seconds: float):
        self._seconds = seconds

    async def intercept_service(self, continuation, handler_call_details):
        """Returns a method's handler with a time limit for the message; None for no such method."""
        handler = await continuation(handler_call_details)
        if handler is None:  # no such method
            return None
        answer_one = handler.unary_unary
        assert answer_one is not None  # all methods here take one message and give one

        parse = handler.request_deserializer
        assert parse is not None  # all methods here take a message of a type

        async def answer(requests, context):
            try:
                request = await self._first(requests)
                if handler_call_details.method != _PREDICT:
                    request = _short(request, parse)
            except RefusedError as refusal:
                await _abort(context, refusal)
            return await answer_one(request, context)

        return grpc.stream_unary_rpc_method_handler(answer, None, handler.response_serializer)

    async def _first(self, requests: AsyncIterator[bytes]) -> bytes:
        message = f"the request did not arrive within {self._seconds:g} s"
        async with within(self._seconds, Reason.SLOW_CLIENT, message):
            async for request in requests:
                return request
        raise bad_request("the call ended without a message")


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, service: Service):
        self._service = service

    async def Predict(self, request: bytes, context):  # noqa: N802, the name in the protocol
        try:
            with self._service.metrics.request(GRPC) as visit, self._service.gate.entered():
                return await self._answer(request, visit)
        except RefusedError as refusal:
            await _abort(context, refusal)

    async def GetModelMetadata(self, request, context):  # noqa: N802
        try:
            version = self._service.models.find(*_asked(request.model_spec))
            for field in request.metadata_field:
                if field != SIGNATURES:
                    raise bad_request(f"metadata_field must be {SIGNATURES!r}; received {field!r}")
        except RefusedError as refusal:
            await _abort(context, refusal)
        return model_metadata(version.model)

    async def _unsupported(self, request, context):
        await context.abort(
            grpc.StatusCode.UNIMPLEMENTED, "the server answers only Predict and GetModelMetadata"
        )

    Classify = Regress = MultiInference = _unsupported

    async def _answer(self, message: bytes, visit: Visit) -> predict_pb2.PredictResponse:
        question, outputs = await self._service.answer(
            lambda: _question(message, self._service, visit), visit
        )
        outputs = _filtered(outputs, question.output_names)
        # A thread copies the answer: hundreds of megabytes where clients ask for probabilities.
        return await asyncio.to_thread(_response, visit.model, question.signature, outputs)


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, service: Service):
        self._service = service

    async def GetModelStatus(self, request, context):  # noqa: N802
        try:
            states = self._service.models.states(*_asked(request.model_spec))
        except RefusedError as refusal:
            await _abort(context, refusal)
        return model_status(states)

    async def HandleReloadConfigRequest(self, request, context):  # noqa: N802
        await context.abort(
            grpc.StatusCode.UNIMPLEMENTED, "the server has the models of its --model flags"
        )


async def _abort(context: Any, refusal: RefusedError) -> NoReturn:
    await context.abort(grpc.StatusCode[refusal.reason.grpc], str(refusal))
    raise AssertionError("abort raises")


def _asked(spec: Any) -> tuple[str, int | None]:
    """Returns the name of the model in a message, and the version, None where it has none."""
    if spec.version_label:
        raise RefusedError(
            Reason.NOT_FOUND, f"version label {spec.version_label!r} is not known; give a version"
        )
    return spec.name, spec.version.value if spec.HasField("version") else None


def _short(message: bytes, parse: Callable[[bytes], Any]) -> Any:
    """Returns the parsed message of another method than Predict."""
    if len(message) > _SHORT_MESSAGE:
        raise RefusedError(
            Reason.TOO_LARGE,
            f"only Predict takes a message of more than {_SHORT_MESSAGE:,} bytes",
        )
    return _parsed(message, parse)


def _parsed(message: bytes, parse: Callable[[bytes], Any]) -> Any:
    try:
        return parse(message)
    except DecodeError as error:
        raise bad_request("the message is not of the method's type") from error


@dataclasses.dataclass(frozen=True)
class _GrpcQuestion(Question):
    """A question in a message; only the outputs of `output_names` are sent, or all if empty."""

    output_names: tuple[str, ...]


def _question(message: bytes, service: Service, visit: Visit) -> _GrpcQuestion:
    """Returns the question in the bytes of a message of Predict, and binds `visit` to its version.

    Raises:
        RefusedError: the message is not a question; the error says what is wrong.
    """
    request = _parsed(message, predict_pb2.PredictRequest.FromString)
    version = service.models.find(*_asked(request.model_spec))
    visit.bind(version)
    signature = find_signature(request.model_spec.signature_name, version.model.signatures)
    if list(request.inputs) != [signature.input_name]:
        raise bad_request(
            f"signature {signature.name} takes {signature.input_name!r}; received "
            f"{', '.join(map(repr, request.inputs)) or 'nothing'}"
        )
    images = _images(request.inputs[signature.input_name], signature, service.limits)
    return _GrpcQuestion(signature, images, tuple(request.output_filter))


def _images(tensor: Any, signature: Signature, limits: Limits) -> np.ndarray:
    """Returns the images in a message, as an array.

    A message of few bytes may announce a tensor of any size whose one value is repeated, so the
    size is checked before there is an array.

    Raises:
        RefusedError: the message is not of the signature's dtype or shape, or has too many images
            or pixels.
    """
    dtype = tf.string if signature.dtype is None else tf.as_dtype(signature.dtype)
    if tensor.dtype != dtype.as_datatype_enum:
        raise bad_request(
            f"{signature.input_name} must be {dtype.name}; received data type {tensor.dtype}"
        )
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    if tensor.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise bad_request(f"{signature.input_name} must have a known shape; received {shape}")
    if signature.takes_bytes:
        if shape != [len(tensor.string_val)]:
            raise bad_request(
                f"{signature.input_name} must have the shape [B] and B values; received {shape} "
                f"and {len(tensor.string_val)} values"
            )
        check_amount(signature, len(tensor.string_val), (1, 1), limits)
    else:
        height, width = pixel_size(signature, shape)
        check_amount(signature, shape[0], (height, width), limits)
    try:
        return tf.make_ndarray(tensor)
    except OverflowError as error:
        raise bad_request(
            f"{signature.input_name} must be whole numbers that a {signature.dtype} holds: {error}"
        ) from error
    except (ValueError, TypeError) as error:
        raise bad_request(
            f"{signature.input_name} must have as many values as its shape; received shape {shape}"
        ) from error


def _response(
    model: ServedModel, signature: Signature, outputs: Outputs
) -> predict_pb2.PredictResponse:
    check_answer_size(sum(array.nbytes for array in outputs.values()))
    response = predict_pb2.PredictResponse()
    response.model_spec.name = model.name
    response.model_spec.version.value = model.version
    response.model_spec.signature_name = signature.name
    for name, array in outputs.items():
        tensor = response.outputs[name]
        tensor.dtype = tf.as_dtype(array.dtype).as_datatype_enum
        tensor.tensor_shape.CopyFrom(tf.TensorShape(array.shape).as_proto())
        tensor.tensor_content = array.tobytes()
    return response


def _filtered(outputs: Outputs, names: Sequence[str]) -> Outputs:
    """Returns the outputs of these names; all outputs where `names` is empty."""
    unknown = [name for name in names if name not in outputs]
    if unknown:
        raise bad_request(f"there is no output {unknown[0]!r}; there are {' and '.join(outputs)}")
    return {name: outputs[name] for name in names or outputs}

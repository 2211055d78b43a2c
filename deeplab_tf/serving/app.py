"""TensorFlow Serving's REST interface as an ASGI application, with health checks and metrics.

Tested in tests/serving/test_rest.py.
"""

import asyncio
import re

import prometheus_client
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from deeplab_tf.serving.limits import Body
from deeplab_tf.serving.metrics import REST
from deeplab_tf.serving.model_info import metadata_json, status_json
from deeplab_tf.serving.models import State, Visit
from deeplab_tf.serving.refusal import Reason, RefusedError
from deeplab_tf.serving.rest_json import answer_json, parse_question
from deeplab_tf.serving.service import Service

_RETRY_AFTER = "1"
"""Seconds after which a client that found the server full may try again."""


def make_app(service: Service) -> Starlette:
    """Returns the application that answers for `service`."""
    rest = _Rest(service)
    routes = [
        Route("/healthz", rest.health),
        Route("/readyz", rest.readiness),
        Route("/readyz/{name}", rest.model_readiness),
        Route("/readyz/{name}/versions/{version}", rest.model_readiness),
        Route("/metrics", rest.metrics),
    ]
    for model in ("/v1/models/{name}", "/v1/models/{name}/versions/{version}"):
        routes += [
            Route(model + ":predict", _Predict(service), methods=["POST"]),
            Route(model + "/metadata", rest.metadata),
            Route(model, rest.status),
        ]
    handlers = {RefusedError: _refused, HTTPException: _no_such_route, Exception: _broken}
    return Starlette(routes=routes, exception_handlers=handlers)


class _Predict:
    """The endpoint of predictions, as a bare ASGI application.

    The endpoint sends the answer itself, so that the request counts as inside until the client has
    taken the answer.
    """

    def __init__(self, service: Service):
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service = self._service
        request = Request(scope, receive)
        with service.metrics.request(REST) as visit:
            body = Body(request, service.limits)
            try:
                with service.gate.entered():
                    visit.bind(service.models.find(*_asked(request)))
                    content = await body.read()
                    await _send_json(send, await body.unless_gone(self._answer(content, visit)))
            except RefusedError as refusal:
                if refusal.reason is not Reason.SLOW_CLIENT:
                    await body.discard()
                request.state.read_to_its_end = body.ended
                raise

    async def _answer(self, body: bytes, visit: Visit) -> list[bytes]:
        signatures = visit.model.signatures
        question, outputs = await self._service.answer(
            lambda: parse_question(body, signatures), visit
        )
        return await asyncio.to_thread(answer_json, outputs, question.by_row)


async def _send_json(send: Send, pieces: list[bytes]) -> None:
    """Sends status 200 and `pieces`; returns when the client has taken the pieces, or is gone."""
    size = sum(map(len, pieces))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % size)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    # Each `send` waits until the client has taken what was sent before, so this one waits for all.
    await send({"type": "http.response.body", "body": b""})


class _Rest:
    """The endpoints other than predictions: status, metadata, health, readiness and metrics."""

    def __init__(self, service: Service):
        self._service = service

    async def status(self, request: Request) -> Response:
        return JSONResponse(status_json(self._service.models.states(*_asked(request))))

    async def metadata(self, request: Request) -> Response:
        version = self._service.models.find(*_asked(request))
        return JSONResponse(metadata_json(version.model))

    async def health(self, request: Request) -> Response:
        """Answers 200 as long as the process is alive."""
        return JSONResponse({"status": "alive"})

    async def readiness(self, request: Request) -> Response:
        """Answers 200 where new requests are wanted, else 503."""
        if not self._service.ready:
            return JSONResponse({"error": "the server is starting or ending"}, Reason.BUSY.http)
        return JSONResponse({"status": "ready"})

    async def model_readiness(self, request: Request) -> Response:
        """Answers 200 where new requests to a model, or to its version, are wanted.

        Else 503, and 404 for a model or version that the server does not know.
        """
        name, number = _asked(request)
        states = self._service.models.states(name, number)
        if number is not None and states[number].state is not State.AVAILABLE:
            told = f"version {number} of {name} is in the state {states[number].state.value}"
            return JSONResponse({"error": told}, Reason.BUSY.http)
        if not self._service.ready:
            return await self.readiness(request)
        version = self._service.models.find(name, number).model.version
        return JSONResponse({"status": "ready", "model": name, "version": version})

    async def metrics(self, request: Request) -> Response:
        page = self._service.metrics.page()
        return Response(page, headers={"Content-Type": prometheus_client.CONTENT_TYPE_LATEST})


def _asked(request: Request) -> tuple[str, int | None]:
    """Returns the name of the model in a request's path, and the version, None where it has none.

    Raises:
        RefusedError: the version is no number.
    """
    path = request.path_params
    asked = path.get("version")
    if asked is not None and not re.fullmatch(r"\d{1,19}", asked):
        raise RefusedError(Reason.NOT_FOUND, "a version must be a number, as in versions/1")
    return path["name"], None if asked is None else int(asked)


async def _refused(request: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, RefusedError)
    headers = {}
    if refusal.reason is Reason.BUSY:
        headers["Retry-After"] = _RETRY_AFTER
    if not getattr(request.state, "read_to_its_end", True):
        headers["Connection"] = "close"
    return JSONResponse({"error": str(refusal)}, refusal.reason.http, headers)


async def _no_such_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = (
        f"{request.method} {request.url.path}: {error.detail}; there are POST "
        "/v1/models/NAME:predict, GET /v1/models/NAME and GET /v1/models/NAME/metadata"
    )
    return JSONResponse({"error": message}, error.status_code, error.headers)


async def _broken(request: Request, error: Exception) -> Response:
    """Answers 500; Starlette raises the error again, so that uvicorn prints the traceback."""
    message = "the server failed; its log has the reason"
    return JSONResponse({"error": message}, Reason.BROKEN.http)

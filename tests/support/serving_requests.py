"""Requests to the server, and a model that answers when the test lets it."""

import asyncio
import base64
import contextlib
import dataclasses
import io
import json
import struct
import threading
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import httpx
import numpy as np
from PIL import Image

from deeplab_tf.serving.app import make_app
from deeplab_tf.serving.grpc_service import start_grpc
from deeplab_tf.serving.served_model import ServedModel
from deeplab_tf.serving.service import Service

PREDICT = "/v1/models/street:predict"
NO_LIMIT = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))


def encode(picture: np.ndarray, format: str = "PNG", **options) -> bytes:
    """uint8 [H, W, 3] as a file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format, **options)
    return file.getvalue()


def b64(data: bytes) -> dict:
    """Bytes as JSON has them."""
    return {"b64": base64.b64encode(data).decode()}


def rows(*encoded: bytes) -> bytes:
    """The body that asks for the labels of encoded images."""
    instances = [{"image_bytes": b64(data)} for data in encoded]
    return json.dumps({"signature_name": "image_bytes", "instances": instances}).encode()


def png_that_claims(width: int, height: int) -> bytes:
    """A few bytes whose header says so many pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    rest = encode(np.zeros((4, 4, 3), np.uint8))[33:]
    return b"\x89PNG\r\n\x1a\n" + start + rest


def newest(service: Service) -> Any:
    """The newest version of the first model."""
    return next(iter(service.models.values())).newest.model


def client(service: Service) -> httpx.AsyncClient:
    """A client that calls the application without a network."""
    transport = httpx.ASGITransport(make_app(service), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://server", timeout=60)


def ask(service: Service, method: str, url: str, **arguments) -> httpx.Response:
    """One request in an event loop of its own."""

    async def one():
        async with client(service) as http:
            return await http.request(method, url, **arguments)

    return asyncio.run(one())


async def until(true: Callable[[], bool], seconds: float = 20) -> None:
    """Returns when `true()` is; raises TimeoutError where it is not after that time."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.001)


def metric(service: Service, name: str, **labels) -> float:
    """A figure of /metrics; 0 where nothing was counted yet."""
    return service.metrics.registry.get_sample_value(name, labels) or 0.0


@dataclasses.dataclass(frozen=True)
class HeldModel(ServedModel):
    """A model that runs once `release` is set, and notes what it ran."""

    release: threading.Event = dataclasses.field(default_factory=threading.Event)
    ran: list = dataclasses.field(default_factory=list)

    def run(self, signature, images):
        self.ran.append(images)
        assert self.release.wait(60)
        return super().run(signature, images)


def held(model: ServedModel) -> HeldModel:
    fields = {field.name: getattr(model, field.name) for field in dataclasses.fields(model)}
    return HeldModel(**fields)


@contextlib.asynccontextmanager
async def grpc_channel(service: Service, options: Sequence = NO_LIMIT, grace: float = 10):
    """A channel to a gRPC server of `service` in this process."""
    server, port = start_grpc(service, "127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
            yield channel
    finally:
        await server.stop(grace)

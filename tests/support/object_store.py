"""A store that speaks S3, on the loopback address, in this process' memory."""

import contextlib
import dataclasses
import functools
import logging
import os
import pathlib
from collections.abc import Iterator

BUCKET = "bucket"


@dataclasses.dataclass
class ObjectStore:
    """A running store.

    Attributes:
        env: the environment of a process that is to find it.
        port: its port.
    """

    env: dict[str, str]
    port: int

    def names(self) -> list[str]:
        """The names of all objects, sorted."""
        found = self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return sorted(each["Key"] for each in found)

    def content(self, key: str) -> bytes:
        return self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def fetch(self, begin: str, folder: pathlib.Path) -> None:
        """Writes the objects below `begin` into `folder`."""
        for name in self.names():
            if name.startswith(f"{begin}/"):
                path = folder / name.removeprefix(f"{begin}/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(self.content(name))

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=BUCKET, Key=key)

    @functools.cached_property
    def client(self):
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.env["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id="a",
            aws_secret_access_key="a",
        )


@contextlib.contextmanager
def object_store(port: int = 0) -> Iterator[ObjectStore]:
    """Runs a store with the empty bucket `BUCKET` until the block ends."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    env = {
        **os.environ,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "a",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
    }
    store = ObjectStore(env, port)
    try:
        if BUCKET not in [b["Name"] for b in store.client.list_buckets()["Buckets"]]:
            store.client.create_bucket(Bucket=BUCKET)
        yield store
    finally:
        server.stop()

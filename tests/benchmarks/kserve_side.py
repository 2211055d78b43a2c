"""KServe's server with a SavedModel of ours, for `serve_load.py --kserve_python`.

    python tests/benchmarks/kserve_side.py FOLDER PORT

KServe's protocol v1 has the paths and JSON of TensorFlow Serving's `:predict`. The SavedModel runs
in a thread, so that the event loop goes on. Needs `kserve` and `tensorflow`, and nothing of this
package.
"""

import asyncio
import base64
import logging
import sys

import kserve  # pyright: ignore[reportMissingImports]
import tensorflow as tf


class Street(kserve.Model):
    """The signature `image_bytes` of a SavedModel."""

    def __init__(self, folder: str):
        super().__init__("street")
        self._loaded = tf.saved_model.load(folder)
        self.ready = True

    async def predict(self, payload, headers=None, response_headers=None):
        return await asyncio.to_thread(self._predict, payload)

    def _predict(self, payload) -> dict:
        images = [base64.b64decode(row["image_bytes"]["b64"]) for row in payload["instances"]]
        outputs = self._loaded.signatures["image_bytes"](tf.constant(images))
        columns = {name: output.numpy().tolist() for name, output in outputs.items()}
        rows = zip(*columns.values(), strict=True)
        return {"predictions": [dict(zip(columns, row, strict=True)) for row in rows]}


if __name__ == "__main__":
    folder, port = sys.argv[1:]
    logging.disable(logging.INFO)  # five lines a request; ours writes none
    server = kserve.ModelServer(http_port=int(port), enable_grpc=False, workers=1)
    server.start([Street(folder)])

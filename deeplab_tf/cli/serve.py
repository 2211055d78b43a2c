"""deeplab-serve: exported models behind TensorFlow Serving's REST and gRPC interfaces.

    deeplab-serve --model=served --port=8501 --grpc_port=8500     (pip install 'deeplab_tf[serve]')
    deeplab-serve --model=streets=DIR --model=roofs=DIR           (several models in one process)

    POST /v1/models/NAME:predict               labels of images, see docs/serving.md
    GET  /v1/models/NAME                       the model's versions and their states
    GET  /v1/models/NAME/metadata              the model's signatures
    GET  /healthz                              whether the process is alive
    GET  /readyz                               whether it takes new requests
    GET  /readyz/NAME                          whether this model does; also with /versions/N
    GET  /metrics                              for Prometheus

Clients can move to TensorFlow Serving without a change. Each path of a model also has the form
/v1/models/NAME/versions/N. gRPC has PredictionService.Predict and .GetModelMetadata and
ModelService.GetModelStatus. Requests that wait go through the network together where they have one
signature and one size. Every answer but 200 is {"error": "..."}: 400 a wrong request, 404 another
model, 408 a request that comes too slowly, 413 too large, 503 too many at a time, 504 no answer in
time.

A folder of numbered models is looked at every --poll_seconds. A version of a higher number is
loaded and warmed beside the one that answers, and answers from then on; the old one ends its
requests and is freed. A version that is broken is refused with a line in the log, and the old one
stays. Where the folder of the version that answers is removed, the highest of the others takes
over. A model at the address of a store is read once, at the start.

There is no encryption and no password: listen on other addresses than 127.0.0.1 (--host=0.0.0.0)
only behind something that has them.

The server ends at SIGTERM or Ctrl-C: it takes no new requests, delivers the answers of the requests
inside, and ends with exit code 0. Exit code 1: no model, a name or --versions that does not go with
it, or a port is taken; 2: wrong flag; 75: the connection to a store is lost at the start.
"""

import gc
import pathlib

from absl import flags

from deeplab_tf.cli import flag_types
from deeplab_tf.cli.flag_rules import require
from deeplab_tf.cli.flags import import_tensorflow, run_binary, say
from deeplab_tf.cli.stores import Use, names_address
from deeplab_tf.errors import DeeplabError
from deeplab_tf.serving.version_policy import parse_policy

_MODEL = flags.DEFINE_multi_string(
    "model",
    None,
    "Serve this SavedModel or OpenVINO model of deeplab-export, the highest number in a folder of "
    "numbered ones (served/1), or a NAME of deeplab-models. CALLED=MODEL serves it as CALLED. "
    "Repeat the flag for several models.",
    required=True,
)
_MODEL_NAME = flags.DEFINE_string(
    "model_name",
    None,
    "Serve the one model as NAME in the paths; default: the folder's name, without a number.",
)
_VERSIONS = flags.DEFINE_string(
    "versions",
    "latest",
    "<latest|latest:N|all|N,N>: Serve the version of the highest number of each folder of numbered "
    "models, the N highest, all, or those of these numbers.",
)
_POLL_SECONDS = flags.DEFINE_float(
    "poll_seconds",
    1.0,
    "Look every so many seconds for new versions in folders of numbered models; 0: never. An "
    "address of a store is fetched once.",
    lower_bound=0,
    upper_bound=86_400,
)
_WORKING_SIZE = flag_types.define_working_size(
    "Let the network see images at most this many pixels long: longer ones are shrunk, and their "
    "scores enlarged again; none: every image as it is. Default: as exported.",
)
_HOST = flags.DEFINE_string("host", "127.0.0.1", "Listen at this address.")
_PORT = flags.DEFINE_integer(
    "port",
    8501,
    "Listen for REST at this port; 0 takes a free port.",
    lower_bound=0,
    upper_bound=65535,
)
_GRPC_PORT = flags.DEFINE_integer(
    "grpc_port",
    None,
    "Listen for gRPC at this port; 0 takes a free port; without the flag there is no gRPC.",
    lower_bound=0,
    upper_bound=65535,
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size",
    8,
    "Put at most this many images through the network together; a larger request goes through in "
    "parts.",
    lower_bound=1,
)
_QUEUE_SIZE = flags.DEFINE_integer(
    "queue_size",
    64,
    "Take at most this many requests at a time; further requests are answered 503.",
    lower_bound=1,
)
_TIME_LIMIT = flags.DEFINE_float(
    "time_limit",
    30.0,
    "Allow this many seconds for receiving a request (else 408), as many for answering the "
    "request (else 504), and as many for the client to take the answer (else the connection is "
    "closed).",
    lower_bound=0.01,
)
_MAX_REQUEST_MB = flags.DEFINE_integer(
    "max_request_mb",
    32,
    "Take requests of at most this many MiB (else 413).",
    lower_bound=1,
    upper_bound=1024,
)
_MAX_IMAGES = flags.DEFINE_integer(
    "max_images",
    1024,
    "Take at most this many images in a request (else 413).",
    lower_bound=1,
    upper_bound=1 << 20,
)
_MAX_PIXELS = flags.DEFINE_integer(
    "max_pixels",
    1 << 24,
    "Take at most this many pixels in all images of a request, by the images' headers before "
    "anything is decoded (else 413). Each side counts as rounded up to a multiple of the model's "
    "output stride. The default is a picture of 4096x4096, so that a telephone's photo fits.",
    lower_bound=1,
    upper_bound=1 << 26,
)


def main() -> int:
    """Serves the model; imports TensorFlow late, so that a wrong flag is reported at once."""
    import_tensorflow(trains=False)
    try:
        from deeplab_tf.serving.limits import Limits
        from deeplab_tf.serving.server import Address, serve
        from deeplab_tf.serving.service import Service
    except ModuleNotFoundError as error:
        raise DeeplabError(
            f"the server needs {error.name}: pip install 'deeplab_tf[serve]'"
        ) from error
    from deeplab_tf.serving.sources import open_models

    limits = Limits(
        max_request_bytes=_MAX_REQUEST_MB.value << 20,
        max_images=_MAX_IMAGES.value,
        max_pixels=_MAX_PIXELS.value,
        queue_size=_QUEUE_SIZE.value,
        time_limit=_TIME_LIMIT.value,
        batch_size=_BATCH_SIZE.value,
    )
    # What is imported stays: a collection at a hand-over then looks at the models alone, and holds
    # requests up for less long.
    gc.collect()
    gc.freeze()
    models, folders = open_models(
        [_find_model(text) for text in _MODEL.value],
        parse_policy(_VERSIONS.value),
        _WORKING_SIZE.value,
        say,
    )
    service = Service(models, limits)
    del models  # what is held here would stay in memory after a hand-over
    address = Address(_HOST.value, _PORT.value, _GRPC_PORT.value)
    serve(service, address, say, folders, _POLL_SECONDS.value)
    return 0


def _find_model(text: str) -> tuple[pathlib.Path, str | None]:
    """Returns the path that a value of `--model` means, and the name that it gives the model."""
    from deeplab_tf.export.named_model import saved_model_of  # pyright: ignore[reportMissingImports]
    from deeplab_tf.named import is_a_name, model_path
    from deeplab_tf.serving.sources import split_name

    given, model = split_name(text)
    if given and _MODEL_NAME.value:
        raise DeeplabError(
            f"--model={text} has a name already, so that --model_name={_MODEL_NAME.value} must not "
            "be given; leave one of the two names out"
        )
    name = given or _MODEL_NAME.value
    if is_a_name(model):
        return saved_model_of(model, say), name or model
    return model_path(model, say), name


def _is_policy(text: str) -> bool:
    try:
        parse_policy(text)
    except DeeplabError as error:
        raise flags.ValidationError(str(error)) from error
    return True


flags.register_validator(_VERSIONS, _is_policy)
require(
    {
        "--model_name names one model; give --model=NAME=MODEL for each of several": (
            lambda model, model_name: model_name is None or model is None or len(model) == 1
        ),
        "--poll_seconds is for folders of this machine: a model at a store is read once, at the "
        "start; leave it out": (
            lambda model, poll_seconds: (
                not poll_seconds
                or not flags.FLAGS["poll_seconds"].present
                or not any(map(names_address, model or []))
            )
        ),
    }
)


def run() -> None:
    """Runs the console script `deeplab-serve`."""
    run_binary(
        "deeplab-serve",
        __name__,
        main,
        stores={
            "model": Use.READ,
        },
    )


if __name__ == "__main__":
    run()

"""The state and metadata of the served models, as TensorFlow Serving's messages.

Tested in tests/serving/test_rest.py and tests/serving/test_grpc_service.py, through `Service`.
"""

from collections.abc import Mapping

import tensorflow as tf
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from deeplab_tf.serving.models import VersionState
from deeplab_tf.serving.served_model import ServedModel

SIGNATURES = "signature_def"
"""The only kind of metadata that can be asked for."""


def model_status(
    states: Mapping[int, VersionState],
) -> get_model_status_pb2.GetModelStatusResponse:
    """Returns the states of versions, by number; one that was refused has the error UNKNOWN."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for number, state in states.items():
        told = response.model_version_status.add(version=number)
        told.state = get_model_status_pb2.ModelVersionStatus.State.Value(state.state.value)
        # A status that is present but empty means the error code OK.
        told.status.SetInParent()
        if state.error:
            told.status.error_code = tf.errors.UNKNOWN
            told.status.error_message = state.error
    return response


def model_metadata(model: ServedModel) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """Returns the name, version and signatures of the model."""
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = model.name
    response.model_spec.version.value = model.version
    response.metadata[SIGNATURES].Pack(_signature_map(model))
    return response


def status_json(states: Mapping[int, VersionState]) -> dict:
    """Returns `model_status` in REST's JSON form."""
    return _json(model_status(states))


def metadata_json(model: ServedModel) -> dict:
    """Returns `model_metadata` in REST's JSON form, where the signatures are not packed."""
    return {
        "model_spec": _json(model_metadata(model).model_spec),
        "metadata": {SIGNATURES: _json(_signature_map(model))},
    }


def _signature_map(model: ServedModel) -> get_model_metadata_pb2.SignatureDefMap:
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, definition in model.definitions.items():
        signatures.signature_def[name].CopyFrom(definition)
    return signatures


def _json(message: Message) -> dict:
    return MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )

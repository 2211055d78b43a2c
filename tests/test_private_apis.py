"""Every private interface of others that the package leans on: an upgrade fails here with words.

Each test names who needs the interface and for what. The list is complete: the last test reads the
sources for imports of private modules and for underscored attributes of others' objects.
"""

import ast
import importlib.metadata
import importlib.util
import inspect
import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from packaging.specifiers import SpecifierSet
from support.random_model import shared_model

from deeplab_tf.artefacts.litert import open_interpreter
from deeplab_tf.export.litert import Options, write_litert

ROOT = pathlib.Path(__file__).parents[1]

MODULES = {
    "tensorflow.python.util._pywrap_util_port": "models/kernels.py: whether oneDNN is in use",
    "tensorflow.python.eager.context": "distributed/connection.py: the coordination service",
    "tensorflow.compiler.xla.tsl.protobuf.coordination_config_pb2": "distributed/connection.py",
    "tensorflow.core.protobuf.saved_model_pb2": "serving and export: a SavedModel's graph",
    "tensorflow.core.protobuf.meta_graph_pb2": "serving/openvino_model.py: signatures for clients",
    "tensorflow.core.framework.tensor_shape_pb2": "serving/openvino_model.py: their shapes",
    "tensorflow.core.framework.graph_pb2": "export/operations.py: a function's graph",
    "tensorflow.lite.python.schema_py_generated": "export: the tensors of a LiteRT file",
    "tensorflow.lite.python.convert": "export: the converter's error, and the int8 quantiser",
    "tensorflow.lite.python.util": "export/full_int8.py: bytes in and out",
    "tensorflow.lite.tools.flatbuffer_utils": "export: a LiteRT file as an object",
    "tensorflow.python.framework.dtypes": "export/full_int8.py: the quantiser's types",
    "onnxruntime.capi.onnxruntime_pybind11_state": "artefacts/onnx.py: a damaged file's errors",
    "uvicorn.protocols.http.h11_impl": "serving/http_protocol.py: slow clients",
}
"""Modules without a promise, by name, with who needs them."""

MODULES_OF_PARITY = {
    "tf_keras.src.legacy_tf_layers": "weights/slim_graph.py: Keras 2's layers, for tf-slim",
}
"""Modules that only the environment of `make parity` has; `tests/parity/live.py` runs them."""

ATTRIBUTES = {
    "_get_ops_details": "LiteRT's Interpreter: artefacts/litert.py, export/operations.py",
    "_keras_history": "Keras' tensor: models/folding.py finds the layer before a batch norm",
    "_model_variables_moving_average": "Keras' optimizer: runs/average.py",
    "_trainable_variables": "Keras' optimizer: runs/average.py",
    "_all_reduce_sum_gradients": "Keras' optimizer: training/optimizer.py clips the sum",
    "_view_options": "Beam's side inputs: distributed/beam_plan.py",
    "_exit": "os: ends a process without its exit handlers",
    "_replace": "NamedTuple's public method",
}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_there(name):
    importlib.import_module(name)


@pytest.mark.parametrize("package", sorted({name.split(".")[0] for name in MODULES}))
def test_a_package_whose_private_modules_are_used_has_a_newest_version(package):
    """And the one that is installed lies in the range, so that the tests are of the range."""
    text = (ROOT / "setup.cfg").read_text()
    ranges = re.findall(rf"^ +{package}([<>=].*|)$", text, re.MULTILINE)
    assert ranges
    for versions in map(SpecifierSet, ranges):
        assert any(one.operator == "<" for one in versions), f"{package} has no newest version"
        assert importlib.metadata.version(package) in versions


def test_tensorflow_reports_whether_onednn_is_in_use():
    from tensorflow.python.util import _pywrap_util_port

    assert isinstance(_pywrap_util_port.IsMklEnabled(), bool)


def test_the_coordination_service_is_configured_by_these_names():
    from tensorflow.compiler.xla.tsl.protobuf import coordination_config_pb2
    from tensorflow.python.eager import context

    runtime = context.context()
    assert {
        "service_leader",
        "cluster_register_timeout_in_ms",
        "heartbeat_timeout_in_ms",
        "shutdown_barrier_timeout_in_ms",
        "coordinated_jobs",
    } <= set(inspect.signature(runtime.configure_coordination_service).parameters)
    config = coordination_config_pb2.CoordinationServiceConfig()
    assert hasattr(config, "cluster_register_with_barrier")
    coordination_config_pb2.CoordinatedJob(name="worker", num_tasks=2)


def test_the_int8_quantiser_takes_these_arguments():
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.python.convert import ConverterError, mlir_quantize
    from tensorflow.lite.python.util import modify_model_io_type
    from tensorflow.lite.tools import flatbuffer_utils

    assert "denylisted_nodes" in inspect.signature(mlir_quantize).parameters
    assert len(inspect.signature(modify_model_io_type).parameters) == 3
    assert issubclass(ConverterError, Exception)
    assert callable(flatbuffer_utils.convert_bytearray_to_object)
    assert callable(flatbuffer_utils.convert_object_to_bytearray)
    assert {"scale", "zeroPoint"} <= set(vars(schema.QuantizationParametersT()))


def test_keras_keeps_the_average_of_the_weights_under_this_name():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    optimizer = keras.optimizers.SGD(use_ema=True)
    optimizer.build(model.trainable_variables)
    shapes = [variable.shape for variable in optimizer._model_variables_moving_average]
    assert shapes == [(2, 1), (1,)]
    paths = [variable.path for variable in model.trainable_variables]
    assert [variable.path for variable in optimizer._trainable_variables] == paths
    assert keras.optimizers.LossScaleOptimizer(optimizer).inner_optimizer is optimizer


@pytest.mark.parametrize("kind", [keras.optimizers.SGD, keras.optimizers.Adam])
def test_keras_sums_gradients_and_numbers_variables_by_these_methods(kind):
    """training/optimizer.py overrides the sum, and looks a variable's rate up by its number."""
    variables = [keras.Variable([1.0]), keras.Variable([2.0])]
    summed = []

    class Watched(kind):
        def _all_reduce_sum_gradients(self, grads_and_vars):
            summed.append(grads_and_vars := super()._all_reduce_sum_gradients(grads_and_vars))
            return grads_and_vars

    optimizer = Watched(0.5)
    optimizer.build(variables)
    assert [optimizer._get_variable_index(each.value) for each in variables] == [0, 1]
    optimizer.apply([tf.constant([3.0]), tf.constant([4.0])])
    ((first, second),) = summed
    assert (float(first[0][0]), float(second[0][0])) == (3.0, 4.0)
    assert (first[1], second[1]) == tuple(each.value for each in variables)


def test_a_keras_tensor_knows_its_layer():
    inputs = keras.Input((2,))
    layer = keras.layers.Dense(1)
    assert layer(inputs)._keras_history.operation is layer


def test_litert_lists_its_operations(tmp_path):
    write_litert(shared_model(), tmp_path / "model.tflite", Options(image_size=(33, 33)))
    operations = open_interpreter(tmp_path / "model.tflite", delegates=False)._get_ops_details()
    assert {"op_name", "inputs", "outputs"} <= set(operations[0])
    names = {operation["op_name"] for operation in operations}
    assert {"CONV_2D", "ARG_MAX"} <= names


def test_uvicorns_protocol_has_the_hooks_that_are_timed():
    from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

    hooks = ("connection_made", "data_received", "pause_writing", "resume_writing")
    for hook in (*hooks, "on_response_complete", "connection_lost"):
        assert callable(getattr(H11Protocol, hook)), hook
    source = inspect.getsource(H11Protocol) + inspect.getsource(RequestResponseCycle)
    for name in ("self.flow", "self.cycle", "self.transport", "self.loop", "response_complete"):
        assert name in source, name


def test_beam_runs_a_function_and_its_side_inputs_by_these_names():
    """distributed/stages.py; tests/distributed/test_dask_runner.py runs a function with them."""
    common = pytest.importorskip("apache_beam.runners.common")
    from apache_beam.pvalue import AsSideInput
    from apache_beam.transforms.sideinputs import SideInputMap

    for method in ("setup", "start", "process", "finish", "teardown"):
        assert callable(getattr(common.DoFnRunner, method)), method
    for question in ("is_stateful_dofn", "is_splittable_dofn"):
        assert callable(getattr(common.DoFnSignature, question)), question
    assert callable(common.Receiver.receive) and callable(AsSideInput._view_options)
    assert [*inspect.signature(SideInputMap).parameters] == [
        "view_class",
        "view_options",
        "iterable",
    ]


def test_a_checkpoints_text_has_this_name(tmp_path):
    """runs/checkpoints.py adds up sizes, and this is the only entry without one."""
    prefix = tf.train.Checkpoint(v=tf.Variable(1.0)).write(str(tmp_path / "step"))
    reader = tf.train.load_checkpoint(prefix)
    texts = [n for n, d in reader.get_variable_to_dtype_map().items() if d == tf.string]
    assert texts == ["_CHECKPOINTABLE_OBJECT_GRAPH"]
    assert isinstance(reader.get_tensor(texts[0]), bytes | np.bytes_)


def test_the_list_is_complete():
    modules, attributes = set(), set()
    for folder in ("deeplab_tf", "export", "configs"):
        for path in (ROOT / folder).glob("**/*.py"):
            tree = ast.parse(path.read_text())
            for node in ast.walk(tree):
                modules.update(name for name in _named_modules(node) if _is_private(name))
                if (
                    isinstance(node, ast.Attribute)
                    and re.match("_[a-z]", node.attr)
                    and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
                ):
                    attributes.add(node.attr)
    assert modules == {*MODULES, *MODULES_OF_PARITY}
    assert attributes - set(ATTRIBUTES) == set()


PRIVATE = r"^tensorflow\.|keras\.src|capi\.|\._"


def _named_modules(node: ast.AST) -> list[str]:
    """Returns the modules that an import names, or a text, which `import_module` may be given."""
    match node:
        case ast.Import():
            return [alias.name for alias in node.names]
        case ast.ImportFrom(module=str(module), level=0):
            return [module, *(f"{module}.{alias.name}" for alias in node.names)]
        case ast.Constant(value=str(text)) if re.fullmatch(r"\w+(\.\w+)+\.?", text):
            return [text.removesuffix(".")]
    return []


def _is_private(name: str) -> bool:
    if name in ("uvicorn.protocols.http.h11_impl", *MODULES_OF_PARITY):
        return True
    if not re.search(PRIVATE, name):
        return False
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:  # the name of a thing in a module, not of a module
        return False
    return spec is not None and spec.submodule_search_locations is None  # no package

"""Runs a SavedModel by TensorFlow's C library, as a C++ server does, without Python's TensorFlow.

    python c_api.py SAVED_MODEL_DIR INPUT.npy OUTPUT.npy INPUT_NAME OUTPUT_NAME

INPUT.npy is uint8; the names are those of tensors, as `serving_default_images:0`; the output is
uint8 of one dimension less.
"""

import ctypes
import importlib.util
import pathlib
import sys

import numpy as np

UINT8 = 4
Pointer = ctypes.c_void_p


class Output(ctypes.Structure):
    """TF_Output: one output of an operation of the graph."""

    _fields_ = (("operation", Pointer), ("index", ctypes.c_int))


def load_library() -> ctypes.CDLL:
    """The C interface out of the installed package, which is not imported."""
    spec = importlib.util.find_spec("tensorflow")
    assert spec is not None and spec.origin is not None
    folder = pathlib.Path(spec.origin).parent
    for name in ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2"):
        library = ctypes.CDLL(str(folder / name), mode=ctypes.RTLD_GLOBAL)
    for name in (
        "NewStatus",
        "NewGraph",
        "NewSessionOptions",
        "LoadSessionFromSavedModel",
        "GraphOperationByName",
        "AllocateTensor",
        "TensorData",
    ):
        getattr(library, f"TF_{name}").restype = Pointer
    library.TF_Message.restype = ctypes.c_char_p
    return library


def run(folder: str, images: np.ndarray, input_name: str, output_name: str) -> np.ndarray:
    """uint8 [B, H, W, 3] -> uint8 [B, H, W]."""
    library = load_library()
    status, graph = Pointer(library.TF_NewStatus()), Pointer(library.TF_NewGraph())
    options = Pointer(library.TF_NewSessionOptions())
    tags = (ctypes.c_char_p * 1)(b"serve")
    session = Pointer(
        library.TF_LoadSessionFromSavedModel(
            options, None, folder.encode(), tags, 1, graph, None, status
        )
    )
    check(library, status)

    def named(tensor: str) -> Output:
        name, _, index = tensor.partition(":")
        operation = library.TF_GraphOperationByName(graph, name.encode())
        assert operation, f"the graph has no {name}"
        return Output(operation, int(index))

    sides = (ctypes.c_int64 * images.ndim)(*images.shape)
    fed = Pointer(
        library.TF_AllocateTensor(UINT8, sides, images.ndim, ctypes.c_size_t(images.nbytes))
    )
    ctypes.memmove(library.TF_TensorData(fed), images.tobytes(), images.nbytes)
    answer = (Pointer * 1)()
    library.TF_SessionRun(
        session,
        None,
        ctypes.byref(named(input_name)),
        (Pointer * 1)(fed),
        1,
        ctypes.byref(named(output_name)),
        answer,
        1,
        None,
        0,
        None,
        status,
    )
    check(library, status)
    shape = images.shape[:-1]
    data = ctypes.string_at(library.TF_TensorData(Pointer(answer[0])), int(np.prod(shape)))
    return np.frombuffer(data, np.uint8).reshape(shape)


def check(library: ctypes.CDLL, status: Pointer) -> None:
    """Raises `RuntimeError` with what the library says is wrong."""
    if library.TF_GetCode(status):
        raise RuntimeError(library.TF_Message(status).decode())


def main() -> None:
    """Runs the model on the pixels in a file, as the head of this file says."""
    folder, source, target, input_name, output_name = sys.argv[1:]
    np.save(target, run(folder, np.load(source), input_name, output_name))
    assert "tensorflow" not in sys.modules and "deeplab_tf" not in sys.modules


if __name__ == "__main__":
    main()

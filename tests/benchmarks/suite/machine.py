"""What the figures were measured on: names, versions, and the matrix-multiply peak."""

import importlib.metadata
import platform

from deeplab_tf.machine.processor import processor_name
from deeplab_tf.machine.system import usable_cores

PACKAGES = "deeplab_tf tensorflow keras jax torch torchvision keras-hub onnxruntime openvino numpy"


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the installed packages, by name."""
    found = {"python": platform.python_version()}
    for name in PACKAGES.split():
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """Name of the CPU and how many cores this process may use."""
    return f"{processor_name()}, {usable_cores()} cores"

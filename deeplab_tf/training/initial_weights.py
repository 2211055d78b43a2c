"""Initial weights from a `.keras` file, layer by layer by name."""

import dataclasses
import pathlib

import keras

from deeplab_tf.errors import DeeplabError
from deeplab_tf.trained_model import read_keras_file


@dataclasses.dataclass
class LoadReport:
    """Names of variables: `loaded`; `skipped` with the two shapes; `missing` in the file, so they
    keep their random values; `unused`, in the file and not in the model."""

    loaded: list[str]
    skipped: list[str]
    missing: list[str]
    unused: list[str]

    def table(self) -> str:
        """A line a group with its count and its first names."""
        rows = []
        for group in ("loaded", "skipped", "missing", "unused"):
            names = getattr(self, group)
            shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
            rows.append(
                f"  {group:8s}{len(names):5d}  {shown if group != 'loaded' else ''}".rstrip()
            )
        return "\n".join(rows)


def load_initial_weights(model: keras.Model, path: str) -> LoadReport:
    """Copies into `model` every weight of the `.keras` file that has the same name and shape.

    A last layer for another number of classes is skipped that way, and keeps its random values.

    Raises:
        DeeplabError: no such file, not a Keras file, or no kernel in it fits.
    """
    if not pathlib.Path(path).is_file():
        raise DeeplabError(f"init_from={path} does not exist; it must be a .keras file")
    source = read_keras_file(pathlib.Path(path))
    theirs, ours = _weights_by_name(source), _weights_by_name(model)
    report = LoadReport([], [], [], sorted(theirs.keys() - ours.keys()))
    for name, variable in ours.items():
        if name not in theirs:
            report.missing.append(name)
        elif tuple(theirs[name].shape) != tuple(variable.shape):
            shapes = f"{tuple(theirs[name].shape)} -> {tuple(variable.shape)}"
            report.skipped.append(f"{name} {shapes}")
        else:
            variable.assign(theirs[name])
            report.loaded.append(name)
    # A bias of one number a class fits by chance.
    if not any(name.endswith("/kernel") for name in report.loaded):
        raise DeeplabError(
            f"init_from={path} has no kernel of the name and shape of this model: is it of "
            f"another backbone? It has {', '.join(list(theirs)[:3])}, ...; "
            f"the model {', '.join(list(ours)[:3])}, ..."
        )
    return report


def _weights_by_name(model: keras.Model) -> dict[str, keras.Variable]:
    return {f"{layer.name}/{w.name}": w for layer in model.layers for w in layer.weights}

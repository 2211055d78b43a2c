"""Versions of models for the server: ones that answer with their number, and real ones."""

import asyncio
import dataclasses
import pathlib
import shutil
import threading

import numpy as np
import tensorflow as tf

from deeplab_tf.errors import DeeplabError
from deeplab_tf.inference.working_size import WorkingSize
from deeplab_tf.serving.served_model import ServedModel
from deeplab_tf.serving.signature import Signature

FILES = (
    "saved_model.pb",
    "assets.extra/deeplab_tf.json",
    "variables/variables.data-00000-of-00001",
    "variables/variables.index",
)
PIXELS = Signature("serving_default", "images", np.dtype(np.uint8), 3)


@dataclasses.dataclass(frozen=True)
class NumberModel(ServedModel):
    """A model whose labels are its version's number; `release` lets it run, `ran` is a batch each.

    An image whose first pixel is 255 is held until `release` is set.
    """

    release: threading.Event = dataclasses.field(default_factory=threading.Event)
    ran: list = dataclasses.field(default_factory=list)

    def run(self, signature, images):
        self.ran.append(len(images))
        if images[0, 0, 0, 0] == 255:
            assert self.release.wait(30)
        return {"labels": np.full(images.shape[:3], self.version, np.uint8)}


def number_model(version: int, name: str = "street") -> NumberModel:
    signatures = {"serving_default": PIXELS}
    return NumberModel(name, version, signatures, {}, {}, WorkingSize())


def write_version(folder: pathlib.Path, content: str = "whole", without: str = "") -> None:
    """Files as a SavedModel's in `folder`, all but one, for `open_number`."""
    for file in FILES:
        if file != without:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(content)


def open_number(folder: pathlib.Path) -> NumberModel:
    """Loads what `write_version` wrote; refuses all content but "whole"."""
    content = (folder / "saved_model.pb").read_text()
    if content != "whole":
        raise DeeplabError(f"SavedModel {folder} is damaged: {content}")
    return number_model(int(folder.name), folder.parent.name)


def question(width: int = 4, held: bool = False) -> dict:
    """The JSON that asks for the labels of one image of 4 x `width` pixels."""
    return {"instances": np.full((1, 4, width, 3), 255 if held else 0).tolist()}


def numbers_in(answer) -> set[int]:
    """The labels in REST's answer: one number where it is wholly of one version."""
    assert answer.status_code == 200, answer.text
    return {int(n) for row in answer.json()["predictions"] for n in np.unique(row["labels"])}


async def ticks(count: int = 20) -> None:
    """Lets what is ready run."""
    for _ in range(count):
        await asyncio.sleep(0.001)


def write_other_version(model: pathlib.Path, folder: pathlib.Path, classes: int) -> None:
    """Copies a SavedModel, with the classes' biases turned by one, so that its labels differ."""
    shutil.copytree(model, folder)
    prefix = str(folder / "variables" / "variables")
    reader = tf.train.load_checkpoint(prefix)
    names = sorted(reader.get_variable_to_shape_map())
    values = [reader.get_tensor(name) for name in names]
    (bias,) = [i for i, v in enumerate(values) if np.shape(v) == (classes,)]
    values[bias] = np.roll(values[bias], 1)
    tf.raw_ops.SaveV2(
        prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=values
    )

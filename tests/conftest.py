"""Two virtual CPU devices for the whole suite, so that replicas can be tested on any machine."""

import contextlib
import gc
import os
import types

from deeplab_tf.machine.processor import choose_onednn

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
choose_onednn(trains=True)  # as deeplab-train does, for processes of the tests too

import keras
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.python.eager import context

LARGEST_IMAGE = Image.MAX_IMAGE_PIXELS
CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(CPU, [tf.config.LogicalDeviceConfiguration()] * 2)


def pytest_collection_finish():
    """Takes all that was imported out of the garbage collection: a twentieth of a training."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _seeded():
    """Every test begins at the same seed and leaves no Keras names behind, nor Pillow's limit
    lifted, as a command that cuts huge images does for its process."""
    with _functions_kept():
        keras.utils.set_random_seed(0)
    yield
    Image.MAX_IMAGE_PIXELS = LARGEST_IMAGE
    with _functions_kept():
        # Without the garbage collection, which takes longer than most tests.
        keras.backend.clear_session(free_memory=False)


@contextlib.contextmanager
def _functions_kept():
    """Lets a function that tests share be optimised once, and not in each of them anew.

    Keras and TensorFlow drop all compiled functions with the session and with the seeds, for
    kernels that draw numbers of their own; those of this package get their seeds as arguments.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(context.pywrap_tfe, "TFE_ContextClearCaches", lambda handle: None)
        yield


@pytest.fixture
def forked_imports(monkeypatch):
    """Forks the import of a published file, but for tests/named/test_import_process.py."""
    from support import commands

    from deeplab_tf.named import import_process

    def run(command, *, env, **options):
        return commands.run(*command[1:], env=env)

    monkeypatch.setattr(import_process, "subprocess", types.SimpleNamespace(run=run))


@pytest.fixture(scope="session")
def shapes_data(tmp_path_factory):
    """A data_dir with the `shapes` records: 12 training and 4 validation images."""
    from deeplab_tf.data.sources.shapes import write_shapes_devkit
    from deeplab_tf.data.sources.voc import voc_source
    from deeplab_tf.data.write_records import write_records
    from deeplab_tf.images.classes import SHAPES

    root = tmp_path_factory.mktemp("shapes")
    write_shapes_devkit(root / "VOCdevkit", train=12, val=4, seed=0)
    write_records(voc_source(root / "VOCdevkit", classes=SHAPES), root / "data")
    return root / "data"


@pytest.fixture(scope="session")
def artefacts(tmp_path_factory):
    """A folder with `shared_model()` as the SavedModel `saved` and as `model.keras`."""
    from support.random_model import shared_model

    from deeplab_tf.artefacts.trained_model import save_model
    from deeplab_tf.export.saved_model import write_saved_model

    root = tmp_path_factory.mktemp("artefacts")
    trained = shared_model()
    write_saved_model(trained, root / "saved")
    save_model(trained, root / "model.keras")
    return root

"""The real released files by name, where they are at hand: as imported by hand, on a real photo."""

import hashlib

import numpy as np
import pytest
from PIL import Image
from support.shared_data import SHARED

import deeplab_tf
from deeplab_tf.artefacts.trained_model import read_model_config
from deeplab_tf.named import cache, model_path
from deeplab_tf.named.table import MODELS
from deeplab_tf.weights.convert import run_import

FOLDER = SHARED.parent / "models"
PHOTO, MASK = (FOLDER / "photos" / f"bird_segmentation{end}.bmp" for end in ("", "_mask"))
NAMES = [name for name, model in MODELS.items() if model.at_hand]

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"released models are not in {FOLDER} (set DEEPLAB_SHARED_DATA)"
)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_the_file_imported_by_hand(name, tmp_path, monkeypatch, forked_imports):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(cache.MIRROR, str(FOLDER))
    monkeypatch.chdir(tmp_path)
    source = FOLDER / MODELS[name].file
    assert MODELS[name].hash == f"sha256:{hashlib.sha256(source.read_bytes()).hexdigest()}"
    assert MODELS[name].megabytes == round(source.stat().st_size / 1e6, 1)
    said = run_import("tflite", source, tmp_path / "by_hand.keras", [])
    assert "compared with the source's own runtime" in said
    path = model_path(name)
    assert path.read_bytes() == (tmp_path / "by_hand.keras").read_bytes()
    if name.startswith("imagenet-"):
        model_config = read_model_config(path)
        assert model_config is not None and model_config.num_classes is None
        return
    by_name = deeplab_tf.load(name)
    labels = by_name.segment(PHOTO)
    if name == "voc-mobilenet-v2":  # once, since the files have the same bytes
        by_hand = deeplab_tf.load(str(tmp_path / "by_hand.keras"))
        np.testing.assert_array_equal(labels, by_hand.segment(PHOTO))
    mask = np.asarray(Image.open(MASK))
    bird = by_name.classes.names.index("bird")
    both = (labels == bird) & (mask == bird)
    iou = both.sum() / ((labels == bird) | (mask == bird)).sum()
    assert iou > (0.7 if "050" in name else 0.9)

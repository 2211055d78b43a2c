"""The memory and the time of `deeplab-predict` on a scene that is too large for memory.

    python tests/benchmarks/huge_scene.py --side=16000 --window=1025

Writes a tiled GeoTIFF of RGB noise, labels it with a slim network of random weights in a process of
its own, and prints that process' peak memory. Fails where the labels are no tiled GeoTIFF of the
scene's size at the scene's place, or where the peak exceeds `--allowed_gb`.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

from absl import app, flags

SIDE = flags.DEFINE_integer("side", 16_000, "pixels a side of the scene", lower_bound=256)
WINDOW = flags.DEFINE_integer("window", 1025, "pixels a side of a window")
ALLOWED = flags.DEFINE_float("allowed_gb", 3, "GB that the process may hold")
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))


def main(_) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        _write_scene(root / "scene.tif")
        # Another process makes the model, so that its memory is not that of the command.
        model = [sys.executable, __file__, "--write_model", str(root / "model.keras")]
        subprocess.run(model, check=True)
        command = ["deeplab-predict", f"--model={root / 'model.keras'}", f"--window={WINDOW.value}"]
        command += [f"--images={root / 'scene.tif'}", f"--out={root / 'out'}"]
        begin = time.perf_counter()
        command[0] = str(pathlib.Path(sys.executable).with_name(command[0]))
        _, status, used = os.wait4(subprocess.Popen(command).pid, 0)
        seconds = time.perf_counter() - begin
        if status:
            raise SystemExit("deeplab-predict failed")
        _check(root / "out" / "scene.tif")
    peak = used.ru_maxrss * 1024 / 1e9
    print(
        f"{SIDE.value}x{SIDE.value} pixels in windows of {WINDOW.value}: peak {peak:.2f} GB, "
        f"{seconds:.0f} s, {SIDE.value**2 / seconds / 1e6:.2f} megapixels/s"
    )
    if peak > ALLOWED.value:
        raise SystemExit(f"more than {ALLOWED.value:g} GB")


def _write_scene(path: pathlib.Path) -> None:
    import numpy as np
    from support.geo_files import SCENE_TILE, write_scene

    tile = np.random.default_rng(0).integers(0, 256, (SCENE_TILE, SCENE_TILE, 3), np.uint8)
    write_scene(path, SIDE.value, lambda number: np.roll(tile, number, axis=1))


def _check(path: pathlib.Path) -> None:
    import tifffile
    from support.geo_files import SCENE_PLACE

    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        assert page.shape == (SIDE.value, SIDE.value) and page.is_tiled
        for tag, _, _, value, _ in SCENE_PLACE:
            assert page.tags[tag].value == value, tag


def _write_model(path: str) -> None:
    from support.random_model import random_trained_model

    from deeplab_tf.artefacts.trained_model import save_model
    from deeplab_tf.config import Backbone

    save_model(random_trained_model(backbone=Backbone.RESNET_SLIM), pathlib.Path(path))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write_model"]:
        _write_model(sys.argv[2])
    else:
        app.run(main)

"""The memory and the time of all that is written of a scene too large for memory.

    python tests/benchmarks/scene_outputs.py --side=16000 --write=labels,polygons,areas

Writes a tiled GeoTIFF, labels it by windows with a function in the place of a network (blobs of six
classes, about `--blob` pixels wide, with ragged borders), and prints the peak memory.
"""

import functools
import pathlib
import resource
import sys
import tempfile
import time

import numpy as np
from absl import app, flags

SIDE = flags.DEFINE_integer("side", 16_000, "pixels a side of the scene", lower_bound=256)
BLOB = flags.DEFINE_integer("blob", 200, "pixels across a blob")
WRITE = flags.DEFINE_list("write", ["labels", "overlay"], "what is written")
MIN_AREA = flags.DEFINE_integer("min_area", 0, "pixels of a region")
WINDOW = 1025
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))


def main(_) -> None:
    from support.geo_files import SCENE_TILE, write_scene

    from deeplab_tf.images.classes import SHAPES
    from deeplab_tf.inference.predictor import Predictor
    from deeplab_tf.inference.windows import spans
    from deeplab_tf.prediction.predict_files import run_files
    from deeplab_tf.prediction.writes import Writes

    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        row = SIDE.value // SCENE_TILE + 1
        write_scene(
            root / "scene.tif", SIDE.value, lambda number: _blobs(number // row, number % row)
        )
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        row_spans = functools.partial(spans, window=WINDOW, output_stride=16)
        predictor = Predictor(SHAPES, lambda images: images[..., 0] // 43, row_spans=row_spans)
        writes = Writes(tuple(WRITE.value), min_area=MIN_AREA.value)
        begin = time.perf_counter()
        run_files(predictor, [root / "scene.tif"], root / "out", 1, print, writes)
        seconds = time.perf_counter() - begin
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        sizes = {path.name: path.stat().st_size / 1e6 for path in (root / "out").iterdir()}
    size = f"{SIDE.value}x{SIDE.value}"
    print(f"{size} pixels: {before:.2f} GB before, peak {peak:.2f} GB, {seconds:.0f} s")
    print(", ".join(f"{name} {size:.1f} MB" for name, size in sorted(sizes.items())))


def _blobs(row: int, column: int) -> np.ndarray:
    from support.geo_files import SCENE_TILE as TILE

    rows, columns = np.mgrid[:TILE, :TILE].astype(np.float32)
    rows, columns = (rows + row * TILE) / BLOB.value, (columns + column * TILE) / BLOB.value
    noise = np.random.default_rng(0).normal(0, 0.004, (TILE, TILE))
    values = np.sin(3 * rows) * np.cos(2.6 * columns) + np.sin(1.1 * rows + 0.7 * columns) + noise
    red = ((values + 2.4) / 4.8 * 255).clip(0, 255).astype(np.uint8)
    return np.stack([red, red // 2 + 1, red], axis=-1)


if __name__ == "__main__":
    app.run(main)

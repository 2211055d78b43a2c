"""The input pipeline beside torchvision's, by `beside_torchvision.py`."""

import json
import pathlib
import subprocess
import sys
import tempfile

from deeplab_tf.data.sources.shapes import write_shapes_devkit

from .turns import Group

HERE = pathlib.Path(__file__).resolve().parents[1]
DRAWN = 200
"""Images that stand in where there is no VOC."""


def measure(rounds: int, voc: str | None, augment: bool = False) -> Group:
    """Batches of 16 crops of 513 from VOC's images, on one core, which is what a core delivers."""
    images = "VOC's images" if voc else "drawn images"
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        if voc is None:
            voc = str(root / "VOCdevkit")
            write_shapes_devkit(root / "VOCdevkit", train=DRAWN, val=8, seed=0)
        _run(
            *("-m", "deeplab_tf.cli.prepare", "--dataset=voc"),
            *(f"--source={voc}", f"--data_dir={root / 'data'}"),
        )
        figures = root / "figures.json"
        _run(
            *(str(HERE / "beside_torchvision.py"), f"--data_dir={root / 'data'}"),
            *(f"--voc={voc}", f"--torch_python={sys.executable}", "--cores=1"),
            *(f"--rounds={rounds}", f"--json={figures}", f"--augment={augment}"),
        )
        sides = json.loads(figures.read_text())
    # Seconds a batch, as all groups have it.
    seconds = {side: [16 / pace for pace in of["images_s"]] for side, of in sides.items()}
    more = ", every augmentation" if augment else ""
    return Group(f"input pipeline, 16 crops of 513x513{more}, {images}, one core", seconds, 16)


def _run(*arguments: str) -> None:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{arguments} failed: {done.stderr[-1000:]}")

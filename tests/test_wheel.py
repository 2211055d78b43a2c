"""The wheel, in an empty folder, without the packages of the extras: nothing of the repository is
near.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SOURCES = ("deeplab_tf", "configs", "export", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
BINARIES = "prepare train eval models score predict export import paper serve".split()
OF_EXTRAS = (
    "tifffile imagecodecs apache_beam distributed dask pycocotools pydensecrf pillow_heif tf2onnx "
    "onnx onnxruntime openvino nncf rasterio shapely starlette uvicorn prometheus_client "
    "tensorflow_serving tf_slim tf_keras torch av s3fs gcsfs"
).split()
BLOCK = f"""
import sys

class Without:
    def __init__(self, finder):
        self._finder = finder

    def __getattr__(self, name):
        return getattr(self._finder, name)

    def find_spec(self, name, *arguments):
        absent = name.partition(".")[0] in {OF_EXTRAS}
        return None if absent else self._finder.find_spec(name, *arguments)

sys.meta_path[:] = map(Without, sys.meta_path)
"""
"""A `sitecustomize.py` for which the packages of the extras are not installed."""
SCRIPTS = """
import itertools, os, runpy, sys

folder, *rest = sys.argv[1:]
parts = [list(part) for then, part in itertools.groupby(rest, "--then".__eq__) if not then]
for number, (script, *arguments) in enumerate(parts):
    sys.argv = [os.path.join(folder, script), *arguments]
    sys.path[0] = folder
    if len(parts) == 1:
        runpy.run_path(sys.argv[0], run_name="__main__")
    import tensorflow
    if not os.fork():
        runpy.run_path(sys.argv[0], run_name="__main__")
    if os.wait()[1]:
        sys.exit(f"{script} failed")
"""
"""What runs the scripts between `--then`; several are forked when TensorFlow is imported."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of a copy of the sources, since a build leaves folders behind."""
    root = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        source, unwanted = ROOT / name, shutil.ignore_patterns("__pycache__", "*.egg-info")
        if source.is_dir():
            shutil.copytree(source, root / "source" / name, ignore=unwanted)
        else:
            shutil.copy(source, root / "source" / name)
    command = ["wheel", root / "source", "--no-deps", "--no-build-isolation", "-w", root]
    subprocess.run([sys.executable, "-m", "pip", "-q", *command], check=True)
    (path,) = root.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def run(wheel, tmp_path_factory):
    """Starts console scripts of the installed wheel in a folder, one after another."""
    site = tmp_path_factory.mktemp("site")
    command = ["install", "--no-deps", "--target", site, wheel]
    subprocess.run([sys.executable, "-m", "pip", "-q", *command], check=True)
    (site / "sitecustomize.py").write_text(BLOCK)
    env = {**os.environ, "PYTHONPATH": str(site)}

    def start(folder, name, *arguments):
        return subprocess.Popen(
            [sys.executable, "-c", SCRIPTS, site / "bin", name, *arguments],
            cwd=folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def test_the_wheel_has_every_file_of_the_packages(wheel):
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    tracked = subprocess.run(
        ["git", "ls-files", *SOURCES[:3]], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    places = {f"{name}/": f"deeplab_tf/{name}/" for name in ("configs", "export")}
    expected = set()
    for name in tracked:
        place = next((to for begin, to in places.items() if name.startswith(begin)), "")
        expected.add(place + name.partition("/")[2] if place else name)
    assert packed == expected


def test_every_binary_says_what_it_does(run, tmp_path):
    started = {name: run(tmp_path, f"deeplab-{name}", "--help") for name in BINARIES}
    for name, process in started.items():
        said, errors = process.communicate(timeout=300)
        assert said.startswith(f"deeplab-{name}: ") and not errors, name
    assert list(tmp_path.iterdir()) == []


def test_from_records_to_labels_in_an_empty_folder(run, shapes_data, tmp_path):
    data = (f"--data_dir={shapes_data}", "--config=configs/shapes.py:smoke")
    photos = shapes_data.parent / "VOCdevkit" / "VOC2012" / "JPEGImages"
    process = run(
        *(tmp_path, "deeplab-train", *data, "--workdir=run", "--config.train.steps=1"),
        *("--then", "deeplab-eval", "--workdir=run", f"--data_dir={shapes_data}"),
        *("--then", "deeplab-predict", "--model=run", f"--images={photos}/val_*.jpg", "--out=out"),
    )
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    assert len(list((tmp_path / "out").glob("*.png"))) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


def test_a_missing_extra_is_named_in_one_line(run, tmp_path):
    """And the rows for one's own data are inside, so that only the data is missing."""
    arguments = ("--model=a", "--images=.", "--out=out", "--write=areas")
    (tmp_path / "a.jpg").touch()
    started = {
        "polygons, areas, --min_area and --fill_holes need rasterio: pip install rasterio": run(
            tmp_path, "deeplab-predict", *arguments
        ),
        "data folder data does not exist; write it with deeplab-prepare --dataset=folder": run(
            tmp_path, "deeplab-train", "--config=configs/own.py:slim", "--data_dir=data",
            "--workdir=run", "--config.data.dataset=streets",
        ),
    }  # fmt: skip
    for said, process in started.items():
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 1 and errors.count("\n") == 1
        assert said in errors, errors

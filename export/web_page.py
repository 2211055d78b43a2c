"""The browser page: a folder for any static host, with the LiteRT file and all that runs it.

The page itself lies in `web/` as plain HTML, CSS and JavaScript. An export adds the model,
`model.json` with what the page must know of the model, LiteRT.js, and the list of the files that
are kept for use without a network.

Tested in tests/export/test_web.py.
"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import zipfile

import numpy as np

from deeplab_tf.artefacts.description import DESCRIPTION, parse_description
from deeplab_tf.artefacts.litert import open_interpreter
from deeplab_tf.artefacts.saved_model import SIGNATURE
from deeplab_tf.artefacts.trained_model import TrainedModel
from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import check_file, check_folder, json_with, whole_file, whole_folder
from deeplab_tf.inference.working_size import working_size_of

from .litert import FILE_NAMES, Options, export_litert
from .litert_js import VERSION, litert_js_files
from .operations import refuse_custom_operations
from .parity import ComparedImages, Export, is_report
from .self_check import expected_logits

PAGE = pathlib.Path(__file__).parent / "web"
RUNTIME_DIR = "litert"
MODEL_JSON = "model.json"
CACHE_LIST = "cache_list.js"
_is_model_json = json_with("file", "classes", "runtime")
_BROWSER_TYPES = ("float32", "int32", "uint8")
"""The dtypes of the tensors that LiteRT.js can hand over."""


def export_web(
    trained: TrainedModel,
    out_dir: str | os.PathLike,
    images: ComparedImages,
    options: Options,
    litertjs: str | os.PathLike | None = None,
) -> Export:
    """Writes the folder `out_dir`, and its parity report beside it, `NAME.parity.json`.

    The report is not in the folder, where everyone could read it: it names the images compared on.

    Args:
        trained: the model to export.
        out_dir: the folder to write: absent, empty, or a page of ours, which is replaced.
        images: as for `export_litert`.
        options: those of the LiteRT file, which gives both outputs and has one input size, to which
            the page pads or shrinks photos.
        litertjs: the folder with the archives of LiteRT.js; see `litert_js_files`.

    Raises:
        DeeplabError: the model is not for RGB images, `out_dir` holds something else, LiteRT.js is
            not at hand or cannot run the model, or `export_litert` refuses the model.
    """
    if not trained.image_format.is_rgb:
        raise DeeplabError(
            f"a page shows photos and takes RGB images, and this model {trained.image_format}; "
            "export the model with --format=litert, onnx, openvino or saved_model"
        )
    out_dir = pathlib.Path(out_dir)
    report = out_dir.with_name(f"{out_dir.name}.parity.json")
    check_folder(out_dir, is_page)
    check_file(report, is_report)
    runtime = litert_js_files(litertjs)
    with (
        whole_file(report, is_report) as temporary_report,
        whole_folder(out_dir, is_page) as temporary,
    ):
        model = temporary / FILE_NAMES[options.quantize]
        exported = export_litert(trained, model, images, options)
        os.replace(exported.report, temporary_report)
        write_page(temporary, model, runtime)
        size = sum(file.stat().st_size for file in temporary.rglob("*") if file.is_file())
    return Export(out_dir, report, size, exported.parity)


def is_page(folder: pathlib.Path) -> bool:
    """Recognises a page of `export_web`, whose every file is in its own list of files."""
    model, listed = folder / MODEL_JSON, folder / CACHE_LIST
    if not (listed.is_file() and model.is_file() and _is_model_json(model)):
        return False
    found = re.search(r"self\.FILES = (\[.*?\]);", listed.read_text(), re.DOTALL)
    names = {CACHE_LIST, *json.loads(found[1])} if found else set()
    files = (file for file in folder.rglob("*") if not file.is_dir())
    return all(file.relative_to(folder).as_posix() in names for file in files)


def write_page(folder: pathlib.Path, model: pathlib.Path, runtime: dict[str, bytes]) -> None:
    """Puts the page, `model.json` and the files of LiteRT.js beside the LiteRT file `model`."""
    facts = page_facts(model)
    shutil.copytree(PAGE, folder, dirs_exist_ok=True)
    for name, content in runtime.items():
        (folder / RUNTIME_DIR / name).write_bytes(content)
    (folder / MODEL_JSON).write_text(json.dumps(facts) + "\n")
    (folder / CACHE_LIST).write_text(cache_list(folder))


def page_facts(model: pathlib.Path) -> dict:
    """Returns the content of `model.json`, all of it read from the LiteRT file `model`.

    Raises:
        DeeplabError: LiteRT.js could not run the file.
    """
    content = model.read_bytes()
    refuse_custom_operations(content, f"LiteRT file {model.name}")
    with zipfile.ZipFile(model) as archive:
        description = archive.read(DESCRIPTION).decode()
    experiment, classes = parse_description(description, f"LiteRT file {model.name}")
    name, height, width = _input_of(model)
    pad = np.round(experiment.model.input_format.mean).astype(int).tolist()
    colors = zip(classes.names, classes.palette, strict=True)
    return {
        "file": model.name,
        "bytes": len(content),
        "dataset": classes.dataset,
        "classes": [{"name": name, "color": color} for name, color in colors],
        # Class 0 keeps the plain photo where it is the background, as deeplab-predict draws it.
        "background": 0 if classes.names[0] == "background" else None,
        "input": {
            "name": name,
            "height": height,
            "width": width,
            "pad": pad,
            "longest": working_size_of(experiment, experiment.evaluate).longest,
        },
        "normalization": json.loads(description)["normalization"],
        "runtime": f"@litertjs/core {VERSION}",
        "check": expected_logits(model, (height, width)),
    }


def _input_of(model: pathlib.Path) -> tuple[str, int, int]:
    """Returns the name, height and width of the input of a LiteRT file that the page can run.

    Raises:
        DeeplabError: the page cannot feed the file or read its answers.
    """
    serve = open_interpreter(model).get_signature_runner(SIGNATURE)
    inputs, outputs = serve.get_input_details(), serve.get_output_details()
    types = {key: np.dtype(details["dtype"]).name for key, details in (inputs | outputs).items()}
    (name, details), *others = inputs.items()
    if (
        others
        or types[name] != "uint8"
        or types.get("logits") != "float32"
        or types.get("labels") not in _BROWSER_TYPES
    ):
        raise DeeplabError(
            "the page runs a LiteRT file from uint8 pixels to labels (int32 or uint8) and float32 "
            f"logits. Received: {types}; export with --quantize=none or float16"
        )
    _, height, width, _ = (int(side) for side in details["shape"])
    return name, height, width


def cache_list(folder: pathlib.Path) -> str:
    """Returns the script that tells the service worker which files there are, and which come first.

    The script's version is made of all files, so that browsers see a new export as one.
    """
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    names = [file.relative_to(folder).as_posix() for file in files if file.name != CACHE_LIST]
    version = hashlib.sha256()
    for name in names:
        version.update(name.encode() + hashlib.sha256((folder / name).read_bytes()).digest())
    # A browser uses one of the three WebAssembly files, of 9 MB each, so a file is kept only when
    # it is asked for.
    later = ("_internal.js", ".wasm", ".tflite", "service_worker.js")
    first = [name for name in names if not name.endswith(later)]
    return (
        f"self.VERSION = {json.dumps(version.hexdigest()[:16])};\n"
        f"self.FILES = {json.dumps(names, indent=2)};\n"
        f"self.FIRST_FILES = {json.dumps(first, indent=2)};\n"
    )

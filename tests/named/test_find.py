"""Names in place of paths: fetched from a server on the loopback address, imported once, kept."""

import hashlib
import io
import json
import os
import re
import shutil
import sys

import numpy as np
import pytest
from support import commands
from support.file_server import file_server
from support.light_network import light_model, write_light
from support.random_model import random_picture
from support.slim_archive import write_slim_archive
from support.torch_mobilenet import StateDict, answer
from support.train_processes import small

import deeplab_tf
from deeplab_tf.artefacts.trained_model import TrainedModel, save_model
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import SHAPES
from deeplab_tf.models import build_model
from deeplab_tf.named import cache, fetched, import_process, is_a_name, model_path
from deeplab_tf.named.cache import cache_folder, imported_file
from deeplab_tf.named.table import MODELS, NamedModel
from deeplab_tf.runs.workdir import CONFIG_FILE, ENVIRONMENT_FILE
from deeplab_tf.training.stages import train
from deeplab_tf.weights.convert import run_import

FILE = "released.tflite"


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    return write_light(light_model(), tmp_path_factory.mktemp("file") / FILE).read_bytes()


@pytest.fixture
def home(monkeypatch, tmp_path, forked_imports):
    """An empty cache and an empty current folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(cache.MIRROR, raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def entry(address, content, **changes):
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    fields = {"hash": digest, "megabytes": 0.4, "licence": "none", "source": "tflite"}
    fields |= {"classes": "6", "trained_on": "nothing"} | changes
    return NamedModel(f"{address}/{FILE}", **fields)


@pytest.fixture
def server(home, content, monkeypatch):
    """A server that has the file of the model `tiny`, beside the models of the table."""
    with file_server() as started:
        started.files[FILE] = content
        monkeypatch.setitem(MODELS, "tiny", entry(started.address, content))
        yield started


@pytest.fixture
def quick(monkeypatch):
    """Imports that only copy the file, where the transfer is what is tested."""
    monkeypatch.setattr(
        fetched, "import_in_a_process", lambda source, path, out: shutil.copyfile(path, out)
    )


def files_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_name_is_fetched_once_and_is_the_import_by_hand(server, content, home):
    said = []
    path = model_path("tiny", said.append)
    assert path == imported_file("tiny", MODELS["tiny"])
    assert home / "cache" in path.parents
    assert said == [
        f"tiny: fetching {server.address}/{FILE} (0.4 MB)",
        f"tiny: {path.with_name(FILE)}: sha256 checked",
        f"tiny: imported into {path}",
    ]
    (home / FILE).write_bytes(content)
    run_import("tflite", home / FILE, home / "by_hand.keras", [])
    assert path.read_bytes() == (home / "by_hand.keras").read_bytes()
    picture = random_picture(40, 53)
    by_hand = deeplab_tf.load(str(home / "by_hand.keras")).segment(picture)
    np.testing.assert_array_equal(deeplab_tf.load("tiny").segment(picture), by_hand)
    assert deeplab_tf.load_model("tiny").classes.num_classes == 6
    assert server.asked == [(FILE, 0)]
    assert files_in(path.parent) == sorted([FILE, path.name])


def test_a_training_begins_with_a_name_and_says_so(server, quick, shapes_data, home, monkeypatch):
    experiment = small(steps=1)
    experiment.model.num_classes = SHAPES.num_classes
    model = build_model(experiment.model)
    save_model(TrainedModel(model, experiment, SHAPES), home / "first.keras")
    content = server.files[FILE] = (home / "first.keras").read_bytes()
    monkeypatch.setitem(MODELS, "tiny", entry(server.address, content))
    experiment.model.like = experiment.init_from = "tiny"
    said = []
    train(experiment, shapes_data, home / "run", report=said.append)
    assert any(line.startswith("initial weights from tiny") for line in said)
    config = json.loads((home / "run" / CONFIG_FILE).read_text())
    assert config["init_from"] == "tiny"  # and no path of this machine
    path = model_path("tiny")
    environment = json.loads((home / "run" / ENVIRONMENT_FILE).read_text())
    assert environment["init_from"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_another_hash_is_refused_and_nothing_is_kept(server, home):
    server.files[FILE] = b"another file"
    with pytest.raises(DeeplabError) as raised:
        model_path("tiny")
    wrong = hashlib.sha256(b"another file").hexdigest()
    for part in (f"{server.address}/{FILE} must have sha256 ", wrong, "; nothing was kept"):
        assert part in str(raised.value)
    assert files_in(home) == []


def test_where_to_put_a_file_by_hand_is_said_and_works(server, content, quick):
    del server.files[FILE]
    with pytest.raises(DeeplabError) as raised:
        model_path("tiny")
    message = str(raised.value)
    assert "\n" not in message
    assert f"{server.address}/{FILE} was not fetched: the server answered 404 Not Found" in message
    (place,) = re.findall(r"put it at (\S+), or set DEEPLAB_MODELS", message)
    with open(place, "wb") as file:
        file.write(content[:-1])
    with pytest.raises(DeeplabError, match="must have sha256 .*; the file is damaged or another"):
        model_path("tiny")
    with open(place, "wb") as file:
        file.write(content)
    assert model_path("tiny").is_file()
    assert len(server.asked) == 1


def test_a_transfer_that_was_cut_goes_on_in_the_next_process(server, content, quick):
    server.cuts = [len(content) // 2, 0]
    with pytest.raises(DeeplabError, match="was not fetched: the connection was cut; get the file"):
        model_path("tiny")
    part = cache_folder("tiny") / f"{FILE}.part"
    begun = part.stat().st_size
    assert begun > 0
    assert model_path("tiny").is_file() and not part.exists()
    assert server.asked[-1] == (FILE, begun)


def test_a_beginning_of_another_file_is_fetched_anew(server, quick):
    folder = cache_folder("tiny")
    folder.mkdir(parents=True)
    (folder / f"{FILE}.part").write_bytes(b"of an older release")
    assert model_path("tiny").is_file()
    assert [begin for _, begin in server.asked] == [len(b"of an older release"), 0]


def test_a_file_without_a_known_hash_begins_anew_and_says_its_own(
    server, content, quick, monkeypatch
):
    monkeypatch.setitem(MODELS, "tiny", entry(server.address, content, hash=None))
    folder = cache_folder("tiny")
    folder.mkdir(parents=True)
    (folder / f"{FILE}.part").write_bytes(b"of an older release")
    said = []
    model_path("tiny", said.append)
    digest = hashlib.sha256(content).hexdigest()
    assert said[1].endswith(f"no hash is known, so the file is not checked; its sha256 is {digest}")
    assert server.asked == [(FILE, 0)]


def test_a_replaced_file_without_a_known_hash_is_imported_anew(server, content, quick, monkeypatch):
    monkeypatch.setitem(MODELS, "tiny", entry(server.address, content, hash=None))
    assert imported_file("tiny", MODELS["tiny"]) is None
    first = model_path("tiny")
    published = cache_folder("tiny") / FILE
    published.write_bytes(b"another release")
    second = model_path("tiny")
    assert (first.read_bytes(), second.read_bytes()) == (content, b"another release")
    assert model_path("tiny") == second and len(server.asked) == 1
    os.utime(first, (1, 1))
    published.unlink()  # the latest import needs it no more
    assert model_path("tiny") == second and len(server.asked) == 1


def test_a_mirror_is_a_folder_or_an_address(server, content, quick, home, monkeypatch):
    monkeypatch.setitem(MODELS, "tiny", entry("http://127.0.0.1:9/nowhere", content))
    mirror = home / "mirror"
    monkeypatch.setenv(cache.MIRROR, str(mirror))
    with pytest.raises(DeeplabError, match=f"{FILE} does not exist, and DEEPLAB_MODELS=.* is the"):
        model_path("tiny")
    mirror.mkdir()
    (mirror / FILE).write_bytes(content)
    path = model_path("tiny")
    assert files_in(path.parent) == [path.name] and server.asked == []
    path.unlink()
    monkeypatch.setenv(cache.MIRROR, f"{server.address}/")
    assert model_path("tiny") == path
    assert server.asked == [(FILE, 0)]


def test_a_changed_importer_or_entry_imports_anew(server, content, quick, monkeypatch):
    first = model_path("tiny")
    monkeypatch.setattr(cache, "importers", lambda: "another")
    second = model_path("tiny")
    assert first != second and first.read_bytes() == second.read_bytes()
    assert len(server.asked) == 1  # the published file is kept
    changed = entry(server.address, content, source="slim")
    assert imported_file("tiny", changed) != second


def test_what_lies_here_goes_before_a_name_and_a_line_says_so(server, home):
    assert is_a_name("tiny") and not is_a_name("./tiny") and not is_a_name(home / "tiny")
    (home / "here" / "tiny").mkdir()
    said = []
    assert str(model_path("tiny", said.append)) == "tiny"
    assert len(said) == 1 and said[0].startswith("note: tiny is taken from the current folder")
    assert not is_a_name("tiny")
    assert str(model_path("runs/tiny", said.append)) == "runs/tiny" and len(said) == 1


def test_an_unknown_name_is_one_line_with_near_names(home):
    with pytest.raises(DeeplabError) as raised:
        deeplab_tf.load("voc-mobilnet-v2")
    assert str(raised.value).startswith(
        "model voc-mobilnet-v2 does not exist, and no published model has this name (near: "
        "voc-mobilenet-v2, "
    )
    with pytest.raises(DeeplabError, match="has this name; deeplab-models lists the names"):
        model_path("xyz")


FULL_DISK = """
import errno, zipfile

def writestr(*arguments, **options):
    raise OSError(errno.ENOSPC, "No space left on device")

zipfile.ZipFile.writestr = writestr
"""


def test_a_full_disk_leaves_the_published_file_and_nothing_else(server, monkeypatch):
    monkeypatch.setattr(import_process, "_PROGRAM", FULL_DISK + import_process._PROGRAM)
    with pytest.raises(DeeplabError, match="^no space left on the disk, writing "):
        model_path("tiny")
    assert files_in(cache_folder("tiny")) == [FILE]


def test_a_cache_that_cannot_be_made_says_what_to_do(server, home, monkeypatch):
    (home / "cache").write_text("a file")
    with pytest.raises(DeeplabError, match="cannot be made .*set XDG_CACHE_HOME to a folder"):
        model_path("tiny")
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(DeeplabError, match="cannot be made .*parent folders") as raised:
        model_path("tiny")
    assert "XDG_CACHE_HOME" not in str(raised.value)


def test_two_processes_fetch_and_import_once(home, tmp_path):
    """The name is one of the real table: a release of DeepLab, an archive without a known hash."""
    name = "voc-mobilenet-v2-050-trainaug"
    archive = write_slim_archive(tmp_path)
    with file_server() as server:
        server.files[MODELS[name].file] = archive.read_bytes()
        env = dict(os.environ) | {cache.MIRROR: server.address}
        started = [
            commands.Command("-m", "deeplab_tf.cli.models", f"--fetch={name}", env=env)
            for _ in range(2)
        ]
        outputs = [process.communicate(120) for process in started]
        assert [process.returncode for process in started] == [0, 0], outputs
        assert server.asked == [(MODELS[name].file, 0)]
    (path,) = {out.splitlines()[-1] for out, _ in outputs}
    assert sum("imported into" in out for out, _ in outputs) == 1
    folder = cache_folder(name)
    assert files_in(folder) == sorted([MODELS[name].file, path.rpartition("/")[2]])
    trained = deeplab_tf.load_model(name)
    assert trained.classes.names[15] == "person" and trained.experiment.evaluate.pad_to == 513
    assert trained.experiment.model.width_multiplier == 0.5


def test_an_evaluation_of_a_name_needs_a_place_for_its_results(home):
    done = commands.call("eval", "--model=voc-mobilenet-v2", "--data_dir=data")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "deeplab-eval: error: voc-mobilenet-v2 is no workdir; give --out=DIR for the results\n"
    )


FAKE_TORCH = """
import numpy as np

class Tensor:
    def __init__(self, array):
        self.numpy = lambda: array

def load(path, map_location, weights_only):
    assert weights_only
    with np.load(path) as arrays:
        return {name: Tensor(arrays[name]) for name in arrays}
"""


def test_torchvisions_files_are_imported_in_a_process_of_their_own(server, home, monkeypatch):
    (home / "torch").mkdir()
    monkeypatch.syspath_prepend(home / "torch")
    state = StateDict()
    answer(state, "lraspp", np.zeros((33, 33, 3), np.uint8), 0.25, 4)
    written = io.BytesIO()
    np.savez(written, allow_pickle=False, **state.tensors)
    server.files[FILE] = written.getvalue()
    changes = {"source": "torchvision"}
    monkeypatch.setitem(MODELS, "tiny", entry(server.address, written.getvalue(), **changes))
    (home / "torch" / "torch.py").write_text("raise ImportError\n")
    with pytest.raises(DeeplabError, match=f"^to read .*{FILE}: pip install torch$"):
        model_path("tiny")
    (home / "torch" / "torch.py").write_text(FAKE_TORCH)
    trained = deeplab_tf.load_model("tiny")
    assert (trained.experiment.model.head, trained.classes.num_classes) == ("lr_aspp", 4)
    assert "torch" not in sys.modules and len(server.asked) == 1

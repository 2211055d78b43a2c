"""Linux, and what stands in for macOS and Windows: those have not all that Python has here."""

import ast
import fcntl
import json
import logging
import os
import pathlib
import subprocess
import sys
import types

import pytest

from deeplab_tf.errors import DeeplabError
from deeplab_tf.files import held_folder
from deeplab_tf.machine import processor
from deeplab_tf.machine import system as system_facts
from deeplab_tf.machine.stderr import quiet_stderr, quiet_tensorflow
from deeplab_tf.parallel import in_threads

ROOT = pathlib.Path(__file__).parents[1]
PRODUCT = ("deeplab_tf", "configs", "export")
SOURCES = [path for name in PRODUCT for path in ROOT.glob(f"{name}/**/*.py")]
THE_ONE_PLACE = ROOT / "deeplab_tf" / "machine"
ARM = """\
processor	: 0
Features	: fp asimd asimddp
CPU implementer	: 0x41
CPU part	: {}

processor	: 1
Features	: fp asimd asimddp
CPU implementer	: 0x41
CPU part	: {}
"""


@pytest.fixture(params=["linux", "darwin", "win32"])
def system(request, monkeypatch):
    """Its name; without what Linux alone has, and with what Windows has in its place."""
    if request.param != "linux":
        for module in (processor, system_facts):
            monkeypatch.setattr(module, "sys", types.SimpleNamespace(platform=request.param))
        monkeypatch.delattr(os, "sched_getaffinity")
        monkeypatch.setattr(processor, "CPUINFO", pathlib.Path("absent"))
        monkeypatch.setattr(system_facts, "STATUS", pathlib.Path("absent"))
    if request.param == "win32":
        monkeypatch.setitem(sys.modules, "fcntl", None)
        monkeypatch.setitem(sys.modules, "msvcrt", types.SimpleNamespace(LK_NBLCK=2, locking=_lock))
    return request.param


def _lock(handle, mode, count):
    """Takes a file as msvcrt does: not a folder, and with another error than fcntl's."""
    assert (mode, count) == (2, 1)
    try:
        os.write(handle, b"x")
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise PermissionError(13, "Permission denied") from None


def test_a_held_folder_is_refused_and_free_again_afterwards(system, tmp_path):
    folder = tmp_path / "runs" / "run"
    for _ in range(2):
        with held_folder(folder, "busy"):
            for _ in range(2):
                with pytest.raises(DeeplabError, match="busy; wait"), held_folder(folder, "busy"):
                    pass
            assert list(folder.iterdir()) == []
        assert list(tmp_path.iterdir()) == []


def test_an_error_inside_a_held_folder_is_not_taken_for_another_process(system, tmp_path):
    with pytest.raises(BlockingIOError, match="inside"), held_folder(tmp_path, "busy"):
        raise BlockingIOError("inside")


def test_stderr_is_quiet_inside_the_block_only(capfd):
    with quiet_stderr():
        os.write(2, b"inside")
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


@pytest.mark.parametrize("pid", [1, 1 << 40])
def test_whether_a_process_runs_is_told_where_the_system_tells_it(system, pid):
    expected = None if system == "win32" else pid < 1 << 40
    assert system_facts.is_running(pid) is expected


def test_cores_are_counted(system, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    expected = len(os.sched_getaffinity(0)) if system == "linux" else 64
    assert system_facts.usable_cores() == expected
    assert list(in_threads(str, range(9))) == list("012345678")


def test_a_peak_is_reported_where_the_system_has_one(system):
    assert (
        (system_facts.own_peak() or 0) > 10e6
        if system == "linux"
        else system_facts.own_peak() is None
    )


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (("0xd40", "0xd40"), "implementer 0x41 part 0xd40"),
        (("0xd05", "0xd0b"), "implementer 0x41 part 0xd05 and implementer 0x41 part 0xd0b"),
    ],
)
def test_an_arm_processor_is_called_by_its_numbers(tmp_path, monkeypatch, parts, name):
    (tmp_path / "cpuinfo").write_text(ARM.format(*parts))
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
    assert processor.processor_name() == name
    assert processor.processor_features() == {"fp", "asimd", "asimddp"}


def test_an_x86_processor_has_its_name(tmp_path, monkeypatch):
    core = "model name\t: AMD  EPYC: 7\nflags\t\t: fpu avx2\n\n"
    (tmp_path / "cpuinfo").write_text(2 * core)
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
    assert processor.processor_name() == "AMD EPYC: 7"
    assert processor.processor_features() == {"fpu", "avx2"}


def test_a_processor_has_a_name_elsewhere_too(system, tmp_path, monkeypatch):
    monkeypatch.setattr("platform.processor", lambda: "AMD64 Family 25")
    sysctl = tmp_path / "sysctl"
    sysctl.write_text('#!/bin/sh\n[ "$*" = "-n machdep.cpu.brand_string" ] && echo Apple M2\n')
    sysctl.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    elsewhere = {"darwin": "Apple M2", "win32": "AMD64 Family 25"}
    assert processor.processor_name() == elsewhere.get(system, processor.processor_name()) != ""


@pytest.fixture(scope="module", params=["Darwin", "Windows"])
def missing(request, tmp_path_factory):
    """What our sources take from Python's library that it has not on that system, by source.

    pyright knows by typeshed; it is shown the names alone, which takes seconds.
    """
    pytest.importorskip("pyright")
    folder = tmp_path_factory.mktemp("probe")
    uses = [(path, use) for path in SOURCES for use in _library_uses(path)]
    (folder / "probe.py").write_text("".join(f"{use}\n" for _, use in uses))
    settings = {"typeCheckingMode": "off", "reportAttributeAccessIssue": "error"}
    (folder / "pyrightconfig.json").write_text(
        json.dumps({**settings, "pythonPlatform": request.param, "pythonVersion": "3.11"})
    )
    command = [sys.executable, "-m", "pyright", "--outputjson", "-p", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout[done.stdout.index("{") :])["generalDiagnostics"]
    return [uses[one["range"]["start"]["line"]] for one in found]


def _library_uses(path):
    """A line of code for each name of a module of Python's own that the source uses."""
    tree = ast.parse(path.read_text())
    modules = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            if node.module.split(".")[0] in sys.stdlib_module_names:
                for alias in node.names:
                    yield f"from {node.module} import {alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in sys.stdlib_module_names:
                    modules[alias.asname or alias.name] = alias.name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in modules:
            module = modules[ast.unparse(node.value)]
            yield f"import {module}; {module}.{node.attr}"


def test_only_one_place_uses_what_python_has_not_everywhere(missing):
    assert [(str(path), use) for path, use in missing if path.parent != THE_ONE_PLACE] == []
    assert (
        THE_ONE_PLACE / "system.py",
        "import os; os.sched_getaffinity",
    ) in missing  # it is seen at all


def test_only_one_place_reads_proc():
    readers = {path.parent for path in SOURCES if '"/proc' in path.read_text()}
    assert readers == {THE_ONE_PLACE}


@pytest.mark.parametrize(
    ("trains", "avx512", "most", "set_before", "expected"),
    [
        (True, True, "", None, "1"),
        (True, False, "", None, "1"),
        (False, True, "", None, "1"),
        (False, False, "", None, "0"),
        (False, True, "avx2", None, "0"),
        (False, True, "AVX512_CORE_BF16", None, "1"),
        (True, False, "", "0", "0"),
        (False, False, "", "1", "1"),
        (True, True, "", "nonsense", "nonsense"),
    ],
)
def test_onednn_is_chosen_by_the_work_and_the_processor(
    monkeypatch, trains, avx512, most, set_before, expected
):
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(processor, "has_avx512", lambda: avx512)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", most)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", set_before or "")
    if set_before is None:
        monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    processor.choose_onednn(trains)
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == expected


@pytest.mark.parametrize(("imported", "architecture"), [(True, "x86_64"), (False, "aarch64")])
def test_onednn_is_left_alone_where_it_is_too_late_or_nothing_was_measured(
    monkeypatch, imported, architecture
):
    if not imported:
        monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    monkeypatch.setattr("platform.machine", lambda: architecture)
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    processor.choose_onednn(trains=True)
    assert "TF_ENABLE_ONEDNN_OPTS" not in os.environ


def test_avx512_is_found_where_the_system_tells_it():
    told = processor.processor_features()
    if not told:
        pytest.skip("the system does not tell")
    server = {"avx512f", "avx512bw", "avx512dq", "avx512vl"}
    assert processor.has_avx512() == (server <= told)


def test_tensorflows_own_lines_are_dropped_and_its_level_comes_back(caplog):
    logger = logging.getLogger("tensorflow")
    before = logger.level
    with pytest.raises(ValueError), quiet_tensorflow():
        logger.info("Assets written")
        logger.error("broken")
        raise ValueError
    assert logger.level == before and "Assets" not in caplog.text and "broken" in caplog.text

"""Every module with behaviour has a test file of its name, or says where else it is tested.

The module's docstring then has a paragraph like "Tested in tests/a/test_b.py." That file must
mention the module or one of its public names, or else a name that the paragraph gives, as in
"through `name`".
"""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
MODULES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("deeplab_tf", "export")
    for path in (ROOT / folder).rglob("*.py")
    if path.name != "__init__.py"
)
TEST_FILES = {path.name for path in (ROOT / "tests").rglob("test_*.py")}

CLI = {
    "deeplab_tf/cli/beam_flags.py": "tests/cli/test_eval.py",
    "deeplab_tf/cli/export_flags.py": "tests/cli/test_export.py",
    "deeplab_tf/cli/flag_rules.py": "tests/cli/test_paper.py",
    "deeplab_tf/cli/inference_flags.py": "tests/cli/test_eval.py",
    "deeplab_tf/cli/models.py": "tests/named/test_table.py",
    "deeplab_tf/cli/serve.py": "tests/serving/test_server_life.py",
    "deeplab_tf/cli/stores.py": "tests/test_store.py",
    "deeplab_tf/cli/train.py": "tests/cli/test_flags.py",
}
"""The modules of `cli` stand here with their tests, since `--help` prints their docstrings."""


def has_test_of_its_name(module: str) -> bool:
    return f"test_{pathlib.PurePath(module).name}" in TEST_FILES


def has_behaviour(tree: ast.Module) -> bool:
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return any(isinstance(node, kinds) for node in tree.body)


def public_names(tree: ast.Module) -> list[str]:
    """Returns the functions, classes and constants of the module that have no leading `_`."""
    names = []
    for node in tree.body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.append(node.name)
            case ast.Assign():
                names += [t.id for t in node.targets if isinstance(t, ast.Name)]
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.append(name)
    return [name for name in names if not name.startswith("_")]


def mentions(text: str, module: str, names: list[str]) -> bool:
    """Returns whether a test's text has one of `names`, or imports the module."""
    package, _, name = module.removesuffix(".py").replace("/", ".").rpartition(".")
    package = "deeplab_tf.export" if package == "export" else package
    imported = rf"{re.escape(package)}(\.| import (\w+, )*){name}"
    wanted = "|".join([imported, *map(re.escape, names)])
    return re.search(rf"(?<![\w-])({wanted})(?![\w-])", text) is not None


def fault(module: str, source: str) -> str | None:
    """Returns what is wrong with the place that the module's docstring names; None if nothing."""
    tree = ast.parse(source)
    paragraphs = (ast.get_docstring(tree) or "").split("\n\n")
    said = [" ".join(part.split()) for part in paragraphs if part.startswith("Tested in ")]
    if not said:
        return "has no test file of its name, and its docstring does not say where it is tested"
    where, _, through = said[0].partition(", through ")
    files = re.findall(r"tests/[\w/]+\.py", where)
    if not files:
        return "names no file of tests/"
    names = public_names(tree) + re.findall("`([^`]+)`", through)
    for file in files:
        if not (ROOT / file).is_file():
            return f"names {file}, which does not exist"
        if not mentions((ROOT / file).read_text(), module, names):
            return f"names {file}, which does not mention it"
    return None


def test_every_module_says_where_it_is_tested():
    faults = []
    for module in MODULES:
        source = (ROOT / module).read_text()
        if has_test_of_its_name(module) or module in CLI or not has_behaviour(ast.parse(source)):
            continue
        if wrong := fault(module, source):
            faults.append(f"{module} {wrong}")
    assert not faults, "\n".join(faults)


def test_the_list_of_commands_is_not_out_of_date():
    for module, file in CLI.items():
        assert module in MODULES and not has_test_of_its_name(module), module
        assert (ROOT / file).is_file(), file


@pytest.mark.parametrize(
    ("docstring", "wrong"),
    [
        ("", "does not say where"),
        ("\n\nTested in the lab.", "names no file of tests/"),
        ("\n\nTested in tests/test_nowhere.py.", "which does not exist"),
        ("\n\nTested in tests/cli/test_flags.py.", "which does not mention it"),
        ("\n\nTested in tests/cli/test_flags.py and\ntests/test_where_tested.py.", "test_flags.py"),
        ("\n\nTested in tests/cli/test_flags.py, through `nobody_calls_this`.", "not mention it"),
        ("\n\nTested in tests/cli/test_flags.py, through\n`BINARIES`.", None),
        ("\n\nTested in tests/test_where_tested.py.", None),
    ],
)
def test_what_is_wrong_with_a_docstring_is_reported(docstring, wrong):
    source = f'"""A module.{docstring}\n"""\n\n\ndef only_named_here(): ...\n'
    found = fault("deeplab_tf/nothing.py", source)
    assert found == wrong if wrong is None else wrong in found

"""Imports of published files that need not import TensorFlow anew."""

import types

import pytest
from support import commands

from deeplab_tf.named import import_process


@pytest.fixture
def forked_imports(monkeypatch):
    """The process of an import is forked; tests/named/test_import_process.py has a new one."""

    def run(command, *, env, **options):
        return commands.run(*command[1:], env=env)

    monkeypatch.setattr(import_process, "subprocess", types.SimpleNamespace(run=run))

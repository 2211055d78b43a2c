"""A training whose records and workdir are at a store, killed, cut off and started again."""

import pytest
from support.commands import call
from support.train_processes import CONFIG, small, start
from training import chaos

pytest.importorskip("moto.server")

"""The comparison of the workers' trainings, with workers that are only texts."""

import json
from typing import Any

import pytest
from support.tiny_run import EXPERIMENT, RECORDS

from deeplab_tf.errors import DeeplabError
from deeplab_tf.runs.same_run import check_same_run


class OneOther:
    """Two workers, of which worker 1 has the fields of worker 0 after `change`."""

    def __init__(self, change):
        self._change = change

    def gather_text(self, text):
        fields = json.loads(text)
        self._change(fields)
        return [text, json.dumps(fields)]


def check(change) -> None:
    workers: Any = OneOther(change)
    check_same_run(workers, EXPERIMENT, RECORDS, None)


def test_the_same_training_passes():
    check(lambda fields: None)


def test_another_value_is_named():
    with pytest.raises(DeeplabError, match=r"worker 1 was given .*: train.seed=7 \(worker 0: 0\)"):
        check(lambda fields: fields.update({"train.seed": 7}))


def test_a_field_that_only_one_version_of_the_package_has_is_named():
    with pytest.raises(
        DeeplabError, match=r"train.seed=absent \(worker 0: 0\)\. Start all"
    ) as error:
        check(lambda fields: fields.pop("train.seed"))
    assert str(error.value).endswith("the same command and the same version of deeplab_tf")
    with pytest.raises(DeeplabError, match=r"train.new=1 \(worker 0: absent\)"):
        check(lambda fields: fields.update({"train.new": 1}))

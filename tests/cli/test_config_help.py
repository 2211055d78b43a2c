"""`deeplab-train --help` lists every field with its choices, its default and its meaning."""

import dataclasses
import re

import pytest
from support.commands import call

from deeplab_tf.cli.config_help import NO_FLAGS, SECTIONS, list_fields, meanings
from deeplab_tf.config import Experiment, Loss


@pytest.mark.parametrize("section", SECTIONS)
def test_every_field_is_listed_with_its_default_and_a_meaning(section):
    text, config = list_fields(), getattr(Experiment(), section)
    for field in dataclasses.fields(config):
        if field.name in NO_FLAGS:
            assert f".{field.name} " not in text
            continue
        assert re.search(
            rf"^  --config\.{section}\.{field.name}( <.*>)? \(default: .+\)$", text, re.M
        )
        assert len(meanings(type(config))[field.name]) > 10, field.name


def test_choices_are_those_of_the_type_and_their_meaning_stands_below():
    text = list_fields()
    assert f"--config.train.loss <{'|'.join(Loss)}> (default: cross_entropy)\n" in text
    below = text.partition("--config.train.loss ")[2].partition("  --config")[0]
    assert all(f"`{name}`" in " ".join(below.split()) for name in Loss)
    assert "(default: 6,12,18)" in text and "(default: 0.0001)" in text


def test_fields_of_one_meaning_stand_together():
    lines = list_fields().splitlines()
    place = next(i for i, line in enumerate(lines) if "data.min_scale" in line)
    assert "data.max_scale" in lines[place + 1] and "range of the uniform" in lines[place + 2]


def test_no_line_is_longer_than_a_terminal_and_the_command_prints_them():
    assert max(map(len, (line for line in list_fields().splitlines() if "<" not in line))) <= 100
    done = call("train", "--help")
    assert done.returncode == 0 and done.stdout.endswith(list_fields() + "\n")

"""One random model and a few pictures, shared by the tests of this folder."""

import pytest
from support.random_model import random_picture, random_trained_model

from deeplab_tf.config import Backbone
from deeplab_tf.export.images import ComparedImage


@pytest.fixture(scope="session")
def trained():
    """With several units a block, and rates of the multi-grid."""
    return random_trained_model(backbone=Backbone.RESNET_SLIM)


@pytest.fixture(scope="session")
def pictures():
    """At sizes on and off the output_stride's grid."""
    sizes = {"fits": (65, 65), "odd": (50, 71), "line": (1, 70)}
    return [ComparedImage(name, random_picture(*size)) for name, size in sizes.items()]

"""What a user chooses about a labelling tool's export that the export does not say.

Tested in tests/data/sources/test_labelled.py.
"""

import dataclasses
from typing import Literal

from deeplab_tf.data.sources.painted import OnTop


@dataclasses.dataclass(frozen=True)
class Choices:
    """The choices of the flags of `deeplab-prepare`.

    Attributes:
        name: the name of the data set; None derives one from the folder's name.
        void: the classes whose pixels do not count.
        on_top: which of two overlapping regions is seen; None takes the rule of the tool.
        unlabelled: the treatment of an image that the tool lists without a region: `background`
            everywhere, or `skip` to leave the image out.
        class_attribute: the attribute of a region that holds its class, where a tool lets the user
            name the attributes; None finds it.
    """

    name: str | None = None
    void: tuple[str, ...] = ()
    on_top: OnTop | None = None
    unlabelled: Literal["background", "skip"] = "background"
    class_attribute: str | None = None

"""The signatures of a served model: what each takes, and how clients name it.

Tested in tests/serving/test_rest.py and tests/serving/test_grpc_service.py, through `Service`.
"""

import dataclasses

import numpy as np

from deeplab_tf.artefacts.saved_model import SIGNATURE
from deeplab_tf.serving.refusal import bad_request


@dataclasses.dataclass(frozen=True)
class Signature:
    """One function of the model, from one input to its outputs.

    Attributes:
        name: the name by which clients ask for the signature.
        input_name: the input's name.
        dtype: the input's dtype; None where the input is encoded images, [B] strings.
        bands: the number of bands of the input [B, H, W, bands]; 0 where it is encoded images.
        stride: the network's coarsest stride: an image of one pixel costs as much as one of
            stride x stride pixels.
        largest_scale: the largest of the scales at which the network sees each image.
        longest: the longest side, in pixels, at which the network sees an image at scale 1; None:
            any.
    """

    name: str
    input_name: str
    dtype: np.dtype | None
    bands: int = 0
    stride: int = 1
    largest_scale: float = 1.0
    longest: int | None = None

    @property
    def takes_bytes(self) -> bool:
        """Returns whether the input is encoded images."""
        return self.dtype is None


def find_signature(name: object, signatures: dict[str, Signature]) -> Signature:
    """Returns the signature that a client means by `name`; without a name, `serving_default`.

    Raises:
        RefusedError: there is no signature of that name.
    """
    wanted = SIGNATURE if name in (None, "") else name
    if not isinstance(wanted, str) or wanted not in signatures:
        known = " and ".join(sorted(signatures))
        raise bad_request(f"there is no signature {wanted!r}; the model has {known}")
    return signatures[wanted]

"""What a signature of a served model takes."""

import dataclasses

import numpy as np

from deeplab_tf.artefacts.saved_model import SIGNATURE
from deeplab_tf.serving.refusal import bad_request


@dataclasses.dataclass(frozen=True)
class Signature:
    """One function of the model, from one input to its outputs.

    Attributes:
        name: as clients ask for it.
        input_name: the input's name.
        dtype: of the input; None where it takes encoded images, [B] strings.
        bands: of the input, [B, H, W, bands]; 0 where it takes encoded images.
    """

    name: str
    input_name: str
    dtype: np.dtype | None
    bands: int = 0

    @property
    def takes_bytes(self) -> bool:
        """Whether the input is encoded images."""
        return self.dtype is None


def find_signature(name: object, signatures: dict[str, Signature]) -> Signature:
    """The signature that a client means by `name`; without one it means `serving_default`.

    Raises:
        RefusedError: there is none of that name.
    """
    wanted = SIGNATURE if name in (None, "") else name
    if not isinstance(wanted, str) or wanted not in signatures:
        known = " and ".join(sorted(signatures))
        raise bad_request(f"there is no signature {wanted!r}; the model has {known}")
    return signatures[wanted]

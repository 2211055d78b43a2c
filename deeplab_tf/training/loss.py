"""The loss that a training minimises: a loss over valid pixels and the weight decay."""

import dataclasses
from collections.abc import Sequence

import keras
import tensorflow as tf

from deeplab_tf.config import Loss, TrainConfig
from deeplab_tf.training.loss_term import LossTerm
from deeplab_tf.training.pixel_losses import CROSS_ENTROPY, pixel_loss
from deeplab_tf.training.region_losses import dice_loss, lovasz_softmax_loss


@dataclasses.dataclass(frozen=True)
class DataLoss:
    """The loss of the data, which is minimised together with the weight decay.

    Attributes:
        minimised: the terms that add up to the loss; empty where it is the cross entropy.
    """

    minimised: tuple[LossTerm, ...] = ()

    def __call__(
        self, mask: tf.Tensor, logits: tf.Tensor, whole_mask: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """Returns this replica's shares, with the arguments of `LossTerm`.

        Returns:
            `cross_entropy`, the mean over valid pixels in nats, and, where another loss is
            minimised, that loss as `data_loss`.
        """
        shares = {"cross_entropy": CROSS_ENTROPY(mask, logits, whole_mask)}
        if self.minimised:
            terms = [term(mask, logits, whole_mask) for term in self.minimised]
            shares["data_loss"] = tf.add_n(terms)
        return shares


def minimised_share(shares: dict[str, tf.Tensor]) -> tf.Tensor:
    """Returns the share of the loss that is minimised, of those that a `DataLoss` returns."""
    return shares.get("data_loss", shares["cross_entropy"])


mean_cross_entropy = DataLoss()
"""The paper's loss."""


def make_data_loss(train: TrainConfig, class_weights: Sequence[float] | None = None) -> DataLoss:
    """Returns the `DataLoss` that `train` names.

    Args:
        train: the loss and its options.
        class_weights: [C], the numbers that `train.class_weights` stands for; None for 1 each.
    """
    gamma = train.focal_gamma if train.loss is Loss.FOCAL else 0.0
    regions = {Loss.DICE: (dice_loss,), Loss.LOVASZ: (lovasz_softmax_loss,)}.get(train.loss, ())
    plain = gamma == train.label_smoothing == 0 and train.ohem_share == 1
    if class_weights is None and plain and not regions:
        return mean_cross_entropy
    of_pixels = pixel_loss(
        class_weights=class_weights,
        focal_gamma=gamma,
        ohem_share=train.ohem_share,
        label_smoothing=train.label_smoothing,
    )
    return DataLoss((of_pixels, *regions))


def weight_decay_loss(kernels: list[keras.Variable], weight_decay: float) -> tf.Tensor:
    """Returns `weight_decay / 2 * |w|^2` summed over `kernels`, as TF-Slim's ResNet (section 4.1).

    Keras' `L2(l)` is `l * |w|^2`, twice that, and `SGD(weight_decay=...)` is decoupled from the
    momentum, so neither is the paper's weight decay.
    """
    return weight_decay * tf.add_n([tf.nn.l2_loss(tf.convert_to_tensor(k)) for k in kernels])

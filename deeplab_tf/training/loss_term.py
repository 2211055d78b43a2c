"""One mean of a loss: a sum over one replica's pixels, and the weight that it is divided by.

Tested in tests/training/test_loss.py and tests/training/test_step.py, through `make_data_loss`.
"""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from deeplab_tf.distributed.strategy import sum_over_replicas


@dataclasses.dataclass(frozen=True)
class LossTerm:
    """A loss whose shares add up over replicas, and over the parts of a replica's images.

    A sum and a weight add up where means would not, since void is not dealt out evenly. The weight
    depends only on the mask, so it is known before the images go through the network.

    Attributes:
        total: from (mask [B, H, W], logits float32 [B, H, W, C]) to a float32 scalar, the sum.
        weight: from a mask to a float32 scalar, what the sum of that mask is divided by; None where
            `total` gives this replica's share of the mean, divided already.
        least: a lower bound of the weight of all replicas, for a batch that is all void.
        by_parts: whether the sums of a batch's parts add up to the sum of the batch.
    """

    total: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    weight: Callable[[tf.Tensor], tf.Tensor] | None
    least: float = 1.0
    by_parts: bool = True

    def __call__(
        self, mask: tf.Tensor, logits: tf.Tensor, whole_mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Returns this replica's share; the shares of all replicas add up to the loss.

        Args:
            mask: integer [B, H, W], class ids or `VOID`.
            logits: float32 [B, H, W, C].
            whole_mask: [N, H, W], the mask of the replica's whole share of the batch, where `mask`
                is a part of that share; the shares then add up over the parts too. None: `mask`.

        Raises:
            ValueError: `whole_mask` is given and the sums of parts do not add up.
        """
        if whole_mask is not None and not self.by_parts:
            raise ValueError("this loss needs the whole batch at once; whole_mask must be None")
        mask = tf.cast(mask, tf.int32)
        if self.weight is None:
            return self.total(mask, logits)
        whole = mask if whole_mask is None else tf.cast(whole_mask, tf.int32)
        # The weight is over all replicas, so n devices compute what one device would.
        weight = tf.maximum(sum_over_replicas(self.weight(whole)), self.least)
        return self.total(mask, logits) / weight


def once_a_replica(loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]) -> LossTerm:
    """Returns the term of a `loss` that every replica computes for the whole global batch."""
    return LossTerm(loss, lambda _: tf.ones(()), by_parts=False)

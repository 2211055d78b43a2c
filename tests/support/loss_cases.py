"""Labels and logits for the tests of losses, and what they share in numpy float64."""

import numpy as np
import tensorflow as tf

VOID = 255
CLASSES = 4


def random_case(seed=0, shape=(3, 9, 11), void=0.3):
    """Labels uint8 with void and logits float32; the last image lacks class 3."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(*shape, CLASSES)).astype(np.float32) * 2
    mask = rng.integers(0, CLASSES, shape).astype(np.uint8)
    mask[-1][mask[-1] == 3] = 0
    mask[rng.random(shape) < void] = VOID
    return mask, logits


def probabilities(logits):
    """Softmax in float64."""
    powers = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def true_probabilities(mask, logits):
    """(label, probability of the label) of each valid pixel, in float64, [N] each."""
    valid = mask != VOID
    truth = mask[valid].astype(int)
    return truth, probabilities(logits)[valid][np.arange(len(truth)), truth]


def value_and_gradient(loss, mask, logits):
    """`loss(mask, logits)` and its gradient with respect to the logits, as numpy."""
    logits = tf.Variable(logits)
    with tf.GradientTape() as tape:
        value = loss(tf.constant(mask), logits)
    return value.numpy(), tf.convert_to_tensor(tape.gradient(value, logits)).numpy()


def numeric_gradient(loss, mask, logits, places, step=1e-6):
    """Central differences of a float64 `loss(mask, logits)` at the given places of the logits."""
    found = []
    for place in places:
        ends = []
        for sign in (1, -1):
            moved = logits.astype(np.float64)
            moved[place] += sign * step
            ends.append(loss(mask, moved))
        found.append((ends[0] - ends[1]) / (2 * step))
    return np.array(found)

"""The moving average of the weights, kept by Keras' optimiser, that a run is evaluated with."""

from collections.abc import Sequence

import keras


def averages(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Returns the averages of the variables that `optimizer` trains, in their order.

    The list is empty where the optimizer keeps no average.
    """
    return [average for _, average in _averaged(optimizer)]


def evaluated_weights(
    weights: Sequence[keras.Variable], optimizer: keras.optimizers.Optimizer
) -> list[keras.Variable]:
    """Returns the average of each of `weights`, or the weight itself without one.

    The moving statistics of batch norms, which are averages themselves, have no average.
    """
    by_path = {variable.path: average for variable, average in _averaged(optimizer)}
    return [by_path.get(weight.path, weight) for weight in weights]


def begin_average(optimizer: keras.optimizers.Optimizer) -> None:
    """Sets the averages to the present weights.

    Keras itself begins with the weights after step 1, and with zero where float16 skips step 1.
    """
    for variable, average in _averaged(optimizer):
        average.assign(variable.numpy())


def _averaged(
    optimizer: keras.optimizers.Optimizer,
) -> list[tuple[keras.Variable, keras.Variable]]:
    """Returns each variable that `optimizer` trains with its average; empty without averages."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if not inner.use_ema:
        return []
    # Keras has no public name for either list.
    pairs = zip(inner._trainable_variables, inner._model_variables_moving_average, strict=True)
    return list(pairs)

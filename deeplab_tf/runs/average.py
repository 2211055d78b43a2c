"""The moving average of the weights, kept by Keras' optimiser, that a run is evaluated with."""

import keras


def averages(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Returns the averages of the variables that `optimizer` trains, in their order.

    The list is empty where the optimizer keeps no average.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    # Keras has no public name for the list of averages.
    return inner._model_variables_moving_average if inner.use_ema else []


def evaluated_weights(
    model: keras.Model, optimizer: keras.optimizers.Optimizer
) -> list[keras.Variable]:
    """Returns the average of each weight in `model.weights`, or the weight itself without one.

    The moving statistics of batch norms, which are averages themselves, have no average.
    """
    by_path = {
        variable.path: average
        for variable, average in zip(model.trainable_variables, averages(optimizer), strict=False)
    }
    return [by_path.get(variable.path, variable) for variable in model.weights]


def begin_average(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
    """Sets the averages to the present weights.

    Keras itself begins with the weights after step 1, and with zero where float16 skips step 1.
    """
    for variable, average in zip(model.trainable_variables, averages(optimizer), strict=False):
        average.assign(variable.numpy())

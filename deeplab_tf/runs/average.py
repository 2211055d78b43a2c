"""The moving average of the weights, which Keras' optimiser keeps and a run is evaluated with."""

import keras


def averages(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Those of the variables that `optimizer` trains, in their order; none without an average."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return inner._model_variables_moving_average if inner.use_ema else []  # it has no public name


def evaluated_weights(
    model: keras.Model, optimizer: keras.optimizers.Optimizer
) -> list[keras.Variable]:
    """In the order of `model.weights`, each one's average, or itself where it has none.

    The moving statistics of batch norms, which are averages themselves, have none.
    """
    by_path = {
        variable.path: average
        for variable, average in zip(model.trainable_variables, averages(optimizer), strict=False)
    }
    return [by_path.get(variable.path, variable) for variable in model.weights]


def begin_average(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
    """Lets the average begin at the weights of now.

    Keras begins at those after step 1, and at zero where float16 skips that step.
    """
    for variable, average in zip(model.trainable_variables, averages(optimizer), strict=False):
        average.assign(variable.numpy())

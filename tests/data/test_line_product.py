"""The product against a dense matrix in float64."""

import numpy as np
import pytest

from deeplab_tf.data.line_product import product


@pytest.mark.parametrize(("rows", "k", "source"), [(1, 1, 1), (7, 2, 5), (4, 9, 3)])
def test_equals_a_dense_matrix(rows, k, source):
    generator = np.random.default_rng(rows)
    lines = generator.integers(0, source, (rows, k))  # one may come twice
    weights = generator.normal(size=(rows, k)).astype(np.float32)
    values = generator.normal(size=(source, 6)).astype(np.float32)
    matrix = np.zeros((rows, source))
    np.add.at(matrix, (np.arange(rows)[:, None], lines), weights)
    np.testing.assert_allclose(product(lines, weights, values), matrix @ values, atol=1e-5)

import threading

import pytest

from deeplab_tf.parallel import in_threads


def test_results_are_in_order_and_computed_beside_each_other(monkeypatch):
    monkeypatch.setattr("deeplab_tf.parallel.usable_cores", lambda: 2)
    both = threading.Barrier(2, timeout=20)

    def wait_for_another(number):
        both.wait()
        return number

    assert list(in_threads(wait_for_another, range(6))) == list(range(6))


def test_only_a_few_are_under_way():
    begun = []
    results = in_threads(begun.append, range(1000))
    next(results)
    assert len(begun) <= 5
    results.close()
    assert len(begun) <= 5


def test_errors_pass():
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda number: 1 / number, [1, 2, 0, 3]))

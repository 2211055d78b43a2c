"""Every training of this process that comes to its end is checked as it would be evaluated."""

import pytest
from support.moving_statistics import check_moving_statistics

from deeplab_tf.training import loop
from deeplab_tf.training.build import Training


@pytest.fixture(scope="session", autouse=True)
def _evaluated_as_trained():
    make_step, train_run = Training.make_step, loop._run_steps
    seen = []

    def remembering(training):
        step = make_step(training)

        def remembered(*batch):
            seen[1:] = [batch]  # the first and the last
            return step(*batch)

        return remembered

    def checked(training, *rest):
        seen.clear()
        step, stop = train_run(training, *rest)
        if seen and not stop:
            check_moving_statistics(training, seen)
        return step, stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "make_step", remembering)
        patch.setattr(loop, "_run_steps", checked)
        yield

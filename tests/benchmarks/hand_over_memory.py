"""What hand-overs take: is the old version's memory there for the next one?

    python tests/benchmarks/hand_over_memory.py --model=street/1 --hand_overs=4

Serves the SavedModel in this process, warm and without requests, and hands over to copies of it,
one after the other. Prints resident memory before, at most and after, and the seconds from the look
that finds the copy (Linux).
"""

import asyncio
import gc
import pathlib
import re
import shutil
import tempfile
import threading
import time

from absl import app, flags

_MODEL = flags.DEFINE_string("model", None, "A SavedModel of deeplab-export.", required=True)
_HAND_OVERS = flags.DEFINE_integer("hand_overs", 4, "How many.", lower_bound=1)


def resident_mb() -> float:
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) / 1024


class Peak:
    """The largest resident memory of the block, looked at twenty times a second."""

    def __enter__(self) -> "Peak":
        self.mb, self._stop = resident_mb(), threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            self.mb = max(self.mb, resident_mb())


async def hand_over(street: pathlib.Path) -> None:
    from deeplab_tf.serving.hand_over import HandOver
    from deeplab_tf.serving.limits import Limits
    from deeplab_tf.serving.model_folder import ModelFolder
    from deeplab_tf.serving.served_model import open_answering
    from deeplab_tf.serving.service import Service
    from deeplab_tf.serving.version_policy import VersionPolicy

    gc.collect()
    gc.freeze()
    print(f"imported: {resident_mb():.0f} MB")
    folder = ModelFolder(street, street.name, VersionPolicy(), open_answering, lambda line: None)
    service = Service(folder.open_first(), Limits())
    await service.warm_up()
    print(f"one version: {resident_mb():.0f} MB")
    for number in range(2, 2 + _HAND_OVERS.value):
        shutil.copytree(_MODEL.value, street / str(number))
        looking = HandOver(service, folder)
        await looking.look()
        begin = time.monotonic()
        with Peak() as peak:
            await looking.look()
        assert list(service.models[street.name].available) == [number]
        seconds = time.monotonic() - begin
        print(f"to {number}: {peak.mb:.0f} MB at most, {resident_mb():.0f} after, {seconds:.1f} s")


def main(_) -> None:
    from deeplab_tf.cli.flags import import_tensorflow

    import_tensorflow(trains=False)
    with tempfile.TemporaryDirectory() as folder:
        street = pathlib.Path(folder, "street")
        shutil.copytree(_MODEL.value, street / "1")
        asyncio.run(hand_over(street))


if __name__ == "__main__":
    app.run(main)

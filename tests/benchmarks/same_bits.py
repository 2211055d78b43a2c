"""Which conditions change the bits of a training on a CPU: the same 12 steps under each of them.

deeplab-prepare --dataset=shapes --data_dir=data
python tests/benchmarks/same_bits.py --data_dir=data
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from deeplab_tf.artefacts.trained_model import load_model
from deeplab_tf.runs.workdir import METRICS_FILE, read_metrics

STEPS = 12
CONDITIONS = {
    "2 intra-op threads": {},
    "the same again": {},
    "on one core": {"cores": "1"},
    "7 inter-op threads": {"TF_NUM_INTEROP_THREADS": "7"},
    "1 intra-op thread": {"TF_NUM_INTRAOP_THREADS": "1"},
    "5 intra-op threads": {"TF_NUM_INTRAOP_THREADS": "5"},
    "without oneDNN": {"TF_ENABLE_ONEDNN_OPTS": "0"},
    "oneDNN by AVX2 alone": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
}


def train(data_dir: str, workdir: pathlib.Path, variables: dict[str, str]) -> list[np.ndarray]:
    """The final weights of the demo's first steps under the environment `variables`."""
    variables = {"TF_NUM_INTRAOP_THREADS": "2", **variables}
    cores = os.sched_getaffinity(0)
    if variables.pop("cores", None):
        os.sched_setaffinity(0, {min(cores)})
    command = [sys.executable, "-m", "deeplab_tf.cli.train", "--config=configs/shapes.py:demo"]
    command += [f"--data_dir={data_dir}", f"--workdir={workdir}", "--config.data.crop_size=65"]
    command += [f"--config.train.steps={STEPS}", "--config.train.log_every=1"]
    command += ["--config.train.evaluate_every=0"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **variables})
    os.sched_setaffinity(0, cores)
    return [np.asarray(weight) for weight in load_model(workdir / "model.keras").model.weights]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", required=True)
    data_dir = parser.parse_args().data_dir
    print(f"{'':22}  bits       loss at step 1, at step {STEPS}")
    expected = None
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, variables) in enumerate(CONDITIONS.items()):
            workdir = pathlib.Path(folder) / str(number)
            weights = train(data_dir, workdir, variables)
            expected = expected or weights
            pairs = zip(expected, weights, strict=True)
            same = all(a.tobytes() == b.tobytes() for a, b in pairs)
            rows = read_metrics(workdir / METRICS_FILE)
            bits = "the same" if same else "others"
            print(f"{name:22}  {bits:9}  {rows[0]['loss']:.6f}  {rows[-1]['loss']:.6f}", flush=True)


if __name__ == "__main__":
    main()

"""The benchmark suite: `make bench`. Everything in one run, ways in turns, medians and ratios.

    python tests/benchmarks/bench.py --out=docs/bench.json --page=docs/benchmark.md
    python tests/benchmarks/bench.py --parts=forward --size=257 --rounds=3

The network's forward pass and training step beside Keras' own dilated convolution, torchvision
(eager, channels_last, compiled) and keras-hub; the exported files beside torchvision and OpenVINO;
the input pipeline; evaluation at several scales; memory; how cost grows with image size, batch and
output_stride. Random weights and noise: the time of a network does not depend on them. Beside each
time stands the share of this machine's matrix-multiply peak, measured in the same turns.

Each part is a process of its own. Parts that --out has already, from this machine with the same
versions and flags, stay as they are unless they are asked for again.
"""

import gc
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable

import torch
import torchvision  # noqa: F401  (before TensorFlow: its triton crashes when it loads after)
from absl import app, flags

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
WITHOUT_ONEDNN = "_without_onednn"
"""The end of the name of a part that runs with oneDNN switched off."""
PARTS = (
    *("forward", "training", f"forward{WITHOUT_ONEDNN}", f"training{WITHOUT_ONEDNN}"),
    *("exported", "pipeline", "multi_scale", "memory", "scaling"),
)

OUT = flags.DEFINE_string("out", "build/bench.json", "where the figures go")
PAGE = flags.DEFINE_string("page", None, "where the tables go, in Markdown; none without it")
CHOSEN = flags.DEFINE_list("parts", list(PARTS), f"of {', '.join(PARTS)}")
SIZE = flags.DEFINE_integer("size", 513, "side of the images in pixels", lower_bound=33)
ROUNDS = flags.DEFINE_integer("rounds", 7, "turns of each way, after one to warm up", lower_bound=1)
VOC = flags.DEFINE_string("voc", None, "the folder VOCdevkit, for the pipeline; else drawn images")
flags.register_validator(
    "parts", lambda parts: set(parts) <= set(PARTS), f"parts are {', '.join(PARTS)}"
)


def main(_) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from suite.machine import processor, versions
    from suite.report import format_page

    result = {
        "machine": processor(),
        "versions": versions(),
        "flags": {"size": SIZE.value, "rounds": ROUNDS.value}
        | ({"voc": pathlib.Path(VOC.value).name} if VOC.value else {}),
        "parts": {},
    }
    out = pathlib.Path(OUT.value)
    out.parent.mkdir(parents=True, exist_ok=True)
    result["parts"] = _measured_before(out, result)
    several = len(CHOSEN.value) > 1
    for part in CHOSEN.value:
        elsewhere = several or (part.endswith(WITHOUT_ONEDNN) and os.environ.get(ONEDNN) != "0")
        result["parts"][part] = _in_own_process(part) if elsewhere else _measure(part)
        result["parts"] = {name: result["parts"][name] for name in PARTS if name in result["parts"]}
        out.write_text(json.dumps(result, indent=1) + "\n")
    if PAGE.value:
        pathlib.Path(PAGE.value).write_text(format_page(result))


def _measured_before(out: pathlib.Path, result: dict) -> dict[str, list[dict]]:
    """Returns the parts in the file `out` where its other entries are those of `result`."""
    if not out.is_file():
        return {}
    before = json.loads(out.read_text())
    same = all(before[name] == result[name] for name in ("machine", "versions", "flags"))
    return before["parts"] if same else {}


def _in_own_process(part: str) -> list[dict]:
    """A part leaves no memory to the next: an export beside ten networks would not fit."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder, "part.json")
        command = [sys.executable, __file__, f"--parts={part}", f"--out={out}"]
        command += [f"--size={SIZE.value}", f"--rounds={ROUNDS.value}"]
        command += [f"--voc={VOC.value}"] if VOC.value else []
        off = {ONEDNN: "0"} if part.endswith(WITHOUT_ONEDNN) else {}
        subprocess.run(command, check=True, env={**os.environ, **off})
        return json.loads(out.read_text())["parts"][part]


def _measure(part: str) -> list[dict]:
    from suite.report import format_groups

    groups = []
    for group in _parts()[part.removesuffix(WITHOUT_ONEDNN)]():
        groups.append(group.to_dict())
        print(format_groups(groups[-1:]), "\n", flush=True)
        _free()
    return groups


def _parts() -> dict[str, Callable[[], Iterable]]:
    from suite import artefacts, input_pipeline, memory, multi_scale, networks

    rounds, size = ROUNDS.value, SIZE.value
    return {
        "forward": lambda: networks.forward(rounds, size),
        "training": lambda: networks.training(rounds, size // 2 + 1),
        "exported": lambda: [artefacts.measure(rounds, size)],
        "pipeline": lambda: [
            input_pipeline.measure(rounds, VOC.value, augment) for augment in (False, True)
        ],
        "multi_scale": lambda: [multi_scale.measure(max(rounds // 2, 1), size)],
        "memory": memory.measure,
        "scaling": lambda: networks.scaling(rounds, size),
    }


def _free() -> None:
    """What one group built is not the next one's memory."""
    import keras

    torch.compiler.reset()
    keras.backend.clear_session()
    gc.collect()


if __name__ == "__main__":
    app.run(main)

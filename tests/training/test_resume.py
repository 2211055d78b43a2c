"""A run that was broken off equals the undisturbed one, whatever the options of its training are.

DEEPLAB_FUZZ_CASES sets the number of experiments (1), so that more can be tried by hand:

    DEEPLAB_FUZZ_CASES=60 pytest tests/training/test_resume.py
"""

import collections
import contextlib
import dataclasses
import os
import re
import signal
import tempfile
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st
from support.checkpoint_arrays import checkpoint_arrays
from support.fuzz import cases
from support.train_processes import all_metrics, small

from deeplab_tf.artefacts.trained_model import load_model
from deeplab_tf.config import (
    Backbone,
    BatchNormMode,
    DataConfig,
    Experiment,
    Fit,
    Head,
    Keep,
    Loss,
    ModelConfig,
    Normalization,
    OptimizerName,
    Precision,
    ScheduleName,
    StrategyName,
    StridePlacement,
    TrainConfig,
    Upsampling,
    validate,
)
from deeplab_tf.config.schema import MOBILENETS
from deeplab_tf.errors import DeeplabError
from deeplab_tf.training.stages import train

CASES = int(os.environ.get("DEEPLAB_FUZZ_CASES", "1"))
PHASES = [hypothesis.Phase.generate, *([hypothesis.Phase.explicit] if CASES > 1 else [])]
"""The example of a MobileNetV3, whose three trainings take most of a minute, is tried by hand."""
STEPS = 4
TRIED = collections.Counter()

yes_or_no = st.booleans()
MODEL = {
    # The larger network takes several times as long.
    "backbone": st.sampled_from([Backbone.RESNET_TINY] * 18 + [*MOBILENETS]),
    "width_multiplier": st.just(1.0),
    "channel_divisor": st.sampled_from([1, 8]),
    "deep_root": yes_or_no,
    "num_blocks": st.sampled_from([4, 4, 5]),
    "output_stride": st.sampled_from([8, 16, 32]),
    "atrous": yes_or_no,
    "early_rates": yes_or_no,
    "multi_grid": st.sampled_from([(1,), (2,)]),
    "head": st.sampled_from([Head.ASPP] * 3 + [Head.NONE, Head.ASPP_V2, Head.LR_ASPP]),
    "aspp_rates": st.sampled_from([(2, 4), (6,)]),
    "image_pooling": yes_or_no,
    "decoder_kernels": st.sampled_from([(), (3,), (1, 3)]),
    "decoder_channels": st.sampled_from([0, 8]),
    "separable": yes_or_no,
    "stride_placement": st.sampled_from(StridePlacement),
    "normalization": st.sampled_from(Normalization),
    "upsampling": st.sampled_from(Upsampling),
    "batch_norm_momentum": st.sampled_from([0.0, 0.5, 0.9997]),
    "batch_norm_epsilon": st.sampled_from([1e-5, 1e-3]),
    "zero_init_residual": yes_or_no,
    "head_conv": yes_or_no,
    "aspp_dropout": st.sampled_from([0.0, 0.1, 0.5]),
}
DATA = {
    "crop_size": st.sampled_from([16, 33]),
    "crop_width": st.sampled_from([None, None, 40]),
    "fit": st.sampled_from(Fit),
    "min_scale": st.sampled_from([0.5, 1.0]),
    "max_scale": st.sampled_from([1.0, 2.0]),
    "flip": yes_or_no,
    "rotation": st.sampled_from([0.0, 15.0]),
    "brightness": st.sampled_from([0.0, 0.125]),
    "contrast": st.sampled_from([0.0, 0.5]),
    "saturation": st.sampled_from([0.0, 0.5]),
    "hue": st.sampled_from([0.0, 0.1]),
    "grey": st.sampled_from([0.0, 0.5]),
    "blur": st.sampled_from([0.0, 1.5]),
    "noise": st.sampled_from([0.0, 0.05]),
    "jpeg_quality": st.sampled_from([0, 40]),
    "cut_out": st.sampled_from([0.0, 0.5]),
    "copy_paste": st.sampled_from([0.0, 0.5]),
    "shuffle_buffer": st.sampled_from([1, 5, 2048]),
    "duplicate_classes": st.sampled_from([(), ("star",)]),
    "balance": st.sampled_from([0.0, 0.5]),
}
TRAIN = {
    "batch_size": st.sampled_from([1, 2, 4]),
    "optimizer": st.sampled_from(OptimizerName),
    "schedule": st.sampled_from(ScheduleName),
    "base_learning_rate": st.sampled_from([0.001, 0.02]),
    "power": st.sampled_from([0.0, 0.9]),
    "warmup_steps": st.sampled_from([0, 0, 2]),
    "momentum": st.sampled_from([0.0, 0.9]),
    "weight_decay": st.sampled_from([0.0, 1e-4]),
    "clip_norm": st.sampled_from([0.0, 1.0]),
    "loss": st.sampled_from(Loss),
    "focal_gamma": st.just(2.0),
    "class_weights": st.sampled_from(["none", "auto"]),
    "ohem_share": st.sampled_from([1.0, 1.0, 0.25]),
    "label_smoothing": st.sampled_from([0.0, 0.1]),
    "auxiliary_loss": st.sampled_from([0.0, 0.4]),
    "batch_norm": st.sampled_from(BatchNormMode),
    "backbone_rate": st.sampled_from([1.0, 0.1, 0.0]),
    "head_rate": st.sampled_from([1.0, 10.0]),
    "layer_decay": st.sampled_from([1.0, 0.7]),
    "freeze_through": st.sampled_from([None, None, "conv1", "block2"]),
    "precision": st.sampled_from(Precision),
    "accumulate_steps": st.sampled_from([1, 1, 2]),
    "rematerialize": yes_or_no,
    "ema_momentum": st.sampled_from([None, 0.5]),
    "strategy": st.sampled_from(["one", "mirrored"]),
    "seed": st.integers(0, 2**32 - 1),
    "log_every": st.sampled_from([1, 2]),
    "checkpoint_every": st.sampled_from([1, 2, 3]),
    "panels_every": st.sampled_from([1, 3]),
    "keep_checkpoints": st.sampled_from([1, 3]),
    "evaluate_every": st.sampled_from([0, 1, 3]),
    "evaluate_images": st.sampled_from([None, 1, 3]),
    "keep": st.sampled_from(Keep),
    "patience": st.sampled_from([None, 1, 2]),
}
GIVEN = {
    *("num_classes", "image_format", "longest_side", "like", "dataset", "split", "steps"),
    "mixed_in",  # tests/data/test_mixture.py goes on in the middle of several data sets
}
"""Fields that the data set or the test gives."""


class CrashError(Exception):
    pass


@st.composite
def experiments(draw) -> Experiment:
    fields = [draw(st.fixed_dictionaries(section)) for section in (MODEL, DATA, TRAIN)]
    model, data, train_fields = fields
    if model["head"] is not Head.ASPP:
        model |= {"decoder_kernels": (), "separable": False, "aspp_dropout": 0.0}
    if model["head"] not in (Head.ASPP, Head.NONE):
        model["head_conv"] = False
    if not model["decoder_kernels"]:
        model["decoder_channels"] = 48
    if model["backbone"] in MOBILENETS:
        model |= {"width_multiplier": 0.25, "multi_grid": (1, 1, 1), "num_blocks": 4}
        model["deep_root"] = False
    if data["duplicate_classes"]:
        data["balance"] = 0.0
    if not model["atrous"]:
        model |= {"multi_grid": (1,) * len(model["multi_grid"]), "early_rates": False}
    if train_fields["loss"] is Loss.DICE or train_fields["ohem_share"] < 1:
        train_fields["accumulate_steps"] = 1
    if train_fields["schedule"] is not ScheduleName.POLY:
        train_fields["power"] = 0.9
    if train_fields["loss"] is Loss.FOCAL:
        train_fields["label_smoothing"] = 0.0
    if not train_fields["evaluate_every"]:
        train_fields |= {"keep": Keep.LAST, "patience": None}
    replicas = 2 if train_fields["strategy"] == "mirrored" else 1
    train_fields["batch_size"] = max(
        train_fields["batch_size"], replicas * train_fields["accumulate_steps"]
    )
    try:
        return validate(
            dataclasses.replace(
                small(),
                model=ModelConfig(**model),
                data=DataConfig(dataset="shapes", **data),
                train=TrainConfig(steps=STEPS, **train_fields),
            )
        )
    except DeeplabError:
        hypothesis.reject()


def test_every_option_of_the_schema_is_drawn():
    kinds = (ModelConfig, DataConfig, TrainConfig)
    fields = {field.name for kind in kinds for field in dataclasses.fields(kind)}
    assert {*MODEL, *DATA, *TRAIN} == fields - GIVEN


MOBILE = Experiment(
    model=ModelConfig(
        backbone=Backbone.MOBILENET_V3_LARGE,
        width_multiplier=0.25,
        multi_grid=(1, 1, 1),
        head=Head.LR_ASPP,
        early_rates=True,
    ),
    data=DataConfig(dataset="shapes", crop_size=33),
    train=TrainConfig(
        steps=STEPS,
        batch_size=2,
        base_learning_rate=0.001,
        auxiliary_loss=0.4,
        rematerialize=True,
        ema_momentum=0.5,
        strategy=StrategyName.ONE,
        log_every=1,
        checkpoint_every=1,
    ),
)
"""What the drawn experiments, which are small, hardly ever have together."""


# Without shrinking, each step of which is three trainings.
@hypothesis.settings(cases(CASES), phases=PHASES)
@hypothesis.example(experiment=MOBILE, ends="crash", at=2)
@hypothesis.given(
    experiment=experiments(), ends=st.sampled_from(["crash", "SIGTERM"]), at=st.integers(1, STEPS)
)
def test_a_run_that_was_broken_off_is_the_undisturbed_run(shapes_data, experiment, ends, at):
    ended = []

    def broken_off(line):
        if line.startswith("step ") and int(line.split("/")[0].split()[1]) >= at and not ended:
            ended.append(line)
            if ends == "crash":
                raise CrashError
            # Once: a second signal, at the line of the last step, would end the tests.
            signal.raise_signal(signal.SIGTERM)

    with tempfile.TemporaryDirectory() as folder:
        whole, resumed = Path(folder, "whole"), Path(folder, "resumed")
        try:
            last = train(experiment, shapes_data, whole, report=_silent).step
        except DeeplabError as error:  # random networks may overflow
            assert re.search("is broken after|loss is|are not finite", str(error)), error
            hypothesis.reject()
        with contextlib.suppress(CrashError):
            train(experiment, shapes_data, resumed, report=broken_off)
        assert train(experiment, shapes_data, resumed, report=_silent).step == last
        assert last == STEPS or experiment.train.patience
        expected, found = checkpoint_arrays(whole), checkpoint_arrays(resumed)
        assert expected.keys() == found.keys()
        differ = [name for name in expected if expected[name].tobytes() != found[name].tobytes()]
        assert not differ, f"{len(differ)} of {len(expected)} arrays differ, such as {differ[0]}"
        # A run that a signal stopped has a line for its last step.
        if ends == "crash" or experiment.train.log_every == 1:
            assert _timeless(all_metrics(whole)) == _timeless(all_metrics(resumed))
        if experiment.train.evaluate_every:
            files = [folder / "validation.json" for folder in (whole, resumed)]
            assert files[0].read_text() == files[1].read_text()
        models = [load_model(folder / "model.keras").model for folder in (whole, resumed)]
        for a, b in zip(*(model.get_weights() for model in models), strict=True):
            assert a.tobytes() == b.tobytes()
    TRIED[ends] += 1


def _silent(_line):
    pass


def _timeless(rows):
    return [{k: v for k, v in row.items() if k != "images_per_second"} for row in rows]


@pytest.fixture(scope="module", autouse=True)
def _say_what_was_tried():
    yield
    print(f"\n{sum(TRIED.values())} experiments: {dict(TRIED)}")

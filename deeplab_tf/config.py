"""What an experiment is: model, data, training and evaluation, typed, validated, to and from JSON.

The defaults are the paper's protocol (arXiv 1706.05587, section 4): stage 1 on PASCAL VOC 2012.
Enumerations are `StrEnum` and the dataclasses mutable because `ml_collections` overrides their
fields from the command line (`--config.train.steps=100`); `validate` runs after the overrides.
"""

import dataclasses
import difflib
import enum
import importlib.util
import pathlib

import pydantic

from deeplab_tf.errors import DeeplabError, one_line


class Backbone(enum.StrEnum):
    """Feature extractor. `resnet_slim` is the same family at a quarter of the width, for tests."""

    RESNET50 = "resnet50"
    RESNET101 = "resnet101"
    RESNET_SLIM = "resnet_slim"


class StridePlacement(enum.StrEnum):
    """Which 3x3 convolution of a ResNet block carries the block's stride.

    `last_unit` is the paper's (and TF-Slim's), `first_unit` torchvision's; there the first unit
    after a dropped stride also keeps the previous atrous rate.
    """

    LAST_UNIT = "last_unit"
    FIRST_UNIT = "first_unit"


class Head(enum.StrEnum):
    """What makes the logits of the backbone's last map.

    `none`: one 1x1 convolution, as behind the cascaded modules (section 3.2). `aspp`: DeepLabv3's
    ASPP (section 3.3). `aspp_v2`: DeepLabv2's, for comparison.
    """

    NONE = "none"
    ASPP = "aspp"
    ASPP_V2 = "aspp_v2"


class Normalization(enum.StrEnum):
    """How pixels 0..255 become the network's input; see `NORMALIZATION`."""

    MEAN_SUBTRACTION = "mean_subtraction"
    SYMMETRIC = "symmetric"
    MEAN_STD = "mean_std"


@dataclasses.dataclass(frozen=True)
class PixelStatistics:
    """The network sees `(pixel - mean) / std`, RGB, pixel in 0..255."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


NORMALIZATION = {
    # The means of the original DeepLab's plain ResNet checkpoints.
    Normalization.MEAN_SUBTRACTION: PixelStatistics((123.15, 115.90, 103.06), (1.0, 1.0, 1.0)),
    # [-1, 1]: the "beta" ResNets and MobileNets.
    Normalization.SYMMETRIC: PixelStatistics((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    # torchvision's ImageNet statistics, given there for pixels in 0..1.
    Normalization.MEAN_STD: PixelStatistics(
        (0.485 * 255, 0.456 * 255, 0.406 * 255), (0.229 * 255, 0.224 * 255, 0.225 * 255)
    ),
}


class Upsampling(enum.StrEnum):
    """Where the bilinear upsampling of the logits puts its samples.

    `align_corners` is the paper's: the map's sample i lies on pixel i * output_stride.
    `half_pixel` is torchvision's: the map is stretched over the image, pixel centres at half.
    """

    ALIGN_CORNERS = "align_corners"
    HALF_PIXEL = "half_pixel"


class BatchNormMode(enum.StrEnum):
    """`train`: statistics of each replica's batch; `sync`: of the global batch; `frozen`: moving
    statistics, and neither they nor gamma and beta change (the paper's second stage)."""

    TRAIN = "train"
    SYNC = "sync"
    FROZEN = "frozen"


class StrategyName(enum.StrEnum):
    """`one` device, `mirrored` over this host's devices, `auto`: mirrored from two GPUs on."""

    AUTO = "auto"
    ONE = "one"
    MIRRORED = "mirrored"


@dataclasses.dataclass
class ModelConfig:
    """The network. Weights do not depend on `output_stride`, `atrous`, `multi_grid` and rates.

    Attributes:
        backbone: the ResNet.
        num_blocks: the last block: 4 is the plain ResNet, 5 to 7 have the cascaded replicas of
            block4 (section 3.2).
        output_stride: input resolution / feature resolution: 4, 8, 16 or 32; up to 64 with block5,
            128 with block6, 256 with block7.
        atrous: whether a dropped stride is made up for by the atrous rate of the layers after it
            (figure 3b); without it they see a smaller field. Where no stride is dropped
            (output_stride 256 with block7, figure 3a) there is nothing to make up for.
        multi_grid: unit rates of the three units of block4 and each later block, multiplied by the
            block's own rate (section 3.2.1).
        head: see `Head`.
        aspp_rates: rates of the 3x3 atrous convolutions *at output_stride 16*; the model scales
            them by 16 / output_stride, so they double at 8 (section 3.3).
        image_pooling: whether ASPP has the image-level branch (section 3.3, figure 5b).
        num_classes: classes without void; None takes it from the data set.
        stride_placement, normalization, upsampling: conventions, the paper's by default.
        batch_norm_momentum: 0.9997 in section 4.1; small data needs less.
        batch_norm_epsilon: added to the variance; 1e-5 in TF-Slim's and torchvision's ResNet.
        zero_init_residual: whether the last batch norm of each unit begins with gamma 0, so that the
            unit begins as its shortcut (arXiv 1706.02677, section 5.1). For training a cascade from
            scratch: without it the features of its 3 x 4 more units add up, and the first steps
            throw the logits far off.
        head_conv: torchvision's extra 3x3 convolution after the ASPP; the paper has none.
        aspp_dropout: dropout rate after the ASPP's projection; torchvision 0.5, the paper none.
    """

    backbone: Backbone = Backbone.RESNET101
    num_blocks: int = 4
    output_stride: int = 16
    atrous: bool = True
    multi_grid: tuple[int, ...] = (1, 2, 4)
    head: Head = Head.ASPP
    aspp_rates: tuple[int, ...] = (6, 12, 18)
    image_pooling: bool = True
    num_classes: int | None = None
    stride_placement: StridePlacement = StridePlacement.LAST_UNIT
    normalization: Normalization = Normalization.MEAN_SUBTRACTION
    upsampling: Upsampling = Upsampling.ALIGN_CORNERS
    batch_norm_momentum: float = 0.9997
    batch_norm_epsilon: float = 1e-5
    zero_init_residual: bool = False
    head_conv: bool = False
    aspp_dropout: float = 0.0


@dataclasses.dataclass
class DataConfig:
    """The training images (section 4.1: crop 513, scale 0.5 to 2.0, random left-right flip).

    Attributes:
        dataset: the name that `deeplab-prepare` gave the folder under `--data_dir`.
        split: the split to train on.
        crop_size: side of the square training crop in pixels; k * output_stride + 1 fits best.
        min_scale, max_scale: range of the uniform random scale.
        flip: whether to mirror half of the examples.
        shuffle_buffer: records held for shuffling; they are still encoded (about 0.1 MB each).
    """

    dataset: str = "voc"
    split: str = "train"
    crop_size: int = 513
    min_scale: float = 0.5
    max_scale: float = 2.0
    flip: bool = True
    shuffle_buffer: int = 2048


@dataclasses.dataclass
class TrainConfig:
    """The optimisation (section 4.1, stage 1).

    Attributes:
        steps: optimiser steps; the poly schedule reaches 0 there.
        batch_size: examples of the global batch, over all devices.
        base_learning_rate, power: rate = base * (1 - step / steps) ** power.
        momentum: of SGD.
        weight_decay: lambda of `lambda / 2 * |w|^2` over convolution kernels.
        batch_norm: see `BatchNormMode`.
        strategy: see `StrategyName`.
        seed: of initial weights, data order and augmentation.
        log_every, checkpoint_every, panels_every: in steps; panels are the TensorBoard images.
        keep_checkpoints: how many checkpoints stay on disk.
    """

    steps: int = 30_000
    batch_size: int = 16
    base_learning_rate: float = 0.007
    power: float = 0.9
    momentum: float = 0.9
    weight_decay: float = 1e-4
    batch_norm: BatchNormMode = BatchNormMode.TRAIN
    strategy: StrategyName = StrategyName.AUTO
    seed: int = 0
    log_every: int = 20
    checkpoint_every: int = 500
    panels_every: int = 500
    keep_checkpoints: int = 3


@dataclasses.dataclass
class EvaluateConfig:
    """The evaluation (section 4.1).

    Attributes:
        split: the split to report on.
        output_stride: None is the model's own; the paper trains at 16 and evaluates at 8.
        scales: image scales whose class probabilities are averaged.
        flip: whether to average with the mirrored image too.
    """

    split: str = "val"
    output_stride: int | None = None
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False


@dataclasses.dataclass
class Experiment:
    """One named row of a config file.

    Attributes:
        model, data, train, evaluate: what is built, on what, how it is trained and measured.
        init_from: a `.keras` file with the initial weights; what does not fit is skipped and
            listed. With `previous_stage` they are that stage's.
        previous_stage: `FILE.py:ROW` of a training that comes before this one and whose final
            weights it starts from; `deeplab-train` does it first, in `WORKDIR/previous_stage`.
        checkpoint_of: `FILE.py:ROW` of the training whose checkpoint this row evaluates: it differs
            from that row in its evaluation alone.
        paper_miou: the mean IoU in % that the paper prints for this row.
        row: `FILE.py:ROW` that the experiment was loaded from; `load_experiment` sets it.
    """

    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    evaluate: EvaluateConfig = dataclasses.field(default_factory=EvaluateConfig)
    init_from: str | None = None
    previous_stage: str | None = None
    checkpoint_of: str | None = None
    paper_miou: float | None = None
    row: str | None = None


_ADAPTER = pydantic.TypeAdapter(Experiment)
OUTPUT_STRIDES = (4, 8, 16, 32, 64, 128, 256)


def to_json(experiment: Experiment) -> str:
    """The experiment as indented JSON; `from_json` reads it back equal."""
    return _ADAPTER.dump_json(experiment, indent=2).decode()


def from_json(text: str) -> Experiment:
    """Reads what `to_json` wrote; raises `DeeplabError` naming each field that is wrong."""
    try:
        return validate(_ADAPTER.validate_json(text))
    except pydantic.ValidationError as error:
        raise DeeplabError(f"config is not valid: {_field_errors(error)}") from error


def validate(experiment: Experiment) -> Experiment:
    """A checked copy of `experiment`; raises `DeeplabError` naming the field, value and rule."""
    try:
        checked = _ADAPTER.validate_python(dataclasses.asdict(experiment))
    except pydantic.ValidationError as error:
        raise DeeplabError(f"config is not valid: {_field_errors(error)}") from error
    model, data, train, evaluate = checked.model, checked.data, checked.train, checked.evaluate
    rules = {
        "model.num_blocks": (4 <= model.num_blocks <= 7, "4 (plain ResNet) to 7"),
        "model.output_stride": _output_stride_rule(model.output_stride, model.num_blocks),
        "model.multi_grid": (
            len(model.multi_grid) == 3 and min(model.multi_grid) >= 1,
            "three positive rates, one a unit of block4 and each later block",
        ),
        "model.atrous": (
            model.atrous or set(model.multi_grid) == {1},
            "on where multi_grid has rates; without atrous convolution it is (1, 1, 1)",
        ),
        "model.aspp_rates": (min(model.aspp_rates, default=1) >= 1, "positive"),
        "model.num_classes": (
            model.num_classes is None or 2 <= model.num_classes <= 255,
            "2 to 255: labels are stored in one byte and 255 is void",
        ),
        "model.batch_norm_momentum": (0 <= model.batch_norm_momentum < 1, "in [0, 1)"),
        "model.batch_norm_epsilon": (model.batch_norm_epsilon > 0, "positive"),
        "model.aspp_dropout": (0 <= model.aspp_dropout < 1, "in [0, 1)"),
        "data.crop_size": (data.crop_size >= 1, "at least 1"),
        "data.max_scale": (0 < data.min_scale <= data.max_scale, "at least data.min_scale > 0"),
        "data.shuffle_buffer": (data.shuffle_buffer >= 1, "at least 1"),
        "train.steps": (train.steps >= 1, "at least 1"),
        "train.batch_size": (train.batch_size >= 1, "at least 1"),
        "train.base_learning_rate": (train.base_learning_rate > 0, "positive"),
        "train.momentum": (0 <= train.momentum < 1, "in [0, 1)"),
        "train.weight_decay": (train.weight_decay >= 0, "0 or more"),
        "train.seed": (0 <= train.seed < 2**32, "0 to 2^32 - 1"),
        "train.log_every": (train.log_every >= 1, "at least 1"),
        "train.checkpoint_every": (train.checkpoint_every >= 1, "at least 1"),
        "train.panels_every": (train.panels_every >= 1, "at least 1"),
        "train.keep_checkpoints": (train.keep_checkpoints >= 1, "at least 1"),
        "evaluate.output_stride": (
            (True, "")
            if evaluate.output_stride is None
            else _output_stride_rule(evaluate.output_stride, model.num_blocks)
        ),
        "evaluate.scales": (min(evaluate.scales, default=0) > 0, "one or more positive scales"),
    }
    for field, (holds, rule) in rules.items():
        if not holds:
            section, name = field.split(".")
            value = getattr(getattr(checked, section), name)
            raise DeeplabError(f"config.{field} must be {rule}. Received: {value}")
    return checked


def _output_stride_rule(output_stride: int, num_blocks: int) -> tuple[bool, str]:
    """Whether a network whose last block is `num_blocks` has that output_stride; and the rule."""
    # conv1 and the pooling have stride 4, every block but one stride 2 (figure 3a).
    strides = tuple(stride for stride in OUTPUT_STRIDES if stride <= 4 * 2 ** (num_blocks - 1))
    rule = f"one of {strides}, since the last block is block{num_blocks}"
    return output_stride in strides, rule


def load_experiment(spec: str) -> Experiment:
    """The experiment that `spec` names.

    Args:
        spec: `FILE.py:ROW`, where FILE is a path or the name of a shipped config
            (`configs/voc.py:resnet101`), or the path of a `config.json`.

    Raises:
        DeeplabError: no such file or row; the message lists the rows, the nearest first.
    """
    if spec.endswith(".json"):
        path = pathlib.Path(spec)
        if not path.is_file():
            raise DeeplabError(f"config file {spec} does not exist")
        try:
            return from_json(path.read_text())
        except (DeeplabError, UnicodeDecodeError) as error:
            raise DeeplabError(f"config file {spec}: {one_line(str(error))}") from error
    file, _, row = spec.partition(":")
    path = _find_config_file(file)
    rows = _load_rows(path)
    if row not in rows:
        near = difflib.get_close_matches(row, rows, n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        problem = f"has no row {row!r}" if row else "needs a row"
        raise DeeplabError(f"{file} {problem}: {hint}rows are {', '.join(rows)}")
    return validate(dataclasses.replace(rows[row], row=f"{_shipped_name(path) or path}:{row}"))


def _find_config_file(file: str) -> pathlib.Path:
    """`file` itself, or the config that the package ships under that name."""
    path = pathlib.Path(file)
    if path.is_file():
        return path
    inside = path.relative_to("configs") if path.parts[:1] == ("configs",) else path
    for root in _shipped_roots():
        if (root / inside).is_file():
            return root / inside
    names = sorted(
        str(_shipped_name(found))
        for root in _shipped_roots()
        for found in root.rglob("*.py")
        if found.name != "__init__.py"
    )
    raise DeeplabError(f"config file {file} does not exist; shipped are {', '.join(names)}")


def _shipped_roots() -> list[pathlib.Path]:
    """The folder of the configs that the package ships."""
    package = importlib.util.find_spec("deeplab_tf.configs")
    return [pathlib.Path(root) for root in (package and package.submodule_search_locations) or ()]


def _shipped_name(path: pathlib.Path) -> str | None:
    """`configs/FILE.py`, the same wherever the package lies; None for a file of the user's own."""
    for root in _shipped_roots():
        if path.resolve().is_relative_to(root.resolve()):
            return f"configs/{path.resolve().relative_to(root.resolve()).as_posix()}"
    return None


def _load_rows(path: pathlib.Path) -> dict[str, Experiment]:
    """The `EXPERIMENTS` of the config module at `path`."""
    spec = importlib.util.spec_from_file_location(f"deeplab_config_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise DeeplabError(f"config file {path} is not a Python file; give FILE.py:ROW")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (SyntaxError, ImportError, NameError, TypeError, AttributeError) as error:
        raise DeeplabError(f"config file {path} does not load: {one_line(str(error))}") from error
    rows = getattr(module, "EXPERIMENTS", None)
    if not isinstance(rows, dict):
        raise DeeplabError(
            f"config file {path} must define EXPERIMENTS, a dict of name: Experiment"
        )
    return rows


def _field_errors(error: pydantic.ValidationError) -> str:
    return "; ".join(
        f"config.{'.'.join(map(str, e['loc']))}: {e['msg']} (received {e['input']!r})"
        for e in error.errors()
    )

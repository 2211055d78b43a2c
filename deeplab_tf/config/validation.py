"""The rules that an experiment must keep, and the experiment as JSON.

Tested in tests/test_config.py and tests/models/test_paper_rates.py.
"""

import dataclasses
import difflib
import typing
from typing import Annotated, Any

import pydantic

from deeplab_tf.config.augmentation import augmentation_rules
from deeplab_tf.config.image_format import MAX_FLOAT, MIN_FLOAT, RGB
from deeplab_tf.config.mixing import mixing_rule
from deeplab_tf.config.resnet_plan import SPECS, plan_units
from deeplab_tf.config.schema import (
    MOBILENETS,
    DataConfig,
    EvaluateConfig,
    Experiment,
    Head,
    Keep,
    Loss,
    ModelConfig,
    ScheduleName,
    TrainConfig,
    auxiliary_part,
)
from deeplab_tf.errors import DeeplabError

OUTPUT_STRIDES = (4, 8, 16, 32, 64, 128, 256)
MIN_WINDOW = 65
"""The least side of a window in pixels; two thirds of a window are used, the rest is context."""

MAX_INT = 2**63 - 1


def _with_image_format(fields: Any) -> Any:
    """Returns the fields of an experiment with an older file's fields of bands in one.

    Files that were written before `image_format` have `band_mean`, `band_std` and `bits` instead.
    """
    model = fields.get("model") if isinstance(fields, dict) else None
    if not isinstance(model, dict) or "band_mean" not in model:
        return fields
    model = dict(model)
    mean, std, bits = (model.pop(name, None) for name in ("band_mean", "band_std", "bits"))
    if mean:
        bands = len(mean) if isinstance(mean, list) else 0
        model["image_format"] = {"bands": bands, "bits": bits or 8, "mean": mean, "std": std}
    return {**fields, "model": model}


_ADAPTER: pydantic.TypeAdapter[Experiment] = pydantic.TypeAdapter(
    Annotated[Experiment, pydantic.BeforeValidator(_with_image_format)]
)


def to_json(experiment: Experiment) -> str:
    """Returns the experiment as indented JSON, from which `from_json` reads an equal experiment."""
    return _ADAPTER.dump_json(experiment, indent=2).decode()


def from_json(text: str) -> Experiment:
    """Reads and validates what `to_json` wrote, in this version or an older one.

    A field of the network that nothing reads, which older versions let pass, gets its default.

    Raises:
        DeeplabError: the text is no JSON, or fields are wrong or unknown; the message names the
            fields.
    """
    try:
        experiment = _ADAPTER.validate_json(text)
    except pydantic.ValidationError as error:
        raise DeeplabError(f"config is not valid: {_field_errors(error)}") from error
    for name, (holds, _) in _reading_rules(experiment.model).items():
        if not holds:
            setattr(experiment.model, name, getattr(ModelConfig, name))
    return validate(experiment)


def validate(experiment: Experiment) -> Experiment:
    """Returns a checked copy of `experiment`.

    Raises:
        DeeplabError: a field breaks a rule; the message names the field, the value and the rule.
    """
    try:
        checked = _ADAPTER.validate_python(dataclasses.asdict(experiment))
    except pydantic.ValidationError as error:
        raise DeeplabError(f"config is not valid: {_field_errors(error)}") from error
    for name, section, rules in (
        ("config.model", checked.model, _model_rules(checked.model)),
        ("config.model", checked.model, _reading_rules(checked.model)),
        ("config.data", checked.data, _data_rules(checked.data, checked.model)),
        ("config.train", checked.train, _train_rules(checked.train, checked.model)),
        ("config.evaluate", checked.evaluate, _evaluate_rules(checked.evaluate, checked.model)),
        ("config", checked, _experiment_rules(checked)),
    ):
        for field, (holds, rule) in {**rules, **_number_rules(section)}.items():
            if not holds:
                value = getattr(section, field)
                raise DeeplabError(f"{name}.{field} must be {rule}. Received: {value}")
    return checked


# A field's name maps to whether its rule holds and to the rule, as the end of "must be ...".
_Rules = dict[str, tuple[bool, str]]


def _number_rules(section: Any) -> _Rules:
    """Returns the rules that numbers of `section` break which TensorFlow has no type for."""
    rules = {}
    for field, value in vars(section).items():
        for number in value if isinstance(value, tuple) else (value,):
            size = abs(number) if isinstance(number, int | float) else 0
            if isinstance(number, int) and size > MAX_INT:
                rules[field] = (False, "an integer of 64 bits")
            elif isinstance(number, float) and size and not MIN_FLOAT <= size <= MAX_FLOAT:
                rules[field] = (False, f"0, or {MIN_FLOAT:.2g} to {MAX_FLOAT:.2g} in size")
    return rules


def _experiment_rules(experiment: Experiment) -> _Rules:
    miou = experiment.paper_miou
    return {"paper_miou": (miou is None or 0 <= miou <= 100, "0 to 100, or left out")}


def _model_rules(model_config: ModelConfig) -> _Rules:
    mobile = model_config.backbone in MOBILENETS
    has_aspp = model_config.head is Head.ASPP
    return {
        "width_multiplier": (
            model_config.width_multiplier > 0 and (mobile or model_config.width_multiplier == 1),
            "positive, and 1 unless the backbone is a MobileNet",
        ),
        "channel_divisor": (model_config.channel_divisor >= 1, "at least 1"),
        "deep_root": (
            not (mobile and model_config.deep_root),
            f"off with {model_config.backbone}",
        ),
        "num_blocks": (
            4 <= model_config.num_blocks <= (4 if mobile else 7),
            "4" if mobile else "4 (plain ResNet) to 7",
        ),
        "output_stride": _output_stride_rule(model_config.output_stride, model_config.num_blocks),
        "multi_grid": _multi_grid_rule(model_config),
        "atrous": (
            model_config.atrous or set(model_config.multi_grid) == {1},
            "on where multi_grid has rates; without atrous convolution it is (1, 1, 1)",
        ),
        "aspp_rates": (
            min(model_config.aspp_rates, default=1) >= 1
            and bool(model_config.aspp_rates or model_config.head is not Head.ASPP_V2),
            "positive, and one or more with the head aspp_v2",
        ),
        "decoder_kernels": (
            all(side >= 1 and side % 2 for side in model_config.decoder_kernels)
            and (has_aspp or not model_config.decoder_kernels),
            "odd sides, and none unless config.model.head is aspp",
        ),
        "decoder_channels": (model_config.decoder_channels >= 0, "0 or more"),
        "separable": (
            has_aspp or not model_config.separable,
            "off unless config.model.head is aspp",
        ),
        "num_classes": (
            model_config.num_classes is None or 2 <= model_config.num_classes <= 255,
            "2 to 255: labels are stored in one byte and 255 is void",
        ),
        "image_format": (
            model_config.input_format.bits in (8, 16, 32)
            and model_config.input_format.normalises
            and model_config.input_format.can_lack_data,
            "of 8, 16 or 32 bits, with a mean among its values and a positive std for each band; "
            "nodata, if any, is a value that a pixel can have",
        ),
        "batch_norm_momentum": (0 <= model_config.batch_norm_momentum < 1, "in [0, 1)"),
        "batch_norm_epsilon": (model_config.batch_norm_epsilon > 0, "positive"),
        "aspp_dropout": (0 <= model_config.aspp_dropout < 1, "in [0, 1)"),
    }


def _reading_rules(model_config: ModelConfig) -> _Rules:
    """Returns the rules that leave out what the network would not read."""
    has_aspp = model_config.head is Head.ASPP
    return {
        "early_rates": (
            model_config.atrous or not model_config.early_rates,
            "off where config.model.atrous is off: no convolution has a rate",
        ),
        "decoder_channels": (
            bool(model_config.decoder_kernels)
            or model_config.decoder_channels == ModelConfig.decoder_channels,
            "left out unless config.model.decoder_kernels, such as 3,3, make a decoder",
        ),
        "head_conv": (
            has_aspp or model_config.head is Head.NONE or not model_config.head_conv,
            "off unless config.model.head is aspp or none",
        ),
        "aspp_dropout": (
            has_aspp or not model_config.aspp_dropout,
            "0 unless config.model.head is aspp",
        ),
    }


def _multi_grid_rule(model_config: ModelConfig) -> tuple[bool, str]:
    """Returns whether every unit can have its rate, and the rule."""
    if model_config.backbone in MOBILENETS:
        ones = set(model_config.multi_grid) == {1}
        return ones, f"(1, 1, 1) with {model_config.backbone}, which has no multi-grid"
    units = SPECS[model_config.backbone].units[3]
    if len(model_config.multi_grid) != units or min(model_config.multi_grid) < 1:
        return False, f"{units} positive rate(s), one a unit of block4 and each later block"
    both = [unit.name for unit in plan_units(model_config) if unit.strides[1] > 1 and unit.rate > 1]
    return not both, (
        f"1 for the unit that strides, which at output_stride={model_config.output_stride} with "
        f"stride_placement={model_config.stride_placement} is {' and '.join(both)}: no convolution "
        "both strides and has a rate; give 1 there or a smaller output_stride"
    )


def _data_rules(data: DataConfig, model_config: ModelConfig) -> _Rules:
    return {
        "crop_size": (data.crop_size is None or data.crop_size >= 1, "at least 1"),
        "crop_width": (data.crop_width is None or data.crop_width >= 1, "at least 1, or left out"),
        "min_scale": (data.min_scale is None or data.min_scale > 0, "positive"),
        "max_scale": (_scales_fit(data), "at least data.min_scale > 0"),
        "shuffle_buffer": (data.shuffle_buffer is None or data.shuffle_buffer >= 1, "at least 1"),
        "balance": (
            0 <= data.balance <= 1 and not (data.balance and data.duplicate_classes),
            "0 to 1, and 0 where data.duplicate_classes names classes",
        ),
        "mixed_in": mixing_rule(data.mixed_in),
        "longest_side": (data.longest_side is None or data.longest_side >= 0, "0 or more"),
        **augmentation_rules(data, model_config.image_format or RGB),
    }


def _scales_fit(data: DataConfig) -> bool:
    """Returns whether the scales are a range, as far as they are given."""
    if data.max_scale is None:
        return True
    return data.max_scale > 0 and (data.min_scale is None or data.min_scale <= data.max_scale)


def _train_rules(train: TrainConfig, model_config: ModelConfig) -> _Rules:
    last = 7 if model_config.backbone in MOBILENETS else model_config.num_blocks
    parts = ("conv1", *(f"block{number}" for number in range(1, last + 1)))
    read = auxiliary_part(model_config.backbone)
    behind = parts[parts.index(read) :] if train.auxiliary_loss else ()
    return {
        "steps": (train.steps is None or train.steps >= 1, "at least 1"),
        "batch_size": (train.batch_size is None or train.batch_size >= 1, "at least 1"),
        "base_learning_rate": (
            train.base_learning_rate is None or train.base_learning_rate > 0,
            "positive",
        ),
        "power": (
            train.power >= 0 and (train.schedule is ScheduleName.POLY or train.power == 0.9),
            "0 or more, and left out unless train.schedule is poly",
        ),
        "warmup_steps": (
            train.warmup_steps >= 0 and (train.steps is None or train.warmup_steps < train.steps),
            f"0 or more, and less than train.steps={train.steps}",
        ),
        "momentum": (0 <= train.momentum < 1, "in [0, 1)"),
        "weight_decay": (train.weight_decay >= 0, "0 or more"),
        "clip_norm": (train.clip_norm >= 0, "0 (any norm) or more"),
        "focal_gamma": (
            train.focal_gamma >= 0 and (train.loss is Loss.FOCAL or train.focal_gamma == 2.0),
            "0 or more, and left out unless train.loss is focal",
        ),
        "class_weights": (train.class_weights != "", "none, auto or a JSON file"),
        "ohem_share": (0 < train.ohem_share <= 1, "in (0, 1]"),
        "label_smoothing": (
            0 <= train.label_smoothing < 1
            and not (train.label_smoothing and train.loss is Loss.FOCAL),
            "in [0, 1), and 0 with train.loss=focal",
        ),
        "auxiliary_loss": (train.auxiliary_loss >= 0, "0 (no auxiliary head) or more"),
        "backbone_rate": (train.backbone_rate >= 0, "0 or more"),
        "head_rate": (train.head_rate >= 0, "0 or more"),
        "layer_decay": (0 < train.layer_decay <= 1, "in (0, 1]"),
        "freeze_through": (
            train.freeze_through in (None, *parts) and train.freeze_through not in behind,
            f"a part before {read}, or left out: config.train.auxiliary_loss trains what lies "
            f"before the map of {read}, which would be frozen as a whole"
            if train.freeze_through in behind
            else f"one of {', '.join(parts)}, or left out",
        ),
        "accumulate_steps": _accumulation_rule(train),
        "ema_momentum": (
            train.ema_momentum is None or 0 <= train.ema_momentum < 1,
            "in [0, 1), or left out",
        ),
        "seed": (0 <= train.seed < 2**32, "0 to 2^32 - 1"),
        "log_every": (train.log_every >= 1, "at least 1"),
        "checkpoint_every": (train.checkpoint_every >= 1, "at least 1"),
        "panels_every": (train.panels_every >= 1, "at least 1"),
        "keep_checkpoints": (train.keep_checkpoints >= 1, "at least 1"),
        "evaluate_every": (
            train.evaluate_every is None or train.evaluate_every >= 0,
            "0, for no evaluation in the run, or more",
        ),
        "evaluate_images": (
            train.evaluate_images is None or train.evaluate_images >= 1,
            "at least 1, or left out",
        ),
        "keep": (
            train.keep is Keep.LAST or train.evaluate_every != 0,
            "last, unless train.evaluate_every gives the interval of the evaluations that tell "
            "the best",
        ),
        "patience": (
            train.patience is None or (train.patience >= 1 and train.evaluate_every != 0),
            "left out, or at least 1 with train.evaluate_every as the interval of the evaluations "
            "that it counts",
        ),
    }


def _accumulation_rule(train: TrainConfig) -> tuple[bool, str]:
    """Returns whether the batch can be split into `accumulate_steps` parts, and the rule."""
    if train.accumulate_steps != 1 and (train.loss is Loss.DICE or train.ohem_share < 1):
        # Dice and hard example mining over a batch are not sums over the batch's parts.
        return (
            False,
            "1 with train.loss=dice or train.ohem_share below 1: they need the whole batch",
        )
    return (
        train.accumulate_steps >= 1 and (train.batch_size or 0) % train.accumulate_steps == 0,
        f"at least 1, and divide train.batch_size={train.batch_size}",
    )


def _evaluate_rules(evaluate_config: EvaluateConfig, model_config: ModelConfig) -> _Rules:
    stride = evaluate_config.output_stride or model_config.output_stride
    smallest = max(MIN_WINDOW, 2 * stride)
    return {
        "output_stride": _evaluation_stride_rule(stride, model_config),
        "working_size": (
            evaluate_config.working_size is None or evaluate_config.working_size >= 0,
            "0 (every image as it is) or more",
        ),
        "scales": (min(evaluate_config.scales, default=0) > 0, "one or more positive scales"),
        "pad_to": (evaluate_config.pad_to is None or evaluate_config.pad_to >= 1, "at least 1"),
        "window": (
            evaluate_config.window is None or evaluate_config.window >= smallest,
            f"at least {smallest} pixels at output_stride {stride}",
        ),
    }


def _evaluation_stride_rule(stride: int, model_config: ModelConfig) -> tuple[bool, str]:
    """Returns whether the network can also be built at output_stride `stride`, and the rule."""
    holds, rule = _output_stride_rule(stride, model_config.num_blocks)
    fits, needed = _multi_grid_rule(dataclasses.replace(model_config, output_stride=stride))
    # The rules of the model report a multi_grid that is wrong at the model's own output_stride.
    if holds and not fits and _multi_grid_rule(model_config)[0]:
        allowed = f"one that config.model.multi_grid={model_config.multi_grid} allows"
        return False, f"{allowed}, and that must be {needed}"
    return holds, rule


def _output_stride_rule(output_stride: int, num_blocks: int) -> tuple[bool, str]:
    """Returns whether a network up to block `num_blocks` can have `output_stride`, and the rule."""
    strides = tuple(stride for stride in OUTPUT_STRIDES if stride <= _whole_stride(num_blocks))
    rule = f"one of {strides}, since the last block is block{num_blocks}"
    return output_stride in strides, rule


def _whole_stride(num_blocks: int) -> int:
    """Returns the stride of a network up to block `num_blocks` that drops none.

    conv1 and the pooling have stride 4 together, and every block but one stride 2 (figure 3a). The
    MobileNets, whose `num_blocks` is 4, have 32 too.
    """
    return 4 * 2 ** (num_blocks - 1)


def drops_a_stride(model_config: ModelConfig) -> bool:
    """Returns whether atrous convolutions make up for a stride that the network drops."""
    return model_config.atrous and model_config.output_stride < _whole_stride(
        model_config.num_blocks
    )


def _field_errors(error: pydantic.ValidationError) -> str:
    return "; ".join(f"config.{'.'.join(map(str, e['loc']))}: {_reason(e)}" for e in error.errors())


def _reason(error: Any) -> str:
    """Returns what is wrong with one field, and the nearest names for a name that is unknown."""
    if error["type"] != "unexpected_keyword_argument":
        return f"{error['msg']} (received {error['input']!r})"
    names = _field_names(error["loc"][:-1])
    near = difflib.get_close_matches(str(error["loc"][-1]), names, n=2)
    hint = f"did you mean {' or '.join(near)}?" if near else f"fields are {', '.join(names)}"
    return f"no such field; {hint}"


def _field_names(path: tuple[str | int, ...]) -> list[str]:
    """Lists the fields of the config class that the field at `path` holds."""
    kind: Any = Experiment
    for name in path:
        hint = typing.get_type_hints(kind)[str(name)]
        kinds = (hint, *typing.get_args(hint))
        kind = next(each for each in kinds if dataclasses.is_dataclass(each))
    return [field.name for field in dataclasses.fields(kind)]

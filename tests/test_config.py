"""The schema: JSON, validation, rows by name, and the shipped configs."""

import dataclasses
import json
import pathlib
import re
import typing

import pytest

from deeplab_tf import config as config_lib
from deeplab_tf.artefacts.description import parse_description
from deeplab_tf.config import (
    Backbone,
    DataConfig,
    Experiment,
    Fit,
    Head,
    Loss,
    ModelConfig,
    TrainConfig,
    from_json,
    load_experiment,
    to_json,
    training_differences,
    validate,
)
from deeplab_tf.config.augmentation import AUGMENTATIONS, RGB_ONLY
from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOC

ROOT = pathlib.Path(__file__).parent.parent


def test_defaults_are_the_papers_protocol():
    experiment = Experiment()
    train, data = experiment.train, experiment.data
    assert (train.base_learning_rate, train.power, train.momentum) == (0.007, 0.9, 0.9)
    assert (train.steps, train.batch_size, train.weight_decay) == (30_000, 16, 1e-4)
    assert (data.crop_size, data.min_scale, data.max_scale) == (513, 0.5, 2.0)
    assert (train.optimizer, train.schedule, train.loss) == ("sgd", "poly", "cross_entropy")
    assert (train.warmup_steps, train.clip_norm, train.layer_decay) == (0, 0, 1)
    assert (train.label_smoothing, train.auxiliary_loss) == (0, 0)
    model_config = experiment.model
    assert (model_config.output_stride, model_config.multi_grid, model_config.aspp_rates) == (
        16,
        (1, 2, 4),
        (6, 12, 18),
    )
    assert (model_config.batch_norm_momentum, model_config.batch_norm_epsilon) == (0.9997, 1e-5)


def test_json_reads_back_equal():
    experiment = validate(
        Experiment(
            model=ModelConfig(backbone=Backbone.RESNET50, num_classes=7), init_from="a.keras"
        )
    )
    assert config_lib.from_json(config_lib.to_json(experiment)) == experiment


@pytest.mark.parametrize(
    ("section", "field", "value", "message"),
    [
        ("model", "output_stride", 5, "config.model.output_stride must be one of"),
        ("model", "multi_grid", (1, 2), "3 positive rate"),
        ("model", "aspp_rates", (6, "a"), "config.model.aspp_rates.1"),
        ("model", "num_classes", 256, "255 is void"),
        ("model", "backbone", "resnet51", "config.model.backbone"),
        ("data", "max_scale", 0.1, "at least data.min_scale"),
        ("model", "decoder_kernels", (3, 2), "decoder_kernels must be odd sides, and none unless"),
        ("model", "decoder_channels", -1, "decoder_channels must be 0 or more"),
        ("train", "steps", 0, "config.train.steps must be at least 1. Received: 0"),
        ("train", "loss", "jaccard", "config.train.loss: .*cross_entropy"),
        ("train", "class_weights", "", "none, auto or a JSON file"),
        ("train", "ohem_share", 0.0, "ohem_share must be in (0, 1]"),
        ("train", "ohem_share", 1.5, "ohem_share must be in (0, 1]"),
        ("train", "focal_gamma", -1.0, "focal_gamma must be 0 or more"),
        ("train", "focal_gamma", 3.0, "left out unless train.loss is focal"),
        ("train", "backbone_rate", -0.1, "backbone_rate must be 0 or more"),
        ("train", "head_rate", -1.0, "head_rate must be 0 or more"),
        ("train", "optimizer", "adam", "config.train.optimizer: .*sgd"),
        ("train", "warmup_steps", 30_000, "less than train.steps=30000. Received: 30000"),
        ("train", "clip_norm", -1.0, "clip_norm must be 0 .any norm. or more"),
        ("train", "layer_decay", 0.0, "layer_decay must be in (0, 1]"),
        ("train", "label_smoothing", 1.0, "label_smoothing must be in .0, 1., and 0 with"),
        ("train", "auxiliary_loss", -0.1, "auxiliary_loss must be 0 .no auxiliary head. or"),
        ("train", "freeze_through", "block5", "one of conv1, block1, block2, block3, block4, or"),
        ("train", "evaluate_every", -1, "evaluate_every must be 0, for no evaluation in the run, "),
        ("train", "evaluate_images", 0, "evaluate_images must be at least 1, or left out"),
        ("train", "keep", "best", "keep must be last, unless train.evaluate_every gives the"),
        ("train", "keep", "worst", "config.train.keep: .*best"),
        ("train", "patience", 3, "patience must be left out, or at least 1 with train.evaluate_ev"),
        ("evaluate", "scales", (), "one or more positive scales"),
        ("evaluate", "pad_to", 0, "pad_to must be at least 1"),
        ("evaluate", "working_size", -1, "working_size must be 0"),
        ("data", "longest_side", -1, "longest_side must be 0 or more"),
        ("data", "crop_width", 0, "crop_width must be at least 1, or left out. Received: 0"),
        ("data", "fit", "stretch", "config.data.fit: .*'scale_and_crop' or 'letterbox'"),
        ("data", "rotation", -5.0, "rotation must be 0 to 180. Received: -5.0"),
        ("data", "contrast", 1.5, "contrast must be 0 to 1. Received: 1.5"),
        ("data", "hue", 0.6, "hue must be 0 to 0.5"),
        ("data", "blur", 21.0, "blur must be 0 to 20"),
        ("data", "jpeg_quality", 96, "jpeg_quality must be 0 to 95"),
        ("data", "copy_paste", 1.5, "copy_paste must be 0 to 1"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(section, field, value, message):
    experiment = Experiment()
    setattr(getattr(experiment, section), field, value)
    with pytest.raises(DeeplabError, match=message.replace("(", r"\(")) as error:
        validate(experiment)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"multi_grid": (1, 2, 4)}, r"multi_grid must be \(1, 1, 1\) with mobilenet_v2"),
        ({"num_blocks": 5}, "num_blocks must be 4. Received: 5"),
        ({"deep_root": True}, "deep_root must be off with mobilenet_v2"),
        ({"width_multiplier": 0.0}, "width_multiplier must be positive"),
        ({"output_stride": 64}, r"output_stride must be one of \(4, 8, 16, 32\)"),
        (
            {"backbone": Backbone.RESNET50, "width_multiplier": 0.5},
            "1 unless the backbone is a Mob",
        ),
        (
            {"backbone": Backbone.MOBILENET_V3_LARGE, "multi_grid": (1, 2, 4)},
            r"multi_grid must be \(1, 1, 1\) with mobilenet_v3_large",
        ),
    ],
)
def test_what_a_mobilenet_has_not_is_refused(fields, message):
    model = {"backbone": Backbone.MOBILENET_V2, "multi_grid": (1, 1, 1), **fields}
    with pytest.raises(DeeplabError, match=message):
        validate(Experiment(model=ModelConfig(**model)))


def test_an_option_of_another_schedule_or_loss_is_refused():
    for fields, message in (
        ({"schedule": "cosine", "power": 1.0}, "power must be 0 or more, and left out unless"),
        ({"loss": "focal", "label_smoothing": 0.1}, "label_smoothing must be .*0 with train.loss"),
    ):
        with pytest.raises(DeeplabError, match=message):
            validate(Experiment(train=TrainConfig(**fields)))
    validate(Experiment(train=TrainConfig(loss=Loss.DICE, label_smoothing=0.1)))


@pytest.mark.parametrize("fields", [{"decoder_kernels": (3, 3)}, {"separable": True}])
@pytest.mark.parametrize("head", ["none", "aspp_v2", "lr_aspp"])
def test_only_deeplabv3s_aspp_has_a_decoder_and_separable_convolutions(fields, head):
    validate(Experiment(model=ModelConfig(**fields)))
    with pytest.raises(DeeplabError, match="unless config.model.head is aspp. Received"):
        validate(Experiment(model=ModelConfig(head=head, **fields)))


UNREAD = [
    ({"atrous": False, "multi_grid": (1, 1, 1)}, {"early_rates": True}),
    ({"decoder_kernels": ()}, {"decoder_channels": 64}),
    ({"decoder_kernels": ()}, {"decoder_channels": 0}),
    ({"head": Head.LR_ASPP}, {"head_conv": True}),
    ({"head": Head.ASPP_V2}, {"head_conv": True}),
    ({"head": Head.LR_ASPP}, {"aspp_dropout": 0.5}),
    ({"head": Head.ASPP_V2}, {"aspp_dropout": 0.1}),
    ({"head": Head.NONE}, {"aspp_dropout": 0.5}),
]


@pytest.mark.parametrize(("network", "field"), UNREAD, ids=str)
def test_what_a_network_would_not_read_is_refused_but_in_an_older_file(network, field):
    ((name, value),) = field.items()
    validate(Experiment(model=ModelConfig(decoder_kernels=(3,), **field)))
    plain = validate(Experiment(model=ModelConfig(**network)))
    unread = Experiment(model=ModelConfig(**network, **field))
    with pytest.raises(DeeplabError, match=f"config.model.{name} must be .*: {value}$") as error:
        validate(unread)
    assert "\n" not in str(error.value)
    assert from_json(to_json(unread)) == plain


@pytest.mark.parametrize(
    ("model", "last", "first_refused"),
    [
        (ModelConfig(), "block2", "block3"),
        (ModelConfig(num_blocks=6), "block2", "block6"),
        (ModelConfig(backbone="mobilenet_v3_large", multi_grid=(1, 1, 1)), "block4", "block5"),
    ],
)
def test_an_auxiliary_loss_has_something_to_train_before_its_map(model, last, first_refused):
    def frozen(part, auxiliary_loss):
        return Experiment(
            model=model, train=TrainConfig(freeze_through=part, auxiliary_loss=auxiliary_loss)
        )

    validate(frozen(last, 0.4))
    validate(frozen(first_refused, 0.0))
    with pytest.raises(DeeplabError, match="freeze_through must be a part before block") as error:
        validate(frozen(first_refused, 0.4))
    assert "\n" not in str(error.value)
    with pytest.raises(DeeplabError, match="freeze_through must be one of conv1, "):
        validate(frozen("block9", 0.4))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_augmentation_that_the_image_format_cannot_have_is_one_line(name):
    experiment = Experiment()
    setattr(experiment.data, name, 1)
    if name == "hue":
        experiment.data.hue = 0.5
    validate(experiment)  # the data set is not known, or RGB
    experiment.model.image_format = FIVE
    if name not in RGB_ONLY:
        assert getattr(validate(experiment).data, name) == 1
        return
    said = f"config.data.{name} must be 0 with images of 5 bands of 16 bits: it needs red, green"
    with pytest.raises(DeeplabError, match=said) as error:
        validate(experiment)
    assert "\n" not in str(error.value)


def test_a_crop_that_is_not_square_survives_json():
    experiment = Experiment(data=DataConfig(crop_size=360, crop_width=480, fit=Fit.LETTERBOX))
    assert from_json(to_json(experiment)).data.crop == (360, 480)
    assert from_json(to_json(experiment)) == experiment
    assert Experiment().data.crop == (513, 513)


def test_blocks_to_freeze_are_those_of_the_backbone():
    mobile = ModelConfig(backbone=Backbone.MOBILENET_V2, multi_grid=(1, 1, 1))
    validate(Experiment(model=mobile, train=TrainConfig(freeze_through="block7")))
    cascade = ModelConfig(num_blocks=7)
    validate(Experiment(model=cascade, train=TrainConfig(freeze_through="block7")))


def test_patience_counts_one_evaluation_or_more():
    validate(Experiment(train=TrainConfig(evaluate_every=10, patience=1, keep="best")))
    with pytest.raises(DeeplabError, match="patience must be left out, or at least 1 .* 0"):
        validate(Experiment(train=TrainConfig(evaluate_every=10, patience=0)))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"evaluate_every": 5}, []),
        ({"evaluate_every": 5, "evaluate_images": 7, "keep": "best"}, ["train.keep"]),
        ({"evaluate_every": 5, "patience": 2}, ["train.patience"]),
    ],
)
def test_an_evaluation_that_decides_nothing_makes_no_other_training(changes, named):
    one = validate(Experiment(train=TrainConfig(evaluate_every=3)))
    other = validate(Experiment(train=TrainConfig(**changes)))
    other.evaluate.flip = True
    assert [name for name, _, _ in training_differences(one, other)] == named
    assert [name for name, _, _ in training_differences(other, one)] == named
    assert training_differences(Experiment(), one) == []  # of a run before there were evaluations


def test_an_evaluation_that_decides_the_weights_counts():
    one = validate(Experiment(train=TrainConfig(evaluate_every=3, keep="best")))
    other = validate(Experiment(train=TrainConfig(evaluate_every=4, keep="best")))
    other.evaluate.flip = True
    assert training_differences(one, other) == [
        ("train.evaluate_every", 3, 4),
        ("evaluate.flip", False, True),
    ]


def test_a_row_that_does_not_exist_gives_the_nearest_and_all():
    with pytest.raises(DeeplabError, match="did you mean resnet101.*rows are resnet50, resnet101"):
        load_experiment("configs/voc.py:resnet110")
    with pytest.raises(DeeplabError, match="needs a row: rows are"):
        load_experiment("configs/voc.py:")


def test_shipped_configs_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_experiment("configs/voc.py:resnet101").model.backbone is Backbone.RESNET101
    with pytest.raises(DeeplabError, match="shipped are .*configs/voc.py"):
        load_experiment("configs/vod.py:resnet101")


def test_a_config_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("from deeplab_tf.config import Experiment\nEXPERIMENTS = {'a': Experiment()}\n")
    assert load_experiment(f"{path}:a") == Experiment(row=f"{path}:a")
    path.write_text("EXPERIMENTS = [")
    with pytest.raises(DeeplabError, match="mine.py:a does not load: SyntaxError"):
        load_experiment(f"{path}:a")
    path.write_text("rows = {}")
    with pytest.raises(DeeplabError, match="must define EXPERIMENTS"):
        load_experiment(f"{path}:a")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("from deeplab_tf.config import Backbone\nBackbone('x')", "ValueError: 'x' is not a valid"),
        ("{}['gone']", "KeyError: 'gone'"),
    ],
)
def test_an_error_of_ones_own_config_module_is_one_line(tmp_path, text, reason):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(DeeplabError, match=f"mine.py:a does not load: {reason}") as error:
        load_experiment(f"{path}:a")
    assert "\n" not in str(error.value)
    with pytest.raises(DeeplabError, match=f"mine.py does not load: {reason}"):
        config_lib.load_rows(str(path))


def test_a_row_that_breaks_a_rule_is_named(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from deeplab_tf.config import Experiment, TrainConfig\n"
        "EXPERIMENTS = {'good': Experiment(), 'bad': Experiment(train=TrainConfig(steps=0))}\n"
    )
    assert load_experiment(f"{path}:good").row == f"{path}:good"
    said = f"^config row {path}:bad: config.train.steps must be at least 1. Received: 0$"
    for load in (lambda: load_experiment(f"{path}:bad"), lambda: config_lib.load_rows(str(path))):
        with pytest.raises(DeeplabError, match=said):
            load()


def test_a_row_that_is_no_experiment_is_named(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("EXPERIMENTS = {'a': {'steps': 3}}")
    with pytest.raises(DeeplabError, match=r"mine.py:a must be an Experiment .*: \{'steps': 3\}"):
        load_experiment(f"{path}:a")
    with pytest.raises(DeeplabError, match="mine.py:a must be an Experiment"):
        config_lib.load_rows(str(path))


def test_a_shipped_row_is_a_copy_each_time(monkeypatch):
    """Its module runs once: it may be what many others are made of."""
    spec = "configs/paper/table6.py:os8"
    first = load_experiment(spec)
    monkeypatch.setattr("importlib.util.spec_from_file_location", None)
    steps = first.train.steps
    first.train.steps, first.model.aspp_rates = 1, ()
    second = load_experiment(spec)
    assert second.train.steps == steps and second.model.aspp_rates == (6, 12, 18)


def test_config_json_of_a_workdir(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(config_lib.to_json(load_experiment("configs/shapes.py:demo")))
    assert load_experiment(str(path)) == load_experiment("configs/shapes.py:demo")
    path.write_text('{"train": {"steps": "many"}}')
    with pytest.raises(DeeplabError, match="config.train.steps"):
        load_experiment(str(path))


@pytest.mark.parametrize("path", sorted((ROOT / "configs").rglob("*.py")), ids=lambda p: p.stem)
def test_every_shipped_row_is_valid(path):
    if path.name == "__init__.py":
        return
    rows = config_lib.load_rows(str(path))
    assert rows
    for name, experiment in rows.items():
        assert experiment.row == f"configs/{path.relative_to(ROOT / 'configs')}:{name}"
        # The paper's rows end with their last weights, and trainval leaves no labelled split out;
        # all others are evaluated on the way.
        every, of_the_paper = experiment.train.evaluate_every, path.parent.name == "paper"
        unevaluated = of_the_paper or experiment.data.split == "trainval"
        if every is None:
            continue  # chosen for the data: tests/training/choices/test_rules.py
        assert every == 0 if unevaluated else 0 < every <= experiment.train.steps
        assert (experiment.train.keep, experiment.train.patience) == ("last", None)


FIVE = ImageFormat(5, 16, (1.0, 2.0, 3.0, 4.0, 5.0), (0.5,) * 5)


def in_older_form(text):
    """The JSON of an experiment as it was written before its bands were one field."""
    fields = json.loads(text)
    bands = fields["model"].pop("image_format") or {"mean": [], "std": [], "bits": None}
    older = {"band_mean": bands["mean"], "band_std": bands["std"], "bits": bands["bits"]}
    return json.dumps({**fields, "model": {**fields["model"], **older}})


@pytest.mark.parametrize("image_format", [None, FIVE])
def test_a_file_of_the_older_form_is_the_same_experiment(image_format, tmp_path):
    experiment = validate(Experiment(model=ModelConfig(image_format=image_format)))
    text = to_json(experiment)
    assert from_json(text) == experiment
    path = tmp_path / "config.json"
    path.write_text(in_older_form(text))
    assert '"band_mean": [' in path.read_text() and "image_format" not in path.read_text()
    assert load_experiment(str(path)) == experiment
    description = json.dumps({"labels": VOC.to_dict(), "experiment": json.loads(path.read_text())})
    assert parse_description(description, "a.keras") == (experiment, VOC)


@pytest.mark.parametrize(
    "image_format",
    [
        dataclasses.replace(FIVE, bands=4),
        dataclasses.replace(FIVE, bits=12),
        dataclasses.replace(FIVE, std=(1.0, 1.0, 1.0, 1.0, 0.0)),
        ImageFormat(5, 16),
    ],
)
def test_bands_without_whole_statistics_are_refused(image_format):
    with pytest.raises(DeeplabError, match=r"model.image_format must be of 8, 16 or 32 bits"):
        validate(Experiment(model=ModelConfig(image_format=image_format)))


def test_older_bands_that_are_wrong_are_named():
    text = in_older_form(to_json(Experiment(model=ModelConfig(image_format=FIVE))))
    with pytest.raises(DeeplabError, match=r"config.model.image_format.mean"):
        from_json(text.replace("[1.0, 2.0, 3.0, 4.0, 5.0]", "7"))


def places_of(kind, hint, path=()):
    """The paths of the fields of the config class `kind` whose type has `hint`, at every depth."""
    for name, found in typing.get_type_hints(kind).items():
        kinds = (found, *typing.get_args(found))
        for inner in filter(dataclasses.is_dataclass, kinds):
            yield from places_of(inner, hint, (*path, name))
        if hint in kinds:
            yield (*path, name)


WHOLE = Experiment(model=ModelConfig(image_format=FIVE))
FLOATS = list(places_of(Experiment, float))


def changed(path, value):
    """The JSON of a valid experiment with another value at `path`, or first in its tuple."""
    content = json.loads(to_json(WHOLE))
    *sections, field = path
    inside = content
    for name in sections:
        inside = inside[name]
    inside[field] = [value, *inside[field][1:]] if isinstance(inside[field], list) else value
    return json.dumps(content)


def test_the_floats_of_the_schema_are_found():
    assert {".".join(path) for path in FLOATS} >= {
        "model.image_format.std",
        "model.aspp_dropout",
        "train.power",
        "train.ema_momentum",
        "evaluate.scales",
        "paper_miou",
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 1e39, -1e-40], ids=str)
@pytest.mark.parametrize("path", FLOATS, ids=".".join)
def test_no_float_takes_what_is_no_number_of_its_range(path, value):
    # The rule on the range of scales is that of the larger one.
    named = re.escape(".".join(path[:2])).replace("min_scale", "m.._scale")
    with pytest.raises(DeeplabError, match=rf"config\.{named}") as error:
        from_json(changed(path, value))
    assert "\n" not in str(error.value)


def test_an_integer_beyond_64_bits_is_refused():
    with pytest.raises(DeeplabError, match="train.steps must be an integer of 64 bits"):
        from_json(changed(("train", "steps"), 2**63))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (("trian",), "config.trian: no such field; did you mean train?"),
        (
            ("train", "bacth_size"),
            "config.train.bacth_size: no such field; did you mean batch_size?",
        ),
        (("data", "zzzz"), "config.data.zzzz: no such field; fields are dataset, split, crop_size"),
        (("evaluate", "scale"), "did you mean scales?"),
        (
            ("model", "image_format", "meen"),
            "config.model.image_format.meen: no such field; did you mean mean?",
        ),
    ],
    ids=str,
)
def test_a_misspelt_field_is_named_with_the_nearest(path, said, tmp_path):
    content = json.loads(to_json(WHOLE))
    inside = content
    for name in path[:-1]:
        inside = inside[name]
    inside[path[-1]] = 2
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(DeeplabError, match=re.escape(said)):
        load_experiment(str(tmp_path / "config.json"))
    description = json.dumps({"labels": VOC.to_dict(), "experiment": content})
    with pytest.raises(DeeplabError, match=re.escape(said)):
        parse_description(description, "a.keras")


def test_a_row_leaves_like_to_the_flag(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from deeplab_tf.config import Experiment, ModelConfig\n"
        "EXPERIMENTS = {'a': Experiment(model=ModelConfig(like='a.keras'))}\n"
    )
    with pytest.raises(DeeplabError, match="mine.py:a must leave model.like to a flag"):
        load_experiment(f"{path}:a")

"""The paper's protocol (section 4) as rules, and how an experiment deviates from them."""

import dataclasses
import functools

from deeplab_tf.config import Backbone, BatchNormMode, Experiment, Head, load_experiment
from deeplab_tf.config.augmentation import AUGMENTATIONS
from deeplab_tf.config.gaps import open_fields

HARD_CLASSES = ("bicycle", "chair", "diningtable", "pottedplant", "sofa")
SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)


@dataclasses.dataclass(frozen=True)
class Rule:
    """The values that the paper has in one field of an experiment.

    Attributes:
        field: the name of the field, with a dot after the section.
        values: the values that occur in the paper.
        source: where the paper says so.
    """

    field: str
    values: tuple
    source: str


NETWORK = (
    Rule("model.backbone", (Backbone.RESNET50, Backbone.RESNET101), "section 4"),
    Rule("model.stride_placement", ("last_unit",), "section 3.2, figure 3"),
    Rule("model.normalization", ("mean_subtraction", "symmetric"), "the authors' TF-Slim code"),
    Rule("model.upsampling", ("align_corners",), "the authors' TF-Slim code"),
    Rule("model.batch_norm_momentum", (0.9997,), "section 4.1"),
    Rule("model.batch_norm_epsilon", (1e-5,), "the authors' TF-Slim code"),
    Rule("model.zero_init_residual", (False,), "the authors' TF-Slim code"),
    Rule("model.head", (Head.NONE, Head.ASPP), "sections 3.2 and 3.3"),
    Rule("model.head_conv", (False,), "section 3.3"),
    Rule("model.decoder_kernels", ((),), "section 3.3: DeepLabv3 has no decoder"),
    Rule("model.separable", (False,), "section 3.3"),
    Rule("model.aspp_dropout", (0.0,), "section 3.3"),
    Rule(
        "model.multi_grid",
        ((1, 1, 1), (1, 2, 1), (1, 2, 3), (1, 2, 4), (2, 2, 2)),
        "tables 3 and 5",
    ),
)
ASPP = (
    Rule("model.num_blocks", (4,), "section 3.3"),
    Rule("model.aspp_rates", ((6, 12, 18), (6, 12, 18, 24)), "section 3.3, at output_stride 16"),
)
EVERY_STAGE = (
    Rule("data.crop_size", (513,), "section 4.1"),
    Rule("data.crop_width", (None,), "section 4.1"),
    Rule("data.fit", ("scale_and_crop",), "section 4.1"),
    Rule("data.min_scale", (0.5,), "section 4.1"),
    Rule("data.max_scale", (2.0,), "section 4.1"),
    Rule("data.flip", (True,), "section 4.1"),
    *(Rule(f"data.{name}", (0,), "section 4.1") for name in AUGMENTATIONS),
    Rule("data.balance", (0.0,), "section 4.1"),
    Rule("data.mixed_in", ((),), "section 4"),
    Rule("train.steps", (30_000,), "section 4.1"),
    Rule("train.batch_size", (16,), "section 4.1"),
    Rule("train.optimizer", ("sgd",), "the authors' TF-Slim code"),
    Rule("train.schedule", ("poly",), "section 4.1"),
    Rule("train.power", (0.9,), "section 4.1"),
    Rule("train.warmup_steps", (0,), "section 4.1"),
    Rule("train.momentum", (0.9,), "the authors' TF-Slim code"),
    Rule("train.weight_decay", (1e-4,), "the authors' TF-Slim code"),
    Rule("train.clip_norm", (0.0,), "the authors' TF-Slim code"),
    Rule("train.layer_decay", (1.0,), "section 4.1: one learning rate"),
    Rule("train.loss", ("cross_entropy",), "the authors' TF-Slim code"),
    Rule("train.class_weights", ("none",), "the authors' TF-Slim code"),
    Rule("train.ohem_share", (1.0,), "the authors' TF-Slim code"),
    Rule("train.label_smoothing", (0.0,), "the authors' TF-Slim code"),
    Rule("train.auxiliary_loss", (0.0,), "section 3.3: one head"),
    Rule("train.keep", ("last",), "section 4.1: the weights after 30,000 steps"),
    Rule("train.patience", (None,), "section 4.1: 30,000 steps"),
    Rule("model.atrous", (True,), "section 3.2, figure 3b"),
    Rule("model.early_rates", (False,), "section 3.2, figure 3b"),
    Rule("evaluate.scales", ((1.0,), SCALES), "section 4.2"),
    Rule("evaluate.window", (None,), "section 4.2: whole images"),
    Rule("evaluate.working_size", (None,), "section 4.2: whole images"),
    Rule("evaluate.crf", (False,), "abstract: no DenseCRF"),
)
BEFORE_STAGE_2 = (
    Rule("model.output_stride", (16,), "section 4.1"),
    Rule("data.duplicate_classes", ((),), "section 4.3"),
    Rule("train.batch_norm", ("sync",), "section 4.1: statistics of the batch of 16"),
    Rule("evaluate.output_stride", (None, 16, 8), "section 4.1"),
)
STAGE_1 = (
    *BEFORE_STAGE_2,
    Rule("data.dataset", ("voc_aug",), "section 4"),
    Rule("data.split", ("trainaug",), "section 4"),
    Rule("evaluate.split", ("val",), "section 4"),
)
STAGES = {
    "COCO pretraining (section 4.3)": (
        *BEFORE_STAGE_2,
        Rule("previous_stage", (None,), "section 4.3"),
        Rule("data.dataset", ("coco_voc",), "section 4.3"),
        Rule("data.split", ("train",), "section 4.3"),
        Rule("train.base_learning_rate", (0.007,), "section 4.1; the paper gives no rate for COCO"),
    ),
    "stage 1 (section 4.1)": (
        *STAGE_1,
        Rule("previous_stage", (None,), "section 4.1"),
        Rule("train.base_learning_rate", (0.007,), "section 4.1"),
    ),
    "stage 1 after COCO (section 4.3)": (
        *STAGE_1,
        Rule("previous_stage", ("configs/paper/coco.py:pretraining",), "section 4.3"),
        Rule("train.base_learning_rate", (0.0001,), "section 4.3"),
    ),
    "stage 2, for the test server (sections 4.1 and 4.3)": (
        Rule("previous_stage", ("configs/paper/table6.py:os8_ms_flip_coco",), "section 4.3"),
        Rule("model.output_stride", (8,), "section 4.1"),
        Rule("data.dataset", ("voc", "voc_aug"), "section 4.3"),
        Rule("data.split", ("trainval",), "section 4.3"),
        Rule("data.duplicate_classes", (HARD_CLASSES,), "section 4.3"),
        Rule("train.base_learning_rate", (0.001,), "section 4.1"),
        Rule("train.batch_norm", ("frozen",), "section 4.1"),
        Rule("evaluate.output_stride", (None, 8), "section 4.1"),
        Rule("evaluate.split", ("test",), "section 4.3"),
    ),
}
STANDING = (
    "momentum holds the learning rate inside (Keras' SGD); TensorFlow 1's momentum held the rate "
    "outside. On this schedule the two differ by 3e-4 of the rate at the first step",
    "the moving variance is not Bessel-corrected; TF-Slim's fused batch norm corrected the "
    "variance",
    "block5 to block7 begin with random weights; the paper does not say how these blocks began",
)


def stage_of(experiment: Experiment) -> str:
    """Returns the experiment's key in `STAGES`, by its batch norm, data set and previous stage."""
    coco, stage1, stage1_after_coco, stage2 = STAGES
    if experiment.train.batch_norm is BatchNormMode.FROZEN:
        return stage2
    if experiment.data.dataset == "coco_voc":
        return coco
    return stage1_after_coco if experiment.previous_stage else stage1


def _rules(experiment: Experiment) -> list[Rule]:
    """Returns the rules that the paper has for the experiment's network and stage."""
    rules = [*NETWORK, *EVERY_STAGE, *STAGES[stage_of(experiment)]]
    if experiment.model.head is Head.ASPP:
        rules += ASPP
    if experiment.model.num_blocks == 7 and experiment.model.backbone is Backbone.RESNET50:
        # Table 1 trains and evaluates at each of these output strides.
        table1 = Rule("model.output_stride", (8, 16, 32, 64, 128, 256), "table 1")
        rules = [table1 if rule.field == table1.field else rule for rule in rules]
    return rules


def deviations(experiment: Experiment) -> list[tuple[str, str, str]]:
    """Returns (field, its value, what the paper has) for each field that deviates."""
    found, still_open = [], open_fields(experiment)
    for rule in _rules(experiment):
        value = functools.reduce(getattr, rule.field.split("."), experiment)
        if value not in rule.values:
            wanted = " or ".join(map(_format_value, rule.values))
            here = "chosen by the training" if rule.field in still_open else _format_value(value)
            found.append((rule.field, here, f"{wanted} ({rule.source})"))
    if not experiment.init_from:
        wanted = f"weights of {experiment.initial_weights or 'ImageNet'} (section 4)"
        found.append(("init_from", "none: random weights", wanted))
    return found


def explain(experiment: Experiment, name: str) -> str:
    """Returns how an experiment and the stages before it deviate from the protocol, in words.

    Args:
        experiment: the last stage.
        name: the name that the user gave for the experiment.
    """
    text = ""
    while True:
        text += f"{name} against the paper's protocol, {stage_of(experiment)}\n\n"
        text += _format_deviations(experiment) + "\n\n"
        if experiment.paper_miou is not None:
            text += f"the paper's mean IoU that the row carries: {experiment.paper_miou} %\n\n"
        if not experiment.previous_stage:
            break
        name, init_from = experiment.previous_stage, experiment.init_from
        experiment = dataclasses.replace(load_experiment(name), init_from=init_from)
    return (
        text + "every run of this code deviates in:\n" + "\n".join(f"- {note}" for note in STANDING)
    )


def _format_deviations(experiment: Experiment) -> str:
    found = deviations(experiment)
    if not found:
        return "no field deviates"
    head = ("field", "here", "the paper")
    # The columns are text, not numbers, so all are aligned to the left.
    widths = [max(len(row[i]) for row in (head, *found)) for i in (0, 1)]
    return "\n".join(
        f"{field:<{widths[0]}}  {value:<{widths[1]}}  {paper}"
        for field, value, paper in (head, *found)
    )


def _format_value(value: object) -> str:
    if isinstance(value, tuple):
        return "(" + ", ".join(map(str, value)) + ")"
    return "none" if value is None else str(value)

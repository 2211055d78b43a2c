"""The fields of an experiment: model, data, training and evaluation, as typed dataclasses.

The defaults are the paper's protocol (arXiv 1706.05587, section 4): stage 1 on PASCAL VOC 2012.
Enumerations are `StrEnum` and the dataclasses are mutable because `ml_collections` overrides their
fields from the command line (`--config.train.steps=100`); `validate` runs after the overrides.

A field that says "None: chosen" is chosen by `deeplab-train` from the data set and the machine
(docs/own_data.md); the `config.json` of a run has its value.

Tested in tests/test_config.py and tests/configs/test_paper_rows.py.
"""

import dataclasses
import enum

from deeplab_tf.config.image_format import STRICT, ImageFormat
from deeplab_tf.errors import DeeplabError


class Backbone(enum.StrEnum):
    """The feature extractor.

    `resnet50` and `resnet101` are the paper's. `resnet_slim` is the same family at a quarter of the
    width, for a CPU. `resnet_tiny` has one unit a block at an eighth of the width: it learns
    little, and tries data, devices and a whole run within seconds. `mobilenet_v2` (arXiv
    1801.04381) is the backbone of DeepLab's released mobile models, and `mobilenet_v3_large` (arXiv
    1905.02244) its successor, both with any `width_multiplier`.
    """

    RESNET50 = "resnet50"
    RESNET101 = "resnet101"
    RESNET_SLIM = "resnet_slim"
    RESNET_TINY = "resnet_tiny"
    MOBILENET_V2 = "mobilenet_v2"
    MOBILENET_V3_LARGE = "mobilenet_v3_large"


MOBILENETS = (Backbone.MOBILENET_V2, Backbone.MOBILENET_V3_LARGE)
"""The backbones of depthwise convolutions: seven blocks, any width, no multi-grid."""


def auxiliary_part(backbone: Backbone) -> str:
    """Returns the part of a backbone whose last map the auxiliary head reads.

    It is the last part before the backbone's last stride, to 32.
    """
    return "block5" if backbone in MOBILENETS else "block3"


class StridePlacement(enum.StrEnum):
    """The convolution of a ResNet block that carries the block's stride.

    `last_unit` is the 3x3 of the last unit, as in the paper (and TF-Slim). `first_unit` is the 3x3
    of the first unit, as in torchvision; where the stride is dropped, this 3x3 keeps the atrous
    rate of the block before. `first_conv` is the first 1x1 of the first unit, as in
    keras.applications; where the stride is dropped, the 3x3 of that unit has the new rate already.
    """

    LAST_UNIT = "last_unit"
    FIRST_UNIT = "first_unit"
    FIRST_CONV = "first_conv"


class Head(enum.StrEnum):
    """The layers that make the logits from the backbone's last map.

    `none` is one 1x1 convolution, as behind the cascaded modules (section 3.2). `aspp` is
    DeepLabv3's ASPP (section 3.3), to which `decoder_kernels` adds DeepLabv3+'s decoder. `aspp_v2`
    is DeepLabv2's ASPP, for comparison. `lr_aspp` is the light head of MobileNetV3's paper (arXiv
    1905.02244, section 6.4) in torchvision's form: the gate is the mean of the whole map, and the
    map of stride 8 adds scores of its own.
    """

    NONE = "none"
    ASPP = "aspp"
    ASPP_V2 = "aspp_v2"
    LR_ASPP = "lr_aspp"


class Normalization(enum.StrEnum):
    """The conventions that turn pixels 0..255 into the network's input; see `NORMALIZATION`."""

    MEAN_SUBTRACTION = "mean_subtraction"
    CAFFE = "caffe"
    SYMMETRIC = "symmetric"
    MEAN_STD = "mean_std"
    UNIT = "unit"
    PIXELS = "pixels"


def _rgb(mean: tuple[float, ...], std: tuple[float, ...]) -> ImageFormat:
    return ImageFormat(mean=mean, std=std)


NORMALIZATION = {
    # The means of the original DeepLab's plain ResNet checkpoints.
    Normalization.MEAN_SUBTRACTION: _rgb((123.15, 115.90, 103.06), (1.0, 1.0, 1.0)),
    # ImageNet's means, as keras.applications' ResNets and TF-Slim's classifiers have them.
    Normalization.CAFFE: _rgb((123.68, 116.779, 103.939), (1.0, 1.0, 1.0)),
    # Pixels in [-1, 1], as the "beta" ResNets and the MobileNets take them.
    Normalization.SYMMETRIC: _rgb((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    # torchvision's ImageNet statistics, given there for pixels in 0..1.
    Normalization.MEAN_STD: _rgb(
        (0.485 * 255, 0.456 * 255, 0.406 * 255), (0.229 * 255, 0.224 * 255, 0.225 * 255)
    ),
    # Pixels in [0, 1], as keras-hub's image converters often give them.
    Normalization.UNIT: _rgb((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    # Pixels as they are, as keras-hub's networks take them without an image converter.
    Normalization.PIXELS: _rgb((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
"""The format of RGB images by each convention; pixels are in 0..255."""


class Upsampling(enum.StrEnum):
    """The places of the logits' samples on the image in bilinear upsampling.

    `align_corners` is the paper's: the map's sample i lies on pixel i * output_stride.
    `half_pixel` is torchvision's: the map is stretched over the image, with pixel centres at
    half-integers.
    """

    ALIGN_CORNERS = "align_corners"
    HALF_PIXEL = "half_pixel"


class BatchNormMode(enum.StrEnum):
    """The statistics that the batch norms use in training.

    `sync` uses the statistics of the global batch, as the paper does with its batch of 16. `train`
    uses those of each device's own part of the batch, which is the same on one device. `frozen`
    uses the moving statistics, and changes neither the statistics nor gamma and beta (the paper's
    second stage).
    """

    TRAIN = "train"
    SYNC = "sync"
    FROZEN = "frozen"


class Loss(enum.StrEnum):
    """The loss that is minimised together with the weight decay; void pixels do not count.

    `cross_entropy` is the mean softmax cross entropy over pixels, as in the paper. `focal` is the
    mean over pixels of the cross entropy times `(1 - p) ** focal_gamma`, where p is the probability
    of the pixel's true class (Lin et al., arXiv 1708.02002, equation 4; their alpha is
    `class_weights`). `dice` is cross entropy plus 1 - soft Dice, both with weight 1 as in nnU-Net;
    the soft Dice of a class is `2 sum(p t) / (sum(p) + sum(t))` over the batch (after Milletari et
    al., arXiv 1606.04797). `lovasz` is cross entropy plus the Lovász-Softmax of each image (Berman
    et al., arXiv 1705.08790). Dice and Lovász are means over the classes that are present, so a
    class counts the same however few pixels it has. Neither is offered without cross entropy, since
    a network from scratch would learn slowly.
    """

    CROSS_ENTROPY = "cross_entropy"
    FOCAL = "focal"
    DICE = "dice"
    LOVASZ = "lovasz"


class OptimizerName(enum.StrEnum):
    """The rule by which a step changes the weights.

    `sgd` is SGD with `momentum`, as in the paper; its weight decay is part of the loss. `adamw` is
    Adam (arXiv 1412.6980) with decoupled weight decay (arXiv 1711.05101): `momentum` is its beta_1,
    beta_2 is 0.999 and epsilon 1e-8. Each weight moves by about the learning rate, whatever the
    size of its gradient, so that rates are 1e-5 to 1e-3 and a useful weight decay is about 0.01.
    """

    SGD = "sgd"
    ADAMW = "adamw"


class ScheduleName(enum.StrEnum):
    """The learning rate after the warm-up, from `base_learning_rate` on.

    `poly` falls to 0 as `(1 - step / steps) ** power` (section 4.1), `cosine` falls to 0 by half a
    cosine (arXiv 1608.03983, without restarts), `constant` stays.
    """

    POLY = "poly"
    COSINE = "cosine"
    CONSTANT = "constant"


class Fit(enum.StrEnum):
    """The way in which a training image of any size fills the crop.

    `scale_and_crop` scales the image at random and cuts a random crop, as in the paper. `letterbox`
    shows the whole image at the top left of the crop, shrunk where it is larger, as a network of
    one fixed size is shown it when it predicts; `min_scale` and `max_scale` have no meaning then,
    and the working size of predictions is at most the crop's longer side.
    What the image does not cover is the mean pixel, and void in the mask, either way.
    """

    SCALE_AND_CROP = "scale_and_crop"
    LETTERBOX = "letterbox"


class Precision(enum.StrEnum):
    """The precision that the network computes in, by Keras' names; its weights are float32 in each.

    `mixed_bfloat16` and `mixed_float16` keep activations in 16 bits. The normalisation of the
    pixels, the statistics of batch norms, the logits and the loss stay in float32. `mixed_float16`
    has 5 bits of exponent, so the loss is scaled, and a step whose gradients overflow is skipped.
    """

    FLOAT32 = "float32"
    MIXED_BFLOAT16 = "mixed_bfloat16"
    MIXED_FLOAT16 = "mixed_float16"


class Keep(enum.StrEnum):
    """The weights that the `model.keras` of a run holds.

    `last` are those after the last step, as in the paper. `best` are those of the evaluation with
    the highest mean IoU among the run's evaluations (`evaluate_every`), the first of equals; they
    are kept in the workdir from that evaluation on, and commands that read the workdir take them.
    """

    LAST = "last"
    BEST = "best"


class StrategyName(enum.StrEnum):
    """The devices that a command runs on.

    `one` is one device, `mirrored` all devices of this host, `multi_worker` those of the processes
    that TF_CONFIG names, and `tpu` a TPU. `auto` is `multi_worker` where TF_CONFIG names several
    processes, else `mirrored` where there are two GPUs or more, else `one`.
    """

    AUTO = "auto"
    ONE = "one"
    MIRRORED = "mirrored"
    MULTI_WORKER = "multi_worker"
    TPU = "tpu"


@dataclasses.dataclass
class ModelConfig:
    """The network; its weights do not depend on `output_stride`, `atrous`, `multi_grid` and rates.

    Attributes:
        backbone: see `Backbone`.
        width_multiplier, channel_divisor: the width of a MobileNet: channels are those of its paper
            times `width_multiplier`, rounded to multiples of `channel_divisor`, which is 8 in that
            paper and 1 in DeepLab's models that are narrower than 1.
        deep_root: whether conv1 is three 3x3 convolutions, `conv1_1` to `conv1_3`, as in the
            "beta" ResNets of the original DeepLab's checkpoints; the paper has one of 7x7.
        num_blocks: the number of the last block: 4 is the plain ResNet, 5 to 7 have the cascaded
            replicas of block4 (section 3.2).
        output_stride: input resolution / feature resolution: 4, 8, 16 or 32; up to 64 with block5,
            128 with block6, 256 with block7.
        atrous: whether a dropped stride is made up for by the atrous rate of the layers after it
            (figure 3b); without the rate those layers see a smaller field. Where no stride is
            dropped (output_stride 256 with block7, figure 3a) there is nothing to make up for.
        early_rates: whether the convolution whose stride is dropped has the rate of the layers
            after it already, as in torchvision's MobileNetV3. The paper's convolution has the rate
            before it, so that the map is the strided one on a denser grid.
        multi_grid: unit rates of the units of block4 and each later block, multiplied by the
            block's own rate (section 3.2.1): three, but one with `resnet_tiny`; (1, 1, 1) with
            a MobileNet.
        head: see `Head`.
        aspp_rates: rates of the 3x3 atrous convolutions *at output_stride 16*; the model scales
            them by 16 / output_stride, so they double at 8 (section 3.3). No rates and
            `image_pooling` make the light head of the released MobileNetV2 models.
        image_pooling: whether ASPP has the image-level branch (section 3.3, figure 5b).
        decoder_kernels: the sides of the kernels of the decoder's convolutions, each of as many
            filters as the ASPP's (256, fewer with `resnet_slim` and `resnet_tiny`), behind the
            ASPP: none in DeepLabv3, (3, 3) in DeepLabv3+ (arXiv 1802.02611, section 3.1), (1,) in
            keras-hub's networks. The decoder works on the map of stride 4, to which it brings the
            ASPP's.
        decoder_channels: filters of the 1x1 convolution of the backbone's last map of stride 4,
            which the decoder reads beside the ASPP's; 48 in DeepLabv3+. 0 leaves that map out, as
            keras-hub's DeepLabV3. No other number goes without `decoder_kernels`.
        separable: whether the 3x3 convolutions of ASPP, `head_conv` and decoder are atrous
            separable: one kernel for each channel, then a 1x1 convolution, with batch norm and ReLU
            after both (arXiv 1802.02611, section 3.1).
        num_classes: the number of classes without void; None takes it from the data set.
        image_format: the bands, the bits and the statistics that `deeplab-prepare` found, where
            images are not RGB of 8 bits or the data set names a value without data; None takes them
            from the data set. No flag overrides it.
        stride_placement, normalization, upsampling: conventions, the paper's by default.
        batch_norm_momentum: the momentum of the moving statistics, 0.9997 in section 4.1; small
            data needs less.
        batch_norm_epsilon: the number added to the variance, 1e-5 in TF-Slim's and torchvision's
            ResNet. A MobileNet itself has 1e-3, and only its head has this epsilon.
        zero_init_residual: whether the last batch norm of each unit begins with gamma 0, so that
            the unit begins as its shortcut (arXiv 1706.02677, section 5.1). A cascade needs this
            option when it is trained from scratch: otherwise the features of block5 to block7 add
            up, and the first steps throw the logits far off.
        head_conv: whether a 3x3 convolution follows the ASPP, as in torchvision, or the backbone
            with the head `none`; the paper has none.
        aspp_dropout: the dropout rate after the ASPP's projection, 0.5 in torchvision, none in the
            paper.
        like: a `.keras` file, or the name of a published model, that gives every other field of the
            network, except those that flags or the data set give; a run's `config.json` has the
            fields and not the file.
    """

    __pydantic_config__ = STRICT

    backbone: Backbone = Backbone.RESNET101
    width_multiplier: float = 1.0
    channel_divisor: int = 8
    deep_root: bool = False
    num_blocks: int = 4
    output_stride: int = 16
    atrous: bool = True
    early_rates: bool = False
    multi_grid: tuple[int, ...] = (1, 2, 4)
    head: Head = Head.ASPP
    aspp_rates: tuple[int, ...] = (6, 12, 18)
    image_pooling: bool = True
    decoder_kernels: tuple[int, ...] = ()
    decoder_channels: int = 48
    separable: bool = False
    num_classes: int | None = None
    image_format: ImageFormat | None = None
    stride_placement: StridePlacement = StridePlacement.LAST_UNIT
    normalization: Normalization = Normalization.MEAN_SUBTRACTION
    upsampling: Upsampling = Upsampling.ALIGN_CORNERS
    batch_norm_momentum: float = 0.9997
    batch_norm_epsilon: float = 1e-5
    zero_init_residual: bool = False
    head_conv: bool = False
    aspp_dropout: float = 0.0
    like: str | None = None

    @property
    def input_format(self) -> ImageFormat:
        """The images that the network takes, with the statistics that it normalises them by."""
        return self.image_format or NORMALIZATION[self.normalization]


@dataclasses.dataclass
class DataConfig:
    """The training images (section 4.1: crop 513, scale 0.5 to 2.0, random left-right flip).

    The fields from `rotation` to `copy_paste` are augmentations that the paper does not have; 0 is
    off. `rotation` turns every example, a probability acts as often as it says, and any other
    strength acts on half of the examples. All choices follow from `train.seed` and the example's
    number.

    Attributes:
        dataset: the name that `deeplab-prepare` gave the folder under `--data_dir`.
        split: the split to train on.
        crop_size: side of the square training crop in pixels; k * output_stride + 1 fits best. With
            `crop_width` it is the height. None: chosen.
        crop_width: width of a crop that is not square, in pixels; None: as `crop_size`.
        fit: see `Fit`.
        min_scale, max_scale: range of the uniform random scale. None: chosen; where both are and
            the images are large, `evaluate.working_size` is chosen with them.
        flip: whether to mirror half of the examples.
        rotation: the largest turn in degrees, to either side; 10 is usual for photos, 180 for views
            from above. Corners that the image does not cover are the mean pixel and void.
        brightness: the most that is added to or taken from all pixels, as a share of their range.
            The range is 255 for RGB, and four standard deviations of each band for other images.
            mmsegmentation has 0.125.
        contrast: the most by which the factor of contrast differs from 1, at most 1; pixels of RGB
            are multiplied by the factor, other bands spread about their mean. mmsegmentation has
            0.5.
        saturation: the most by which the factor of the colours' saturation differs from 1, at most
            1; RGB only. mmsegmentation has 0.5.
        hue: the most by which hues turn on the circle of colours, to either side, as a share of the
            circle, at most 0.5; RGB only. mmsegmentation has 0.1.
        grey: the probability that an example loses its colours; RGB only.
        blur: the largest standard deviation of a Gaussian blur, in pixels, at most 20.
        noise: the largest standard deviation of Gaussian noise, as a share of the range (see
            `brightness`), at most 1.
        jpeg_quality: the lowest quality, 1 to 95, of a JPEG compression, which is drawn from it to
            95; RGB only.
        cut_out: the probability that a rectangle of 2 to 33 % of the crop becomes the mean pixel,
            and void in the mask.
        copy_paste: the probability that pixels of rare classes of another image, which is scaled,
            cropped and turned in its own way, are pasted over the example. A class is rare that has
            less than half of an equal share of the split's pixels, so 1 / (2 * classes). Rare
            classes and other images are those of `split` of `dataset`, also with `mixed_in`.
        shuffle_buffer: how many records are held for shuffling, still encoded (about 0.1 MB each).
            None: chosen.
        duplicate_classes: names of classes; an image with one of them comes twice in each epoch
            (section 4.3, for the test server).
        balance: the threshold t in [0, 1] below which a class is rare: an image comes
            `max(1, sqrt(t / f))` times in each epoch, where f is the share of the split's images
            that have the image's rarest class (arXiv 1908.03195); 0: each image once.
        mixed_in: other data sets of the same classes to train on as well: entries `NAME:SHARE` or
            `NAME/SPLIT:SHARE`, such as `drone:0.3`, with SHARE of all examples to three decimals at
            most. `dataset` has the rest. SPLIT is `split` by default.
        longest_side: the longest side, in pixels, of the data set's images, or 0 where they are
            tiles, whose pixels have one scale; None takes it from the data set.
    """

    __pydantic_config__ = STRICT

    dataset: str = "voc"
    split: str = "train"
    crop_size: int | None = 513
    crop_width: int | None = None
    fit: Fit = Fit.SCALE_AND_CROP
    min_scale: float | None = 0.5
    max_scale: float | None = 2.0
    flip: bool = True
    rotation: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    grey: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    jpeg_quality: int = 0
    cut_out: float = 0.0
    copy_paste: float = 0.0
    shuffle_buffer: int | None = 2048
    duplicate_classes: tuple[str, ...] = ()
    balance: float = 0.0
    mixed_in: tuple[str, ...] = ()
    longest_side: int | None = None

    @property
    def crop(self) -> tuple[int, int]:
        """The height and width of the training crop, in pixels.

        Raises:
            DeeplabError: `crop_size` is still to be chosen.
        """
        if self.crop_size is None:
            raise DeeplabError(
                "config.data.crop_size is still open: deeplab-train chooses it; give a number"
            )
        return self.crop_size, self.crop_width or self.crop_size


@dataclasses.dataclass
class TrainConfig:
    """The optimisation (section 4.1, stage 1).

    Attributes:
        steps: how many optimiser steps are done; `schedule` is laid over them. None: chosen.
        batch_size: examples in the global batch of an optimiser step, over all devices. None:
            chosen.
        optimizer: see `OptimizerName`.
        schedule: see `ScheduleName`.
        base_learning_rate: the highest learning rate, from which `schedule` goes on. None: chosen.
        power: the exponent of the schedule `poly`.
        warmup_steps: over so many steps at the start the rate rises by equal amounts to
            `base_learning_rate`; the schedule takes the steps after these. 0: no warm-up.
        momentum: the momentum of SGD; beta_1 of AdamW.
        weight_decay: over convolution kernels that are not depthwise, the lambda of
            `lambda / 2 * |w|^2`, which SGD minimises with the loss; AdamW takes
            `rate * lambda * w` off the kernels at each step instead.
        clip_norm: the largest norm of the gradients of all weights together, summed over the whole
            batch; longer gradients are scaled to it. 0: any norm.
        loss: see `Loss`.
        focal_gamma: the exponent of `focal`, 0 or more; 0 is cross entropy, 2 is Lin et al.'s best.
        class_weights: the weight of a pixel by its true class, in cross entropy or focal loss; the
            mean is over the sum of weights. `none`: 1 for each class. `auto`: `1 / ln(1.02 + p)`,
            where p is the class's share of the split's pixels (ENet, arXiv 1606.02147, section 5),
            from 1.4 for a class that is everywhere to 50.5 for a class that is nowhere. Any other
            value is the path of a JSON file `{class name: weight}` with every class; 0 leaves a
            class out. None: `none` or `auto` is chosen.
        ohem_share: online hard example mining, in cross entropy or focal loss: the share in (0, 1]
            of the pixels of the global batch, those with the highest loss (times weight), that
            count; 1 is all.
        label_smoothing: the share e in [0, 1) of the truth that is spread evenly over all classes
            in the cross entropy, also in that of `dice` and `lovasz` (arXiv 1512.00567, section 7);
            0 with `focal`, which lowers the weight of confident pixels already.
        auxiliary_loss: the weight of the same loss of an auxiliary head on block3 (block5 of
            a MobileNet), 0.5 in torchvision, 0.4 in successors of the paper; 0: no such head. The
            head is trained and kept beside the network, and is not part of the evaluated network.
        batch_norm: see `BatchNormMode`.
        backbone_rate, head_rate: factors of the learning rate for the backbone and for all layers
            after it (the head with the decoder, the last layer and the auxiliary head), to
            fine-tune with.
        layer_decay: a factor in (0, 1] of the learning rate that the last part of the backbone has
            once, the part before it twice, and so on down to conv1; 1: one rate for all parts.
        freeze_through: the last part of the backbone (`conv1`, `block1`, ...) whose weights and
            batch norm statistics do not change; all parts before it are frozen too. With
            `auxiliary_loss` it lies before the part that the auxiliary head reads.
        precision: see `Precision`; evaluation and export are in float32 whatever the precision.
        accumulate_steps: how many parts of an optimiser step's batch go through the network one
            after another. Steps, `batch_size` and the loss, a mean over the valid pixels of the
            whole batch, stay the same; batch norms that train see one part at a time, and one that
            would see a single sample keeps its statistics.
        rematerialize: whether a unit of the backbone keeps only its input for the backward pass
            and computes its activations again, which takes less memory for the same gradients.
        ema_momentum: the momentum of the exponential moving average of the weights, in [0, 1); the
            run is then evaluated and exported with the average, and trained on with the weights.
            None: no average.
        strategy: see `StrategyName`.
        seed: the seed of initial weights, data order, augmentation and dropout.
        log_every, checkpoint_every, panels_every: intervals in steps; panels are the TensorBoard
            images.
        keep_checkpoints: how many checkpoints stay on disk.
        evaluate_every: the interval in steps at which the run is evaluated on `evaluate.split`, as
            the `evaluate` section says, with the weights that would be exported; it is evaluated
            after the last step too. 0: never. None: chosen, and with it `evaluate_images`, unless
            that is given.
        evaluate_images: the most images of the split that an evaluation in the run takes; of a
            larger split it takes every n-th image. None: all.
        keep: see `Keep`.
        patience: the number of evaluations in a row without a higher mean IoU after which the run
            ends; the learning rate stays that of the whole schedule. None: never.
    """

    __pydantic_config__ = STRICT

    steps: int | None = 30_000
    batch_size: int | None = 16
    optimizer: OptimizerName = OptimizerName.SGD
    schedule: ScheduleName = ScheduleName.POLY
    base_learning_rate: float | None = 0.007
    power: float = 0.9
    warmup_steps: int = 0
    momentum: float = 0.9
    weight_decay: float = 1e-4
    clip_norm: float = 0.0
    loss: Loss = Loss.CROSS_ENTROPY
    focal_gamma: float = 2.0
    class_weights: str | None = "none"
    ohem_share: float = 1.0
    label_smoothing: float = 0.0
    auxiliary_loss: float = 0.0
    batch_norm: BatchNormMode = BatchNormMode.SYNC
    backbone_rate: float = 1.0
    head_rate: float = 1.0
    layer_decay: float = 1.0
    freeze_through: str | None = None
    precision: Precision = Precision.FLOAT32
    accumulate_steps: int = 1
    rematerialize: bool = False
    ema_momentum: float | None = None
    strategy: StrategyName = StrategyName.AUTO
    seed: int = 0
    log_every: int = 20
    checkpoint_every: int = 500
    panels_every: int = 500
    keep_checkpoints: int = 3
    evaluate_every: int | None = 0
    evaluate_images: int | None = None
    keep: Keep = Keep.LAST
    patience: int | None = None


@dataclasses.dataclass
class EvaluateConfig:
    """The evaluation (section 4.1).

    Attributes:
        split: the split to report on.
        output_stride: the output_stride to evaluate at; None is the model's own. The paper trains
            at 16 and evaluates at 8.
        working_size: the longest side, in pixels, at which the network sees an image; longer images
            are shrunk to it and their scores enlarged again. 0: every image as it is. None: the
            training images' `data.longest_side`, but 0 with a window.
        scales: image scales whose class probabilities are averaged.
        flip: whether to average with the mirrored image too.
        pad_to: side in pixels to which smaller images are padded with the mean pixel, below and on
            the right. The original DeepLab evaluates at its training crop in this way, since the
            image-level features of its models expect that size. None: the paper's whole images.
        window: side in pixels of the overlapping windows in which a larger image goes through all
            scales, one window after another, so that memory is bounded. None: whole images.
        crf: whether a fully connected CRF refines the result (DeepLabv2's last step).
    """

    __pydantic_config__ = STRICT

    split: str = "val"
    output_stride: int | None = None
    working_size: int | None = None
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    pad_to: int | None = None
    window: int | None = None
    crf: bool = False


@dataclasses.dataclass
class Experiment:
    """One named row of a config file.

    Attributes:
        model, data, train, evaluate: the network, its data, its training and its evaluation.
        init_from: a `.keras` file with the initial weights, or the name of a published model;
            tensors that do not fit are skipped and listed. With `previous_stage` the file is for
            the first stage.
        initial_weights: the kind of weights that the row begins with, as the paper does
            ("ImageNet"), to be given by `init_from`; None: random weights.
        previous_stage: `FILE.py:ROW` of a training whose final weights this experiment starts from;
            `deeplab-train` does that training first, in `WORKDIR/previous_stage`, with this
            experiment's seed.
        checkpoint_of: `FILE.py:ROW` of the training whose checkpoint this row evaluates; the two
            rows differ only in their evaluation.
        paper_miou: the mean IoU in % that the paper prints for this row.
        row: `FILE.py:ROW` that the experiment was loaded from; `load_experiment` sets it.
    """

    __pydantic_config__ = STRICT

    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    evaluate: EvaluateConfig = dataclasses.field(default_factory=EvaluateConfig)
    init_from: str | None = None
    initial_weights: str | None = None
    previous_stage: str | None = None
    checkpoint_of: str | None = None
    paper_miou: float | None = None
    row: str | None = None

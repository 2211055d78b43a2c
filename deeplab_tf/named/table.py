"""The table of models by name: where each file is published, how it is checked and imported.

No address was tried, since none could be reached where the table was written. The addresses are
those of the publishers' own pages and code.

Tested in tests/named/test_table.py.
"""

import dataclasses

VOC_FIGURES = (
    "deeplab-eval --model={name} --dataset=voc --split=train --data_dir=data --out=results"
)
"""The command behind `Measured`, on the 467 images of VOC 2012 that docs/weights.md describes."""

VOC = "VOC's 21"
BACKBONE = "none: a backbone, for init_from"

_TORCH = "https://download.pytorch.org/models"
_SLIM = "https://download.tensorflow.org/models"
_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications/resnet"
_CORAL = "https://raw.githubusercontent.com/google-coral/test_data/master"
_TFLITE = "https://storage.googleapis.com/download.tensorflow.org/models/tflite/gpu"

APACHE = "Apache-2.0"
BSD = "BSD-3-Clause (torchvision's; COCO and ImageNet have terms of their own)"
MIT = "MIT (ported from Kaiming He's)"

COCO_VOC = "MS-COCO, the images with VOC's classes"
COCO_AND_VOC = "ImageNet, MS-COCO, VOC 2012"
IMAGENET = "ImageNet-1k"

IMPORTER_NOTES = {
    "tflite": "pixels in [-1, 1]; batch norms folded; DeepLab's photos at most 513 pixels long",
    "torchvision": "pixels by mean and deviation; the stride in the first unit of a block; "
    "half-pixel upsampling; photos at most 693 pixels long",
    "keras_applications": "BGR pixels minus the mean; the stride in the first convolution of a "
    "block; biases folded into the batch norms",
    "slim": "pixels minus the mean, or in [-1, 1] for beta ResNets and MobileNetV2; the stride in "
    "the last unit of a block; DeepLab's photos padded to 513 pixels",
}
"""What each importer sets, in words, by the keys of `READERS`; the imported file has the fields."""


@dataclasses.dataclass(frozen=True)
class NamedModel:
    """A published file that has a name here.

    Attributes:
        address: the file's address; its last part is the file's name.
        hash: `sha256:HEX`, `md5:HEX`, or `sha256-prefix:HEX` where only the first digits are known;
            None where nothing is known, and the file is not checked.
        megabytes: the size of the file, in units of 10**6 bytes; None if unknown.
        licence: the licence under which the publisher offers the file.
        source: the importer, a key of `READERS`, which knows the source's conventions.
        classes: the classes of the labels, in words.
        trained_on: the data sets of the training, as the publisher says.
        mean_iou: our figure in % by `VOC_FIGURES`; None: not measured here.
        at_hand: whether this very file was imported and run here; the importer of any other was
            tried only on random weights of the same network.
        download_tried: whether the file was ever fetched from its address.
    """

    address: str
    hash: str | None
    megabytes: float | None
    licence: str
    source: str
    classes: str
    trained_on: str
    mean_iou: float | None = None
    at_hand: bool = False
    download_tried: bool = False

    @property
    def file(self) -> str:
        """Returns the name of the published file."""
        return self.address.rpartition("/")[2]


def _torchvision(
    file: str, hash: str, megabytes: float, classes: str, trained_on: str
) -> NamedModel:
    return NamedModel(f"{_TORCH}/{file}", hash, megabytes, BSD, "torchvision", classes, trained_on)


def _slim(file: str, megabytes: float | None, classes: str, trained_on: str) -> NamedModel:
    return NamedModel(f"{_SLIM}/{file}", None, megabytes, APACHE, "slim", classes, trained_on)


def _keras(file: str, md5: str, megabytes: float) -> NamedModel:
    return NamedModel(
        *(f"{_KERAS}/{file}", f"md5:{md5}", megabytes, MIT),
        *("keras_applications", BACKBONE, IMAGENET),
    )


MODELS: dict[str, NamedModel] = {
    "voc-mobilenet-v2": NamedModel(
        f"{_CORAL}/deeplabv3_mnv2_pascal_quant.tflite",
        "sha256:350af47fd346ea6d74b58833a351f583ba860e9806ec5bd292ff8d8f1f249398",
        *(2.2, APACHE, "tflite", VOC, COCO_AND_VOC, 77.28, True),
    ),
    "voc-mobilenet-v2-050": NamedModel(
        f"{_TFLITE}/deeplabv3_257_mv_gpu.tflite",
        "sha256:68a539782c2c6a72f8aac3724600124a85ed977162b44e84cbae5db717c933c6",
        *(2.8, APACHE, "tflite", VOC, COCO_AND_VOC, 77.98, True),
    ),
    "voc-mobilenet-v2-050-coral": NamedModel(
        f"{_CORAL}/deeplabv3_mnv2_dm05_pascal_quant.tflite",
        "sha256:0470d2a782aa54eeeb99d32e7b6b3fb7722905c7c4f5d26bd957ec861366d48b",
        *(0.8, APACHE, "tflite", VOC, COCO_AND_VOC, 75.05, True),
    ),
    "voc-mobilenet-v2-trainaug": _slim(
        "deeplabv3_mnv2_pascal_train_aug_2018_01_29.tar.gz", 23, VOC, COCO_AND_VOC
    ),
    "voc-mobilenet-v2-trainval": _slim(
        "deeplabv3_mnv2_pascal_trainval_2018_01_29.tar.gz", 23, VOC, COCO_AND_VOC
    ),
    "voc-mobilenet-v2-050-trainaug": _slim(
        "deeplabv3_mnv2_dm05_pascal_trainaug_2018_10_01.tar.gz", 7.6, VOC, COCO_AND_VOC
    ),
    "voc-mobilenet-v2-050-trainval": _slim(
        "deeplabv3_mnv2_dm05_pascal_trainval_2018_10_01.tar.gz", 7.6, VOC, COCO_AND_VOC
    ),
    "voc-mobilenet-v3-large": _torchvision(
        "deeplabv3_mobilenet_v3_large-fc3c493d.pth",
        "sha256:fc3c493d68e89cc31ef488c803d5d7dd2f3190fb570598faa49fef69be8e5e70",
        *(44.4, VOC, COCO_VOC),
    ),
    "voc-lraspp-mobilenet-v3-large": _torchvision(
        "lraspp_mobilenet_v3_large-d234d4ea.pth",
        "sha256:d234d4eae9d55d5f76de18b77cf0dc62c66fe5c5482758209d00f950c92bb280",
        *(13.1, VOC, COCO_VOC),
    ),
    "voc-resnet50": _torchvision(
        "deeplabv3_resnet50_coco-cd0a2569.pth",
        "sha256:cd0a25694c4a0f7106b38f4938bf90a874f2f241cc410b8f63c7024399538f06",
        *(168.3, VOC, COCO_VOC),
    ),
    "voc-resnet101": _torchvision(
        "deeplabv3_resnet101_coco-586e9e4e.pth",
        "sha256:586e9e4e203fcbf17e1ad45533d8d33ab133fc762bf03101c5dd743995c08c0d",
        *(244.5, VOC, COCO_VOC),
    ),
    "imagenet-mobilenet-v2": NamedModel(
        f"{_CORAL}/tf2_mobilenet_v2_1.0_224_ptq.tflite",
        "sha256:5d3137241276e79c86d14a74fe43581398ae0e815191d3dba45495b810840e8c",
        *(4.1, APACHE, "tflite", BACKBONE, IMAGENET, None, True),
    ),
    "imagenet-mobilenet-v3-large": _torchvision(
        "mobilenet_v3_large-8738ca79.pth", "sha256-prefix:8738ca79", 22, BACKBONE, IMAGENET
    ),
    # The paper's own beginning: TF-Slim's conventions are those of the rows in configs/paper.
    "imagenet-resnet50": _slim("resnet_v1_50_2016_08_28.tar.gz", None, BACKBONE, IMAGENET),
    "imagenet-resnet101": _slim("resnet_v1_101_2016_08_28.tar.gz", None, BACKBONE, IMAGENET),
    "imagenet-resnet50-beta": _slim("resnet_v1_50_2018_05_04.tar.gz", 274, BACKBONE, IMAGENET),
    "imagenet-resnet101-beta": _slim("resnet_v1_101_2018_05_04.tar.gz", 477, BACKBONE, IMAGENET),
    "imagenet-resnet50-keras": _keras(
        "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        *("4d473c1dd8becc155b73f8504c6f6626", 95),
    ),
    "imagenet-resnet101-keras": _keras(
        "resnet101_weights_tf_dim_ordering_tf_kernels_notop.h5",
        *("88cf7a10940856eca736dc7b7e228a21", 171),
    ),
    "imagenet-resnet50-torchvision-v1": _torchvision(
        "resnet50-0676ba61.pth",
        "sha256:0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
        *(102.5, BACKBONE, IMAGENET),
    ),
    "imagenet-resnet50-torchvision-v2": _torchvision(
        "resnet50-11ad3fa6.pth", "sha256-prefix:11ad3fa6", 103, BACKBONE, IMAGENET
    ),
    "imagenet-resnet101-torchvision-v1": _torchvision(
        "resnet101-63fe2227.pth", "sha256-prefix:63fe2227", 179, BACKBONE, IMAGENET
    ),
    "imagenet-resnet101-torchvision-v2": _torchvision(
        "resnet101-cd907fc2.pth", "sha256-prefix:cd907fc2", 179, BACKBONE, IMAGENET
    ),
}
"""The models by name. A name begins with the classes of the labels, or with the data set of a
backbone; it has no slash and no dot."""

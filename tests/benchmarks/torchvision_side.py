"""torchvision's half of beside_torchvision.py, in an environment of its own: see there.

    python tests/benchmarks/torchvision_side.py VOCDEVKIT CROP BATCH WORKERS new|reused \
        plain|augmented
    python tests/benchmarks/torchvision_side.py VOCDEVKIT CROP compare FILE

What is its best on a CPU, each tried against the other: JPEG and PNG by torchvision.io (Pillow
takes 1.4 and 1.3 times as long), uint8 until the batch is together (float32 in the workers takes
1.3 times as long), one thread a process. Scale and padding are transforms of our own, as in
torchvision's reference training, because v2 has none for a share of the image's own size and none
that pads only the right and the bottom. So are the augmentations of which v2 draws no strength or
keeps the mask as it is; the pixels are made by v2's functions, in uint8 too. Rotation comes after
the crop, which is less to turn.
"""

import math
import sys
from pathlib import Path

import numpy as np
import torch
from serve import serve
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision import tv_tensors
from torchvision.io import ImageReadMode, decode_image, decode_jpeg, read_file
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

MEAN, VOID = [123.0, 116.0, 103.0], 255  # the image is uint8
NEVER = 10**9


class RandomScale(v2.Transform):
    """Resizes by a factor uniform in 0.5..2.0, without antialiasing, as ours."""

    def make_params(self, flat_inputs):
        return {"scale": 0.5 + 1.5 * torch.rand(()).item()}

    def transform(self, inpt, params):
        size = [max(round(side * params["scale"]), 1) for side in inpt.shape[-2:]]
        return functional.resize(inpt, size, antialias=False)


class PadIfSmaller(v2.Transform):
    """Pads right and bottom with the mean pixel or void up to `size`."""

    def __init__(self, size: int):
        super().__init__()
        self.size = size

    def transform(self, inpt, params):
        height, width = inpt.shape[-2:]
        return pad(inpt, max(self.size - height, 0), max(self.size - width, 0))


def pad(inpt, bottom: int, right: int):
    if not bottom and not right:
        return inpt
    fill = VOID if isinstance(inpt, tv_tensors.Mask) else MEAN
    return functional.pad(inpt, [0, 0, right, bottom], fill=fill)


class Colours(v2.RandomPhotometricDistort):
    """v2's distortion without its shuffling of the channels, which ours does not have."""

    def make_params(self, flat_inputs):
        return {**super().make_params(flat_inputs), "channel_permutation": None}


class OnImage(v2.Transform):
    """Changes half of the images by `change(image, strength)`, strength uniform in 0..1."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def make_params(self, flat_inputs):
        return {"strength": 1 - torch.rand(()).item(), "happens": torch.rand(()) < 0.5}

    def transform(self, inpt, params):
        if isinstance(inpt, tv_tensors.Mask) or not params["happens"]:
            return inpt
        return self.change(inpt, params["strength"])


def blurred(image, strength: float):
    sigma = max(1.5 * strength, 0.05)
    return functional.gaussian_blur(image, [2 * math.ceil(3 * sigma) + 1] * 2, [sigma] * 2)


def noisy(image, strength: float):
    return functional.gaussian_noise(image, sigma=0.04 * strength)


def compressed(image, strength: float):
    return functional.jpeg(image, quality=40 + int(55 * strength))


class CutOut(v2.RandomErasing):
    """v2's erasing, which leaves masks as they are, with void in the mask."""

    def transform(self, inpt, params):
        if params["v"] is None:
            return inpt
        image = not isinstance(inpt, tv_tensors.Mask)
        fill = params["v"] if image else torch.tensor(VOID, dtype=torch.uint8)
        place = [params[key] for key in "ijhw"]
        return functional.erase(inpt.as_subclass(torch.Tensor), *place, fill)


def augmentations() -> list:
    """The same set as that of our_side.py."""
    fill = {tv_tensors.Image: MEAN, tv_tensors.Mask: VOID}
    return [
        v2.RandomRotation(10, v2.InterpolationMode.BILINEAR, fill=fill),
        OnImage(blurred),
        Colours(hue=(-0.1, 0.1)),
        v2.RandomGrayscale(0.1),
        OnImage(noisy),
        OnImage(compressed),
        CutOut(0.5, value=MEAN),
    ]


class Voc(Dataset):
    """(image uint8 [3, crop, crop], mask uint8 [crop, crop]) of VOC's list `train`."""

    def __init__(self, devkit: str, crop: int, augmented: bool = False):
        self.root = Path(devkit) / "VOC2012"
        self.ids = (self.root / "ImageSets/Segmentation/train.txt").read_text().split()
        self.augment = v2.Compose(
            [
                *(RandomScale(), PadIfSmaller(crop), v2.RandomCrop(crop)),
                v2.RandomHorizontalFlip(),
                *(augmentations() if augmented else ()),
            ]
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image, mask = self.augment(*self.decoded(self.ids[index]))
        return image.as_subclass(torch.Tensor), mask[0].as_subclass(torch.Tensor)

    def decoded(self, name: str) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
        """A palette PNG comes as class ids."""
        image = decode_jpeg(read_file(self.root / f"JPEGImages/{name}.jpg"), ImageReadMode.RGB)
        mask = decode_image(read_file(self.root / f"SegmentationClass/{name}.png"))
        return tv_tensors.Image(image), tv_tensors.Mask(mask)


def main() -> None:
    torch.set_num_threads(1)
    crop, augmented = int(sys.argv[2]), sys.argv[-1] == "augmented"
    data = Voc(sys.argv[1], crop, augmented)
    if sys.argv[3] == "compare":
        _compare(data, crop, sys.argv[4])
        return
    batch_size, workers, buffer = int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
    loader = DataLoader(
        data,
        batch_size,
        sampler=RandomSampler(data, num_samples=NEVER),
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=lambda _: torch.set_num_threads(1),
    )
    iterator = iter(loader)
    reused = torch.empty(batch_size, 3, crop, crop)

    def next_batch() -> tuple[torch.Tensor, torch.Tensor]:
        images, masks = next(iterator)
        # A new tensor of 50 MB costs its page faults, a sixth of the whole on one core.
        return (reused.copy_(images) if buffer == "reused" else images.float()), masks

    serve(next_batch, batch_size)


def _compare(data: Voc, crop: int, path: str) -> None:
    """Makes the crops in `path` with torchvision's operations and prints how far they agree."""
    ours = np.load(path)
    distance, same, exact = [], [], []
    for index, name in enumerate(ours["id"]):
        image, mask = data.decoded(str(name))
        size, offset = (ours[key][index].tolist() for key in ("size", "offset"))

        def cropped(inpt, offset=offset, index=index):
            height, width = inpt.shape[-2:]
            inpt = pad(inpt, max(crop - height, 0), max(crop - width, 0))
            inpt = functional.crop(inpt, *offset, crop, crop)
            return (functional.horizontal_flip(inpt) if ours["flip"][index] else inpt).numpy()

        got = cropped(functional.resize(image, size, antialias=False))
        distance.append(np.abs(got.transpose(1, 2, 0) - ours["image"][index]))
        same.append(cropped(functional.resize(mask, size))[0] == ours["mask"][index])
        nearest = functional.resize_image(mask, size, v2.InterpolationMode.NEAREST_EXACT)
        exact.append(cropped(tv_tensors.Mask(nearest))[0] == ours["mask"][index])
    print(
        f"same operations: of {len(distance)} crops at equal scale, place and flip the images "
        f"differ by {np.mean(distance):.2f} grey levels, at most {np.max(distance):.2f}; masks "
        f"agree on {100 * np.mean(same):.2f} % of the pixels, with pixel centres at half "
        f"(NEAREST_EXACT) on {100 * np.mean(exact):.4f} %"
    )


if __name__ == "__main__":
    main()

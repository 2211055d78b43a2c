"""One training example: its crop, and the augmentations in their order.

1. Scale, rotation, crop and flip; a letterbox is shrunk as in a prediction.
2. Pixels of rare classes of another image are pasted.
3. Blur, brightness, contrast, saturation, hue, grey, noise and JPEG, the order in which a camera
   makes them: the lens, the processing, the sensor's noise that it leaves, the file. Pixels that
   show nothing (padding, no data) stay as they are.
4. A rectangle is cut out.

Each draws from a seed of its own, so that an augmentation that is turned on changes no other.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from deeplab_tf.config import DataConfig, Fit
from deeplab_tf.config.image_format import ImageFormat
from deeplab_tf.data.augment import crop_by
from deeplab_tf.data.blur import blur_at_random
from deeplab_tf.data.copy_paste import donor_geometry, paste
from deeplab_tf.data.cut_out import cut_out_at_random
from deeplab_tf.data.draws import Draw, seed_of
from deeplab_tf.data.geometry import Geometry, sample_geometry
from deeplab_tf.data.jpeg import jpeg_at_random
from deeplab_tf.data.letterbox import shrunk
from deeplab_tf.data.noise import noise_at_random
from deeplab_tf.data.photometric import distort_colours, grey_at_random
from deeplab_tf.data.rotation import draw_angle, rotated_crop
from deeplab_tf.data.select import select
from deeplab_tf.data.unknown import find_unknown

Example = tuple[tf.Tensor, tf.Tensor]


class Donor(NamedTuple):
    """The example that rare classes are copied from.

    Attributes:
        read: returns its image [H, W, bands] and its mask uint8 [H, W], at its own size; called
            only where something is pasted.
        classes: the ids of the rare classes.
    """

    read: Callable[[], Example]
    classes: tuple[int, ...]


def make_example(
    image: tf.Tensor,
    mask: tf.Tensor,
    seed: tf.Tensor,
    data: DataConfig,
    image_format: ImageFormat,
    mean_pixel: tuple[float, ...],
    donor: Donor | None = None,
) -> Example:
    """Makes a training example of an image and its mask, as a pure function of `seed`.

    Args:
        image: uint8, uint16 or float32 [H, W, bands], any H and W from 1.
        mask: uint8 [H, W], class ids and `VOID`.
        seed: int64 [2]; equal seeds give equal examples.
        data: the crop and the augmentations.
        image_format: the format of the data set's images.
        mean_pixel: one number for each band; the value of pixels that the image does not cover.
        donor: needed where `data.copy_paste` is on.

    Returns:
        The image, float32 [*data.crop, bands] with values of the image's range, and the mask, uint8
        of shape `data.crop`, which is `VOID` where the image shows nothing.
    """
    geometry = sample_geometry(tf.shape(mask, out_type=tf.int64), seed, data)
    image, mask = _crop(geometry, image, mask, seed, data, mean_pixel)
    if donor is not None and data.copy_paste:
        image, mask = _with_pasted(image, mask, seed, data, mean_pixel, donor)
    image = _with_other_pixels(image, mask, seed, data, image_format, mean_pixel)
    if data.cut_out:
        image, mask = cut_out_at_random(image, mask, seed, data, mean_pixel)
    return image, mask


def _crop(
    geometry: Geometry,
    image: tf.Tensor,
    mask: tf.Tensor,
    seed: tf.Tensor,
    data: DataConfig,
    mean_pixel: tuple[float, ...],
) -> Example:
    if data.fit is Fit.LETTERBOX:
        image, mask = shrunk(geometry, image, mask)
    if not data.rotation:
        return crop_by(geometry, image, mask, data, mean_pixel)
    return rotated_crop(geometry, draw_angle(seed, data), image, mask, data, mean_pixel)


def _with_pasted(
    image: tf.Tensor,
    mask: tf.Tensor,
    seed: tf.Tensor,
    data: DataConfig,
    mean_pixel: tuple[float, ...],
    donor: Donor,
) -> Example:
    choice, own = tf.unstack(tf.random.split(seed_of(Draw.COPY_PASTE, seed), 2))

    def pasted() -> Example:
        donor_image, donor_mask = donor.read()
        geometry = donor_geometry(donor_mask, own, data, donor.classes)
        crop = _crop(geometry, donor_image, donor_mask, own, data, mean_pixel)
        return paste(image, mask, *crop, donor.classes)

    happens = tf.random.stateless_uniform([], choice) < data.copy_paste
    return tf.cond(happens, pasted, lambda: (image, mask))


def _with_other_pixels(
    image: tf.Tensor,
    mask: tf.Tensor,
    seed: tf.Tensor,
    data: DataConfig,
    image_format: ImageFormat,
    mean_pixel: tuple[float, ...],
) -> tf.Tensor:
    """Applies the augmentations that change the known pixels and no label."""
    colours = data.brightness or data.contrast or data.saturation or data.hue
    if not (colours or data.blur or data.grey or data.noise or data.jpeg_quality):
        return image
    crop, unknown = image, find_unknown(image, mask, mean_pixel, image_format)
    if data.blur:
        image = blur_at_random(image, unknown, seed, data)
    if colours:
        image = distort_colours(image, seed, data, image_format)
    if data.grey:
        image = grey_at_random(image, seed, data)
    if data.noise:
        image = noise_at_random(image, seed, data, image_format)
    if data.jpeg_quality:
        image = jpeg_at_random(image, seed, data)
    return select(unknown, crop, image)

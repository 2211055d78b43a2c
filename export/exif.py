"""The EXIF orientation of a JPEG, read and undone by graph operations, so inside a SavedModel.

Telephones store the sensor's rows and say in the EXIF segment how to turn the image;
`tf.io.decode_jpeg` ignores that. The formats are JPEG's ISO/IEC 10918-1 annex B (segments) and EXIF
2.32 section 4.5 (TIFF tags).
"""

import tensorflow as tf

_ORIENTATION_TAG, _SHORT = 0x0112, 3
_HEADER_BYTES = 1 << 18
"""The number of bytes in which the EXIF segment is searched. Most files have that segment first,
and a segment has at most 64 KB."""


def exif_orientation(encoded: tf.Tensor) -> tf.Tensor:
    """Returns the orientation of an encoded image, a scalar string, as a scalar int32, 1 to 8.

    The orientation is 1 (the stored rows are upright) for whatever is not a JPEG with a readable
    orientation.
    """
    data = tf.io.decode_raw(tf.strings.substr(encoded, 0, _HEADER_BYTES), tf.uint8)
    data = tf.cast(data, tf.int32)
    tiff = data[_tiff_start(data) :]
    little_endian = tf.reduce_all(tf.equal(tiff[:1], ord("I")))

    def number(low, high):  # two bytes, in the order of the file
        return tf.where(little_endian, low + 256 * high, high + 256 * low)

    # The first directory's offset has four bytes; the two low ones reach across any EXIF segment.
    offset = tf.where(
        little_endian, _at(tiff, 4) + 256 * _at(tiff, 5), 256 * _at(tiff, 6) + _at(tiff, 7)
    )
    count = number(_at(tiff, offset), _at(tiff, offset + 1))
    entries = tiff[offset + 2 : offset + 2 + 12 * count]
    entries = tf.reshape(entries[: tf.size(entries) // 12 * 12], (-1, 12))
    found = tf.logical_and(
        tf.equal(number(entries[:, 0], entries[:, 1]), _ORIENTATION_TAG),
        tf.equal(number(entries[:, 2], entries[:, 3]), _SHORT),
    )
    values = tf.boolean_mask(number(entries[:, 8], entries[:, 9]), found)
    value = tf.concat([values, [1]], axis=0)[0]
    return tf.where(tf.logical_and(value >= 1, value <= 8), value, 1)


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns an image [H, W, C] as a viewer shows it: [W, H, C] for the orientations 5 to 8."""

    def one_of(*orientations):
        return tf.reduce_any(tf.equal(orientation, orientations))

    image = tf.cond(orientation >= 5, lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
    image = tf.cond(one_of(2, 3, 6, 7), lambda: tf.reverse(image, [1]), lambda: image)
    return tf.cond(one_of(3, 4, 7, 8), lambda: tf.reverse(image, [0]), lambda: image)


def _tiff_start(data: tf.Tensor) -> tf.Tensor:
    """Returns the index of the TIFF header in the EXIF segment of `data` [N]; N without one.

    The loop walks the segments after the start-of-image marker: 0xFF, marker, length in two bytes.
    """
    size = tf.size(data)

    def is_exif(at):
        wanted = [0xFF, 0xE1, None, None, *b"Exif", 0, 0]
        return tf.reduce_all(
            [_at(data, at + i) == byte for i, byte in enumerate(wanted) if byte is not None]
        )

    def length(at):
        return 256 * _at(data, at + 2) + _at(data, at + 3)

    def more(at):
        marker = _at(data, at + 1)
        application_or_comment = tf.logical_or(marker // 16 == 0xE, marker == 0xFE)
        in_header = tf.logical_and(_at(data, at) == 0xFF, application_or_comment)
        # The length counts its own two bytes. A smaller length, or a segment beyond the end, would
        # not lead onward.
        onward = tf.logical_and(at + 4 <= size, length(at) >= 2)
        going_on = tf.logical_and(in_header, onward)
        return tf.logical_and(going_on, tf.logical_not(is_exif(at)))

    def following(at):
        return (at + 2 + length(at),)

    is_jpeg = tf.logical_and(_at(data, 0) == 0xFF, _at(data, 1) == 0xD8)
    (at,) = tf.while_loop(more, following, (tf.where(is_jpeg, 2, size),))
    return tf.where(is_exif(at), at + 10, size)


def _at(data: tf.Tensor, index) -> tf.Tensor:
    """Returns `data[index]` of a vector [N], int32; -1 beyond its end, which no byte equals."""
    return tf.concat([data[index : index + 1], [-1]], axis=0)[0]

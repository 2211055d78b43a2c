"""The orientation of a JPEG or PNG, read and undone by graph operations, so inside a SavedModel.

Telephones store the sensor's rows and say in the file's metadata how to turn the image;
`tf.io.decode_jpeg` ignores that. The rule is that of `deeplab_tf.images.picture.orientation`: the
EXIF block, and where it has no orientation the XMP packet. The formats are JPEG's ISO/IEC 10918-1
annex B (segments), PNG's chunks, EXIF 2.32 section 4.5 (TIFF tags), and XMP part 3 sections 1.1.3
and 1.1.5 (the places of the packet).
"""

import tensorflow as tf

from deeplab_tf.images.picture import MAX_BLOCKS

_TAG = 0x0112
_TYPES = {1: (6,), 2: (3, 8), 4: (4, 9)}
"""TIFF's types of one whole number, by their size in bytes: SBYTE; SHORT, SSHORT; LONG, SLONG."""
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_PNG_XMP = b"XML:com.adobe.xmp\0"
_PNG_BEGIN = 8
# \C is a byte of any value.
_XMP_ORIENTATION = r'\C*?tiff:Orientation(?:="|>)([0-9])\C*'


def exif_orientation(encoded: tf.Tensor) -> tf.Tensor:
    """Returns the orientation of an encoded image, a scalar string, as a scalar int32, 1 to 8.

    The orientation is 1 (the stored rows are upright) for whatever is not a JPEG or PNG with a
    readable orientation.

    Raises:
        tf.errors.InvalidArgumentError: when the graph runs, for an image of more than `MAX_BLOCKS`
            segments or chunks, and for a PNG whose XMP packet is compressed, which XMP forbids,
            where the EXIF block has no orientation.
    """
    data = tf.io.decode_raw(encoded, tf.uint8)
    is_jpeg, is_png = _begins(data, 0, b"\xff\xd8"), _begins(data, 0, b"\x89PNG")
    nowhere = (tf.constant((0, 0)), tf.constant((0, 0)), tf.constant(False))
    exif, xmp, compressed = tf.cond(
        is_jpeg,
        lambda: _jpeg_metadata(data),
        lambda: tf.cond(is_png, lambda: _png_metadata(data), lambda: nowhere),
    )
    by_exif = _tiff_orientation(tf.cast(data[exif[0] : exif[1]], tf.int64))
    readable = tf.debugging.Assert(
        tf.logical_or(by_exif >= 0, tf.logical_not(compressed)),
        ["the XMP packet is compressed; save the image again, upright"],
    )
    with tf.control_dependencies([readable]):
        packet = tf.strings.substr(encoded, xmp[0], xmp[1] - xmp[0])
    value = tf.where(by_exif >= 0, by_exif, _xmp_orientation(packet))
    return tf.cast(tf.where(tf.logical_and(value >= 1, value <= 8), value, 1), tf.int32)


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns an image [H, W, C] as a viewer shows it: [W, H, C] for the orientations 5 to 8."""

    def one_of(*orientations):
        return tf.reduce_any(tf.equal(orientation, orientations))

    image = tf.cond(orientation >= 5, lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
    image = tf.cond(one_of(2, 3, 6, 7), lambda: tf.reverse(image, [1]), lambda: image)
    return tf.cond(one_of(3, 4, 7, 8), lambda: tf.reverse(image, [0]), lambda: image)


def _jpeg_metadata(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns the (begin, end) of the first EXIF block and of the last XMP packet in a JPEG.

    The walk goes from marker to marker before the pixels: 0xFF, marker, length in two bytes. Bytes
    between segments are skipped.
    """
    size = tf.size(data)

    def more(at, exif, xmp, blocks):
        marker = _number(data, at, 2)
        pixels = tf.logical_or(tf.equal(marker, 0xFFDA), tf.equal(marker, 0xFFD9))
        return tf.logical_and(at + 4 <= size, tf.logical_not(pixels))

    def following(at, exif, xmp, blocks):
        first, marker = _number(data, at, 1), _number(data, at + 1, 1)
        filling = (first != 0xFF) | tf.equal(marker, 0) | tf.equal(marker, 0xFF)
        bare = tf.equal(marker, 1) | ((marker >= 0xD0) & (marker <= 0xD8))
        length = 2 + tf.maximum(2, _number(data, at + 2, 2))
        after = at + tf.where(filling, 1, tf.where(bare, 2, length))
        metadata = tf.equal(_number(data, at, 2), 0xFFE1) & (after <= size)
        is_exif = metadata & _begins(data, at + 4, _EXIF) & tf.equal(exif[1], 0)
        is_xmp = metadata & _begins(data, at + 4, _XMP)
        exif = tf.where(is_exif, tf.stack((at + 4 + len(_EXIF), after)), exif)
        xmp = tf.where(is_xmp, tf.stack((at + 4 + len(_XMP), after)), xmp)
        return after, exif, xmp, _counted(blocks)

    start = (tf.constant(0), tf.constant((0, 0)), tf.constant((0, 0)), tf.constant(0))
    _, exif, xmp, _ = tf.while_loop(more, following, start)
    return exif, xmp, tf.constant(False)


def _png_metadata(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns the (begin, end) of the last EXIF chunk and of the last XMP packet in a PNG.

    The third value is whether that packet is compressed. The walk goes over all chunks, since
    metadata may stand behind the pixels: length in four bytes, type, content, checksum.
    """
    size = tf.size(data)

    def end_of(at):
        length = _number(data, at, 4)
        return at + 12 + tf.where((length < 0) | (length > size), size, length)

    def more(at, exif, xmp, compressed, blocks):
        return end_of(at) <= size

    def following(at, exif, xmp, compressed, blocks):
        after = end_of(at)
        begin, end = at + 8, after - 4
        is_xmp = _begins(data, at + 4, b"iTXt") & _begins(data, begin, _PNG_XMP)
        is_exif = _begins(data, at + 4, b"eXIf")
        exif = tf.where(is_exif, tf.stack((begin, end)), exif)
        xmp = tf.where(is_xmp, tf.stack((begin + len(_PNG_XMP), end)), xmp)
        flag = _number(data, begin + len(_PNG_XMP), 1)
        compressed = tf.where(is_xmp, tf.not_equal(flag, 0), compressed)
        return after, exif, xmp, compressed, _counted(blocks)

    start = (
        *(tf.constant(_PNG_BEGIN), tf.constant((0, 0)), tf.constant((0, 0))),
        *(tf.constant(False), tf.constant(0)),
    )
    _, exif, xmp, compressed, _ = tf.while_loop(more, following, start)
    return exif, xmp, compressed


def _counted(blocks: tf.Tensor) -> tf.Tensor:
    message = f"the image has more than {MAX_BLOCKS:,} segments or chunks; save it again"
    with tf.control_dependencies([tf.debugging.Assert(blocks < MAX_BLOCKS, [message])]):
        return blocks + 1


def _tiff_orientation(tiff: tf.Tensor) -> tf.Tensor:
    """Returns the orientation in an EXIF block, int64 [N] of bytes; -1 where the block has none.

    The types of whole numbers are taken that Pillow takes, though EXIF allows only SHORT.
    """
    little_endian = _starts(tiff, b"II*\0")

    def number(parts):  # of any number of bytes, in the order of the file
        size = parts.shape[-1]
        powers = tf.constant([256**power for power in range(size)], tf.int64)
        ordered = tf.where(little_endian, powers, tf.reverse(powers, [0]))
        return tf.reduce_sum(parts * ordered, axis=-1)

    offset = number(_four(tiff, 4))
    count = number(_four(tiff, offset)[:2])
    entries = tiff[offset + 2 : offset + 2 + 12 * count]
    entries = tf.reshape(entries[: tf.size(entries) // 12 * 12], (-1, 12))
    kind, value = number(entries[:, 2:4]), entries[:, 8:]
    values = tf.fill(tf.shape(kind), tf.constant(-1, tf.int64))
    for size, kinds in _TYPES.items():
        is_kind = tf.reduce_any(tf.equal(kind[:, None], kinds), axis=1)
        values = tf.where(is_kind, number(value[:, :size]), values)
    is_one = tf.equal(number(entries[:, :2]), _TAG) & tf.equal(number(entries[:, 4:8]), 1)
    found = tf.boolean_mask(values, is_one & (values >= 0))
    readable = little_endian | _starts(tiff, b"MM\0*")
    return tf.where(readable, tf.concat([[-1], found], axis=0)[-1], -1)


def _starts(tiff: tf.Tensor, wanted: bytes) -> tf.Tensor:
    return tf.reduce_all(tf.equal(_four(tiff, 0), list(wanted)))


def _four(tiff: tf.Tensor, at: int | tf.Tensor) -> tf.Tensor:
    """Returns the four bytes at `at` of a vector [N], int64; bytes beyond the end are 0."""
    here = tiff[at : at + 4]
    return tf.ensure_shape(tf.pad(here, [[0, 4 - tf.size(here)]]), (4,))


def _xmp_orientation(packet: tf.Tensor) -> tf.Tensor:
    """Returns the orientation in an XMP packet, a scalar string; -1 where the packet has none."""
    digit = tf.strings.regex_replace(packet, _XMP_ORIENTATION, r"\1")
    has_one = tf.strings.regex_full_match(packet, _XMP_ORIENTATION)
    return tf.strings.to_number(tf.where(has_one, digit, "-1"), tf.int64)


def _begins(data: tf.Tensor, at: int | tf.Tensor, wanted: bytes) -> tf.Tensor:
    """Returns whether `data` [N], uint8, has the bytes `wanted` at `at`."""
    here = data[at : at + len(wanted)]
    padded = tf.pad(here, [[0, len(wanted) - tf.size(here)]])
    whole = tf.equal(tf.size(here), len(wanted))
    return tf.logical_and(whole, tf.reduce_all(tf.equal(padded, list(wanted))))


def _number(data: tf.Tensor, at: tf.Tensor, size: int) -> tf.Tensor:
    """Returns the big-endian number of `size` bytes at `at` in `data` [N], uint8, as int32.

    Bytes beyond the end are 0.
    """
    here = tf.cast(data[at : at + size], tf.int32)
    padded = tf.pad(here, [[0, size - tf.size(here)]])
    return tf.reduce_sum(padded * [256**power for power in reversed(range(size))])

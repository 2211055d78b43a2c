"""The check of every image and mask of a raw data set before records are written.

An error is data that must not be trained on: a pair that cannot be read, or an image of a
validation or test split that is also in the training split. A warning is about data that may be
intended.
"""

import collections
import dataclasses
import functools
import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from tqdm import tqdm

from deeplab_tf.config.image_format import RGB, ImageFormat
from deeplab_tf.data.check.pixel_table import pixel_table
from deeplab_tf.data.read_pair import read_with_data, size_text
from deeplab_tf.data.sources.source import Pair, Source
from deeplab_tf.data.split_names import held_out_from
from deeplab_tf.errors import DeeplabError
from deeplab_tf.images.classes import VOID
from deeplab_tf.images.files import allow_huge_images, orientation_of
from deeplab_tf.parallel import CHUNK, in_processes
from deeplab_tf.text_table import align

MUCH_VOID = 0.5
"""The share of void in a split above which there is a warning."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """The result of the check of one pair.

    Attributes:
        problem: the reason why the pair cannot be used, or None. With a problem, the other fields
            are empty.
        size: width and height of the upright image.
        pixels: int64 [256], the number of the mask's pixels for each class id, with void at 255.
        digest: sha256 in hex of the decoded image, which is equal for equal pictures in different
            files.
        sums: float64 [3, bands], the number, the sum and the sum of squares of each band's values
            in the pixels with data; None for RGB.
        turned: whether the image was turned upright according to EXIF, and the sizes do not show
            that its mask is turned as well.
    """

    problem: str | None
    size: tuple[int, int] = (0, 0)
    pixels: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(VOID + 1, np.int64))
    digest: str = ""
    sums: np.ndarray | None = None
    turned: bool = False


@dataclasses.dataclass(frozen=True)
class Leak:
    """A picture that is both in a training split and in a split held out from the training split.

    Attributes:
        trained: the training split and the id of the picture in that split.
        held_out: the held-out split and the id of the picture in that split.
    """

    trained: tuple[str, str]
    held_out: tuple[str, str]

    def __str__(self) -> str:
        return (
            f"{'/'.join(self.trained)} and {'/'.join(self.held_out)} are the same picture, and "
            f"{self.held_out[0]} must not be trained on; remove one of the two from its list"
        )


@dataclasses.dataclass(frozen=True)
class Report:
    """The result of the check of a data set.

    Attributes:
        source: the data set.
        findings: for each split, one finding for each pair, in the order of the pairs.
    """

    source: Source
    findings: dict[str, list[Finding]]

    @functools.cached_property
    def leaks(self) -> list[Leak]:
        """The pictures that are both in a split and in another split held out from it."""
        return _leaks(self.source, self.findings)

    @functools.cached_property
    def warnings(self) -> list[str]:
        """One line for each peculiarity of the data set that may be intended."""
        return [*_warnings(self), *_overlaps(self)]

    @property
    def errors(self) -> list[str]:
        """One line for each pair or leak that must not be trained on.

        A broken pair that is in several splits has one line.
        """
        problems = [f.problem for found in self.findings.values() for f in found if f.problem]
        return [*dict.fromkeys(problems), *map(str, self.leaks)]

    def healthy(self) -> Source:
        """Returns the source without the pairs that cannot be read, and without leaks.

        A leaked picture is removed from the training split and stays in the held-out split. The
        image format of the result has the statistics of `image_format`.

        Raises:
            DeeplabError: no pair of a split is left.
        """
        leaked = {leak.trained for leak in self.leaks}
        splits = {
            split: [
                pair
                for pair, finding in zip(pairs, self.findings[split], strict=True)
                if finding.problem is None and (split, pair.id) not in leaked
            ]
            for split, pairs in self.source.splits.items()
        }
        for split, pairs in splits.items():
            if not pairs:
                raise DeeplabError(
                    f"none of the {len(self.source.splits[split]):,} images of {split} can be "
                    f"used; the first error: {self.errors[0]}"
                )
        return dataclasses.replace(self.source, splits=splits, image_format=self.image_format)

    @functools.cached_property
    def image_format(self) -> ImageFormat:
        """The image format of the source, with the mean and standard deviation of each band.

        The statistics are those of the splits that are not held out, since statistics of the other
        splits would leak into training. The format of RGB is returned unchanged.
        """
        if self.source.image_format.is_rgb:
            return self.source.image_format
        sums = np.zeros((3, self.source.image_format.bands))
        for split, found in self.findings.items():
            if _is_held_out(split, self.source):
                continue
            for finding in found:
                if finding.sums is not None:
                    sums += finding.sums
        if not sums[0].all():
            return self.source.image_format
        mean, square = sums[1:] / sums[0]
        # A band with one value everywhere has a deviation of 0, but for rounding, by which nothing
        # can be divided. Such a band is 0 after the mean is subtracted, so the divisor is set to 1.
        std = np.sqrt(np.maximum(square - mean**2, 0))
        std = np.where(std <= 1e-6 * np.abs(mean), 1.0, std)
        return dataclasses.replace(
            self.source.image_format, mean=tuple(mean.tolist()), std=tuple(std.tolist())
        )

    @functools.cached_property
    def pixels(self) -> dict[str, list[int]]:
        """For each split, the number of pixels of each class, then of void."""
        num_classes = self.source.classes.num_classes
        sums = {
            split: np.sum([finding.pixels for finding in found], axis=0)
            for split, found in self.findings.items()
        }
        return {s: [*n[:num_classes].tolist(), int(n[VOID])] for s, n in sums.items()}


def examine(source: Source, workers: int | None = None) -> Report:
    """Reads every image and mask of `source` once and reports what it finds.

    The memory holds a histogram for each pair and no pictures.

    Args:
        source: the data set.
        workers: the number of processes that read; by default one for each core.
    """
    # A pair is often in several splits, so the pairs are keyed to be read once.
    pairs = {_key(pair): pair for split in source.splits.values() for pair in split}
    examine_one = functools.partial(
        examine_pair, image_format=source.image_format, huge=source.tiling is not None
    )
    looked_at = tqdm(
        in_processes(examine_one, pairs.values(), workers, 1 if source.tiling else CHUNK),
        desc="check",
        unit="image",
        total=len(pairs),
        disable=None,
    )
    by_key = dict(zip(pairs, looked_at, strict=True))
    findings = {s: [by_key[_key(pair)] for pair in pairs] for s, pairs in source.splits.items()}
    return Report(source, findings)


def examine_pair(pair: Pair, image_format: ImageFormat = RGB, huge: bool = False) -> Finding:
    """Reads one pair and returns the finding; an error of reading is the finding's `problem`.

    Args:
        pair: the image and the mask.
        image_format: the bands and bits of the image.
        huge: whether the image is to be cut into tiles, and may therefore exceed Pillow's limit of
            pixels.
    """
    if huge:
        allow_huge_images()
    try:
        picture, mask, missing = read_with_data(pair, image_format)
    except DeeplabError as error:
        return Finding(str(error))
    except OSError as error:
        return Finding(f"{error.filename or pair.image} cannot be read: {error.strerror}")
    sums = None
    if not image_format.is_rgb:
        with_data = picture if missing is None else picture[~missing]
        values = with_data.reshape(-1, image_format.bands).astype(np.float64)
        count = np.full(image_format.bands, len(values))
        sums = np.stack([count, values.sum(axis=0), (values**2).sum(axis=0)])
    digest = hashlib.sha256(str(picture.shape).encode())
    digest.update(np.ascontiguousarray(picture).data)
    size = picture.shape[1], picture.shape[0]
    orientation = orientation_of(pair.image) if image_format.is_rgb and pair.mask else 1
    turned = orientation > 1 and (orientation < 5 or size[0] == size[1])
    return Finding(None, size, _histogram(mask), digest.hexdigest(), sums, turned)


def _histogram(mask: np.ndarray) -> np.ndarray:
    """Returns the number of pixels with each class id, int64 [256].

    The function counts a few lines at a time, because np.bincount needs eight bytes for each pixel.
    """
    pixels = np.zeros(VOID + 1, np.int64)
    lines = max(1, 2**20 // mask.shape[1])
    for top in range(0, mask.shape[0], lines):
        pixels += np.bincount(mask[top : top + lines].ravel(), minlength=VOID + 1)
    return pixels


def format_report(report: Report, most: int | None = None) -> str:
    """Returns the report as text: histograms, sizes, balance, notes, warnings and errors.

    Args:
        report: the result of the check.
        most: the largest number of notes, of warnings and of errors; None for all.
    """
    source = report.source
    classes, splits = source.classes, source.splits
    images = {split: len(pairs) for split, pairs in splits.items()}
    blocks = [
        pixel_table(classes.names, images, report.pixels),
        f"images that have the class\n{_images_table(report)}",
        f"sizes\n{_sizes_table(report)}",
        "\n".join(_balance(report)),
    ]
    lines = [
        *_lines("note", source.notes, most),
        *_lines("warning", report.warnings, most),
        *_lines("error", report.errors, most),
        *([] if report.errors else ["no errors"]),
    ]
    return "\n\n".join([*blocks, "\n".join(lines)]) + "\n"


def report_to_dict(report: Report) -> dict:
    """Returns the content of `format_report`, without the balance, as plain JSON types."""
    return {
        "labels": report.source.classes.to_dict(),
        "images": {split: len(pairs) for split, pairs in report.source.splits.items()},
        "pixels": report.pixels,
        "images_by_class": {s: _images_by_class(report, s) for s in report.findings},
        "sizes": {
            split: {f"{w}x{h}": count for (w, h), count in _sizes(found).most_common()}
            for split, found in report.findings.items()
        },
        "notes": list(report.source.notes),
        "warnings": report.warnings,
        "errors": report.errors,
    }


def _lines(kind: str, texts: Sequence[str], most: int | None) -> list[str]:
    lines = [f"{kind}: {text}" for text in texts[:most]]
    if len(texts) > len(lines):
        lines.append(f"and {len(texts) - len(lines):,} more {kind}s")
    return lines


def _key(pair: Pair) -> tuple[str, str, str]:
    return pair.id, str(pair.image), str(pair.mask)


def _is_held_out(split: str, source: Source) -> bool:
    return any(held_out_from(split, other) for other in source.splits)


def _leaks(source: Source, findings: dict[str, list[Finding]]) -> list[Leak]:
    """Returns the pictures of held-out splits that are also in the splits to train on.

    Pictures are compared by the digests of their decoded pixels.
    """
    leaks = []
    for held_out in source.splits:
        ids = _ids_by_digest(source.splits[held_out], findings[held_out])
        for other in source.splits:
            if not held_out_from(held_out, other):
                continue
            for pair, finding in zip(source.splits[other], findings[other], strict=True):
                if finding.digest in ids:
                    same = ids[finding.digest][0]
                    leaks.append(Leak((other, pair.id), (held_out, same)))
    return leaks


def _ids_by_digest(pairs: list[Pair], findings: list[Finding]) -> dict[str, list[str]]:
    """Returns the ids of the pairs with each digest; pairs with a problem are left out."""
    ids = collections.defaultdict(list)
    for pair, finding in zip(pairs, findings, strict=True):
        if finding.problem is None:
            ids[finding.digest].append(pair.id)
    return dict(ids)


def _warnings(report: Report) -> Iterator[str]:
    names = report.source.classes.names
    for split, pairs in report.source.splits.items():
        pixels = report.pixels[split]
        if not sum(pixels[:-1]):
            continue  # a test set without masks
        absent = [name for name, count in zip(names, pixels, strict=False) if not count]
        if absent:
            yield f"{split} has no pixel of {', '.join(absent)}"
        void = pixels[-1] / sum(pixels)
        if void > MUCH_VOID:
            yield f"{void:.0%} of the pixels of {split} are void, and no training sees void pixels"
        blank = sum(f.problem is None and f.pixels[:-1].sum() == 0 for f in report.findings[split])
        if blank:
            yield f"{blank:,} masks of {split} are void everywhere"
        turned = [
            pair.image for pair, f in zip(pairs, report.findings[split], strict=True) if f.turned
        ]
        if turned:
            yield (
                f"{len(turned):,} images of {split} are turned by their EXIF orientation, and the "
                f"masks are read as drawn on turned images; the first is {turned[0]}: see in the "
                "contact sheet whether the masks fit"
            )
        twice = [i for i in _ids_by_digest(pairs, report.findings[split]).values() if len(i) > 1]
        if twice:
            yield (
                f"{len(twice):,} pictures occur more than once in {split}; the first are "
                f"{' and '.join(twice[0][:2])}"
            )


def _overlaps(report: Report) -> Iterator[str]:
    """Yields a line for each split that has pictures of a held-out split.

    Only splits whose names allow such an overlap are compared, as trainval and val; other overlaps
    are leaks.
    """
    splits = report.source.splits
    by_split = {s: _ids_by_digest(pairs, report.findings[s]) for s, pairs in splits.items()}
    for held_out in splits:
        if not _is_held_out(held_out, report.source):
            continue
        for other in splits:
            shared = by_split[held_out].keys() & by_split[other].keys()
            if shared and other != held_out and not held_out_from(held_out, other):
                yield (
                    f"{other} has {len(shared):,} of the {len(by_split[held_out]):,} pictures of "
                    f"{held_out}: a model that is trained on {other} cannot be measured on "
                    f"{held_out}"
                )


def _images_by_class(report: Report, split: str) -> list[int]:
    """Returns for each class the number of images that have a pixel of the class."""
    has = [
        finding.pixels[: report.source.classes.num_classes] > 0
        for finding in report.findings[split]
    ]
    return np.sum(has, axis=0).tolist()


def _images_table(report: Report) -> str:
    columns = [_images_by_class(report, split) for split in report.findings]
    rows = [["", *report.findings]]
    for index, name in enumerate(report.source.classes.names):
        rows.append([name, *(f"{column[index]:,}" for column in columns)])
    return align(rows)


def _sizes(findings: list[Finding]) -> collections.Counter[tuple[int, int]]:
    return collections.Counter(finding.size for finding in findings if finding.problem is None)


def _sizes_table(report: Report) -> str:
    """Returns a table of the smallest, largest and most frequent image size in each split."""
    rows = [["", "smallest", "largest", "most often", "sizes"]]
    for split, found in report.findings.items():
        sizes = _sizes(found)
        if not sizes:
            rows.append([split, "-", "-", "-", "0"])
            continue
        by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
        often, count = sizes.most_common(1)[0]
        share = count / sum(sizes.values())
        rows.append(
            [
                split,
                size_text(by_area[0]),
                size_text(by_area[-1]),
                f"{size_text(often)} {share:.0%}",
                f"{len(sizes):,}",
            ]
        )
    return align(rows)


def _balance(report: Report) -> Iterator[str]:
    """Yields a line on the most and least frequent class of each split that is not held out."""
    for split, pixels in report.pixels.items():
        if _is_held_out(split, report.source):
            continue
        present = {n: c for n, c in zip(report.source.classes.names, pixels, strict=False) if c}
        if len(present) > 1:
            total = sum(present.values())
            most, least = (
                max(present, key=present.__getitem__),
                min(present, key=present.__getitem__),
            )
            yield (
                f"balance of {split}: {most} {present[most] / total:.1%}, {least} "
                f"{present[least] / total:.2%}: {present[most] / present[least]:,.0f} to 1"
            )

"""The shapes, levels, colours and subsets of CVAT's XML."""

import numpy as np
import pytest
from support.tool_exports import HEIGHT, WIDTH, boxed, one_image, only_mask, write

from deeplab_tf.data.sources.choices import Choices
from deeplab_tf.data.sources.cvat_xml import cvat_xml_source
from deeplab_tf.errors import DeeplabError

LABELS = (
    "<labels><label><name>road</name><color>#804080</color></label>"
    "<label><name>car</name><color>#00008E</color></label></labels>"
)


def image(shapes, name="a.png", size=(WIDTH, HEIGHT), more=""):
    return (
        f'<image id="0" name="{name}" width="{size[0]}" height="{size[1]}"{more}>{shapes}</image>'
    )


def export(root, *images, meta=f"<job>{LABELS}</job>"):
    one_image(root, "images/a.png")
    content = f"<version>1.1</version><meta>{meta}</meta>{''.join(images)}"
    write(root / "annotations.xml", f"<annotations>{content}</annotations>")
    return root


def box(label, left, top, right, bottom, more=""):
    return f'<box label="{label}" xtl="{left}" ytl="{top}" xbr="{right}" ybr="{bottom}" {more}/>'


@pytest.mark.parametrize("where", ["task", "job", "project"])
def test_names_and_colours(tmp_path, where):
    root = export(tmp_path, image(box("car", 1, 2, 9, 8)), meta=f"<{where}>{LABELS}</{where}>")
    mask, source = only_mask("cvat_xml", root)
    assert source.classes.names == ("background", "road", "car")
    assert source.classes.palette == ((0, 0, 0), (128, 64, 128), (0, 0, 142))
    np.testing.assert_array_equal(mask, boxed((2, 1, 2, 9, 8)))


def test_a_higher_level_is_on_top_and_a_box_is_turned_about_its_centre(tmp_path):
    car = box("car", 20, 18, 40, 22, 'z_order="1" rotation="90"')
    road = box("road", 0, 0, 60, 40, 'z_order="0"')
    mask, _ = only_mask("cvat_xml", export(tmp_path, image(car + road)))
    np.testing.assert_array_equal(mask, boxed((1, 0, 0, 60, 40), (2, 28, 10, 32, 30)))


def test_ellipse_and_mask(tmp_path):
    runs = '<mask label="car" rle="2, 3, 3, 2" left="4" top="5" width="5" height="2" z_order="0"/>'
    ellipse = '<ellipse label="road" cx="40" cy="20" rx="15" ry="5"/>'
    mask, _ = only_mask("cvat_xml", export(tmp_path, image(runs + ellipse)))
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    far = ((x - 40) / 15) ** 2 + ((y - 20) / 5) ** 2
    assert (mask[far < 0.9] == 1).all() and not (mask[far > 1.1] == 1).any()
    expected = np.zeros((2, 5))
    expected[0, 2:], expected[1, 3:] = 2, 2
    np.testing.assert_array_equal(mask[5:7, 4:9], expected)
    assert (mask == 2).sum() == 5


def test_what_is_left_out_is_said_and_images_without_shapes_are_background(tmp_path):
    points = '<points label="car" points="1,2;3,4"/><tag label="car"/>'
    root = export(
        tmp_path, image(box("car", 0, 0, 9, 9) + points), image("", "b.png"), image("", "c.png")
    )
    for name in ("b", "c", "d"):
        one_image(root, f"images/{name}.png")
    source = cvat_xml_source(root, Choices())
    assert sum(map(len, source.splits.values())) == 3
    assert [note.split(";")[0] for note in source.notes][:3] == [
        "1 shapes have no area and were left out",
        "1 images are in no XML and were left out",
        "2 images have no region and are background everywhere (--unlabelled=skip leaves them out)",
    ]
    _, source = only_mask("cvat_xml", root, unlabelled="skip")
    assert source.notes[2].startswith("2 images have no region and were left out")


def test_subsets_are_splits(tmp_path):
    shape = box("car", 0, 0, 9, 9)
    root = export(
        tmp_path,
        image(shape, more=' subset="Train"'),
        image(shape, "b.png", more=' subset="Validation"'),
    )
    one_image(root, "images/Validation/b.png")
    source = cvat_xml_source(root, Choices())
    assert {s: [p.id for p in ps] for s, ps in source.splits.items()} == {
        "train": ["images/a"],
        "val": ["images/Validation/b"],
    }


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (box("bus", 1, 1, 9, 9), "region 1 has the class 'bus', which is not declared"),
        ('<polygon label="car" points="1,1;9,9"/>', "a polygon has 4 numbers"),
        ('<polygon label="car" points="1,1;9"/>', r"shape 1 \(polygon\) is malformed"),
        ('<box label="car" xtl="1"/>', "'ytl' is missing"),
        ('<heart label="car"/>', "no reader knows a heart"),
        (
            '<mask label="car" rle="3" left="0" top="0" width="2" height="2"/>',
            "the run lengths give 3 pixels, and their rectangle has 2x2",
        ),
        (
            '<mask label="car" rle="0,4" left="59" top="0" width="2" height="2"/>',
            "reaches beyond the image of 60x40",
        ),
    ],
)
def test_a_shape_that_cannot_be_drawn_is_named(tmp_path, shapes, message):
    with pytest.raises(DeeplabError, match=f"mask of image a.png in .*xml cannot be .*{message}"):
        only_mask("cvat_xml", export(tmp_path, image(shapes)))


def test_other_files_are_refused(tmp_path):
    root = export(tmp_path, '<track id="0" label="car"/>')
    with pytest.raises(DeeplabError, match="is of a video; export 'CVAT for images'"):
        only_mask("cvat_xml", root)
    write(root / "annotations.xml", "<annotations><image></annotations>")
    with pytest.raises(DeeplabError, match="is not CVAT's XML: mismatched tag"):
        only_mask("cvat_xml", root)

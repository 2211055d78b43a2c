"""The types of flags: the values that the parsers give, and the texts that they refuse."""

import pytest

from deeplab_tf.cli import flag_types


@pytest.mark.parametrize(
    ("parser", "text", "value"),
    [
        (flag_types.SCALES, "0.5, 1,1e0", (0.5, 1.0, 1.0)),
        (flag_types.ImageSize(), "65,129", (65, 129)),
        (flag_types.ImageSize(), "dynamic", flag_types.DYNAMIC),
        (flag_types.OutputStride(), "8", 8),
        (flag_types.WorkingSize(), "none", 0),
        (flag_types.WorkingSize(), "513", 513),
        (flag_types.FileName(".png"), "a/b.png", "a/b.png"),
    ],
)
def test_a_text_becomes_a_value(parser, text, value):
    assert parser.parse(text) == value


@pytest.mark.parametrize(
    ("parser", "text", "message"),
    [
        (flag_types.SCALES, "1,0", "must be positive numbers"),
        (flag_types.SCALES, "1,inf", "must be positive numbers"),
        (flag_types.SCALES, "1,nan", "must be positive numbers"),
        (flag_types.SCALES, "1,", "must be positive numbers"),
        (flag_types.ImageSize(), "65,65,65", "must be H,W in pixels"),
        (flag_types.ImageSize(), "65,x", "must be H,W in pixels"),
        (flag_types.OutputStride(), "7", "<4|8|16|"),
        (flag_types.WorkingSize(), "0", "must be a positive number of pixels, or none"),
        (flag_types.WorkingSize(), "all", "must be a positive number of pixels, or none"),
        (flag_types.Items(flag_types.expression, "must be expressions"), "a,", "must be expr"),
        (flag_types.Items(flag_types.WHOLE_NUMBER, "must be numbers"), "-1", "must be numbers"),
        (flag_types.FileName(".png"), "a.bmp", "must end in .png"),
    ],
)
def test_a_wrong_text_is_refused_with_what_must_hold(parser, text, message):
    with pytest.raises(ValueError, match=message.replace("|", r"\|")):
        parser.parse(text)

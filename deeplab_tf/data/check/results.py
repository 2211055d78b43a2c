"""The folder with the results of a check: report.txt, report.json and contact_sheet.jpg."""

from pathlib import Path

from deeplab_tf.data.check.contact_sheet import contact_sheet
from deeplab_tf.data.check.doctor import Report, format_report, report_to_dict
from deeplab_tf.files import (
    folder_of,
    json_text,
    json_with,
    own_folder,
    whole_folder,
    write_jpeg,
    write_text,
)

is_check = folder_of(
    *("report.txt", "report.json", "contact_sheet.jpg"),
    known={"report.json": json_with("labels", "images", "errors")},
)
"""Recognises the folder of a check."""


def write_check(report: Report, folder: Path) -> None:
    """Writes the results of a check to `folder`, which is replaced where it is one.

    An error while writing leaves the old folder unchanged. Without a usable pair there is no
    contact_sheet.jpg.

    Raises:
        DeeplabError: `folder` has something else than the results of a check.
    """
    with whole_folder(folder, is_check) as temporary:
        write_text(temporary / "report.txt", format_report(report), own_folder)
        text = json_text(report_to_dict(report))
        write_text(temporary / "report.json", text, own_folder)
        sheet = contact_sheet(report)
        if sheet:
            write_jpeg(temporary / "contact_sheet.jpg", sheet, 88, own_folder)

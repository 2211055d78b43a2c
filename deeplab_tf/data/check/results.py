"""The folder with the results of a check: report.txt, report.json and contact_sheet.jpg."""

import json
from pathlib import Path

from deeplab_tf.data.check.contact_sheet import contact_sheet
from deeplab_tf.data.check.doctor import Report, format_report, report_to_dict
from deeplab_tf.files import whole_folder, write_jpeg, write_text


def write_check(report: Report, folder: Path) -> None:
    """Writes the results of a check to `folder`, which is replaced.

    An error while writing leaves the old folder unchanged. Without a usable pair there is no
    contact_sheet.jpg.
    """
    with whole_folder(folder) as beside:
        write_text(beside / "report.txt", format_report(report))
        write_text(beside / "report.json", json.dumps(report_to_dict(report), indent=2) + "\n")
        sheet = contact_sheet(report)
        if sheet:
            write_jpeg(beside / "contact_sheet.jpg", sheet, quality=88)

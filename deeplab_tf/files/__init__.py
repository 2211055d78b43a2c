"""Files and folders that are whole or absent, and that replace only what is ours.

`whole` writes, `json_text` makes the text of JSON files, `digested` writes JSON that people
correct, `ours` recognises what may be replaced, `temporary` names what is being written, and `held`
keeps a folder for one process. `store` speaks to object stores, `mirror` writes there, `lease` is
what `held` is there, `fetched` copies what is read, and `snapshot` is how.
"""

from deeplab_tf.files.digested import ListFile, digested
from deeplab_tf.files.fetched import fetched, fetched_part, fetched_parts, fetched_pattern
from deeplab_tf.files.held import held_folder
from deeplab_tf.files.json_text import json_text
from deeplab_tf.files.mirror import close_mirrors, is_mirrored, mirrored, refreshed, shown, synced
from deeplab_tf.files.ours import (
    Ours,
    any_of,
    beside,
    check_file,
    check_folder,
    containing,
    folder_of,
    json_with,
    never,
    own_folder,
    zip_with,
)
from deeplab_tf.files.store import is_address
from deeplab_tf.files.temporary import is_temporary, remove_leftovers, temporary_folder
from deeplab_tf.files.whole import whole_file, whole_folder, write_jpeg, write_text

__all__ = [
    "ListFile",
    "Ours",
    "any_of",
    "beside",
    "check_file",
    "check_folder",
    "close_mirrors",
    "containing",
    "digested",
    "fetched",
    "fetched_part",
    "fetched_parts",
    "fetched_pattern",
    "folder_of",
    "held_folder",
    "is_address",
    "is_mirrored",
    "is_temporary",
    "json_text",
    "json_with",
    "mirrored",
    "never",
    "own_folder",
    "refreshed",
    "remove_leftovers",
    "shown",
    "synced",
    "temporary_folder",
    "whole_file",
    "whole_folder",
    "write_jpeg",
    "write_text",
    "zip_with",
]

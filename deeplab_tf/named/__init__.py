"""Models by name: weights that others published, fetched once, checked and imported.

`table` is the list, `find` turns a name into the path of a `.keras` file, `fetch` brings the source
file, `download` is the transfer, `hashes` and `archive` check and unpack the file, `cache` says
where things lie, and `listing` prints the table.
"""

from deeplab_tf.named.find import is_a_name, model_path

__all__ = ["is_a_name", "model_path"]

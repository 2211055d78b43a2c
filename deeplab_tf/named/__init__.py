"""Models by name: weights that others published, fetched once, checked and imported.

`table` is the list, `find` tells names from paths, `fetched` makes the `.keras` file of a name,
`fetch` brings the published file, `download` is the transfer, `hashes` and `archive` check and
unpack the file, `cache` says where things lie, and `listing` prints the table.
"""

from deeplab_tf.named.find import is_a_name, model_path

__all__ = ["is_a_name", "model_path"]

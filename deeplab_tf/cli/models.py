"""deeplab-models: published models by name, for every --model and --config.init_from.

    deeplab-models
    deeplab-models --show=voc-mobilenet-v2
    deeplab-models --fetch=voc-mobilenet-v2,imagenet-mobilenet-v2
    deeplab-predict --model=voc-mobilenet-v2 --images=photo.jpg --out=predictions

The first use of a name fetches the publisher's file into the user's cache (below XDG_CACHE_HOME or
~/.cache on Linux), checks its hash and imports it; --fetch does so in advance. Without a network,
put the file where --show says. DEEPLAB_MODELS=FOLDER takes all files from that folder and from
nowhere else; DEEPLAB_MODELS=https://MIRROR/PATH takes them from that address. Both have the files
under the publishers' file names. docs/models.md has the table.

Exit code 0: done; 1: no such name, or a file cannot be had; 2: wrong flag.
"""

from absl import flags

from deeplab_tf.cli.flag_rules import is_given, require
from deeplab_tf.cli.flags import run_binary, say

_SHOW = flags.DEFINE_string("show", None, "Print all that is known of this NAME.")
_FETCH = flags.DEFINE_list("fetch", None, "Fetch and import these NAMES, with commas between.")
require(
    {
        "give one of --show=NAME and --fetch=NAMES": (
            lambda show, fetch: not (is_given(show) and is_given(fetch))
        )
    }
)


def main() -> int:
    """Lists, shows or fetches; an import loads TensorFlow in a process of its own."""
    from deeplab_tf.named.listing import format_model, format_models

    if _SHOW.value is not None:
        print(format_model(_SHOW.value))
    elif _FETCH.value is not None:
        for name in _FETCH.value:
            format_model(name)  # so that a wrong name is found before the first is fetched
        from deeplab_tf.named.fetched import fetched_model

        for name in _FETCH.value:
            print(fetched_model(name, say))
    else:
        print(format_models())
    return 0


def run() -> None:
    """Runs the console script `deeplab-models`."""
    run_binary("deeplab-models", __name__, main)


if __name__ == "__main__":
    run()

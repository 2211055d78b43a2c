"""The parts that all binaries share: help, one-line errors, exit codes, late TensorFlow import."""

import dataclasses
import difflib
import importlib
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from absl import app, flags
from absl import logging as absl_logging

from deeplab_tf import config
from deeplab_tf.cli.stores import Use, WrongUseError, check_addresses, local_flags
from deeplab_tf.errors import DeeplabError, one_line
from deeplab_tf.files import shown
from deeplab_tf.machine.processor import choose_onednn
from deeplab_tf.machine.stderr import quiet_stderr

USAGE_ERROR = 2
"""The exit code of a wrong flag; bad input ends with 1."""

INTERRUPTED = 130
"""The exit code of Ctrl-C, as of any program in a shell."""

NO_STORES: Mapping[str, Use] = {}

_DISK_FULL = "(?:No space left on device|Disk quota exceeded)"


def run_binary(
    name: str,
    module: str,
    main: Callable[[], int | None],
    more_help: Callable[[], str] | None = None,
    needs_config: bool = False,
    stores: Mapping[str, Use] = NO_STORES,
) -> None:
    """Parses the flags, runs `main` and exits; never ends in a traceback for bad input.

    Args:
        name: the console script, e.g. `deeplab-train`, which begins each error line.
        module: the binary's module; its docstring is the head of `--help`, which lists only its own
            (key) flags.
        main: the body, which returns the exit code or None for 0; imports TensorFlow itself, so
            that `--help` and a wrong flag are answered at once.
        more_help: makes the text that `--help` ends with.
        needs_config: whether --config must be given. absl cannot demand it, since the flag has a
            default, an `Experiment`.
        stores: the flags that take the address of a store, and how.
    """

    def body() -> int | None:
        with local_flags(_own_flags(module), stores):
            return main()

    app.run(
        lambda _: sys.exit(_guarded(name, body)),
        argv=[name, *sys.argv[1:]],
        flags_parser=lambda argv: _parse(name, module, argv, more_help, needs_config, stores),
    )


def _parse(
    name: str,
    module: str,
    argv: Sequence[str],
    more_help: Callable[[], str] | None,
    needs_config: bool,
    stores: Mapping[str, Use],
) -> list[str]:
    if any(argument in ("--help", "-help", "-h", "--helpshort", "--helpfull") for argument in argv):
        _print_help(name, module)
        if more_help:
            print(more_help())
        sys.exit(0)
    for argument in argv:
        if re.match(r"--?config\.model\.image_format\b", argument):
            _fail(name, f"{argument} is no flag: the bands come from the data set", USAGE_ERROR)
    try:
        rest = flags.FLAGS(argv)
        check_addresses(_own_flags(module), stores, argv)
    except WrongUseError as error:
        _fail(name, f"{error} (see {name} --help)", USAGE_ERROR)
    except (flags.Error, DeeplabError) as error:
        missing = re.findall(r"Flag --(\w+) must have a value other than None", str(error))
        problem = f"missing {', '.join(f'--{flag}' for flag in missing)}" if missing else str(error)
        _fail(name, f"{one_line(problem)} (see {name} --help)", USAGE_ERROR)
    except KeyError as error:
        _fail(name, _unknown_field(str(error.args[0])), USAGE_ERROR)
    if needs_config and flags.FLAGS["config"].using_default_value:
        _fail(name, f"missing --config; give --config=FILE.py:ROW (see {name} --help)", USAGE_ERROR)
    for flag in _own_flags(module):
        # An empty value is most often a shell variable that was never set, and as a path it would
        # be the current folder.
        if flag.value == "":
            _fail(name, f"--{flag.name} is empty; give it a value or leave it out", USAGE_ERROR)
    for argument in argv:
        if re.fullmatch(r"--?config\.[\w.]+=", argument):
            _fail(name, f"{argument} is empty; give it a value or leave it out", USAGE_ERROR)
    if len(rest) > 1:
        _fail(name, f"unexpected argument {rest[1]!r}; every input is a --flag", USAGE_ERROR)
    return rest


def _own_flags(module: str) -> list[flags.Flag]:
    """Returns the binary's flags, without those of the libraries."""
    # absl files the flags of a module run by `python -m` under the script's path.
    return flags.FLAGS.get_key_flags_for_module(sys.argv[0] if module == "__main__" else module)


def _unknown_field(message: str) -> str:
    """Returns the message for ml_collections' KeyError about a field that does not exist."""
    found = re.match(r"Field (\w+) not found on dataclass .*\.(\w+)'", message)
    if not found:
        return f"wrong --config override: {one_line(message)}"
    field, section = found.groups()
    names = [known.name for known in dataclasses.fields(getattr(config, section))]
    near = difflib.get_close_matches(field, names, n=3) or names
    return f"--config has no field {field!r} in {section}; did you mean {' or '.join(near)}?"


def _print_help(name: str, module: str) -> None:
    print((sys.modules[module].__doc__ or "").strip(), "\n")
    print(f"flags of {name}:")
    for flag in _own_flags(module):
        has_none = flag.default in (None, "", []) or flag.flag_type().startswith("config")
        default = "" if has_none else f" (default: {flag.default_as_str})"
        print(f"  --{flag.name}\n      {flag.help}{default}")


def _guarded(name: str, main: Callable[[], int | None]) -> int:
    """Runs `main`; turns an error that the user can mend into one line on stderr."""
    # Libraries log notes in passing, which are not for the user's terminal.
    absl_logging.set_verbosity(absl_logging.ERROR)
    try:
        return main() or 0
    except DeeplabError as error:
        _fail(name, one_line(str(error)), error.exit_code)
    except KeyboardInterrupt:
        _fail(name, "interrupted", INTERRUPTED)
    except Exception as error:
        text = one_line(str(error))
        if re.search(_DISK_FULL, text):
            # TensorFlow and the libraries on it say "FILE; No space left on device" inside a text.
            file = re.search(rf"\S*/\S+(?=; {_DISK_FULL})", text)
            where = file[0] if file else getattr(error, "filename", None) or "a file"
            _fail(
                name,
                f"no space left on the disk, writing {where}; free space and run the command again",
            )
        if isinstance(error, OSError) and error.filename and error.strerror:
            _fail(name, one_line(f"{error.filename}: {error.strerror}"))
        # The class is TensorFlow's, so it is known by its name: TensorFlow is not imported here.
        if type(error).__name__ == "ResourceExhaustedError" and re.search("OOM|memory|alloc", text):
            _fail(
                name,
                "out of memory: use fewer or smaller images at a time: a lower "
                "--config.train.batch_size or --config.data.crop_size in a training, whose "
                "evaluations take whole images unless --config.evaluate.window or "
                "--config.evaluate.working_size is given, or none with "
                "--config.train.evaluate_every=0; --window in an evaluation, --window and "
                f"--batch_size=1 in a prediction ({text[:120]})",
            )
        raise


def import_tensorflow(trains: bool | None = None) -> None:
    """Imports TensorFlow without the lines about processors and drivers that its C++ side prints.

    TensorFlow prints these lines to file descriptor 2 before it reads any log level. An import that
    fails raises as usual.

    Args:
        trains: whether the binary trains networks or only runs them, for `choose_onednn`; None
            where it does neither, or does so in processes of its own.
    """
    if trains is not None:
        choose_onednn(trains)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with quiet_stderr():
        importlib.import_module("tensorflow")


def say(line: str) -> None:
    """Prints a line at once, into a pipe too."""
    print(line, flush=True)


def warn(line: str) -> None:
    """Prints a line on stderr at once."""
    print(line, file=sys.stderr, flush=True)


def _fail(name: str, message: str, code: int = 1) -> NoReturn:
    print(f"{name}: error: {shown(message)}", file=sys.stderr)
    sys.exit(code)

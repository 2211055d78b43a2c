"""The figures as text, and as a page of Markdown."""

from collections.abc import Iterable, Iterator

from deeplab_tf.text_table import align

from .goals import check_goals

HEAD = ["", "median ms", "least", "images/s", "speed", "of peak"]
EXPLANATION = """\
`speed` is the first way's median over this one's: above 1 is faster than the first. `of peak` is
the convolutions' operations (a multiplication and an addition are two; padding counts as if it were
pixels) a second, over the matrix-multiply peak: that of the fastest product of two 2048x2048
float32 matrices by torch or TensorFlow, in the same turns. So an implementation that leaves out
padding can pass 100 %."""


def format_groups(groups: Iterable[dict]) -> str:
    """A table a group."""
    return "\n\n".join(_format(group) for group in groups)


def _format(group: dict) -> str:
    if "peak_bytes" in group:
        return f"{group['name']}, MB\n{align(_memory_rows(group))}"
    lines = [group["name"], align([HEAD, *_rows(group)])]
    return "\n".join([*lines, *_notes(group)])


def _rows(group: dict) -> Iterator[list[str]]:
    for name, way in group["ways"].items():
        share = way.get("of_peak")
        yield [
            name,
            f"{1e3 * way['median_s']:.4g}",
            f"{1e3 * min(way['seconds']):.4g}",
            f"{group['images'] / way['median_s']:.4g}",
            f"{way['ratio']:.2f}",
            "-" if share is None else f"{100 * share:.0f} %",
        ]


def _notes(group: dict) -> list[str]:
    notes = [f"{name}: not measured ({why})" for name, why in group["failures"].items()]
    if group["peak_flops"]:
        notes.append(f"matrix-multiply peak: {group['peak_flops'] / 1e9:,.0f} GFLOP/s")
    return notes


def format_page(result: dict) -> str:
    """The whole of `bench.json` as Markdown."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    settings = " ".join(f"--{name}={value}" for name, value in result["flags"].items())
    parts = [
        "# Benchmark",
        f"Printed by `make bench` (`python tests/benchmarks/bench.py {settings}`): each part "
        f"one run, ways in turns, {result['flags']['rounds']} turns, medians; all times are in "
        "bench.json.",
        f"{result['machine']}. {versions}.",
        EXPLANATION,
        "## Goals",
        "\n".join(f"- {line}" for line in check_goals(result["parts"])),
    ]
    for part, groups in result["parts"].items():
        parts.append(f"## {part.replace('_', ' ').capitalize()}")
        for group in groups:
            parts += [f"**{group['name']}**", _markdown(group)]
            parts += [] if "peak_bytes" in group else _notes(group)
    return "\n\n".join(parts) + "\n"


def _markdown(group: dict) -> str:
    if "peak_bytes" in group:
        table = [["", "peak MB"], *_memory_rows(group)]
    else:
        table = [HEAD, *_rows(group)]
    table.insert(1, ["---", *["---:"] * (len(table[0]) - 1)])
    return "\n".join(f"| {' | '.join(row)} |" for row in table)


def _memory_rows(group: dict) -> list[list[str]]:
    return [[name, f"{size / 1e6:,.0f}"] for name, size in group["peak_bytes"].items()]

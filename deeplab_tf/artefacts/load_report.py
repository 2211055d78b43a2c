"""The report of which tensors were loaded when weights were put into a network.

Tested in tests/training/test_initial_weights.py, through `load_initial_weights`.
"""

import dataclasses

SHOWN = 4
"""How many names of a group the table spells out."""


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """The names of a file's and a network's tensors, by what became of each tensor.

    Attributes:
        loaded: tensors of the file that are now in the network.
        skipped: tensors of the file that were left out on purpose, with the reason.
        missing: tensors of the network that the file lacks and that keep their random values.
        unexpected: tensors of the file that the network does not know.
    """

    loaded: list[str]
    skipped: list[str]
    missing: list[str]
    unexpected: list[str]

    def table(self) -> str:
        """Returns a line a group: its count and its first names, but for loaded only the count."""
        rows = []
        for field in dataclasses.fields(self):
            names = getattr(self, field.name)
            shown = "" if field.name == "loaded" else ", ".join(names[:SHOWN])
            more = ", ..." if shown and len(names) > SHOWN else ""
            rows.append(f"  {field.name:10s}{len(names):5d}  {shown}{more}".rstrip())
        return "\n".join(rows)

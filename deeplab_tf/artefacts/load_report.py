"""What became of each tensor when weights were put into a network."""

import dataclasses

SHOWN = 4
"""Names of a group that the table spells out."""


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """Names of tensors.

    Attributes:
        loaded: in the file and now in the network.
        skipped: in the file and left out on purpose, with the reason.
        missing: in the network and not in the file, so they keep their random values.
        unexpected: in the file and unknown to the network.
    """

    loaded: list[str]
    skipped: list[str]
    missing: list[str]
    unexpected: list[str]

    def table(self) -> str:
        """A line a group with its count and its first names; those loaded are only counted."""
        rows = []
        for field in dataclasses.fields(self):
            names = getattr(self, field.name)
            shown = "" if field.name == "loaded" else ", ".join(names[:SHOWN])
            more = ", ..." if shown and len(names) > SHOWN else ""
            rows.append(f"  {field.name:10s}{len(names):5d}  {shown}{more}".rstrip())
        return "\n".join(rows)

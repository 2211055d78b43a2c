"""Figures of matplotlib without a window system.

Tested in tests/evaluation/test_report.py and tests/paper/test_valid_weights.py, through
`draw_curves` and `draw_figure`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#7d8896"
"""A grey that is readable on white and on near-black, since the pictures are transparent."""
LINE = "#3d7ff0"
MARK = "#e0662b"


def new_figure(size: tuple[float, float], dpi: int) -> "Figure":
    """Returns an empty figure of `size` (width, height) in inches that can be saved to a file.

    The figure is made without pyplot, which would choose a window system and keep global state.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    return figure

"""A figure that a notebook shows, whether or not pyplot was loaded there."""

import io

from matplotlib.figure import Figure


class ShownFigure(Figure):
    """As matplotlib's; the inline backend, which draws figures in a notebook, is loaded with pyplot alone."""

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=100)
        return file.getvalue()

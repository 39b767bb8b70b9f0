"""The bar that says how long a millimetre is in a picture."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BARS_MM = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def add_scale_bar(axes: "Axes", window_px: tuple[float, float, float, float], *, mpp_um_per_px: float) -> None:
    """Draws a bar of at most three tenths of the window's width below it, with its length.

    Args:
        axes: in level-0 pixels, y downwards.
        window_px: left, right, top and bottom.
        mpp_um_per_px: of level 0.
    """
    left, right, _, bottom = window_px
    width_mm = (right - left) * mpp_um_per_px / 1000
    length_mm = max((bar for bar in _BARS_MM if bar <= 0.3 * width_mm), default=_BARS_MM[0])
    length_px = length_mm * 1000 / mpp_um_per_px
    start = left + 0.03 * (right - left)
    axes.plot([start, start + length_px], [bottom, bottom], "-", color="black", lw=2.5, clip_on=False)
    label = f"{length_mm:g} mm" if length_mm >= 1 else f"{1000 * length_mm:g} µm"
    axes.annotate(
        label, (start + length_px / 2, bottom), xytext=(0, -4), textcoords="offset points", ha="center", va="top",
        fontsize=8,
    )  # fmt: skip

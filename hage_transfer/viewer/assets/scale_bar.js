// A bar of a round length in micrometres (or pixels where no resolution is known), and the present magnification.

const WIDEST_PX = 160;
const OBJECTIVE_UM = 10; // um per px times magnification, as scanners label it: 0.5 at 20x, 0.25 at 40x

/** The largest 1, 2 or 5 times a power of ten that is at most `limit`. */
export function roundLength(limit) {
  const power = 10 ** Math.floor(Math.log10(limit));
  return power * [5, 2, 1].find((step) => step * power <= limit);
}

export function showScale({ scale, mpp }) {
  const [bar, text, zoom] = ['#scale-bar', '#scale-text', '#magnification'].map((id) => document.querySelector(id));
  const unit = mpp ? mpp[0] : 1; // of a level-0 pixel
  const length = roundLength((WIDEST_PX / scale) * unit);
  bar.style.width = `${(length / unit) * scale}px`;
  if (!mpp) {
    text.textContent = `${length} px`;
    zoom.textContent = `${(scale * 100).toPrecision(2)} % (no resolution known)`;
    return;
  }
  text.textContent = length >= 1000 ? `${length / 1000} mm` : `${length} µm`;
  zoom.textContent = `${((OBJECTIVE_UM / unit) * scale).toPrecision(2)}× · ${(unit / scale).toPrecision(3)} µm/px`;
}

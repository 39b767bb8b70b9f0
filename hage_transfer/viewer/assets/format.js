// Numbers as they are shown.

export const rounded = (value) => (Number.isFinite(value) ? String(Number(value.toPrecision(4))) : 'none');

/** A length of level-0 pixels (already in um where the resolution is known). */
export function lengthText(length, mpp) {
  if (!mpp) return `${Math.round(length)} px`;
  return length >= 1000 ? `${(length / 1000).toPrecision(4)} mm` : `${length.toPrecision(3)} µm`;
}

export function areaText(area, mpp) {
  if (!mpp) return `${Math.round(area)} px²`;
  return area >= 1e5 ? `${(area / 1e6).toPrecision(3)} mm²` : `${Math.round(area)} µm²`;
}

/** Has the browser keep a file; it gives another name where one of this name is there. */
export function download(name, blob) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name.replace(/[^\p{L}\p{N}._-]+/gu, '_');
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// Tiles painted once into a small picture, so that panning costs one drawImage however many tiles there are.

const MOST_PX = 4_000_000;
const MOST_TILE_PX = 32;

/** Where tiles lie in the picture: which tile each of its pixels belongs to, the last of those that overlap; their values are averaged. */
export class TileRaster {
  /** @param {Float32Array} boxes left, top, width, height of each tile at level 0; @param {string} shape square, circle */
  constructor(boxes, shape) {
    this.boxes = boxes;
    this.round = shape === 'circle';
    this.count = boxes.length / 4;
    let [left, top, right, bottom, side] = [Infinity, Infinity, -Infinity, -Infinity, Infinity];
    for (let k = 0; k < boxes.length; k += 4) {
      left = Math.min(left, boxes[k]);
      top = Math.min(top, boxes[k + 1]);
      right = Math.max(right, boxes[k] + boxes[k + 2]);
      bottom = Math.max(bottom, boxes[k + 1] + boxes[k + 3]);
      side = Math.min(side, boxes[k + 2], boxes[k + 3]);
    }
    Object.assign(this, { left, top, right, bottom, side });
    this.scale = Math.min(MOST_TILE_PX / side, Math.sqrt(MOST_PX / ((right - left) * (bottom - top))));
    this.width = Math.max(1, Math.round((right - left) * this.scale));
    this.height = Math.max(1, Math.round((bottom - top) * this.scale));
    this.owner = new Int32Array(this.width * this.height).fill(-1);
    this.overlapping = false;
    for (let tile = 0; tile < this.count; tile += 1) {
      this.#spans(tile, (from, to) => {
        this.overlapping ||= to - from > 4 && (this.owner[from + 2] >= 0 || this.owner[to - 3] >= 0); // by more than a rounded pixel
        this.owner.fill(tile, from, to);
      });
    }
  }

  /** The mean value of the tiles over each pixel, as `attention.png` has it. */
  #paintMeans(values, pixels, options) {
    const [sum, count] = [new Float32Array(pixels.length), new Uint16Array(pixels.length)];
    for (let tile = 0; tile < this.count; tile += 1) {
      const value = values[tile];
      if (!Number.isFinite(value)) continue;
      this.#spans(tile, (from, to) => {
        for (let place = from; place < to; place += 1) {
          sum[place] += value;
          count[place] += 1;
        }
      });
    }
    for (let place = 0; place < sum.length; place += 1) sum[place] = count[place] ? sum[place] / count[place] : NaN;
    pixels.set(tileColours(sum, options));
  }

  /** Calls `each` with the first and one past the last pixel of every row of a tile. */
  #spans(tile, each) {
    const [x, y, w, h] = this.boxes.subarray(tile * 4, tile * 4 + 4);
    const edge = (value, origin, limit) => Math.min(Math.max(Math.round((value - origin) * this.scale), 0), limit);
    const [x0, x1] = [edge(x, this.left, this.width), edge(x + w, this.left, this.width)];
    const [y0, y1] = [edge(y, this.top, this.height), edge(y + h, this.top, this.height)];
    for (let row = y0; row < Math.max(y1, y0 + 1) && row < this.height; row += 1) {
      let [from, to] = [x0, Math.max(x1, x0 + 1)];
      if (this.round && y1 - y0 > 2) {
        const off = (row + 0.5 - (y0 + y1) / 2) / ((y1 - y0) / 2);
        const half = (Math.sqrt(Math.max(0, 1 - off * off)) * (x1 - x0)) / 2;
        [from, to] = [Math.round((x0 + x1) / 2 - half), Math.round((x0 + x1) / 2 + half)];
      }
      each(row * this.width + from, row * this.width + Math.min(to, this.width));
    }
  }

  /** The tile at a place of level 0, or -1. */
  tileAt(x, y) {
    const [column, row] = [Math.floor((x - this.left) * this.scale), Math.floor((y - this.top) * this.scale)];
    if (column < 0 || row < 0 || column >= this.width || row >= this.height) return -1;
    return this.owner[row * this.width + column];
  }

  /** Paints values; tiles that are not finite or below `least` stay clear. Returns a canvas. */
  paint(values, { low, high, least, colours }) {
    const canvas = document.createElement('canvas');
    Object.assign(canvas, { width: this.width, height: this.height });
    const context = canvas.getContext('2d');
    const image = context.createImageData(this.width, this.height);
    const pixels = new Uint32Array(image.data.buffer);
    const colour = tileColours(values, { low, high, least, colours });
    if (this.overlapping) this.#paintMeans(values, pixels, { low, high, least, colours });
    else {
      for (let place = 0; place < pixels.length; place += 1) {
        if (this.owner[place] >= 0) pixels[place] = colour[this.owner[place]];
      }
    }
    context.putImageData(image, 0, 0);
    return canvas;
  }

  /** A painted picture with one pixel a tile, which is smooth when it is drawn large. */
  soften(picture) {
    const small = document.createElement('canvas');
    small.width = Math.max(1, Math.round((this.right - this.left) / this.side));
    small.height = Math.max(1, Math.round((this.bottom - this.top) / this.side));
    const context = small.getContext('2d');
    context.imageSmoothingQuality = 'high';
    context.drawImage(picture, 0, 0, small.width, small.height);
    return small;
  }
}

/** Each tile's colour as one little-endian RGBA number; 0 is clear. */
function tileColours(values, { low, high, least, colours }) {
  const span = high > low ? high - low : 1;
  return Uint32Array.from(values, (value) => {
    if (!Number.isFinite(value) || value < least) return 0;
    const step = Math.round(Math.min(Math.max((value - low) / span, 0), 1) * 255) * 3;
    return ((255 << 24) | (colours[step + 2] << 16) | (colours[step + 1] << 8) | colours[step]) >>> 0;
  });
}

/** The range that colours span: all of a percentile or probability, else from the 1st to the 99th percentile. */
export function colourRange(values, key) {
  if (key === 'percentile') return { low: 0, high: 100, clipped: false, whole: true };
  if (key === 'deciding' || key.startsWith('probability')) return { low: 0, high: 1, clipped: false, whole: true };
  const [least, low, high, most] = spread(values);
  if (least === undefined) return { low: 0, high: 1, clipped: false };
  if (low === high) return { low: least, high: most, clipped: false };
  return { low, high, clipped: low > least || high < most };
}

/** The least, the 1st and 99th percentile, and the most; nothing where no value is finite. */
function spread(values) {
  const sorted = values.filter(Number.isFinite).sort();
  if (!sorted.length) return [];
  const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
  return [sorted[0], at(0.01), at(0.99), sorted[sorted.length - 1]];
}

/** The 1st and the 99th percentile. */
export const quantiles = (values) => spread(values).slice(1, 3);

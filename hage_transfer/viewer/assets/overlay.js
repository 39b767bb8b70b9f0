// What lies over the slide: the painted tiles, the outline of tissue, and the tile under the pointer.

const OUTLINE = '#00704a';
const POINTED = '#111111';

/** A canvas above the slide's picture that follows OpenSeadragon's viewport. */
export class Overlay {
  constructor(viewer) {
    this.viewer = viewer;
    this.heat = document.createElement('canvas');
    this.lines = document.createElement('canvas');
    for (const canvas of [this.heat, this.lines]) {
      canvas.className = 'overlay';
      canvas.setAttribute('aria-hidden', 'true');
      viewer.canvas.append(canvas);
    }
    this.picture = null;
    this.raster = null;
    this.tissue = null;
    this.pointed = -1;
    this.smooth = false;
    this.outlined = true;
    this.painters = [];
    for (const event of ['update-viewport', 'open', 'resize', 'animation']) viewer.addHandler(event, () => this.draw());
  }

  clear() {
    Object.assign(this, { picture: null, raster: null, tissue: null, pointed: -1 });
    this.draw();
  }

  setTissue(pieces) {
    this.tissue = new Path2D();
    for (const ring of pieces.flat()) {
      this.tissue.moveTo(ring[0], ring[1]);
      for (let k = 2; k < ring.length; k += 2) this.tissue.lineTo(ring[k], ring[k + 1]);
      this.tissue.closePath();
    }
    this.draw();
  }

  setPicture(raster, picture) {
    Object.assign(this, { raster, picture, soft: null });
    this.draw();
  }

  setOpacity(share) {
    this.heat.style.opacity = String(share);
  }

  /** Whether another tile lies under the pointer now. */
  point(tile) {
    if (tile === this.pointed) return false;
    this.pointed = tile;
    this.draw();
    return true;
  }

  /** Level-0 pixels to pixels of the page: factor and place of the slide's corner. */
  view() {
    const item = this.viewer.world.getItemAt(0);
    if (!item) return null;
    const size = item.getContentSize();
    const pixel = (x, y) => this.viewer.viewport.pixelFromPoint(item.imageToViewportCoordinates(x, y, true), true);
    const [corner, far] = [pixel(0, 0), pixel(size.x, size.y)];
    return { scale: (far.x - corner.x) / size.x, x: corner.x, y: corner.y };
  }

  draw() {
    const ratio = window.devicePixelRatio || 1;
    const box = this.viewer.canvas.getBoundingClientRect();
    const [width, height] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
    for (const canvas of [this.heat, this.lines]) {
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    }
    const view = this.view();
    const contexts = [this.heat, this.lines].map((canvas) => canvas.getContext('2d'));
    for (const context of contexts) {
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.clearRect(0, 0, width, height);
      if (view) context.setTransform(view.scale * ratio, 0, 0, view.scale * ratio, view.x * ratio, view.y * ratio);
    }
    if (!view) return;
    const [heat, lines] = contexts;
    if (this.picture) {
      const { left, top, right, bottom } = this.raster;
      heat.imageSmoothingEnabled = this.smooth;
      heat.imageSmoothingQuality = 'high';
      if (this.smooth) this.soft ??= this.raster.soften(this.picture);
      heat.drawImage(this.smooth ? this.soft : this.picture, left, top, right - left, bottom - top);
    }
    if (this.tissue && this.outlined) {
      lines.strokeStyle = OUTLINE;
      lines.lineWidth = 2 / view.scale;
      lines.stroke(this.tissue);
    }
    if (this.raster && this.pointed >= 0) {
      lines.strokeStyle = POINTED;
      lines.lineWidth = 2 / view.scale;
      const [x, y, w, h] = this.raster.boxes.subarray(this.pointed * 4, this.pointed * 4 + 4);
      lines.beginPath();
      if (this.raster.round) lines.ellipse(x + w / 2, y + h / 2, w / 2, h / 2, 0, 0, 2 * Math.PI);
      else lines.rect(x, y, w, h);
      lines.stroke();
    }
    for (const paint of this.painters) paint(lines, view);
  }
}

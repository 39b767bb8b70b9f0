// One view of a slide: OpenSeadragon with what lies over it.

import { Overlay } from './overlay.js';

const { OpenSeadragon } = window;
const SMALLEST_LEVEL_PX = 256;
const OURS = 'rRfFaAdDsSwW'; // OpenSeadragon turns, mirrors and pans by them: keys of ours, and a turned slide would leave its overlay behind

function makeViewer(element, { label, navigator }) {
  const viewer = new OpenSeadragon.Viewer({
    element,
    drawer: 'canvas',
    showNavigationControl: false,
    showNavigator: navigator,
    navigatorPosition: 'BOTTOM_RIGHT',
    navigatorSizeRatio: 0.16,
    navigatorBackground: '#eceff1',
    navigatorBorderColor: '#8b96a0',
    maxZoomPixelRatio: 8,
    minZoomImageRatio: 0.7,
    visibilityRatio: 0.4,
    animationTime: 0.5,
    maxImageCacheCount: 300,
    imageLoaderLimit: 4,
    gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
    gestureSettingsTouch: { pinchRotate: false },
  });
  viewer.addHandler('canvas-key', (event) => {
    const { key } = event.originalEvent;
    const factor = { '+': 1.4, '-': 1 / 1.4 }[key]; // by the letter: OpenSeadragon goes by its place on an American keyboard
    if (factor) viewer.viewport.zoomBy(factor).applyConstraints();
    event.preventDefaultAction = Boolean(factor) || OURS.includes(key);
  });
  keepWhole(viewer);
  viewer.canvas.setAttribute('aria-label', label);
  viewer.canvas.setAttribute('role', 'application');
  return viewer;
}

/** A slide that is seen whole stays so where the pane changes its size: as its tools appear, and with the window. */
function keepWhole(viewer) {
  let isWhole = false;
  viewer.addHandler('update-viewport', () => {
    const [now, whole] = [viewer.viewport.getBounds(true), viewer.viewport.getHomeBounds()];
    isWhole = ['x', 'y', 'width', 'height'].every((side) => Math.abs(now[side] - whole[side]) < 1e-4);
  });
  viewer.addHandler('resize', () => isWhole && requestAnimationFrame(() => viewer.viewport?.goHome(true)));
}

export class Pane {
  /** @param {Element} element; @param {{label: string, navigator?: boolean}} options of the slide, for who cannot see it */
  constructor(element, { label, navigator = false }) {
    this.element = element;
    this.viewer = makeViewer(element, { label, navigator });
    this.overlay = new Overlay(this.viewer);
  }

  close() {
    this.overlay.clear();
    this.viewer.close();
    this.element.classList.add('empty');
  }

  /** Opens a slide as the server described it; `view` has the centre and zoom to begin with, if any. */
  open(facts, url, view = {}) {
    return new Promise((resolve, reject) => {
      this.viewer.addOnceHandler('open', () => {
        this.element.classList.remove('empty');
        if (view.zoom) {
          this.viewer.viewport.zoomTo(view.zoom, null, true);
          this.viewer.viewport.panTo(new OpenSeadragon.Point(view.x ?? 0.5, view.y ?? 0.5), true);
        }
        resolve();
      });
      this.viewer.addOnceHandler('open-failed', (event) => reject(new Error(event.message)));
      this.viewer.open({
        width: facts.width,
        height: facts.height,
        tileSize: facts.tileSize,
        tileOverlap: facts.overlap,
        minLevel: Math.min(Math.ceil(Math.log2(SMALLEST_LEVEL_PX)), facts.maxLevel),
        maxLevel: facts.maxLevel,
        getTileUrl: url,
      });
    });
  }

  /** Shows a rectangle of level 0. */
  goTo(x, y, width, height) {
    const item = this.viewer.world.getItemAt(0);
    if (item) this.viewer.viewport.fitBoundsWithConstraints(item.imageToViewportRectangle(x, y, width, height));
  }

  /** The rectangle of level 0 that is in view, inside the slide; null where there is no slide. */
  inView() {
    const item = this.viewer.world.getItemAt(0);
    if (!item) return null;
    const size = item.getContentSize();
    const box = item.viewportToImageRectangle(this.viewer.viewport.getBounds(true));
    const [left, top] = [Math.max(box.x, 0), Math.max(box.y, 0)];
    return { left, top, right: Math.min(box.x + box.width, size.x), bottom: Math.min(box.y + box.height, size.y) };
  }

  /** The place of level 0 at a pixel of the page. */
  place(pixel) {
    const view = this.overlay.view();
    return view && [(pixel.x - view.x) / view.scale, (pixel.y - view.y) / view.scale];
  }
}

/** Two panes that show the same place: the one that was touched last leads. */
export class Together {
  constructor(...panes) {
    this.panes = panes;
    this.leader = panes[0];
    this.on = false;
    for (const pane of panes) {
      for (const event of ['canvas-press', 'canvas-scroll', 'canvas-key', 'canvas-pinch']) pane.viewer.addHandler(event, () => this.lead(pane));
      for (const event of ['update-viewport', 'open']) pane.viewer.addHandler(event, () => pane === this.leader && this.follow());
    }
  }

  lead(pane) {
    this.leader = pane;
  }

  follow() {
    if (!this.on || !this.leader.viewer.isOpen()) return;
    const bounds = this.leader.viewer.viewport.getBounds(true);
    for (const pane of this.panes) {
      if (pane === this.leader || !pane.viewer.isOpen()) continue;
      const own = pane.viewer.viewport.getBounds(true);
      if (['x', 'y', 'width', 'height'].some((side) => Math.abs(own[side] - bounds[side]) > 1e-7)) pane.viewer.viewport.fitBounds(bounds, true);
    }
  }
}

// The page: the list of slides, the slide in OpenSeadragon, what lies over it, and the address that remembers all this.

import { getRun, getSlide, getTissue, tileUrl } from './api.js';
import { readAddress, writeAddress } from './address.js';
import { Layers } from './layers.js';
import { Overlay } from './overlay.js';
import { showScale } from './scale_bar.js';
import { SlideList } from './slide_list.js';

const { OpenSeadragon } = window;
const by = (id) => document.querySelector(id);
const SMALLEST_LEVEL_PX = 256;

function tell(message) {
  by('#message').textContent = message;
  by('#message').hidden = !message;
}

function makeViewer() {
  const viewer = new OpenSeadragon.Viewer({
    element: by('#viewer'),
    drawer: 'canvas',
    showNavigationControl: false,
    showNavigator: window.matchMedia('(min-width: 800px)').matches,
    navigatorPosition: 'BOTTOM_RIGHT',
    navigatorSizeRatio: 0.16,
    navigatorBackground: '#eceff1',
    navigatorBorderColor: '#8b96a0',
    maxZoomPixelRatio: 8,
    minZoomImageRatio: 0.7,
    visibilityRatio: 0.4,
    animationTime: 0.5,
    maxImageCacheCount: 300,
    imageLoaderLimit: 6,
    gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
    gestureSettingsTouch: { pinchRotate: false },
  });
  viewer.addHandler('canvas-key', (event) => {
    const { key } = event.originalEvent;
    const factor = { '+': 1.4, '-': 1 / 1.4 }[key]; // by the letter: OpenSeadragon goes by its place on an American keyboard
    if (factor) viewer.viewport.zoomBy(factor).applyConstraints();
    event.preventDefaultAction = Boolean(factor) || 'rRfF'.includes(key); // a turned slide would leave its overlay behind
  });
  viewer.canvas.setAttribute('aria-label', 'Slide: arrow keys pan, plus and minus zoom, the digit 0 shows all of it, the letter O switches the overlay, N and P go to the next and previous slide');
  viewer.canvas.setAttribute('role', 'application');
  return viewer;
}

class Page {
  constructor(run) {
    this.run = run;
    this.viewer = makeViewer();
    this.overlay = new Overlay(this.viewer);
    this.layers = new Layers(this.overlay, tell, () => this.remember());
    this.slide = null;
    this.loading = new AbortController();
    this.list = new SlideList(run, (name) => this.show(name));
    this.source = run.sources.find((source) => run.slides.some((slide) => slide.found && slide.overlays.includes(source))) ?? run.sources[0];
    this.list.setSource(this.source);
    this.#sources();
    this.#tools();
    for (const event of ['update-viewport', 'open', 'resize']) this.viewer.addHandler(event, () => this.#scale());
    this.viewer.addHandler('animation-finish', () => this.remember());
    this.viewer.addHandler('tile-load-failed', (event) => tell(`A part of the slide could not be read: ${event.message}`));
    window.addEventListener('hashchange', () => this.follow());
  }

  #sources() {
    const choice = by('#source');
    choice.replaceChildren(...this.run.sources.map((name) => new Option(name, name)));
    choice.value = this.source;
    by('#source-choice').hidden = this.run.sources.length < 2;
    choice.addEventListener('change', () => {
      this.source = choice.value;
      this.list.setSource(this.source);
      if (this.slide) this.#layers(this.layers.layer).then(() => this.remember());
    });
  }

  #tools() {
    const { viewport } = this.viewer;
    const zoom = (factor) => () => viewport && this.viewer.viewport.zoomBy(factor).applyConstraints();
    by('#zoom-in').addEventListener('click', zoom(1.6));
    by('#zoom-out').addEventListener('click', zoom(1 / 1.6));
    by('#whole').addEventListener('click', () => this.viewer.viewport.goHome());
    by('#native').addEventListener('click', () => {
      const item = this.viewer.world.getItemAt(0);
      if (item) this.viewer.viewport.zoomTo(item.imageToViewportZoom(1));
    });
    by('.skip').addEventListener('click', (event) => {
      event.preventDefault(); // the address keeps the slide and its view: a jump inside the page would take their place
      this.viewer.canvas.focus();
    });
    by('#full').addEventListener('click', () => {
      if (document.fullscreenElement) document.exitFullscreen();
      else by('#stage').requestFullscreen?.();
    });
    const pointed = (position) => {
      const view = this.overlay.view();
      if (!view || !this.layers.raster) return;
      const tile = this.layers.raster.tileAt((position.x - view.x) / view.scale, (position.y - view.y) / view.scale);
      if (this.overlay.point(tile)) this.layers.point(tile);
    };
    new OpenSeadragon.MouseTracker({
      element: this.viewer.container,
      moveHandler: (event) => pointed(event.position),
    });
    this.viewer.addHandler('canvas-click', (event) => pointed(event.position));
    document.addEventListener('keydown', (event) => {
      const typing = event.target.closest('input, select, textarea');
      if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key.toLowerCase() === 'o') this.layers.toggle();
      const step = { n: 1, p: -1 }[event.key.toLowerCase()];
      const next = step && this.list.beside(step);
      if (next && next !== this.slide?.name) this.show(next);
    });
  }

  #scale() {
    const view = this.overlay.view();
    if (view && this.facts) showScale({ scale: view.scale, mpp: this.facts.mpp });
  }

  /** Shows what the address names, or the first slide that is there. */
  follow() {
    const wanted = readAddress();
    if (this.run.sources.includes(wanted.source) && wanted.source !== this.source) {
      this.source = by('#source').value = wanted.source;
      this.list.setSource(this.source);
    }
    const known = this.run.slides.find((slide) => slide.name === wanted.slide);
    const first = this.run.slides.find((slide) => slide.found && slide.overlays.includes(this.source)) ?? this.run.slides.find((slide) => slide.found);
    const chosen = known ?? first ?? this.run.slides[0];
    if (wanted.slide && !known) tell(`The slide ${wanted.slide} is not in this run.`);
    return this.show(chosen.name, wanted);
  }

  async show(name, view = {}) {
    this.loading.abort();
    this.loading = new AbortController();
    const { signal } = this.loading;
    const slide = this.run.slides.find((one) => one.name === name);
    const layer = view.layer ?? this.layers.layer;
    this.slide = slide;
    this.facts = null;
    this.list.mark(name);
    tell('');
    this.overlay.clear();
    this.layers.clear();
    this.viewer.close();
    by('#viewer').classList.add('empty');
    for (const id of ['#hint', '#tissue-choice']) by(id).hidden = true;
    by('#slide-name').textContent = name;
    by('#slide-facts').textContent = '';
    by('#scale').hidden = true;
    document.title = `${name} · ${this.run.title}`;
    if (!slide.found) {
      tell(`${name} was not found; looked in ${slide.sought}. Start the viewer again with --slides FOLDER.`);
      return;
    }
    try {
      const facts = await getSlide(name, signal);
      if (signal.aborted) return;
      await this.#open(facts, view);
      if (signal.aborted) return;
      await Promise.all([this.#layers(layer), this.#tissue(slide, signal)]);
      this.remember();
    } catch (error) {
      if (error.name !== 'AbortError') tell(error.message);
    }
  }

  #open(facts, view) {
    this.facts = facts;
    by('#slide-facts').textContent = [
      `${facts.width} × ${facts.height} px`,
      facts.mpp ? `${facts.mpp[0].toPrecision(3)} µm/px` : 'resolution not known',
      ...facts.notes,
    ].join(' · ');
    by('#scale').hidden = false;
    return new Promise((resolve, reject) => {
      this.viewer.addOnceHandler('open', () => {
        by('#viewer').classList.remove('empty');
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
        getTileUrl: tileUrl(this.slide.name, facts.stamp),
      });
    });
  }

  async #layers(layer) {
    const { slide, source } = this;
    const { signal } = this.loading;
    const others = slide.overlays.length ? ` There are some of ${slide.overlays.join(', ')}.` : '';
    const lacking = slide.overlays.includes(source) ? '' : this.run.hint || `No values of ${source} for this slide.${others}`;
    by('#hint').textContent = lacking;
    by('#hint').hidden = !lacking;
    try {
      await this.layers.open(slide, source, layer, signal);
    } catch (error) {
      if (error.name !== 'AbortError') tell(error.message);
    }
  }

  async #tissue(slide, signal) {
    by('#tissue-choice').hidden = !slide.tissue;
    if (!slide.tissue) return;
    try {
      const pieces = await getTissue(slide.name, signal);
      if (!signal.aborted) this.overlay.setTissue(pieces);
    } catch (error) {
      if (error.name !== 'AbortError') tell(error.message);
    }
  }

  remember() {
    if (!this.slide || !this.facts || !this.viewer.isOpen()) return;
    const { viewport } = this.viewer;
    const centre = viewport.getCenter();
    writeAddress({
      slide: this.slide.name,
      source: this.run.sources.length > 1 ? this.source : null,
      layer: this.layers.layer,
      x: centre.x.toFixed(5),
      y: centre.y.toFixed(5),
      zoom: viewport.getZoom().toFixed(4),
    });
  }
}

try {
  const run = await getRun();
  by('#title').textContent = run.title;
  by('#kind').textContent = run.kind;
  const page = new Page(run);
  await page.follow();
  document.body.dataset.ready = 'true';
} catch (error) {
  tell(error.message);
}

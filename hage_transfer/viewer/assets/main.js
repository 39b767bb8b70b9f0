// The page: the list of slides, the slide in one pane or two, what lies over it, and the address that remembers all this.

import { readAddress, writeAddress } from './address.js';
import { Annotations } from './annotations.js';
import { getRun, getSlide, getTissue, tileUrl } from './api.js';
import { during, watch } from './busy.js';
import { Deciding } from './deciding.js';
import { Drawing } from './drawing.js';
import { layerName, Layers } from './layers.js';
import { Legend } from './legend.js';
import { Pane } from './pane.js';
import { measurements, showRegion } from './regions.js';
import { showScale } from './scale_bar.js';
import { SideBySide } from './side_by_side.js';
import { SlideList } from './slide_list.js';
import { snapshot } from './snapshot.js';
import { listenToButtons, listenToKeys } from './tools.js';

const by = (id) => document.querySelector(id);
const LABEL = 'Slide: arrow keys pan, plus and minus zoom, the digit 0 shows all of it, the letter O switches the overlay, N and P go to the next and previous slide';

function tell(message) {
  by('#message').textContent = message;
  by('#message').hidden = !message;
}

class Page {
  constructor(run) {
    this.run = run;
    this.slide = this.facts = this.pieces = null;
    this.loading = new AbortController();
    this.pane = new Pane(by('#viewer'), { label: LABEL, navigator: window.matchMedia('(min-width: 800px)').matches });
    this.viewer = this.pane.viewer;
    this.overlay = this.pane.overlay;
    this.list = new SlideList(run, (name) => this.show(name));
    this.source = run.sources.find((source) => run.slides.some((slide) => slide.found && slide.overlays.includes(source))) ?? run.sources[0];
    this.list.setSource(this.source);
    document.body.classList.toggle('bare', !run.slides.some((slide) => slide.overlays.length));
    this.#parts();
    this.#sources();
    this.#tools();
    for (const event of ['update-viewport', 'open', 'resize']) this.viewer.addHandler(event, () => this.#scale());
    this.viewer.addHandler('animation-finish', () => this.remember());
    window.addEventListener('hashchange', () => this.follow());
  }

  get panes() {
    return [this.pane, this.beside.on && this.beside.pane].filter(Boolean);
  }

  #parts() {
    const panes = () => this.panes;
    this.beside = new SideBySide(this.pane, { run: this.run, tell, changed: () => this.compare(), made: (pane) => this.#dress(pane) });
    this.legend = new Legend(this.run, () => this.layers.paint());
    this.layers = new Layers({
      overlay: this.overlay,
      beside: this.beside,
      legend: this.legend,
      tell,
      changed: () => this.remember(),
      painted: () => this.#region(),
    });
    this.deciding = new Deciding(this.pane, this.layers, () => this.beside.together?.lead(this.pane));
    this.annotations = new Annotations({
      panes,
      tell,
      chosen: () => {
        this.layers.loadColumns();
        this.#region();
      },
      measured: (one) => measurements(one, this.facts.mpp, this.layers.tiles?.boxes, this.layers.loaded()),
    });
    this.drawing = new Drawing({ panes, tell, drawn: (...shape) => this.annotations.add(...shape), mpp: () => this.facts?.mpp });
    this.#dress(this.pane);
  }

  /** What every pane has: drawings, the loading sign, a word where a part cannot be read. */
  #dress(pane) {
    pane.overlay.painters.push((context, view) => this.annotations.paint(context, view));
    this.drawing.listen(pane);
    watch(pane.viewer);
    this.layers.fade();
    pane.viewer.addHandler('tile-load-failed', (event) => tell(`A part of the slide could not be read: ${event.message}`));
  }

  #region() {
    if (!this.annotations?.selected) return;
    showRegion(this.annotations.selected, this.layers.tiles?.boxes, this.layers.loaded());
  }

  #sources() {
    const choice = by('#source');
    choice.replaceChildren(...this.run.sources.map((name) => new Option(name, name)));
    by('#source-choice').hidden = this.run.sources.length < 2;
    choice.addEventListener('change', () => this.#take(choice.value, true));
    this.#take(this.source);
  }

  /** Takes a source for the first pane. */
  #take(source, reload = false) {
    this.source = by('#source').value = source;
    by('#first-name').textContent = source;
    this.list.setSource(source);
    this.beside.choices(source);
    if (reload && this.slide) this.compare();
  }

  /** Loads what lies over the slide anew: another source, in the first pane or the second. */
  async compare() {
    const { signal } = this.loading;
    by('#first-name').hidden = !this.beside.on;
    this.beside.choices(this.source);
    if (!this.slide?.found || !this.facts) return;
    const { layer } = this.layers;
    await this.#side(signal);
    await this.#layers(layer);
    this.layers.fade();
    this.remember();
  }

  #side(signal) {
    const { slide, facts } = this;
    if (this.pieces) this.beside.pane?.overlay.setTissue(this.pieces);
    return this.beside.open(slide, facts, tileUrl(slide.name, facts.stamp), signal).catch((error) => error.name !== 'AbortError' && tell(error.message));
  }

  #tools() {
    const lead = () => this.beside.together?.lead(this.pane);
    listenToButtons(this.viewer, lead);
    by('#snapshot').addEventListener('click', () => this.#snapshot());
    by('#view-region').addEventListener('click', () => {
      const view = this.facts && this.pane.inView();
      if (!view) return;
      const { left, top, right, bottom } = view;
      this.annotations.add('Polygon', [[[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]]);
    });
    const pointed = (position) => {
      const place = this.pane.place(position);
      if (!place || !this.layers.raster) return;
      const tile = this.layers.raster.tileAt(...place);
      if (this.overlay.point(tile)) this.layers.point(tile);
    };
    new window.OpenSeadragon.MouseTracker({ element: this.viewer.container, moveHandler: (event) => pointed(event.position) });
    this.viewer.addHandler('canvas-click', (event) => pointed(event.position));
    const beside = (step) => {
      const next = this.list.beside(step);
      if (next && next !== this.slide?.name) this.show(next);
    };
    const press = (id) => () => !by(id).hidden && by(id).click();
    listenToKeys({
      o: () => this.layers.toggle(),
      n: () => beside(1),
      p: () => beside(-1),
      c: press('#compare'),
      s: press('#snapshot'),
      d: press('#deciding-next'),
      D: press('#deciding-previous'),
      b: press('#deciding-back'),
      l: press('[data-tool=ruler]'),
      a: press('[data-tool=outline]'),
      r: press('[data-tool=rectangle]'),
      v: press('#view-region'),
    });
  }

  #snapshot() {
    if (!this.facts) return;
    const { slide, source, beside, layers, legend } = this;
    const panes = [{ pane: this.pane, caption: source }];
    if (beside.on) panes.push({ pane: beside.pane, caption: by('#beside-name').textContent });
    const shown = by('#overlay-on').checked ? legend.shown : null;
    const file = [slide.name, layers.layer ? layerName(layers.layer) : 'slide'].join('_');
    snapshot(panes, { title: `${slide.name} · ${this.run.title}`, mpp: this.facts.mpp, shown }, `${file}.png`).catch((error) => tell(error.message));
  }

  #scale() {
    const view = this.overlay.view();
    if (view && this.facts) showScale({ scale: view.scale, mpp: this.facts.mpp });
  }

  /** Shows what the address names, or the first slide that is there. */
  follow() {
    const wanted = readAddress();
    if (this.run.sources.includes(wanted.source) && wanted.source !== this.source) this.#take(wanted.source);
    if ((wanted.beside ?? null) !== this.beside.source) this.beside.turn(wanted.beside);
    const known = this.run.slides.find((slide) => slide.name === wanted.slide);
    const first = this.run.slides.find((slide) => slide.found && slide.overlays.includes(this.source)) ?? this.run.slides.find((slide) => slide.found);
    const chosen = known ?? first ?? this.run.slides[0];
    if (wanted.slide && !known) tell(`The slide ${wanted.slide} is not in this run.`);
    return during(this.show(chosen.name, wanted));
  }

  async show(name, view = {}) {
    this.loading.abort();
    this.loading = new AbortController();
    const { signal } = this.loading;
    const slide = this.run.slides.find((one) => one.name === name);
    const layer = view.layer ?? this.layers.layer;
    Object.assign(this, { slide, facts: null, pieces: null });
    this.list.mark(name);
    tell('');
    for (const pane of [this.pane, this.beside.pane]) pane?.close();
    this.layers.clear();
    this.annotations.open(name, null);
    this.deciding.open();
    for (const id of ['#hint', '#tissue-choice', '#scale']) by(id).hidden = true;
    by('#slide-name').textContent = name;
    by('#slide-facts').textContent = '';
    by('#slide-doubt').textContent = slide.facts[this.source]?.why ? `Doubtful: ${slide.facts[this.source].why}` : '';
    document.title = `${name} · ${this.run.title}`;
    if (!slide.found) {
      tell(`${name} was not found; looked in ${slide.sought}. Start the viewer again with --slides FOLDER.`);
      return;
    }
    try {
      const facts = await during(getSlide(name, signal));
      if (signal.aborted) return;
      await this.#open(facts, view);
      if (signal.aborted) return;
      await this.#side(signal);
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
    this.annotations.open(this.slide.name, facts);
    return this.pane.open(facts, tileUrl(this.slide.name, facts.stamp), view);
  }

  async #layers(layer) {
    const { slide, source } = this;
    const { signal } = this.loading;
    const others = slide.overlays.length ? ` There are some of ${slide.overlays.join(', ')}.` : '';
    const lacking = slide.overlays.includes(source) ? '' : this.run.hint || `No values of ${source} for this slide.${others}`;
    by('#hint').textContent = lacking;
    by('#hint').hidden = !lacking;
    try {
      await during(this.layers.open(slide, source, layer, signal));
      await this.deciding.open();
    } catch (error) {
      if (error.name !== 'AbortError') tell(error.message);
    }
  }

  async #tissue(slide, signal) {
    by('#tissue-choice').hidden = !slide.tissue;
    if (!slide.tissue) return;
    try {
      this.pieces = await getTissue(slide.name, signal);
      if (!signal.aborted) for (const pane of this.panes) pane.overlay.setTissue(this.pieces);
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
      beside: this.beside.source,
      layer: this.layers.layer,
      x: centre.x.toFixed(5),
      y: centre.y.toFixed(5),
      zoom: viewport.getZoom().toFixed(4),
    });
  }
}

try {
  const run = await during(getRun());
  by('#title').textContent = run.title;
  by('#kind').textContent = run.kind;
  const page = new Page(run);
  await page.follow();
  document.body.dataset.ready = 'true';
} catch (error) {
  tell(error.message);
}

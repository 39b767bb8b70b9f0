// A second pane beside the first: the same slide with the tiles of another source, in the same colours.

import { getTiles, getValues } from './api.js';
import { during } from './busy.js';
import { Pane, Together } from './pane.js';
import { TileRaster } from './raster.js';

const by = (id) => document.querySelector(id);

export class SideBySide {
  /** @param {Pane} pane the first one; @param {{run, tell, changed, made}} parts of the page; `made` is given the new pane */
  constructor(pane, { run, tell, changed, made }) {
    Object.assign(this, { first: pane, run, tell, changed, made, pane: null, source: null, tiles: null, values: null, raster: null, kept: new Map() });
    by('#compare').hidden = by('#beside-choice').hidden = run.sources.length < 2;
    by('#compare').addEventListener('click', () => this.turn(this.source ? null : this.other()));
    by('#beside-source').addEventListener('change', (event) => this.turn(event.target.value));
  }

  get on() {
    return Boolean(this.source);
  }

  /** The source to begin with: frozen features beside any other, else the next one. */
  other(source = by('#source').value) {
    const others = this.run.sources.filter((one) => one !== source);
    return others.find((one) => one === 'frozen') ?? others[0];
  }

  /** Shows a source beside the first, or none. */
  turn(source) {
    this.source = source && this.run.sources.includes(source) ? source : null;
    if (this.on && !this.pane) {
      this.pane = new Pane(by('#beside'), { label: 'The same slide with another source: it follows the first and leads it' });
      this.together = new Together(this.first, this.pane);
      this.made(this.pane);
    }
    by('#beside-pane').hidden = !this.on;
    by('#compare').setAttribute('aria-pressed', String(this.on));
    if (this.together) this.together.on = this.on;
    if (!this.on) {
      this.pane?.close();
      Object.assign(this, { tiles: null, values: null, raster: null });
    }
    this.changed();
  }

  /** Fills the choice with all sources but the first pane's. */
  choices(first) {
    if (this.source === first) this.source = this.other(first);
    by('#beside-source').replaceChildren(...this.run.sources.filter((one) => one !== first).map((one) => new Option(one, one, false, one === this.source)));
    by('#beside-source').disabled = !this.on;
  }

  /** Opens the slide that the first pane has. */
  async open(slide, facts, url, signal) {
    this.kept.clear();
    Object.assign(this, { slide, signal, tiles: null, values: null, raster: null });
    if (!this.on) return;
    this.pane.overlay.setPicture(null, null);
    if (facts) await this.pane.open(facts, url);
    this.together.lead(this.first);
    this.together.follow();
    if (!slide.overlays.includes(this.source)) return;
    const tiles = await during(getTiles(slide.name, this.source, signal));
    if (signal.aborted) return;
    this.tiles = tiles;
    this.raster = new TileRaster(tiles.boxes, tiles.shape);
  }

  /** Loads a layer's values where the other source has it. */
  async show(layer) {
    this.values = null;
    const { tiles, signal } = this;
    if (!tiles) return;
    const [kind, key] = [layer.slice(0, layer.indexOf(':')), layer.slice(layer.indexOf(':') + 1)];
    const has = { column: tiles.columns, gene: tiles.genes, set: tiles.sets.map((one) => one.name) }[kind].includes(key);
    if (!has) return;
    if (!this.kept.has(layer)) this.kept.set(layer, await during(getValues(this.slide.name, this.source, kind, key, tiles.stamp, signal)));
    if (this.tiles === tiles) this.values = this.kept.get(layer);
  }

  paint(options, name) {
    if (!this.on) return;
    const picture = this.values && this.raster.paint(this.values, options);
    this.pane.overlay.setPicture(picture ? this.raster : null, picture);
    by('#beside-name').textContent = this.values ? this.source : `${this.source}: has no ${name || 'values'} here`;
  }
}

// The panel of layers: which number of the tiles is shown, how, and what the tile under the pointer has.

import { getTiles, getValues } from './api.js';
import { during } from './busy.js';
import { COLOUR_MAPS, colourTable } from './colours.js';
import { rounded } from './format.js';
import { unitOf } from './legend.js';
import { colourRange, TileRaster } from './raster.js';

const NAMES = { attention: 'Attention', percentile: 'Attention, percentile', deciding: 'Deciding tiles' };
const KEPT = 12;
const SHOWN = 400;
const by = (id) => document.querySelector(id);
const kindOf = (layer) => layer.slice(0, layer.indexOf(':'));
const keyOf = (layer) => layer.slice(layer.indexOf(':') + 1);

/** What a column, gene or gene set is called on the page. */
export function layerName(layer) {
  const key = keyOf(layer);
  if (kindOf(layer) === 'gene') return `${key}, predicted expression`;
  if (kindOf(layer) === 'set') return `${key}, mean predicted expression`;
  if (key.startsWith('probability_')) return `Probability of ${key.slice('probability_'.length)}`;
  return NAMES[key] ?? key.replaceAll('_', ' ');
}

function joined(one, other) {
  const both = new Float32Array(one.length + other.length);
  both.set(one);
  both.set(other, one.length);
  return both;
}

const shortName = (layer) => (kindOf(layer) === 'column' ? layerName(layer) : keyOf(layer));

export class Layers {
  /** @param {{overlay, beside, legend, tell, changed, painted}} parts of the page; `painted` is called when numbers have changed */
  constructor({ overlay, beside, legend, tell, changed, painted }) {
    Object.assign(this, { overlay, beside, legend, tell, changed, painted, tiles: null, values: null, layer: null, kept: new Map() });
    by('#colours').replaceChildren(...COLOUR_MAPS.map((name) => new Option(name, name)));
    by('#layer').addEventListener('change', (event) => this.show(event.target.value));
    by('#layer-search').addEventListener('input', () => this.options());
    by('#colours').addEventListener('change', () => this.paint());
    by('#threshold').addEventListener('input', () => this.paint());
    for (const id of ['#smooth', '#tissue-on', '#opacity', '#overlay-on']) by(id).addEventListener('input', () => this.fade());
    this.fade();
  }

  get overlays() {
    return [this.overlay, this.beside.pane?.overlay].filter(Boolean);
  }

  /** Nothing to show. */
  clear() {
    Object.assign(this, { tiles: null, values: null, layer: null, raster: null });
    this.kept.clear();
    this.overlay.setPicture(null, null);
    this.beside.pane?.overlay.setPicture(null, null);
    by('#layers').disabled = true;
    for (const id of ['#layer', '#cautions']) by(id).replaceChildren();
    by('#legend').hidden = true;
    this.legend.shown = null;
    this.point(-1);
  }

  /** Loads the tiles of a slide; `layer` is shown where the slide has it. */
  async open(slide, source, layer, signal) {
    this.clear();
    Object.assign(this, { slide, source, signal });
    if (!slide.overlays.includes(source)) return;
    const tiles = await getTiles(slide.name, source, signal);
    if (signal.aborted) return;
    this.tiles = tiles;
    this.genes = tiles.genes.map((gene, place) => [`gene:${gene}`, tiles.scores?.[place]?.toFixed(2)]);
    if (tiles.scores) {
      const score = new Map(tiles.genes.map((gene, place) => [`gene:${gene}`, tiles.scores[place] ?? -2]));
      this.genes.sort(([one], [other]) => score.get(other) - score.get(one));
    }
    this.raster = new TileRaster(tiles.boxes, tiles.shape);
    by('#layers').disabled = false;
    by('#cautions').replaceChildren(
      ...tiles.cautions.map((caution) => Object.assign(document.createElement('li'), { textContent: caution })),
    );
    const all = this.groups().flatMap(([, entries]) => entries.map(([name]) => name));
    const first = ['column:percentile', 'column:attention'].find((name) => all.includes(name)) ?? all[0];
    if (first) await this.show(all.includes(layer) ? layer : first);
  }

  /** Headings, and the layers below them with a note each. */
  groups() {
    const { tiles } = this;
    return [
      ['Of tiles', tiles.columns.map((name) => [`column:${name}`])],
      ['Gene sets', tiles.sets.map(({ name, known, of }) => [`set:${name}`, `${known} of ${of} genes`])],
      [`Genes${tiles.scores ? `, ${tiles.scoreName}` : ''}`, this.genes],
    ];
  }

  /** Fills the list with what the search leaves; the layer that is shown stays in it. */
  options() {
    const wanted = by('#layer-search').value.trim().toLowerCase();
    const fits = ([name]) => name === this.layer || layerName(name).toLowerCase().includes(wanted);
    const groups = this.groups().map(([label, entries]) => [label, entries.filter(fits)]).filter(([, entries]) => entries.length);
    const made = groups.map(([label, entries]) => {
      const group = document.createElement('optgroup');
      group.label = label;
      for (const [name, note] of entries.slice(0, SHOWN)) group.append(new Option(shortName(name) + (note ? `  ${note}` : ''), name, false, name === this.layer));
      if (entries.length > SHOWN) group.append(Object.assign(new Option(`and ${entries.length - SHOWN} more: search above`, ''), { disabled: true }));
      return group;
    });
    by('#layer').replaceChildren(...made);
    const found = groups.flatMap(([, entries]) => entries.map(([name]) => name));
    const none = wanted && this.genes.length && !found.some((name) => name !== this.layer);
    const kept = found.filter((name) => kindOf(name) === 'gene').length;
    by('#layer-count').textContent = none
      ? `no layer or gene “${wanted}” in ${this.source} of this slide (${this.genes.length} genes predicted)`
      : `${kept} of ${this.genes.length} genes`;
  }

  async show(layer) {
    if (!layer) return;
    const { signal } = this;
    this.layer = layer;
    this.options();
    this.changed();
    try {
      const [values] = await during(Promise.all([this.numbers(layer, signal), this.beside.show(layer)]));
      if (signal.aborted || this.layer !== layer) return;
      this.values = values;
      by('#threshold').value = 0;
      this.paint();
      await this.legend.follow(this.source, kindOf(layer), keyOf(layer), signal);
    } catch (error) {
      if (error.name !== 'AbortError') this.tell(error.message);
    }
  }

  async numbers(layer, signal) {
    if (!this.kept.has(layer)) {
      this.kept.set(layer, await getValues(this.slide.name, this.source, kindOf(layer), keyOf(layer), this.tiles.stamp, signal));
      const old = [...this.kept.keys()].filter((name) => kindOf(name) !== 'column');
      if (old.length > KEPT) this.kept.delete(old[0]);
    }
    return this.kept.get(layer);
  }

  /** Names and values of the layers that are loaded, the one that is shown first. */
  loaded() {
    const columns = (this.tiles?.columns ?? []).map((name) => `column:${name}`);
    const names = [...new Set([this.layer, ...columns, ...this.kept.keys()])].filter((name) => this.kept.has(name));
    return names.map((name) => [shortName(name), this.kept.get(name)]);
  }

  paint() {
    if (!this.values) return;
    const { beside, values } = this;
    const both = beside.on && beside.values ? joined(values, beside.values) : values;
    const range = this.legend.range(colourRange(both, kindOf(this.layer) === 'column' ? keyOf(this.layer) : ''));
    const share = Number(by('#threshold').value) / 100;
    const least = share > 0 ? range.low + share * (range.high - range.low) : -Infinity;
    const colours = by('#colours').value;
    const options = { ...range, least, colours: colourTable(colours) };
    this.overlay.setPicture(this.raster, this.raster.paint(values, options));
    beside.paint(options, shortName(this.layer));
    const unit = unitOf(kindOf(this.layer), keyOf(this.layer), this.tiles);
    this.legend.show({ name: layerName(this.layer), unit, range, values, colours });
    by('#threshold-value').textContent = share > 0 ? `${rounded(least)} and more` : 'all tiles';
    this.point(this.overlay.pointed);
    this.painted();
  }

  /** How strongly the layers show, and whether they are smooth. */
  fade() {
    const share = Number(by('#opacity').value);
    by('#opacity-value').textContent = `${share} %`;
    for (const overlay of this.overlays) {
      overlay.setOpacity(by('#overlay-on').checked ? share / 100 : 0);
      Object.assign(overlay, { smooth: by('#smooth').checked, outlined: by('#tissue-on').checked });
      overlay.draw();
    }
  }

  toggle() {
    by('#overlay-on').click();
  }

  /** Shows the numbers of the tile under the pointer: those that are loaded, and loads the columns once. */
  point(tile) {
    const body = by('#tile-values');
    if (tile < 0 || !this.tiles) {
      body.replaceChildren();
      by('#tile-name').textContent = this.tiles ? 'Point at a tile, or tap it.' : '';
      return;
    }
    this.loadColumns();
    const [x, y, width, height] = this.tiles.boxes.subarray(tile * 4, tile * 4 + 4);
    by('#tile-name').textContent =
      `${this.tiles.shape === 'circle' ? 'Spot' : 'Tile'} ${tile} at (${Math.round(x)}, ${Math.round(y)}), ${Math.round(width)} × ${Math.round(height)} px`;
    const shown = this.loaded().map(([name, values]) => [name, values[tile]]);
    const { beside } = this;
    if (beside.on && beside.values) shown.unshift([`${shortName(this.layer)}, ${beside.source}`, beside.values[beside.raster.tileAt(x + width / 2, y + height / 2)]]);
    body.replaceChildren(
      ...shown.map(([title, value]) => {
        const row = document.createElement('tr');
        const [name, cell] = [document.createElement('th'), document.createElement('td')];
        name.scope = 'row';
        name.textContent = title;
        cell.textContent = rounded(value);
        row.append(name, cell);
        return row;
      }),
    );
  }

  /** Loads the columns of the tiles, once. */
  loadColumns() {
    const { signal, tiles } = this;
    if (!tiles || tiles.asked) return;
    tiles.asked = true;
    const loads = tiles.columns.map((name) => this.numbers(`column:${name}`, signal));
    Promise.all(loads).then(
      () => this.tiles === tiles && (this.point(this.overlay.pointed), this.painted()),
      (error) => error.name !== 'AbortError' && this.tell(error.message),
    );
  }
}

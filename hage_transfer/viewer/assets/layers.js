// The panel of layers: which number of the tiles is shown, how, and what the tile under the pointer has.

import { COLOUR_MAPS, colourTable, gradientStops } from './colours.js';
import { getTiles, getValues } from './api.js';
import { colourRange, TileRaster } from './raster.js';

const NAMES = { attention: 'Attention', percentile: 'Attention, percentile', deciding: 'Deciding tiles' };
const KEPT_GENES = 12;
const SHOWN_GENES = 400;
const by = (id) => document.querySelector(id);

/** What a column or gene is called on the page. */
export function layerName(layer) {
  const key = layer.slice(layer.indexOf(':') + 1);
  if (layer.startsWith('gene:')) return `${key}, predicted expression`;
  if (key.startsWith('probability_')) return `Probability of ${key.slice('probability_'.length)}`;
  return NAMES[key] ?? key.replaceAll('_', ' ');
}

const rounded = (value) => (Number.isFinite(value) ? String(Number(value.toPrecision(4))) : 'none');

export class Layers {
  /** @param {import('./overlay.js').Overlay} overlay; @param {(message: string) => void} tell; @param {() => void} changed */
  constructor(overlay, tell, changed) {
    Object.assign(this, { overlay, tell, changed, tiles: null, values: null, layer: null, kept: new Map() });
    by('#colours').replaceChildren(...COLOUR_MAPS.map((name) => new Option(name, name)));
    by('#layer').addEventListener('change', (event) => this.show(event.target.value));
    by('#layer-search').addEventListener('input', () => this.options());
    by('#colours').addEventListener('change', () => this.paint());
    by('#threshold').addEventListener('input', () => this.paint());
    by('#smooth').addEventListener('change', (event) => {
      overlay.smooth = event.target.checked;
      overlay.draw();
    });
    by('#opacity').addEventListener('input', () => this.fade());
    by('#overlay-on').addEventListener('change', () => this.fade());
    by('#tissue-on').addEventListener('change', (event) => {
      overlay.outlined = event.target.checked;
      overlay.draw();
    });
    this.fade();
  }

  /** Nothing to show. */
  clear() {
    Object.assign(this, { tiles: null, values: null, layer: null, raster: null });
    this.kept.clear();
    this.overlay.setPicture(null, null);
    by('#layers').disabled = true;
    by('#layer').replaceChildren();
    by('#cautions').replaceChildren();
    by('#legend').hidden = true;
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
    this.genes = tiles.genes.map((gene, place) => [`gene:${gene}`, tiles.scores?.[place] ?? null]);
    if (tiles.scores) this.genes.sort(([, one], [, other]) => (other ?? -2) - (one ?? -2));
    this.raster = new TileRaster(tiles.boxes, tiles.shape);
    by('#layers').disabled = false;
    by('#cautions').replaceChildren(
      ...tiles.cautions.map((caution) => Object.assign(document.createElement('li'), { textContent: caution })),
    );
    const all = this.all();
    const first = ['column:percentile', 'column:attention'].find((name) => all.includes(name)) ?? all[0];
    if (first) await this.show(all.includes(layer) ? layer : first);
  }

  all() {
    return [...this.tiles.columns.map((name) => `column:${name}`), ...this.genes.map(([name]) => name)];
  }

  /** Fills the list with what the search leaves; the layer that is shown stays in it. */
  options() {
    const wanted = by('#layer-search').value.trim().toLowerCase();
    const fits = (name) => name === this.layer || layerName(name).toLowerCase().includes(wanted);
    const genes = this.genes;
    const kept = genes.filter(([name]) => fits(name));
    const groups = [
      ['Of tiles', this.tiles.columns.map((name) => [`column:${name}`]).filter(([name]) => fits(name))],
      [`Genes${this.tiles.scores ? `, ${this.tiles.scoreName}` : ''}`, kept.slice(0, SHOWN_GENES)],
    ];
    const made = groups.filter(([, entries]) => entries.length).map(([label, entries]) => {
      const group = document.createElement('optgroup');
      group.label = label;
      for (const [name, score] of entries) {
        const text = name.startsWith('gene:') ? name.slice(5) : layerName(name);
        const note = Number.isFinite(score) ? `  ${score.toFixed(2)}` : '';
        group.append(new Option(text + note, name, false, name === this.layer));
      }
      return group;
    });
    if (kept.length > SHOWN_GENES) {
      const rest = new Option(`and ${kept.length - SHOWN_GENES} more: search above`, '');
      rest.disabled = true;
      made.at(-1).append(rest);
    }
    by('#layer').replaceChildren(...made);
    const none = wanted && genes.length && !made.some((group) => [...group.children].some((one) => one.value !== this.layer));
    by('#layer-count').textContent = none
      ? `no layer or gene “${wanted}” in ${this.source} of this slide (${genes.length} genes predicted)`
      : `${kept.length} of ${genes.length} genes`;
  }

  async show(layer) {
    if (!layer) return;
    const { signal } = this;
    this.layer = layer;
    this.options();
    this.changed();
    try {
      const values = await this.numbers(layer, signal);
      if (signal.aborted || this.layer !== layer) return;
      this.values = values;
      by('#threshold').value = 0;
      this.paint();
    } catch (error) {
      if (error.name !== 'AbortError') this.tell(error.message);
    }
  }

  async numbers(layer, signal) {
    if (!this.kept.has(layer)) {
      const [kind, key] = [layer.slice(0, layer.indexOf(':')), layer.slice(layer.indexOf(':') + 1)];
      this.kept.set(layer, await getValues(this.slide.name, this.source, kind, key, this.tiles.stamp, signal));
      const genes = [...this.kept.keys()].filter((name) => name.startsWith('gene:'));
      if (genes.length > KEPT_GENES) this.kept.delete(genes[0]);
    }
    return this.kept.get(layer);
  }

  paint() {
    if (!this.values) return;
    const key = this.layer.slice(this.layer.indexOf(':') + 1);
    const range = this.layer.startsWith('gene:') ? colourRange(this.values, '') : colourRange(this.values, key);
    const share = Number(by('#threshold').value) / 100;
    const least = share > 0 ? range.low + share * (range.high - range.low) : -Infinity;
    const colours = by('#colours').value;
    const picture = this.raster.paint(this.values, { ...range, least, colours: colourTable(colours) });
    this.overlay.setPicture(this.raster, picture);
    by('#legend').hidden = false;
    by('#legend-name').textContent = layerName(this.layer);
    by('#legend-bar').style.backgroundImage = `linear-gradient(to right, ${gradientStops(colours).join(', ')})`;
    by('#legend-low').textContent = (range.clipped ? '≤ ' : '') + rounded(range.low);
    by('#legend-high').textContent = (range.clipped ? '≥ ' : '') + rounded(range.high);
    by('#threshold-value').textContent = share > 0 ? `${rounded(least)} and more` : 'all tiles';
    this.point(this.overlay.pointed);
  }

  fade() {
    const share = Number(by('#opacity').value);
    by('#opacity-value').textContent = `${share} %`;
    this.overlay.setOpacity(by('#overlay-on').checked ? share / 100 : 0);
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
    this.#loadColumns();
    const [x, y, width, height] = this.tiles.boxes.subarray(tile * 4, tile * 4 + 4);
    by('#tile-name').textContent =
      `${this.tiles.shape === 'circle' ? 'Spot' : 'Tile'} ${tile} at (${Math.round(x)}, ${Math.round(y)}), ${Math.round(width)} × ${Math.round(height)} px`;
    const shown = [...new Set([this.layer, ...this.tiles.columns.map((name) => `column:${name}`), ...this.kept.keys()])];
    body.replaceChildren(
      ...shown.filter((layer) => this.kept.has(layer)).map((layer) => {
        const row = document.createElement('tr');
        const [name, value] = [document.createElement('th'), document.createElement('td')];
        name.scope = 'row';
        name.textContent = layer.startsWith('gene:') ? layer.slice(5) : layerName(layer);
        value.textContent = rounded(this.kept.get(layer)[tile]);
        row.append(name, value);
        return row;
      }),
    );
  }

  #loadColumns() {
    const { signal, tiles } = this;
    if (tiles.asked) return;
    tiles.asked = true;
    const loads = tiles.columns.map((name) => this.numbers(`column:${name}`, signal));
    Promise.all(loads).then(
      () => this.tiles === tiles && this.point(this.overlay.pointed),
      (error) => error.name !== 'AbortError' && this.tell(error.message),
    );
  }
}

// From one deciding tile to the next, the one of highest attention first, and back to where one was.

import { rounded } from './format.js';

const AROUND = 5; // sides of a tile in view
const by = (id) => document.querySelector(id);

export class Deciding {
  constructor(pane, layers, acts) {
    Object.assign(this, { pane, layers, acts, order: [], at: -1, home: null });
    by('#deciding-next').addEventListener('click', () => this.go(1));
    by('#deciding-previous').addEventListener('click', () => this.go(-1));
    by('#deciding-back').addEventListener('click', () => this.back());
  }

  /** Of the tiles that are shown now: those the run marked, else the tenth of highest attention. */
  async open() {
    Object.assign(this, { order: [], at: -1, home: null });
    this.say('');
    const { tiles, signal } = this.layers;
    by('#deciding').hidden = !tiles?.columns.includes('attention');
    if (by('#deciding').hidden) return;
    const attention = await this.layers.numbers('column:attention', signal);
    const mark = tiles.columns.includes('deciding') ? await this.layers.numbers('column:deciding', signal) : null;
    if (this.layers.tiles !== tiles) return;
    const sorted = Array.from(attention.keys()).sort((one, other) => attention[other] - attention[one]);
    this.attention = attention;
    this.order = mark ? sorted.filter((tile) => mark[tile] > 0) : sorted.slice(0, Math.max(1, Math.round(sorted.length / 10)));
    this.say(`${this.order.length} deciding tiles`);
  }

  go(step) {
    if (!this.order.length) return;
    const { viewport } = this.pane.viewer;
    this.home ??= viewport.getBounds();
    const from = this.at < 0 && step < 0 ? 0 : this.at;
    this.at = (from + step + this.order.length) % this.order.length;
    const tile = this.order[this.at];
    const [x, y, w, h] = this.layers.tiles.boxes.subarray(tile * 4, tile * 4 + 4);
    this.acts();
    this.pane.goTo(x - (w * (AROUND - 1)) / 2, y - (h * (AROUND - 1)) / 2, w * AROUND, h * AROUND);
    this.pane.overlay.point(tile);
    this.layers.point(tile);
    this.say(`${this.at + 1} of ${this.order.length}, attention ${rounded(this.attention[tile])}`);
  }

  back() {
    if (!this.home) return;
    this.acts();
    this.pane.viewer.viewport.fitBounds(this.home);
    Object.assign(this, { home: null, at: -1 });
    this.say(`${this.order.length} deciding tiles`);
  }

  say(text) {
    by('#deciding-text').textContent = text;
    by('#deciding-back').disabled = !this.home;
  }
}

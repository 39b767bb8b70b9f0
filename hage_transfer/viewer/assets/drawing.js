// The tools that draw: a ruler, a rectangle, an outline (corner by corner, or along the pointer).

import { label } from './annotations.js';
import { areaText, lengthText } from './format.js';
import { areaOf, crossingOf, lengthOf } from './geometry.js';

const NEAR_PX = 10;
const STEP_PX = 4;
const HELP = {
  ruler: 'Ruler: drag from one place to another.',
  rectangle: 'Rectangle: drag from corner to corner.',
  outline: 'Outline: click corner by corner, or drag along the edge; Enter or a double click closes it, Backspace takes a corner back.',
};

export class Drawing {
  /** @param {(type: string, coordinates: Array) => void} drawn takes a finished shape; `mpp` gives the resolution */
  constructor({ panes, drawn, tell, mpp }) {
    Object.assign(this, { panes, drawn, tell, mpp, tool: null, points: [], pointer: null, dragged: false });
    for (const button of document.querySelectorAll('[data-tool]')) button.addEventListener('click', () => this.take(button.dataset.tool));
    document.addEventListener('keydown', (event) => this.key(event));
  }

  /** Listens to a pane. */
  listen(pane) {
    const { viewer } = pane;
    pane.overlay.painters.push((context, view) => this.paint(context, view));
    viewer.addHandler('canvas-press', (event) => this.press(pane.place(event.position)));
    viewer.addHandler('canvas-drag', (event) => this.taken(event, () => this.drag(pane.place(event.position), pane)));
    viewer.addHandler('canvas-drag-end', (event) => this.taken(event, () => this.dragged && this.release()));
    viewer.addHandler('canvas-click', (event) => this.taken(event, () => event.quick && this.click(pane.place(event.position), pane)));
    viewer.addHandler('canvas-double-click', (event) => this.taken(event, () => this.close()));
    new window.OpenSeadragon.MouseTracker({
      element: viewer.container,
      moveHandler: (event) => {
        if (this.tool !== 'outline' || !this.points.length) return;
        this.pointer = pane.place(event.position);
        this.draw();
      },
    });
  }

  /** Takes a tool in hand; the one in hand is laid down. */
  take(tool) {
    this.tool = tool === this.tool ? null : tool;
    this.clear();
    for (const button of document.querySelectorAll('[data-tool]')) button.setAttribute('aria-pressed', String(button.dataset.tool === this.tool));
    document.body.classList.toggle('drawing', Boolean(this.tool));
    document.querySelector('#drawing-help').textContent = this.tool ? `${HELP[this.tool]} Esc ends.` : '';
  }

  clear() {
    Object.assign(this, { points: [], pointer: null, dragged: false });
    this.draw();
  }

  draw() {
    for (const pane of this.panes()) pane.overlay.draw();
  }

  taken(event, act) {
    if (!this.tool) return;
    event.preventDefaultAction = true;
    act();
  }

  press(place) {
    if (!this.tool || !place) return;
    this.pressed = place;
    if (this.tool !== 'outline') this.points = [place];
  }

  drag(place, pane) {
    if (this.tool === 'outline') {
      if (!this.dragged && !this.points.length) this.points = [this.pressed];
      const last = this.points.at(-1);
      const scale = pane.overlay.view().scale;
      if (Math.hypot(place[0] - last[0], place[1] - last[1]) * scale >= STEP_PX) this.points.push(place);
    } else this.points = [this.points[0] ?? this.pressed, place];
    this.dragged = true;
    this.draw();
  }

  release() {
    this.dragged = false;
    if (this.tool === 'outline') this.close();
    else if (this.points.length === 2) this.finish(this.tool === 'ruler' ? 'LineString' : 'Polygon', this.shape());
  }

  click(place, pane) {
    if (this.tool !== 'outline') return;
    const [first] = this.points;
    const near = first && this.points.length > 2 && Math.hypot(place[0] - first[0], place[1] - first[1]) * pane.overlay.view().scale < NEAR_PX;
    if (near) this.close();
    else this.points.push(place);
    this.draw();
  }

  /** Ends an outline. */
  close() {
    if (this.tool !== 'outline') return;
    this.points = this.points.filter((one, k) => !k || one.some((value, axis) => value !== this.points[k - 1][axis]));
    if (this.points.length < 3) return;
    const ring = [...this.points, this.points[0]];
    if (crossingOf(ring)) {
      this.tell('The outline crosses itself. Take corners back with Backspace, or begin again with Esc.');
      return;
    }
    this.tell('');
    this.finish('Polygon', [ring]);
  }

  finish(type, coordinates) {
    const empty = type === 'Polygon' ? areaOf([coordinates]) === 0 : lengthOf(coordinates) === 0;
    this.clear();
    if (!empty) this.drawn(type, coordinates);
  }

  shape() {
    const [from, to] = this.points;
    if (this.tool === 'ruler') return [from, to];
    return [[from, [to[0], from[1]], to, [from[0], to[1]], from]];
  }

  key(event) {
    if (!this.tool || event.target.closest('input, select, textarea')) return;
    if (event.key === 'Escape') this.points.length ? this.clear() : this.take(null);
    else if (event.key === 'Enter' && !event.target.closest('button')) this.close();
    else if (event.key === 'Backspace') {
      this.points.pop();
      this.draw();
    }
  }

  paint(context, view) {
    const { points, pointer } = this;
    if (!points.length || (points.length < 2 && !pointer)) return;
    const line = this.tool === 'rectangle' ? this.shape()[0] : pointer && !this.dragged ? [...points, pointer] : points;
    context.strokeStyle = '#c2185b';
    context.lineWidth = 2 / view.scale;
    context.beginPath();
    line.forEach(([x, y], k) => (k ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.stroke();
    const mpp = this.mpp();
    const said = this.tool === 'ruler' ? lengthText(lengthOf(line, mpp), mpp) : areaText(areaOf([[[...line, line[0]]]], mpp), mpp);
    label(context, view, ...line.at(this.tool === 'rectangle' ? 2 : -1), said);
  }
}

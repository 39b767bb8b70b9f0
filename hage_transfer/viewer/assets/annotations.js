// What is drawn on a slide: the list of it, its picture over the slide, files in and out.

import { areaText, download, lengthText } from './format.js';
import { MOST_BYTES, newAnnotation, pointsOf, readGeojson, writeGeojson } from './geojson.js';
import { areaOf, boundsOf, lengthOf } from './geometry.js';

const LISTED = 100;
const OWN = [31, 95, 139];
const by = (id) => document.querySelector(id);

export class Annotations {
  /** @param {{panes: () => object[], tell: Function, chosen: Function, measured: Function}} parts of the page */
  constructor({ panes, tell, chosen, measured }) {
    Object.assign(this, { panes, tell, chosen, measured, kept: new Map(), slide: null, facts: null, selected: null });
    by('#geojson-file').addEventListener('change', (event) => this.read(event.target));
    by('#geojson-save').addEventListener('click', () => this.save());
    by('#region-name').addEventListener('input', (event) => this.change('name', event.target.value));
    by('#region-class').addEventListener('input', (event) => this.change('ofClass', event.target.value));
    window.addEventListener('beforeunload', (event) => [...this.kept.values()].some((one) => one.unsaved) && event.preventDefault());
  }

  get here() {
    return this.kept.get(this.slide) ?? { all: [], unsaved: false };
  }

  /** Shows those of a slide, of which `facts` has size, resolution and origin; null where none is open. */
  open(slide, facts) {
    Object.assign(this, { slide, facts, selected: null });
    by('#annotate').disabled = !facts;
    if (facts && !this.kept.has(slide)) this.kept.set(slide, { all: [], unsaved: false });
    this.select(null);
  }

  /** Keeps a shape that was drawn. */
  add(type, coordinates) {
    const names = { LineString: 'Line', Polygon: 'Region' };
    const taken = new Set(this.here.all.map((one) => one.name));
    let number = 1;
    while (taken.has(`${names[type]} ${number}`)) number += 1;
    const one = newAnnotation(type, coordinates, `${names[type]} ${number}`, this.facts.origin);
    this.here.all.push(one);
    this.here.unsaved = true;
    this.select(one);
  }

  async read(input) {
    const [file] = input.files;
    if (!file || !this.facts) return;
    try {
      if (file.size > MOST_BYTES) throw new Error(`${file.name}: larger than ${MOST_BYTES / 1e6} MB`);
      const { width, height, origin } = this.facts;
      const slide = this.slide;
      const found = readGeojson(await file.text(), { width, height, origin, file: file.name });
      if (slide !== this.slide) return;
      const ids = new Set(this.here.all.map((one) => one.feature.id).filter(Boolean));
      const fresh = found.filter((one) => !ids.has(one.feature.id));
      for (const one of fresh) this.here.all.push(one);
      const left = found.length - fresh.length;
      this.tell(left ? `${left} of ${found.length} annotations of ${file.name} are here already: those were left as they are.` : '');
      this.select(null);
    } catch (error) {
      this.tell(`Nothing was read. ${error.message}`);
    } finally {
      input.value = ''; // the same file may be chosen again
    }
  }

  save() {
    const text = writeGeojson(this.here.all, this.measured);
    download(`${this.slide}.annotations.geojson`, new Blob([text], { type: 'application/geo+json' }));
    this.here.unsaved = false;
    this.list();
  }

  change(key, value) {
    if (!this.selected) return;
    this.selected[key] = value;
    this.here.unsaved = true;
    this.list();
    this.draw();
  }

  select(one) {
    this.selected = one;
    by('#region').hidden = !one;
    if (one) {
      by('#region-name').value = one.name;
      by('#region-class').value = one.ofClass;
    }
    this.list();
    this.draw();
    this.chosen(one);
  }

  remove(one) {
    const at = this.here.all.indexOf(one);
    this.here.all.splice(at, 1);
    this.here.unsaved = this.here.all.length > 0;
    this.select(null);
    (by('#annotations li button') ?? by('#geojson-file')).focus();
  }

  /** Length or area, in words. */
  size(one) {
    const mpp = this.facts?.mpp;
    if (one.polygons.length) return areaText(areaOf(one.polygons, mpp), mpp);
    if (one.lines.length) return lengthText(one.lines.reduce((sum, line) => sum + lengthOf(line, mpp), 0), mpp);
    return one.points.length === 1 ? 'point' : `${one.points.length} points`;
  }

  list() {
    const { all, unsaved } = this.here;
    by('#geojson-save').disabled = !all.length;
    by('#annotation-count').textContent = all.length ? `${all.length}${unsaved ? ', not kept yet' : ''}` : 'none yet';
    const rows = all.slice(0, LISTED).map((one) => {
      const row = document.createElement('li');
      const [choose, remove] = [document.createElement('button'), document.createElement('button')];
      const [name, size] = [document.createElement('span'), document.createElement('span')];
      choose.type = remove.type = 'button';
      choose.setAttribute('aria-pressed', String(one === this.selected));
      name.textContent = one.name || one.ofClass || 'no name';
      size.textContent = this.size(one);
      size.className = 'number';
      choose.append(name, size);
      choose.addEventListener('click', () => {
        this.select(one);
        this.goTo(one);
      });
      remove.textContent = '×';
      remove.setAttribute('aria-label', `Remove ${name.textContent}`);
      remove.addEventListener('click', () => this.remove(one));
      row.append(choose, remove);
      return row;
    });
    if (all.length > LISTED) rows.push(Object.assign(document.createElement('li'), { textContent: `and ${all.length - LISTED} more, drawn but not listed` }));
    by('#annotations').replaceChildren(...rows);
  }

  goTo(one) {
    const [left, top, right, bottom] = boundsOf(pointsOf(one));
    const margin = Math.max(right - left, bottom - top, 50) * 0.25;
    this.panes()[0].goTo(left - margin, top - margin, right - left + 2 * margin, bottom - top + 2 * margin);
  }

  draw() {
    for (const pane of this.panes()) pane.overlay.draw();
  }

  /** Draws all of them; `context` is in level-0 pixels, of which `view.scale` gives those of the page. */
  paint(context, view) {
    for (const one of this.here.all) {
      const chosen = one === this.selected;
      context.strokeStyle = `rgb(${(one.colour ?? OWN).join(' ')})`;
      context.fillStyle = context.strokeStyle;
      context.lineWidth = (chosen ? 4 : 2) / view.scale;
      context.beginPath();
      for (const line of [...one.polygons.flat(), ...one.lines]) line.forEach(([x, y], k) => (k ? context.lineTo(x, y) : context.moveTo(x, y)));
      context.stroke();
      for (const [x, y] of one.points) {
        context.beginPath();
        context.ellipse(x, y, 4 / view.scale, 4 / view.scale, 0, 0, 2 * Math.PI);
        context.fill();
      }
      if (chosen || one.lines.length) {
        const [left, top] = one.lines[0]?.at(-1) ?? boundsOf(pointsOf(one));
        label(context, view, left, top, this.size(one));
      }
    }
  }
}

/** Words on a light ground at a place of level 0. */
export function label(context, view, x, y, text) {
  context.save();
  context.translate(x, y);
  context.scale(1 / view.scale, 1 / view.scale);
  context.font = '600 13px system-ui, sans-serif';
  const width = context.measureText(text).width;
  context.fillStyle = 'rgb(255 255 255 / 88%)';
  context.fillRect(6, -22, width + 10, 20);
  context.fillStyle = '#1c2126';
  context.fillText(text, 11, -7);
  context.restore();
}

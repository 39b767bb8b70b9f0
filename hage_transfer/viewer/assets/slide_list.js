// The table of slides: sorted by any column, narrowed by a search, one row chosen.

import { thumbnail } from './thumbnails.js';

const SCORES = ['risk', 'predicted', 'expected_grade'];

const shown = (value) => {
  if (value === null || value === undefined || value === '') return '';
  return typeof value === 'number' && !Number.isInteger(value) ? value.toFixed(3) : String(value);
};

function compared(first, second) {
  const lacks = (value) => value === null || value === undefined || value === '';
  if (lacks(first) || lacks(second)) return Number(lacks(first)) - Number(lacks(second));
  if (typeof first === 'number' && typeof second === 'number') return first - second;
  return String(first).localeCompare(String(second), undefined, { numeric: true });
}

export class SlideList {
  /** @param {object} run as the server describes it; @param {(name: string) => void} choose called with a slide's name */
  constructor(run, choose) {
    this.run = run;
    this.choose = choose;
    this.source = run.sources[0];
    const isNumber = (key) => run.slides.some((slide) => Object.values(slide.facts).some((facts) => typeof facts[key] === 'number'));
    const isScore = (key) => key.startsWith('probability') || (SCORES.includes(key) && isNumber(key));
    const score = Object.keys(run.columns).find(isScore);
    this.sorted = { key: score ?? null, down: Boolean(score) };
    this.chosen = null;
    this.search = document.querySelector('#search');
    this.search.addEventListener('input', () => this.rows());
    this.header();
    this.rows();
  }

  header() {
    const row = document.querySelector('#slides thead tr');
    const columns = { name: 'Slide', ...this.run.columns };
    row.replaceChildren(
      ...Object.entries(columns).map(([key, heading]) => {
        const cell = document.createElement('th');
        const button = document.createElement('button');
        cell.scope = 'col';
        button.type = 'button';
        button.textContent = heading;
        button.addEventListener('click', () => this.sort(key));
        cell.dataset.key = key;
        if (key === this.sorted.key) cell.setAttribute('aria-sort', this.sorted.down ? 'descending' : 'ascending');
        cell.append(button);
        return cell;
      }),
    );
  }

  sort(key) {
    this.sorted = { key, down: this.sorted.key === key && !this.sorted.down };
    for (const cell of document.querySelectorAll('#slides thead th')) {
      if (cell.dataset.key === key) cell.setAttribute('aria-sort', this.sorted.down ? 'descending' : 'ascending');
      else cell.removeAttribute('aria-sort');
    }
    this.rows();
  }

  /** The slide that stands `step` places below the chosen one in the list, as it is sorted and searched. */
  beside(step) {
    const names = [...document.querySelectorAll('#slides tbody tr')].map((row) => row.dataset.name);
    return names[Math.min(Math.max(names.indexOf(this.chosen) + step, 0), names.length - 1)];
  }

  setSource(source) {
    this.source = source;
    this.rows();
  }

  mark(name) {
    this.chosen = name;
    for (const row of document.querySelectorAll('#slides tbody tr')) {
      const here = row.dataset.name === name;
      row.classList.toggle('chosen', here);
      row.querySelector('button').setAttribute('aria-current', String(here));
    }
    const [row, table] = [document.querySelector('#slides tr.chosen'), document.querySelector('.scrolled')];
    if (!row) return;
    const [place, seen] = [row.getBoundingClientRect(), table.getBoundingClientRect()]; // only the list moves: the page of a phone stays
    const head = table.querySelector('thead').offsetHeight;
    table.scrollTop += Math.min(place.top - seen.top - head, 0) + Math.max(place.bottom - seen.bottom, 0);
  }

  rows() {
    const wanted = this.search.value.trim().toLowerCase();
    const fact = (slide, key) => (key === 'name' ? slide.name : slide.facts[this.source]?.[key]);
    const slides = this.run.slides.filter((slide) =>
      [slide.name, ...Object.values(slide.facts[this.source] ?? {})].some((value) =>
        shown(value).toLowerCase().includes(wanted),
      ),
    );
    const { key, down } = this.sorted;
    if (key) {
      slides.sort((one, other) => {
        const [first, second] = [fact(one, key), fact(other, key)];
        const lacks = [first, second].some((value) => value === null || value === undefined || value === '');
        return compared(first, second) * (down && !lacks ? -1 : 1);
      });
    }
    document.querySelector('#slides tbody').replaceChildren(...slides.map((slide) => this.row(slide, fact)));
    document.querySelector('#count').textContent =
      slides.length === this.run.slides.length ? `${slides.length} slides` : `${slides.length} of ${this.run.slides.length} slides`;
    this.mark(this.chosen);
  }

  row(slide, fact) {
    const row = document.createElement('tr');
    row.dataset.name = slide.name;
    const first = document.createElement('th');
    first.scope = 'row';
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = slide.name;
    button.title = slide.found ? slide.name : `${slide.name}: not found`;
    button.addEventListener('click', () => this.choose(slide.name));
    if (slide.found) first.append(thumbnail(slide.name));
    first.append(button);
    if (!slide.found) {
      const mark = document.createElement('span');
      mark.className = 'missing';
      mark.textContent = 'not found';
      first.append(mark);
    }
    const label = fact(slide, 'label');
    const cells = Object.keys(this.run.columns).map((key) => {
      const cell = document.createElement('td');
      cell.textContent = shown(fact(slide, key));
      if (typeof fact(slide, key) === 'number') cell.className = 'number';
      if (key === 'doubt' && fact(slide, 'why')) {
        cell.classList.add('doubtful');
        cell.title = fact(slide, 'why');
      }
      const said = ['predicted', 'call'].includes(key) && fact(slide, key);
      if (label && typeof said === 'string' && said.split(' (abstained)')[0] !== label) {
        cell.classList.add('wrong');
        cell.title = `labelled ${label}`;
      }
      return cell;
    });
    row.append(first, ...cells);
    row.addEventListener('click', (event) => {
      if (event.target !== button) this.choose(slide.name);
    });
    return row;
  }
}

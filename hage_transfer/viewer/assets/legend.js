// The legend: the layer's name and unit, its colours, and this slide's range against the cohort's.

import { getRange } from './api.js';
import { gradientStops } from './colours.js';
import { rounded } from './format.js';
import { quantiles } from './raster.js';

const by = (id) => document.querySelector(id);
const UNITS = { attention: 'share of the slide’s attention; all tiles sum to 1', percentile: 'percentile among the slide’s tiles', deciding: '1: one of the deciding tiles' };
const ALONE = { log_hazard: 'log hazard from the training mean', risk: 'risk: minus the intervals survived', expected_grade: 'expected grade, the lowest is 0', predicted: 'predicted value' };
const FIXED = ['percentile', 'deciding'];
const known = new Map();

/** In what a layer is measured; `tiles` as the server described them. */
export function unitOf(kind, key, tiles) {
  if (kind !== 'column') return tiles.unit || 'predicted expression, no unit recorded';
  const alone = ALONE[key] ?? (key.startsWith('probability') ? 'probability' : '');
  return UNITS[key] ?? (alone && `${alone}, of the tile on its own`);
}

export class Legend {
  /** @param {() => void} changed called when the cohort's range has come or is wanted for the colours */
  constructor(run, changed) {
    Object.assign(this, { run, changed, cohort: null });
    by('#cohort-scale').addEventListener('change', changed);
  }

  /** The range that colours are to span: the cohort's where it is wanted and known. */
  range(own) {
    const { cohort } = this;
    return by('#cohort-scale').checked && cohort?.low != null && !own.whole ? { low: cohort.low, high: cohort.high, clipped: true } : own;
  }

  /** Asks for the cohort's range of a layer until it is known of all slides. */
  async follow(source, kind, key, signal) {
    this.cohort = null;
    const name = [source, kind, key].join('\n');
    const several = this.run.slides.filter((slide) => slide.overlays.includes(source)).length > 1;
    if (!several || FIXED.includes(key)) return;
    this.wanted = name;
    let found = known.get(name);
    while (!found || found.n_read < found.n_slides) {
      found = await getRange(source, kind, key, signal);
      known.set(name, found);
      if (signal.aborted || this.wanted !== name) return;
    }
    this.cohort = found;
    this.changed();
  }

  show({ name, unit, range, values, colours }) {
    const [low, high] = [(range.clipped ? '≤ ' : '') + rounded(range.low), (range.clipped ? '≥ ' : '') + rounded(range.high)];
    by('#legend').hidden = false;
    by('#legend-name').textContent = name;
    by('#legend-unit').textContent = unit;
    by('#legend-bar').style.backgroundImage = `linear-gradient(to right, ${gradientStops(colours).join(', ')})`;
    by('#legend-low').textContent = low;
    by('#legend-high').textContent = high;
    this.shown = { name, unit, low, high, colours };
    this.#ranges(values);
  }

  #ranges(values) {
    const { cohort } = this;
    by('#ranges').hidden = cohort?.low == null;
    if (by('#ranges').hidden) return;
    const own = quantiles(values);
    const span = cohort.high - cohort.low || 1;
    const at = (value) => Math.min(Math.max(((value - cohort.low) / span) * 100, 0), 100);
    by('#range-slide').style.left = `${at(own[0])}%`;
    by('#range-slide').style.width = `${Math.max(at(own[1]) - at(own[0]), 1)}%`;
    by('#range-text').textContent = `This slide ${own.map(rounded).join(' to ')}; ${cohort.n_with} slides ${rounded(cohort.low)} to ${rounded(cohort.high)} (1st to 99th percentile)`;
  }
}

// What the tiles in a drawn region have, against all the other tiles of the slide.

import { rounded } from './format.js';
import { areaOf, insideOf, lengthOf } from './geometry.js';

const by = (id) => document.querySelector(id);

/** Mean over the tiles named; NaN where none has a value. */
export function meanOf(values, tiles) {
  let [sum, count] = [0, 0];
  for (const tile of tiles) {
    if (!Number.isFinite(values[tile])) continue;
    sum += values[tile];
    count += 1;
  }
  return count ? sum / count : NaN;
}

/** Means of layers in and outside of a region: a row a layer, `[name, inside, outside]`; and the number of tiles. */
export function regionMeans(annotation, boxes, layers) {
  const inside = insideOf(annotation.polygons, boxes);
  const taken = new Set(inside);
  const rest = Array.from({ length: boxes.length / 4 }, (_, tile) => tile).filter((tile) => !taken.has(tile));
  return { count: inside.length, rows: layers.map(([name, values]) => [name, meanOf(values, inside), meanOf(values, rest)]) };
}

/** Shows the numbers of a region; `layers` are those whose values are loaded. */
export function showRegion(annotation, boxes, layers) {
  const body = by('#region-values');
  by('#region-table').hidden = !annotation?.polygons.length || !boxes;
  if (by('#region-table').hidden) return;
  const { count, rows } = regionMeans(annotation, boxes, layers);
  by('#region-tiles').textContent = `${count} of ${boxes.length / 4} tiles lie in it (by their centres).`;
  body.replaceChildren(
    ...rows.map((cells) => {
      const row = document.createElement('tr');
      row.append(
        ...cells.map((cell, k) => {
          const made = document.createElement(k ? 'td' : 'th');
          if (!k) made.scope = 'row';
          made.textContent = k ? rounded(cell) : cell;
          return made;
        }),
      );
      return row;
    }),
  );
}

/** Measurements as QuPath names them: of shape, and means of layers. */
export function measurements(annotation, mpp, boxes, layers) {
  const found = {};
  const unit = mpp ? 'µm' : 'px';
  if (annotation.lines.length) found[`Length ${unit}`] = annotation.lines.reduce((sum, line) => sum + lengthOf(line, mpp), 0);
  if (!annotation.polygons.length) return found;
  found[`Area ${unit}^2`] = areaOf(annotation.polygons, mpp);
  if (!boxes) return found;
  const { count, rows } = regionMeans(annotation, boxes, layers);
  found.Tiles = count;
  for (const [name, inside] of rows) if (Number.isFinite(inside)) found[`Mean ${name}`] = inside;
  return found;
}

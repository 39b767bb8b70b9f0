// Lengths, areas and insides of what is drawn, at level 0.

const MOST_COMPARED = 5_000_000;

/** Length of a line of [x, y], in um where `mpp` ([x, y]) is known. */
export function lengthOf(line, mpp) {
  const [ux, uy] = mpp ?? [1, 1];
  let sum = 0;
  for (let k = 1; k < line.length; k += 1) sum += Math.hypot((line[k][0] - line[k - 1][0]) * ux, (line[k][1] - line[k - 1][1]) * uy);
  return sum;
}

function ringArea(ring) {
  let sum = 0;
  for (let k = 1; k < ring.length; k += 1) sum += ring[k - 1][0] * ring[k][1] - ring[k][0] * ring[k - 1][1];
  return Math.abs(sum) / 2;
}

/** Area of polygons, each an outer ring and its holes (closed), in um^2 where `mpp` is known. */
export function areaOf(polygons, mpp) {
  const [ux, uy] = mpp ?? [1, 1];
  const area = ([outer, ...holes]) => ringArea(outer) - holes.reduce((sum, hole) => sum + ringArea(hole), 0);
  return polygons.reduce((sum, polygon) => sum + area(polygon), 0) * ux * uy;
}

/** Left, top, right, bottom of points. */
export function boundsOf(points) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (const [x, y] of points) {
    box[0] = Math.min(box[0], x);
    box[1] = Math.min(box[1], y);
    box[2] = Math.max(box[2], x);
    box[3] = Math.max(box[3], y);
  }
  return box;
}

const side = (a, b, c) => Math.sign((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]));

/** Where a closed ring crosses itself; null where it does not, or where it is too long to say. */
export function crossingOf(ring) {
  const count = ring.length - 1;
  const order = Array.from({ length: count }, (_, k) => k);
  const [low, high] = [(k) => Math.min(ring[k][0], ring[k + 1][0]), (k) => Math.max(ring[k][0], ring[k + 1][0])];
  order.sort((one, other) => low(one) - low(other));
  let compared = 0;
  for (let i = 0; i < count; i += 1) {
    const one = order[i];
    for (let j = i + 1; j < count && low(order[j]) <= high(one); j += 1) {
      compared += 1;
      if (compared > MOST_COMPARED) return null;
      const other = order[j];
      const apart = Math.abs(one - other);
      if (apart === 1 || apart === count - 1) continue;
      const [a, b, c, d] = [ring[one], ring[one + 1], ring[other], ring[other + 1]];
      if (side(a, b, c) * side(a, b, d) < 0 && side(c, d, a) * side(c, d, b) < 0) return c;
    }
  }
  return null;
}

/** Indices of the boxes (left, top, width, height, flat) whose centre lies in the polygons. */
export function insideOf(polygons, boxes) {
  const path = new Path2D();
  for (const ring of polygons.flat()) {
    ring.forEach(([x, y], k) => (k ? path.lineTo(x, y) : path.moveTo(x, y)));
    path.closePath();
  }
  const [left, top, right, bottom] = boundsOf(polygons.flatMap(([outer]) => outer));
  const context = document.createElement('canvas').getContext('2d');
  const found = [];
  for (let k = 0; k < boxes.length; k += 4) {
    const [x, y] = [boxes[k] + boxes[k + 2] / 2, boxes[k + 1] + boxes[k + 3] / 2];
    if (x >= left && x <= right && y >= top && y <= bottom && context.isPointInPath(path, x, y, 'evenodd')) found.push(k / 4);
  }
  return found;
}

// Annotations as QuPath's GeoJSON, and what a file of a stranger may not hold.

import { boundsOf, crossingOf } from './geometry.js';

export const MOST_BYTES = 50_000_000;
const MOST_FEATURES = 20_000;
const MOST_POINTS = 1_000_000;
const KINDS = ['Point', 'MultiPoint', 'LineString', 'MultiLineString', 'Polygon', 'MultiPolygon'];

function point(given, where, origin) {
  if (!Array.isArray(given) || given.length < 2 || !given.slice(0, 2).every(Number.isFinite)) throw new Error(`${where}: a point is two numbers, [x, y]`);
  return [given[0] + origin[0], given[1] + origin[1]];
}

function list(given, where, what, least) {
  if (!Array.isArray(given) || given.length < least) throw new Error(`${where}: ${what} has ${least} or more parts`);
  return given;
}

/** Polygons, lines and points of a geometry at level 0. */
function shapeOf(geometry, where, origin) {
  const kind = geometry?.type;
  if (!KINDS.includes(kind)) throw new Error(`${where}: wanted ${KINDS.join(', ')}, this is ${String(kind).slice(0, 40)}`);
  const many = kind.startsWith('Multi');
  const parts = many ? list(geometry.coordinates, where, kind, 1) : [geometry.coordinates];
  const points = (given, what, least) => list(given, where, what, least).map((one) => point(one, where, origin));
  const ring = (given) => {
    const found = points(given, 'a ring', 4);
    if (found[0].some((value, axis) => value !== found.at(-1)[axis])) throw new Error(`${where}: a ring that is not closed; its last point is its first`);
    const crossing = crossingOf(found);
    if (crossing) throw new Error(`${where}: its outline crosses itself near (${crossing.map(Math.round).join(', ')}); mend it in QuPath`);
    return found;
  };
  return {
    polygons: kind.endsWith('Polygon') ? parts.map((rings) => list(rings, where, 'a polygon', 1).map(ring)) : [],
    lines: kind.endsWith('LineString') ? parts.map((line) => points(line, 'a line', 2)) : [],
    points: kind.endsWith('Point') ? parts.map((one) => point(one, where, origin)) : [],
  };
}

function named(properties) {
  const { name, classification } = properties;
  const given = typeof classification === 'object' && classification ? classification : {};
  const ofClass = typeof given.name === 'string' ? given.name : Array.isArray(given.names) ? given.names.join(': ') : '';
  const colour = Array.isArray(given.color) && given.color.length === 3 && given.color.every((one) => Number.isInteger(one) && one >= 0 && one < 256);
  return { name: typeof name === 'string' ? name.slice(0, 200) : '', ofClass: ofClass.slice(0, 200), colour: colour ? given.color : null };
}

/** One annotation of what QuPath calls a feature: its own fields are kept for the day it is written back. */
export function annotationOf(feature, where, origin) {
  if (feature?.type !== 'Feature') throw new Error(`${where}: no Feature`);
  const properties = feature.properties ?? {};
  if (typeof properties !== 'object' || Array.isArray(properties)) throw new Error(`${where}: properties are no object`);
  try {
    JSON.stringify(feature);
  } catch {
    throw new Error(`${where}: nested too deep`);
  }
  return { feature, ...named(properties), ...shapeOf(feature.geometry, where, origin) };
}

export const pointsOf = (annotation) => [...annotation.polygons.flat(), ...annotation.lines, annotation.points].flat();

/** Annotations of a file's text, all or none. Throws an Error whose message names the feature and what is wrong. */
export function readGeojson(text, { width, height, origin, file }) {
  if (text.length > MOST_BYTES) throw new Error(`${file}: larger than ${MOST_BYTES / 1e6} MB`);
  let tree;
  try {
    tree = JSON.parse(text);
  } catch (error) {
    throw new Error(`${file}: no GeoJSON (${error.message})`);
  }
  const features = Array.isArray(tree) ? tree : tree?.type === 'Feature' ? [tree] : tree?.type === 'FeatureCollection' ? tree.features : null;
  if (!Array.isArray(features)) throw new Error(`${file}: wanted a GeoJSON FeatureCollection; export annotations from QuPath as GeoJSON`);
  if (!features.length) throw new Error(`${file}: holds no annotation`);
  if (features.length > MOST_FEATURES) throw new Error(`${file}: ${features.length} features; ${MOST_FEATURES} at most`);
  let count = 0;
  return features.map((feature, k) => {
    const where = `${file}: feature ${k + 1}`;
    const found = annotationOf(feature, where, origin);
    const points = pointsOf(found);
    count += points.length;
    if (count > MOST_POINTS) throw new Error(`${file}: more than ${MOST_POINTS} points`);
    const [left, top, right, bottom] = boundsOf(points);
    if (right <= 0 || bottom <= 0 || left >= width || top >= height) {
      const [from, to] = [[left, top], [right, bottom]].map((place) => place.map(Math.round).join(', '));
      throw new Error(`${where}: from (${from}) to (${to}) lies outside the slide (${width} × ${height} px); is it another slide's file?`);
    }
    return found;
  });
}

/** A new annotation of a drawn shape: QuPath's own form. */
export function newAnnotation(type, coordinates, name, origin) {
  const moved = (given) => (typeof given[0] === 'number' ? [given[0] - origin[0], given[1] - origin[1]].map((value) => Math.round(value * 100) / 100) : given.map(moved));
  const feature = { type: 'Feature', id: crypto.randomUUID(), geometry: { type, coordinates: moved(coordinates) }, properties: { objectType: 'annotation', name } };
  return annotationOf(feature, name, origin);
}

/** The text of a file that QuPath reads; `measured` gives an annotation's measurements. */
export function writeGeojson(annotations, measured) {
  const features = annotations.map((one) => {
    const properties = { ...one.feature.properties, name: one.name || undefined };
    if (one.ofClass !== named(properties).ofClass) properties.classification = one.ofClass ? { name: one.ofClass, color: [31, 95, 139] } : undefined;
    const measurements = measured(one);
    const old = properties.measurements;
    if (Array.isArray(old)) properties.measurements = [...old.filter((entry) => !(entry?.name in measurements)), ...Object.entries(measurements).map(([name, value]) => ({ name, value }))];
    else properties.measurements = { ...old, ...measurements };
    return { ...one.feature, properties };
  });
  return `${JSON.stringify({ type: 'FeatureCollection', features })}\n`;
}

// The page's address keeps slide, view and layer, so that a link shows the same.

const KEYS = ['slide', 'source', 'beside', 'layer', 'x', 'y', 'zoom'];
const NUMBERS = new Set(['x', 'y', 'zoom']);

export function readAddress() {
  const given = new URLSearchParams(window.location.hash.slice(1));
  const found = {};
  for (const key of KEYS) {
    if (!given.has(key)) continue;
    const value = NUMBERS.has(key) ? Number(given.get(key)) : given.get(key);
    if (!NUMBERS.has(key) || Number.isFinite(value)) found[key] = value;
  }
  return found;
}

export function writeAddress(values) {
  const kept = new URLSearchParams();
  for (const key of KEYS) if (values[key] !== undefined && values[key] !== null) kept.set(key, values[key]);
  window.history.replaceState(null, '', `#${kept}`);
}

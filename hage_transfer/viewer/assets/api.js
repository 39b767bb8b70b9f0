// Questions to the local server. Every failure becomes an Error whose message can be shown.

async function answer(path, signal) {
  let response;
  try {
    response = await fetch(path, { signal });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Error('The viewer does not answer. Is hage view still running?');
  }
  if (response.ok) return response;
  const told = await response.json().catch(() => ({}));
  throw new Error(told.error ?? `${response.status} ${response.statusText}`);
}

const slidePath = (name) => `/api/slides/${encodeURIComponent(name)}`;
const asked = (values) => new URLSearchParams(values).toString();

export const getRun = async () => (await answer('/api/run')).json();
export const getSlide = async (name, signal) => (await answer(slidePath(name), signal)).json();
export const getTissue = async (name, signal) => (await answer(`${slidePath(name)}/tissue`, signal)).json();

/** What the tiles of a slide have: names of columns and genes, and where the tiles lie (left, top, width, height). */
export async function getTiles(name, source, signal) {
  const facts = await (await answer(`${slidePath(name)}/tiles?${asked({ source })}`, signal)).json();
  const boxes = await answer(`${slidePath(name)}/boxes?${asked({ source, v: facts.stamp })}`, signal);
  return { ...facts, boxes: new Float32Array(await boxes.arrayBuffer()) };
}

/** One number a tile; `kind` is `column`, `gene` or `set`. `stamp` is the tiles': numbers of others are refused. */
export async function getValues(name, source, kind, key, stamp, signal) {
  const response = await answer(`${slidePath(name)}/values?${asked({ source, [kind]: key, v: stamp })}`, signal);
  return new Float32Array(await response.arrayBuffer());
}

/** The range of a layer over all slides of a source, of as many as the server has read so far. */
export const getRange = async (source, kind, key, signal) => (await answer(`/api/range?${asked({ source, [kind]: key })}`, signal)).json();

/** Where a tile of the slide's picture is; the stamp changes with the file. */
export const tileUrl = (name, stamp) => (level, column, row) =>
  `/slides/${encodeURIComponent(name)}/${level}/${column}_${row}.jpg?v=${stamp}`;

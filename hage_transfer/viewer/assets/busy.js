// The loading sign: shown while anything is awaited, or parts of a slide in view are not there yet.

const waiting = new Set();

function show() {
  document.querySelector('#busy').hidden = waiting.size === 0;
}

/** Says that something is under way; call what comes back when it has ended. */
export function begin() {
  const one = {};
  waiting.add(one);
  show();
  return () => {
    waiting.delete(one);
    show();
  };
}

/** Shows the sign until a promise is settled; gives the promise. */
export function during(promise) {
  const end = begin();
  return promise.finally(end);
}

/** Shows the sign while a viewer lacks parts of the slide that are in view. */
export function watch(viewer) {
  let end = null;
  const look = () => {
    const item = viewer.world.getItemAt(0);
    const lacks = Boolean(item) && !item.getFullyLoaded();
    if (lacks) end ??= begin();
    else if (end) end = end();
  };
  viewer.world.addHandler('add-item', ({ item }) => {
    item.addHandler('fully-loaded-change', look);
    look();
  });
  viewer.world.addHandler('remove-item', look);
}

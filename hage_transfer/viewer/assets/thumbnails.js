// Small pictures in the list: loaded when their row comes in sight, one at a time, so that the slide in view goes first.

const queue = [];
let loading = false;

function next() {
  const image = queue.shift();
  if (!image || loading) return;
  if (!image.isConnected) {
    next();
    return;
  }
  loading = true;
  const end = () => {
    loading = false;
    next();
  };
  image.addEventListener('load', end, { once: true });
  image.addEventListener('error', () => { image.removeAttribute('src'); end(); }, { once: true });
  image.src = image.dataset.src;
}

const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    queue.push(target);
  }
  next();
});

const kept = new Map();

/** The picture of a slide; the same element whenever the list is made anew. */
export function thumbnail(name) {
  if (!kept.has(name)) {
    const image = document.createElement('img');
    image.className = 'thumbnail';
    image.alt = ''; // the name stands beside it
    image.dataset.src = `/slides/${encodeURIComponent(name)}/thumbnail.jpg`;
    kept.set(name, image);
    seen.observe(image);
  }
  return kept.get(name);
}

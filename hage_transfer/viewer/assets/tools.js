// Buttons that move the view, and keys of the page.

const by = (id) => document.querySelector(id);

/** Zoom, whole slide, one to one, full screen, skip link; `lead` is called before this viewer moves. */
export function listenToButtons(viewer, lead) {
  const move = (id, act) => by(id).addEventListener('click', () => {
    lead();
    act(viewer.viewport);
  });
  move('#zoom-in', (viewport) => viewport.zoomBy(1.6).applyConstraints());
  move('#zoom-out', (viewport) => viewport.zoomBy(1 / 1.6).applyConstraints());
  move('#whole', (viewport) => viewport.goHome());
  move('#native', (viewport) => {
    const item = viewer.world.getItemAt(0);
    if (item) viewport.zoomTo(item.imageToViewportZoom(1));
  });
  by('.skip').addEventListener('click', (event) => {
    event.preventDefault(); // the address keeps the slide and its view: a jump inside the page would take their place
    viewer.canvas.focus();
  });
  by('#full').addEventListener('click', () => {
    if (document.fullscreenElement) document.exitFullscreen();
    else by('#stage').requestFullscreen?.();
  });
}

/** Calls `acts` by the key pressed (`D`: with Shift). In a field, letters are letters. */
export function listenToKeys(acts) {
  document.addEventListener('keydown', (event) => {
    if (event.target.closest('input, select, textarea') || event.ctrlKey || event.metaKey || event.altKey) return;
    acts[event.shiftKey && event.key === 'D' ? 'D' : event.key.toLowerCase()]?.();
  });
}

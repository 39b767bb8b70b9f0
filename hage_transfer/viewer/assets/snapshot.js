// A picture of what is shown, with its scale bar and legend, as a PNG.

import { gradientStops } from './colours.js';
import { download } from './format.js';
import { roundLength } from './scale_bar.js';

const FOOT_PX = 92;

function scaleBar(context, { view, mpp }, left, top) {
  const unit = mpp ? mpp[0] : 1;
  const length = roundLength((160 / view.scale) * unit);
  const width = (length / unit) * view.scale;
  context.lineWidth = 3;
  context.strokeStyle = '#1c2126';
  context.beginPath();
  context.moveTo(left, top);
  context.lineTo(left + width, top);
  context.stroke();
  context.fillText(!mpp ? `${length} px` : length >= 1000 ? `${length / 1000} mm` : `${length} µm`, left, top + 20);
}

function legend(context, { name, unit, low, high, colours }, left, top, width) {
  const gradient = context.createLinearGradient(left, 0, left + width, 0);
  const stops = gradientStops(colours);
  stops.forEach((colour, k) => gradient.addColorStop(k / (stops.length - 1), colour));
  context.fillText(name, left, top - 8, width);
  context.fillStyle = gradient;
  context.fillRect(left, top, width, 14);
  context.fillStyle = '#1c2126';
  context.fillText(low, left, top + 30);
  context.textAlign = 'right';
  context.fillText(high, left + width, top + 30);
  context.textAlign = 'center';
  context.font = '12px system-ui, sans-serif';
  context.fillText(unit, left + width / 2, top + 48, width);
}

/** A canvas of the panes side by side, over a line with title, scale bar and legend. */
export function picture(panes, { title, mpp, shown }) {
  const ratio = window.devicePixelRatio || 1;
  const boxes = panes.map(({ pane }) => pane.viewer.canvas.getBoundingClientRect());
  const canvas = document.createElement('canvas');
  canvas.width = Math.round(Math.max(boxes.reduce((sum, box) => sum + box.width, 0), 480) * ratio);
  canvas.height = Math.round((Math.max(...boxes.map((box) => box.height)) + FOOT_PX) * ratio);
  const context = canvas.getContext('2d');
  context.fillStyle = '#ffffff';
  context.fillRect(0, 0, canvas.width, canvas.height);
  let left = 0;
  panes.forEach(({ pane, caption }, k) => {
    const [width, height] = [Math.round(boxes[k].width * ratio), Math.round(boxes[k].height * ratio)];
    context.drawImage(pane.viewer.drawer.canvas, left, 0, width, height);
    context.globalAlpha = Number(pane.overlay.heat.style.opacity || 1);
    context.drawImage(pane.overlay.heat, left, 0, width, height);
    context.globalAlpha = 1;
    context.drawImage(pane.overlay.lines, left, 0, width, height);
    context.save();
    context.scale(ratio, ratio);
    context.font = '600 13px system-ui, sans-serif';
    context.fillStyle = '#ffffffe0';
    context.fillRect(left / ratio, 0, context.measureText(caption).width + 16, 24);
    context.fillStyle = '#1c2126';
    context.fillText(caption, left / ratio + 8, 17);
    context.restore();
    left += width;
  });
  context.scale(ratio, ratio);
  context.fillStyle = '#1c2126';
  context.font = '600 14px system-ui, sans-serif';
  const [top, width] = [canvas.height / ratio - FOOT_PX, canvas.width / ratio];
  context.fillText(title, 12, top + 22, shown ? width / 2 - 24 : width - 24);
  context.font = '13px system-ui, sans-serif';
  scaleBar(context, { view: panes[0].pane.overlay.view(), mpp }, 12, top + 48);
  if (shown) legend(context, shown, width / 2, top + 32, width / 2 - 12);
  return canvas;
}

/** Has the browser keep the picture. */
export async function snapshot(panes, options, file) {
  const blob = await new Promise((resolve) => picture(panes, options).toBlob(resolve, 'image/png'));
  download(file, blob);
}

"use strict";
// Drawing: the three planes, the color bar and the curve of measures.

// Every plane shows high indices on the left and on top: right, anterior, superior.
const PLANES = [
  { id: "axial", across: 0, up: 1, through: 2, left: "R", right: "L", top: "A", bottom: "P", letter: "z" },
  { id: "coronal", across: 0, up: 2, through: 1, left: "R", right: "L", top: "S", bottom: "I", letter: "y" },
  { id: "sagittal", across: 1, up: 2, through: 0, left: "A", right: "P", top: "S", bottom: "I", letter: "x" },
];
const LINES = {
  brain: { color: "#7fc8ff", width: 1, casing: 0 },
  lesion: { color: "#ffffff", width: 1.6, casing: 3.6 },
  detected: { color: "#ff5cf0", width: 1.6, casing: 3.6 },
};
const CROSS = "#b8ff9e";
const CURVES = { dice: "#ffffff", sensitivity: "#5cc8ff", precision: "#ffb454" };
const FONT = "system-ui, -apple-system, 'Segoe UI', sans-serif";

// Size the canvases [CSS pixels] so that all planes have the same scale and fill the space available.
function fitPlanes(view, width, height) {
  const sizes = view.frame.map(([first, end]) => end - first);
  const right = Math.max(sizes[0], sizes[1]), tall = Math.max(sizes[1], 2 * sizes[2]);
  view.scale = Math.max(1, Math.min((width - 6) / (sizes[0] + right), (height - 6) / tall));
  view.ratio = window.devicePixelRatio || 1;
  for (const plane of PLANES) {
    const canvas = document.getElementById(plane.id);
    const size = [sizes[plane.across] * view.scale, sizes[plane.up] * view.scale];
    [canvas.width, canvas.height] = size.map(length => Math.round(length * view.ratio));
    [canvas.style.width, canvas.style.height] = size.map(length => `${length}px`);
  }
}

// Placement of a plane on its canvas: pixels per voxel, and position of the frame's first column and row.
function placement(view, plane, canvas) {
  const scale = view.scale * view.ratio * view.zoom;
  const start = (axis, length) => {
    const [first, end] = view.frame[axis];
    const centered = length / 2 - (end - view.at[axis] - 0.5) * scale;
    return Math.min(0, Math.max(length - (end - first) * scale, centered));
  };
  return { scale, left: start(plane.across, canvas.width), top: start(plane.up, canvas.height) };
}

// Voxel under a point of a canvas [CSS pixels], in the plane of the crosshair, limited to the frame.
function voxelAt(view, plane, x, y) {
  const { scale, left, top } = placement(view, plane, document.getElementById(plane.id));
  const at = [...view.at];
  for (const [axis, pixels] of [[plane.across, x * view.ratio - left], [plane.up, y * view.ratio - top]]) {
    const [first, end] = view.frame[axis];
    at[axis] = Math.min(end - 1, Math.max(first, end - 1 - Math.floor(pixels / scale)));
  }
  return at;
}

// view: scan, method, level, at, frame, zoom, scale, ratio, colors (256 x 3 bytes), range, window (levels), opacity,
// onlyDetected, smooth, lines (true for those that are drawn).
function drawPlane(view, plane) {
  const { scan, method, at } = view;
  const canvas = document.getElementById(plane.id), context = canvas.getContext("2d");
  const [[a0, a1], [u0, u1]] = [view.frame[plane.across], view.frame[plane.up]];
  const width = a1 - a0, height = u1 - u0, base = at[plane.through] * scan.strides[plane.through];
  const voxel = (column, row) => base + (a1 - 1 - column) * scan.strides[plane.across] + (u1 - 1 - row) * scan.strides[plane.up];

  const slice = new ImageData(width, height);
  const [black, white] = view.window, [low, high] = view.range;
  for (let row = 0, p = 0; row < height; row++) {
    for (let column = 0; column < width; column++, p += 4) {
      const i = voxel(column, row), level = method.levels[i];
      const gray = Math.min(255, Math.max(0, 255 * (scan.intensity[i] - black) / Math.max(1, white - black)));
      const share = (thresholdOf(method, level) - low) / (high - low);
      // A map of rarity has no color below its range, so that a healthy brain stays gray.
      const clear = !level || (view.onlyDetected && level < view.level) || (method.rarity && share < 0);
      const alpha = clear ? 0 : view.opacity;
      const color = 3 * Math.min(255, Math.max(0, Math.floor(share * 256)));
      for (let part = 0; part < 3; part++) slice.data[p + part] = gray * (1 - alpha) + view.colors[color + part] * alpha;
      slice.data[p + 3] = 255;
    }
  }
  const picture = new OffscreenCanvas(width, height);
  picture.getContext("2d").putImageData(slice, 0, 0);

  const { scale, left, top } = placement(view, plane, canvas);
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = view.smooth;
  context.imageSmoothingQuality = "high";
  context.setTransform(scale, 0, 0, scale, left, top);
  context.drawImage(picture, 0, 0);
  const inside = {
    brain: i => scan.mask[i],
    lesion: i => scan.lesion[i],
    detected: i => method.levels[i] >= view.level,
  };
  for (const name of ["brain", "detected", "lesion"])
    if (view.lines[name]) strokeOutline(context, LINES[name], width, height, (c, r) => inside[name](voxel(c, r)), view.ratio / scale);
  context.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
  const cross = [(left + (a1 - at[plane.across] - 0.5) * scale) / view.ratio, (top + (u1 - at[plane.up] - 0.5) * scale) / view.ratio];
  const size = [canvas.width / view.ratio, canvas.height / view.ratio];
  if (view.lines.cross) drawCross(context, cross, size, scale / view.ratio);
  drawLabels(context, view, plane, size, scale / view.ratio);
  if (scan.labels && view.lines.lesion) drawNumbers(context, scan.labels, width, height, voxel, (column, row) => [(left + column * scale) / view.ratio, (top + row * scale) / view.ratio]);
}

// The number of each candidate beside the top of its outline in this slice.
function drawNumbers(context, labels, width, height, voxel, pointOf) {
  const places = new Map();
  for (let row = 0; row < height; row++)
    for (let column = 0; column < width; column++) {
      const label = labels[voxel(column, row)];
      if (label && !places.has(label)) places.set(label, [column, row]);
    }
  context.font = `600 13px ${FONT}`;
  context.textAlign = "right";
  context.textBaseline = "bottom";
  context.lineWidth = 3;
  for (const [label, place] of places) {
    const [x, y] = pointOf(...place);
    context.strokeStyle = "#000";
    context.strokeText(label, x, y);
    context.fillStyle = "#fff";
    context.fillText(label, x, y);
  }
}

// The border between pixels inside and outside. `unit`: a CSS pixel in the context's units.
function strokeOutline(context, line, width, height, inside, unit) {
  const path = new Path2D();
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      if (!inside(column, row)) continue;
      if (!column || !inside(column - 1, row)) { path.moveTo(column, row); path.lineTo(column, row + 1); }
      if (column === width - 1 || !inside(column + 1, row)) { path.moveTo(column + 1, row); path.lineTo(column + 1, row + 1); }
      if (!row || !inside(column, row - 1)) { path.moveTo(column, row); path.lineTo(column + 1, row); }
      if (row === height - 1 || !inside(column, row + 1)) { path.moveTo(column, row + 1); path.lineTo(column + 1, row + 1); }
    }
  }
  context.lineCap = "round";
  if (line.casing) {
    context.strokeStyle = "#000";
    context.lineWidth = line.casing * unit;
    context.stroke(path);
  }
  context.strokeStyle = line.color;
  context.lineWidth = line.width * unit;
  context.stroke(path);
}

// Crosshair with a gap around its center.
function drawCross(context, [x, y], [width, height], pixels) {
  const gap = Math.max(9, 2.5 * pixels);
  context.strokeStyle = CROSS;
  context.globalAlpha = 0.75;
  context.lineWidth = 1;
  context.beginPath();
  for (const [x0, y0, x1, y1] of [[0, y, x - gap, y], [x + gap, y, width, y], [x, 0, x, y - gap], [x, y + gap, x, height]]) {
    if (x1 > x0 || y1 > y0) { context.moveTo(x0, y0); context.lineTo(x1, y1); }
  }
  context.stroke();
  context.globalAlpha = 1;
}

function drawLabels(context, view, plane, [width, height], pixels) {
  const write = (text, x, y, align, baseline) => {
    context.textAlign = align;
    context.textBaseline = baseline;
    context.lineWidth = 3;
    context.lineJoin = "round";
    context.strokeStyle = "#000";
    context.strokeText(text, x, y);
    context.fillStyle = "#fff";
    context.fillText(text, x, y);
  };
  context.font = `600 14px ${FONT}`;
  write(plane.left, 6, height / 2 - 12, "left", "middle");
  write(plane.right, width - 6, height / 2 - 12, "right", "middle");
  write(plane.top, width / 2 + 12, 5, "center", "top");
  write(plane.bottom, width / 2 + 12, height - 5, "center", "bottom");
  context.font = `12px ${FONT}`;
  const position = positionOf(view.scan, view.at)[plane.through];
  write(`${plane.id}  ${plane.letter} = ${position.toFixed(1)} mm`, 6, 5, "left", "top");
  // A scale bar of 2 cm, or of 1 cm if that is too long.
  const length = 20 / view.scan.spacing * pixels < width / 3 ? 20 : 10, long = length / view.scan.spacing * pixels;
  write(`${length} mm`, width - 6 - long / 2, height - 10, "center", "bottom");
  context.fillStyle = "#fff";
  context.fillRect(width - 6 - long, height - 8, long, 2);
}

// Clear a canvas and set it to CSS pixels: [context, width, height].
function clearCanvas(id) {
  const canvas = document.getElementById(id), ratio = window.devicePixelRatio || 1;
  const { width, height } = canvas.getBoundingClientRect();
  [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.font = `12px ${FONT}`;
  context.fillStyle = "#e4e7ea";
  return [context, width, height];
}

// About `count` evenly spaced ticks, 1, 2 or 5 times a power of ten apart: [number, label].
function ticks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find(times => times * power >= rough);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9)), marks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) marks.push([k * step, (k * step).toFixed(digits)]);
  return marks;
}

function drawBar(view) {
  const [context, width] = clearCanvas("bar"), edge = 14, [low, high] = view.range;
  const xOf = score => edge + (width - 2 * edge) * Math.min(1, Math.max(0, (score - low) / (high - low)));
  for (let x = edge; x < width - edge; x++) {
    const color = 3 * Math.min(255, Math.floor(256 * (x - edge) / (width - 2 * edge)));
    context.fillStyle = `rgb(${view.colors[color]} ${view.colors[color + 1]} ${view.colors[color + 2]})`;
    context.fillRect(x, 10, 1.5, 14);
  }
  context.fillStyle = "#e4e7ea";
  context.textAlign = "center";
  for (const [score, text] of ticks(low, high, 6)) {
    context.fillRect(xOf(score), 24, 1, 4);
    context.fillText(text, xOf(score), 40);
  }
  const threshold = xOf(thresholdOf(view.method, view.level));
  context.beginPath();
  context.moveTo(threshold - 5, 1); context.lineTo(threshold + 5, 1); context.lineTo(threshold, 9);
  context.fill();
  context.fillText(`${element("method").selectedOptions[0].text}: abnormality score${view.method.unit ? ` [${view.method.unit}]` : ""}; ▾ threshold`, width / 2, 57, width - 8);
}

// Measures against the threshold; without truth the share of the brain that is detected.
function drawCurve(view) {
  const [context, width, height] = clearCanvas("curve"), { scan, method } = view;
  const box = { left: 26, right: width - 4, top: 6, bottom: height - 18 };
  const x = level => box.left + (box.right - box.left) * (level - 1) / Math.max(1, method.top - 1);
  const y = value => box.bottom - (box.bottom - box.top) * value;
  context.strokeStyle = "#343c45";
  context.textAlign = "right";
  for (const value of [0, 0.5, 1]) {
    context.beginPath(); context.moveTo(box.left, y(value)); context.lineTo(box.right, y(value)); context.stroke();
    context.fillText(value, box.left - 4, y(value) + 4);
  }
  context.textAlign = "center";
  for (const [score, text] of ticks(thresholdOf(method, 1), thresholdOf(method, method.top), 5))
    context.fillText(text, Math.max(box.left, x((score - method.anchor) / method.step - method.first + 1)), height - 4);
  const curves = scan.truth ? CURVES : { share: "#ffffff" };
  for (const [name, color] of Object.entries(curves)) {
    context.strokeStyle = color;
    context.lineWidth = 1.5;
    context.beginPath();
    for (let pixel = 0; pixel <= box.right - box.left; pixel++) {
      const level = 1 + Math.round(pixel / (box.right - box.left) * (method.top - 1));
      context.lineTo(x(level), y(measures(scan, method, level)[name] || 0));
    }
    context.stroke();
  }
  context.strokeStyle = "#ff5cf0";
  context.beginPath(); context.moveTo(x(view.level), box.top); context.lineTo(x(view.level), box.bottom); context.stroke();
  const legend = document.getElementById("curve-legend");
  legend.replaceChildren(...Object.entries(curves).map(([name, color]) => {
    const label = document.createElement("span");
    label.textContent = `— ${name === "share" ? "share of the brain detected" : name === "dice" ? "Dice" : name}`;
    label.style.color = color;
    return label;
  }));
  view.levelOfCurve = pixel => 1 + Math.round(Math.min(1, Math.max(0, (pixel - box.left) / (box.right - box.left))) * (method.top - 1));
}

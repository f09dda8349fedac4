"use strict";
// A scan's volumes in memory, and what a threshold detects. x runs fastest, then y, then z.

// Bytes from base64 of gzip.
async function unpack(text) {
  const packed = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Ones and zeros from packed bits.
function fromBits(bits, count) {
  const mask = new Uint8Array(count);
  for (let i = 0; i < count; i++) mask[i] = (bits[i >> 3] >> (i & 7)) & 1;
  return mask;
}

// Levels from their low bytes followed by their high bytes.
function fromPlanes(planes) {
  const count = planes.length / 2;
  const levels = new Uint16Array(count);
  for (let i = 0; i < count; i++) levels[i] = planes[i] | (planes[i + count] << 8);
  return levels;
}

// A scan from its file: shape, spacing [mm], origin [mm], mask, lesion, intensity (levels), and methods still packed.
// Candidates, where the file has them instead of a lesion, are numbered in labels, and outlined as a lesion is.
async function unpackScan(file) {
  const count = file.shape[0] * file.shape[1] * file.shape[2];
  const [mask, outlined, intensity] = await Promise.all([file.mask, file.labels || file.lesion, file.scan.levels].map(unpack));
  const labels = file.labels && fromPlanes(outlined);
  return {
    ...file,
    mask: fromBits(mask, count),
    labels,
    lesion: labels ? Uint8Array.from(labels, label => label > 0) : fromBits(outlined, count),
    intensity: fromPlanes(intensity),
    voxelMl: file.spacing ** 3 / 1000,
    strides: [1, file.shape[0], file.shape[0] * file.shape[1]],
    unpackedMethods: new Map(),
  };
}

// A method's heatmap: levels over the grid, 0 outside the brain, and the number of voxels that reach each level.
async function unpackMethod(scan, name) {
  if (!scan.unpackedMethods.has(name)) {
    const method = scan.methods[name];
    const brainLevels = fromPlanes(await unpack(method.levels));
    const levels = new Uint16Array(scan.mask.length);
    let top = 0;
    for (let i = 0, next = 0; i < levels.length; i++) {
      if (scan.mask[i]) {
        levels[i] = brainLevels[next++];
        if (levels[i] > top) top = levels[i];
      }
    }
    top = Math.max(top, 1 - method.first); // the slider reaches the first threshold, even if no score does
    const hits = new Uint32Array(top + 2), alarms = new Uint32Array(top + 2);
    for (let i = 0; i < levels.length; i++) if (levels[i]) (scan.lesion[i] ? hits : alarms)[levels[i]]++;
    for (let k = top - 1; k >= 0; k--) { hits[k] += hits[k + 1]; alarms[k] += alarms[k + 1]; }
    scan.unpackedMethods.set(name, { ...method, levels, top, hits, alarms });
  }
  return scan.unpackedMethods.get(name);
}

// The score that voxels of a level reach, and the level whose threshold is nearest to a score.
const thresholdOf = (method, level) => method.anchor + method.step * (method.first + level - 1);
const levelOf = (method, score) =>
  Math.min(method.top, Math.max(1, Math.round((score - method.anchor) / method.step) - method.first + 1));

// Measures of detection at a level: voxels at or above it count as detected, missed lesion never does.
function measures(scan, method, level) {
  const hits = method.hits[level], detected = hits + method.alarms[level];
  const positives = method.hits[0] + scan.missed, brain = method.hits[0] + method.alarms[0];
  return {
    dice: positives ? 2 * hits / (detected + positives) : NaN,
    sensitivity: positives ? hits / positives : NaN,
    precision: detected ? hits / detected : NaN,
    volume: detected * scan.voxelMl,
    share: detected / brain,
  };
}

const offset = (scan, at) => at[0] + at[1] * scan.strides[1] + at[2] * scan.strides[2];
const positionOf = (scan, at) => at.map((index, axis) => scan.origin[axis] + scan.spacing * index);

// Smallest box with the whole brain and three voxels around it: [first, after the last] along each axis.
function brainFrame(scan) {
  const frame = scan.shape.map(size => [size, 0]);
  forEachVoxel(scan, (i, at) => {
    if (scan.mask[i]) at.forEach((index, axis) => {
      if (index < frame[axis][0]) frame[axis][0] = index;
      if (index >= frame[axis][1]) frame[axis][1] = index + 1;
    });
  });
  return frame.map(([first, end], axis) => [Math.max(0, first - 3), Math.min(scan.shape[axis], end + 3)]);
}

// Voxel of the highest level.
function highest(scan, levels) {
  let best = 0, place = [0, 0, 0];
  forEachVoxel(scan, (i, at) => { if (levels[i] > best) { best = levels[i]; place = [...at]; } });
  return place;
}

// In the axial slice with the most lesion, the lesion voxel nearest to the middle of the lesion; null without lesion.
function largestLesionSlice(scan) {
  const slices = Array.from({ length: scan.shape[2] }, () => []);
  forEachVoxel(scan, (i, at) => { if (scan.lesion[i]) slices[at[2]].push([...at]); });
  const voxels = slices.reduce((most, slice) => (slice.length > most.length ? slice : most), []);
  if (!voxels.length) return null;
  const middle = [0, 1].map(axis => voxels.reduce((sum, at) => sum + at[axis], 0) / voxels.length);
  const distance = at => (at[0] - middle[0]) ** 2 + (at[1] - middle[1]) ** 2;
  return voxels.reduce((nearest, at) => (distance(at) < distance(nearest) ? at : nearest));
}

function forEachVoxel(scan, visit) {
  const at = [0, 0, 0];
  let i = 0;
  for (at[2] = 0; at[2] < scan.shape[2]; at[2]++)
    for (at[1] = 0; at[1] < scan.shape[1]; at[1]++)
      for (at[0] = 0; at[0] < scan.shape[0]; at[0]++) visit(i++, at);
}

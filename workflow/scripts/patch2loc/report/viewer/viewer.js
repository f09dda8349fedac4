"use strict";
// The page: its state, its controls, and the address of that state (#scan=dataset/subject&method=...&threshold=...).

const element = id => document.getElementById(id);
const BELOW_PLANES = 275; // CSS pixels for color bar, settings and note
const LINE_SWITCHES = ["brain", "lesion", "detected", "cross"];
const view = { zoom: 1, lines: {}, active: PLANES[0] };
let index, entry, loadedFile;

// Called by index.js and by the files of scans.
const patch2loc = {
  index(content) { index = content; },
  scan(content) { loadedFile = content; },
};

// In a page that opens alone index and scan are elements of the page, else files beside it.
const contentInPage = id => element(id) && JSON.parse(element(id).textContent);

function showProblem(text) {
  element("problem").textContent = text;
  element("problem").hidden = !text;
}

function loadScript(address) {
  return new Promise((resolve, reject) => {
    const tag = document.createElement("script");
    tag.src = address;
    tag.onload = () => { tag.remove(); resolve(); };
    tag.onerror = () => { tag.remove(); reject(new Error(address)); };
    document.head.append(tag);
  });
}

function readAddress() {
  const parts = new URLSearchParams(location.hash.slice(1));
  return { scan: parts.get("scan"), method: parts.get("method"), threshold: parts.get("threshold"), at: parts.get("at") };
}

const key = scan => `${scan.dataset}/${scan.subject}`;
const goTo = name => { location.hash = new URLSearchParams({ scan: name, method: view.name || "" }); };

async function start() {
  try {
    index = contentInPage("index-of-page");
    if (!index) await loadScript("index.js");
  } catch {
    return showProblem("index.js is not beside this page: make the report again, or copy the whole folder.");
  }
  fillLists();
  connect();
  await follow();
  // One after the other, so that a scan that is slow to load does not replace a later one.
  let following = Promise.resolve();
  window.addEventListener("hashchange", () => {
    following = following.then(follow).then(() => element("planes").scrollIntoView({ block: "nearest" }));
  });
}

function fillLists() {
  const groups = new Map();
  for (const scan of index.scans) {
    if (!groups.has(scan.dataset)) {
      groups.set(scan.dataset, document.createElement("optgroup"));
      groups.get(scan.dataset).label = `${scan.title}, ${scan.modality}${scan.simulated ? " (simulated)" : ""}`;
    }
    // From a disk only files that were written can be opened; the server makes the others.
    const label = `${scan.subject}${scan.auprc === null ? "" : `, AUPRC ${scan.auprc.toFixed(3)}`}${scan.why ? ` (${scan.why})` : ""}`;
    const option = new Option(label, key(scan));
    option.disabled = !scan.written && location.protocol === "file:";
    groups.get(scan.dataset).append(option);
  }
  element("scan").append(...groups.values());
  element("method").append(...index.methods.map((name, i) => new Option(index.labels[i], name)));
  element("colors").append(...Object.keys(index.color_maps).map(name => new Option(name, name)));
  element("colors").value = index.color_map;
  if (index.opacity) element("opacity").value = index.opacity;
}

// The scan that the viewer opens with: of those with a lesion the one with the median AUPRC, or the first scan.
function firstScan() {
  const written = index.scans.filter(scan => scan.written);
  const ranked = written.filter(scan => scan.auprc !== null).sort((a, b) => a.auprc - b.auprc);
  return ranked[Math.floor(ranked.length / 2)] || written[0];
}

// Show what the address names; what it leaves out stays as it is, or starts with the first scan.
async function follow() {
  const address = readAddress();
  const addressed = index.scans.find(scan => key(scan) === address.scan);
  if (address.scan && !addressed) return showProblem(`${address.scan}: not among the scans of this run.`);
  const next = addressed || entry || firstScan();
  if (!next) return showProblem("No scan was scored.");
  document.body.dataset.state = "loading";
  if (next !== entry && !(await load(next))) return;
  await selectMethod(index.methods.includes(address.method) ? address.method : view.name || index.methods[0]);
  if (address.threshold !== null && Number.isFinite(Number(address.threshold))) view.level = levelOf(view.method, Number(address.threshold));
  const at = (address.at || "").split(",").map(Number);
  if (at.length === 3 && at.every((value, axis) => value >= 0 && value < view.scan.shape[axis])) view.at = at;
  show();
}

async function load(next) {
  showProblem("");
  element("scan").value = key(next);
  try {
    loadedFile = contentInPage("scan-of-page");
    if (!loadedFile) await loadScript(next.file);
    view.scan = await unpackScan(loadedFile);
  } catch {
    const command = "patch2loc view RESULTS";
    showProblem(`${key(next)}: its file is not in this folder. ${command} shows every scored scan.`);
    return false;
  }
  entry = next;
  view.frame = brainFrame(view.scan);
  view.window = view.scan.scan.window.map(value => value / view.scan.scan.step);
  view.at = view.scan.at || null;
  view.method = null;
  document.body.classList.toggle("without-truth", !view.scan.truth);
  document.body.classList.toggle("without-outline", !view.scan.truth && !view.scan.labels);
  element("outline-name").textContent = view.scan.labels ? "candidates" : "lesion";
  return true;
}

async function selectMethod(name) {
  const method = await unpackMethod(view.scan, name);
  if (method === view.method) return;
  view.name = name;
  view.method = method;
  view.level = levelOf(method, method.anchor);
  view.range = [...method.range];
  view.at = view.at || largestLesionSlice(view.scan) || highest(view.scan, method.levels);
  element("method").value = name;
  element("threshold").min = 1;
  element("threshold").max = method.top;
  element("to-start").textContent = method.start;
  element("low").value = Number(view.range[0].toPrecision(3));
  element("high").value = Number(view.range[1].toPrecision(3));
}

const round = value => Number(value.toPrecision(4));
const formatted = (value, digits = 3) => (Number.isFinite(value) ? value.toFixed(digits) : "–");
// A score; of a map of rarity also as one in so many healthy voxels, up to the million that a reference can tell.
const oneIn = rarity => (rarity > 6 ? "1 in > 1,000,000" : `1 in ${Number((10 ** Math.max(0, rarity)).toPrecision(2)).toLocaleString("en")}`);
const scoreText = (method, score) => (method.rarity ? `${formatted(score, 2)} (${oneIn(score)})` : formatted(score));

// Draw once at the next frame, however many changes there are.
let waiting = false;
function show() {
  if (waiting || !view.method) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    for (const name of LINE_SWITCHES) view.lines[name] = element(`show-${name}`).checked;
    view.opacity = Number(element("opacity").value);
    view.onlyDetected = element("only-detected").checked;
    view.smooth = element("smooth").checked;
    view.colors = Uint8Array.from(atob(index.color_maps[element("colors").value]), letter => letter.charCodeAt(0));
    const above = element("planes").getBoundingClientRect().top - element("bar-of-scan").getBoundingClientRect().top;
    fitPlanes(view, element("views").clientWidth, Math.max(320, window.innerHeight - above - BELOW_PLANES));
    for (const plane of PLANES) drawPlane(view, plane);
    drawBar(view);
    drawCurve(view);
    showNumbers();
    const address = new URLSearchParams({
      scan: key(entry), method: view.name, threshold: thresholdOf(view.method, view.level), at: view.at.join(","),
    });
    history.replaceState(null, "", `#${address.toString().replaceAll("%2F", "/").replaceAll("%2C", ",")}`);
    document.body.dataset.state = "ready";
  });
}

// Numbers at the crosshair and at the threshold, and the titles.
function showNumbers() {
  const { scan, method, at } = view;
  const i = offset(scan, at), level = method.levels[i];
  const [x, y, z] = positionOf(scan, at).map(value => Number(value.toFixed(1)));
  element("position").textContent = `${x}, ${y}, ${z} mm`;
  element("voxel").textContent = at.join(", ");
  element("score").textContent = level ? scoreText(method, thresholdOf(method, level)) : "outside the brain";
  element("intensity").textContent = round(scan.intensity[i] * scan.scan.step);
  const tissue = scan.mask[i] ? "brain" : "outside the brain";
  const part = scan.labels ? `candidate ${scan.labels[i]}` : "lesion";
  element("tissue").textContent = scan.lesion[i] ? `${part}, ${tissue}` : tissue;

  const threshold = thresholdOf(method, view.level), values = measures(scan, method, view.level);
  element("threshold").value = view.level;
  if (document.activeElement !== element("threshold-value")) element("threshold-value").value = threshold.toFixed(3);
  for (const name of ["dice", "sensitivity", "precision"]) {
    element(name).textContent = formatted(values[name]);
    element(name).dataset.value = values[name];
  }
  element("volume").textContent = `${formatted(values.volume, 2)} ml`;
  element("volume").dataset.value = values.volume;
  element("share").textContent = `${formatted(100 * values.share, 2)} %`;
  const lesion = (method.hits[0] + scan.missed) * scan.voxelMl, missed = scan.missed * scan.voxelMl;
  element("lesion-volume").textContent = `${formatted(lesion, 2)} ml`;
  element("missed").textContent = `${formatted(missed, 2)} ml`;
  element("black").value = view.window[0];
  element("white").value = view.window[1];
  if (document.body.classList.contains("alone")) return;
  element("about").textContent = `${entry.title}${entry.simulated ? " (simulated)" : ""} · ${scan.modality} · ${scan.subject} · fold ${index.fold}`;
  document.title = `${scan.subject}, ${entry.title} – Patch2Loc viewer`;
}

function move(axis, by) {
  const [first, end] = view.frame[axis];
  view.at[axis] = Math.min(end - 1, Math.max(first, view.at[axis] + by));
  show();
}

function setLevel(level) {
  view.level = Math.min(view.method.top, Math.max(1, level));
  show();
}

function step(by) {
  const open = index.scans.filter(scan => scan.written || location.protocol !== "file:");
  const next = open[(open.indexOf(entry) + by + open.length) % open.length];
  goTo(key(next));
}

function toggle(id) {
  element(id).checked = !element(id).checked;
  show();
}

function cycle(id) {
  const list = element(id);
  list.selectedIndex = (list.selectedIndex + 1) % list.options.length;
  list.dispatchEvent(new Event("change"));
}

function zoom(factor) {
  view.zoom = Math.min(8, Math.max(1, view.zoom * factor));
  show();
}

function setWindow(black, white) {
  const top = 4095;
  view.window = [Math.min(top - 1, Math.max(0, black)), Math.min(top, Math.max(black + 1, white))];
  show();
}

const KEYS = {
  "[": () => setLevel(view.level - Math.ceil(view.method.top / 200)),
  "]": () => setLevel(view.level + Math.ceil(view.method.top / 200)),
  b: () => setLevel(levelOf(view.method, view.method.anchor)),
  h: () => { element("opacity").value = view.opacity ? 0 : (view.lastOpacity || 0.4); view.lastOpacity = view.opacity; show(); },
  d: () => toggle("show-detected"),
  l: () => toggle("show-lesion"),
  m: () => toggle("show-brain"),
  c: () => toggle("show-cross"),
  o: () => toggle("only-detected"),
  s: () => toggle("smooth"),
  v: () => cycle("colors"),
  t: () => cycle("method"),
  g: () => { view.at = largestLesionSlice(view.scan) || view.at; show(); },
  x: () => { view.at = highest(view.scan, view.method.levels); show(); },
  n: () => step(1),
  p: () => step(-1),
  "+": () => zoom(1.25),
  "=": () => zoom(1.25),
  "-": () => zoom(0.8),
  ArrowLeft: () => move(view.active.across, 1),
  ArrowRight: () => move(view.active.across, -1),
  ArrowUp: () => move(view.active.up, 1),
  ArrowDown: () => move(view.active.up, -1),
  PageUp: () => move(view.active.through, 1),
  PageDown: () => move(view.active.through, -1),
};

function connect() {
  const on = (id, event, act) => element(id).addEventListener(event, act);
  on("scan", "change", () => goTo(element("scan").value));
  on("method", "change", async () => { await selectMethod(element("method").value); show(); });
  on("previous", "click", KEYS.p);
  on("next", "click", KEYS.n);
  on("to-lesion", "click", KEYS.g);
  on("to-peak", "click", KEYS.x);
  on("to-start", "click", KEYS.b);
  on("threshold", "input", () => setLevel(Number(element("threshold").value)));
  on("threshold-value", "change", () => setLevel(levelOf(view.method, Number(element("threshold-value").value))));
  on("curve", "pointerdown", event => setLevel(view.levelOfCurve(event.offsetX)));
  on("black", "input", () => setWindow(Number(element("black").value), view.window[1]));
  on("white", "input", () => setWindow(Math.min(view.window[0], Number(element("white").value) - 1), Number(element("white").value)));
  for (const id of ["low", "high"]) on(id, "change", () => {
    const range = [Number(element("low").value), Number(element("high").value)];
    if (range[0] < range[1]) { view.range = range; show(); }
  });
  for (const id of ["opacity", "only-detected", "smooth", "colors", ...LINE_SWITCHES.map(name => `show-${name}`)]) on(id, "input", show);
  on("colors", "change", show);
  for (const plane of PLANES) connectPlane(plane, element(plane.id));
  window.addEventListener("resize", show);
  document.addEventListener("keydown", event => {
    const typing = event.target.matches("select, input[type=number]") || (event.target.matches("input[type=range]") && event.key.startsWith("Arrow"));
    const act = KEYS[event.key] || KEYS[event.key.toLowerCase()];
    if (!act || typing || event.ctrlKey || event.metaKey || event.altKey || !view.method) return;
    event.preventDefault();
    act();
  });
}

function connectPlane(plane, canvas) {
  let last = null;
  const point = event => { view.at = voxelAt(view, plane, event.offsetX, event.offsetY); show(); };
  canvas.addEventListener("pointerdown", event => {
    if (!view.method) return;
    view.active = plane;
    canvas.setPointerCapture(event.pointerId);
    last = [event.clientX, event.clientY];
    if (event.button === 0) point(event);
  });
  canvas.addEventListener("pointermove", event => {
    if (!last) return;
    if (event.buttons & 1) point(event);
    if (event.buttons & 2) {
      const [across, up] = [event.clientX - last[0], last[1] - event.clientY].map(pixels => pixels * 6);
      const [black, white] = view.window;
      setWindow(black - across / 2 - up, Math.max(white + across / 2 - up, black - across / 2 - up + 1));
      last = [event.clientX, event.clientY];
    }
  });
  canvas.addEventListener("pointerup", () => { last = null; });
  canvas.addEventListener("contextmenu", event => event.preventDefault());
  canvas.addEventListener("focus", () => { view.active = plane; });
  canvas.addEventListener("wheel", event => {
    if (!view.method) return;
    event.preventDefault();
    view.active = plane;
    if (event.ctrlKey) zoom(event.deltaY < 0 ? 1.25 : 0.8);
    else move(plane.through, event.deltaY < 0 ? 1 : -1);
  }, { passive: false });
}

start();

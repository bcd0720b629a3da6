// The filmstrip. Gradio runs this with: element (the component's div), props, trigger, watch.
// Sliding never leaves the browser: frames are decoded once into bitmaps, and an input event only draws one or two of them.
const root = element.querySelector(".film");
const find = (selector) => root.querySelector(selector);
const canvas = find("canvas");
const paint = canvas.getContext("2d");
const sheet = document.createElement("canvas").getContext("2d", { willReadFrequently: true }); // natural size, for sums
const MAX_BYTES = 192e6; // of decoded frames
const SAME = 1e-6; // strengths closer than this are equal

const films = new Map(); // strip key -> [{uri, predicted, bitmap} or undefined]: strips seen before need no decoding
const S = (element.__state = root.__state = {
  key: null, rows: [], active: 0, original: null, width: 0, height: 0,
  settled: [], history: [], comparing: null, held: false,
  status: "", // of what is drawn: exact, predicted, preview, original
  drawn: 0, swap: 0, swaps: [], // number of drawings; milliseconds from input event to drawn picture
});

const lerp = (a, b, w) => a + (b - a) * w;
const signed = (v) => (Math.abs(v) < SAME ? "0" : (v > 0 ? "+" : "\u2212") + Math.abs(v).toFixed(2));
const strength = (row, p = row.p) => lerp(row.grid[Math.floor(p)], row.grid[Math.ceil(p)], p % 1);
const strengths = () => S.rows.map((row) => strength(row));

function position(grid, s) { // the place of strength s on a grid, in frames
  const i = grid.findIndex((g) => g >= s - SAME);
  if (i <= 0) return i < 0 ? grid.length - 1 : 0;
  const w = (s - grid[i - 1]) / (grid[i] - grid[i - 1]);
  return w > 1 - SAME ? i : i - 1 + w;
}

// ---- frames
async function decode(uri) {
  const picture = new Image();
  picture.src = uri;
  await picture.decode();
  return createImageBitmap(picture);
}

function pixels(frame) { // only sums need them
  if (frame.pixels) return frame.pixels;
  sheet.drawImage(frame.bitmap, 0, 0);
  return (frame.pixels = sheet.getImageData(0, 0, S.width, S.height).data);
}

function load(strip) { // a promise: done when every new frame is decoded
  const film = films.get(strip.key) ?? [];
  films.delete(strip.key); // and back in as the youngest
  films.set(strip.key, film);
  const size = (frame) => (frame?.bitmap ? 8 * frame.bitmap.width * frame.bitmap.height : 0); // bitmap and pixels
  const bytes = () => [...films.values()].flat().reduce((sum, frame) => sum + size(frame), 0);
  for (const key of films.keys())
    if (key !== strip.key && !S.rows.some((row) => row.strip.key === key) && bytes() > MAX_BYTES) films.delete(key);
  return Promise.all(strip.frames.map(async (uri, i) => {
    const known = film[i], predicted = strip.predicted[i];
    if (!uri || known?.uri === uri || (known && predicted && !known.predicted)) return; // an exact frame is never undone
    const frame = (film[i] = { uri, predicted: predicted || !!known, bitmap: known?.bitmap ?? null });
    try {
      Object.assign(frame, { bitmap: await decode(uri), pixels: null, predicted });
    } catch {
      film[i] = known;
    }
    later();
  }));
}

const usable = (frame) => frame?.bitmap?.width === S.width && frame.bitmap.height === S.height;

// Terms [frame, weight] that make row i's picture at place p, and how good it is.
function sample(row, p) {
  const film = films.get(row.strip.key) ?? [];
  let low = Math.floor(p), high = Math.ceil(p);
  while (low >= 0 && !usable(film[low])) low--;
  while (high < row.grid.length && !usable(film[high])) high++;
  if (low < 0) low = high;
  if (high >= row.grid.length) high = low;
  if (!usable(film[low])) return null;
  const w = high === low ? 0 : (p - low) / (high - low);
  const terms = w ? [[film[low], 1 - w], [film[high], w]] : [[film[low], 1]];
  return { terms, status: low !== p ? "preview" : film[low].predicted ? "predicted" : "exact" };
}

// The picture now. A strip whose base agrees with the other sliders shows it exactly, the active one first. If there is
// none, the active strip plus what the others have changed since it was rendered is a preview.
const moved = (row) => S.rows.filter((other, j) => other !== row && Math.abs(strength(other) - row.strip.base[j]) >= SAME);
function picture() {
  const active = S.rows[S.active], row = [active, ...S.rows].find((r) => r && !moved(r).length) ?? active;
  const own = row && sample(row, row.p);
  if (!own) return null;
  let { terms, status } = own;
  for (const other of moved(row)) {
    const now = sample(other, other.p), then = sample(other, position(other.grid, row.strip.base[S.rows.indexOf(other)]));
    if (now && then) terms = terms.concat(now.terms, then.terms.map(([frame, w]) => [frame, -w]));
    status = "preview";
  }
  return { terms, status };
}

function draw() {
  const original = S.original && { terms: [[S.original, 1]], status: "original" };
  const shown = (S.comparing && original) || picture() || original;
  S.status = shown?.status ?? "";
  root.toggleAttribute("data-ready", !!shown);
  report();
  S.drawn++;
  if (!shown) return;
  const onto = (image, alpha = 1) => {
    paint.globalAlpha = alpha;
    paint.drawImage(image, 0, 0, canvas.width, canvas.height);
  };
  paint.imageSmoothingQuality = "high";
  const [[first], second] = shown.terms;
  if (shown.terms.length <= 2) { // one over the other, the upper one as transparent as the lower one weighs
    onto(first.bitmap);
    if (second) onto(second[0].bitmap, second[1]);
  } else {
    const total = new Float32Array(4 * S.width * S.height), sum = sheet.createImageData(S.width, S.height);
    for (const [frame, w] of shown.terms) pixels(frame).forEach((value, i) => { total[i] += w * value; });
    sum.data.set(total); // clamps and rounds
    sheet.putImageData(sum, 0, 0);
    onto(sheet.canvas);
  }
  const row = S.rows[S.active];
  if (row?.heated && row.heat?.complete && !S.comparing) onto(row.heat);
}

let planned = 0; // frames that arrive together cost one drawing
const later = () => (planned ||= requestAnimationFrame(() => {
  planned = 0;
  S.rows.forEach(dots);
  draw();
}));

// ---- rows
function report() {
  const row = S.rows[S.active];
  find(".what").textContent = row ? row.strip.title : "";
  find(".strength").textContent = row ? signed(strength(row)) : "";
  find(".state").textContent = S.status;
  root.dataset.status = S.status;
  find(".undo").disabled = !S.history.length;
  find(".reset").disabled = S.rows.every((r) => Math.abs(strength(r)) < SAME);
  S.rows.forEach((r, i) => {
    const s = strength(r), span = r.grid.length - 1 || 1, zero = position(r.grid, 0) / span, now = r.p / span;
    r.node.toggleAttribute("data-active", i === S.active);
    r.find("output").textContent = signed(s);
    r.slider.setAttribute("aria-valuetext", signed(s));
    r.node.style.cssText = "--from:" + Math.min(zero, now) + ";--to:" + Math.max(zero, now);
    r.node.dataset.side = s > SAME ? "plus" : s < -SAME ? "minus" : "zero";
  });
}

function dots(row) { // one mark a frame: full when exact, hollow when predicted, faint when still to come
  const film = films.get(row.strip.key) ?? [], span = row.grid.length - 1 || 1;
  row.find(".dots").replaceChildren(...row.grid.map((_, i) => {
    const mark = document.createElement("i");
    mark.className = !film[i]?.bitmap ? "none" : film[i].predicted ? "predicted" : "exact";
    mark.style.left = (100 * i) / span + "%";
    return mark;
  }));
}

const ROW = '<button type="button" class="end minus" tabindex="-1"><img alt=""></button><div class="head">' +
  '<span class="title"></span><span class="label"></span><button type="button" class="heat" aria-pressed="false" ' +
  'title="Heat map: where the picture changes" aria-label="Heat map"><svg viewBox="0 0 20 20"><circle cx="10" cy="10" r="8"/>' +
  '<circle cx="10" cy="10" r="4.8"/><circle cx="10" cy="10" r="1.8"/></svg></button>' +
  '<output></output></div><div class="rail"><div class="dots"></div><input type="range" min="0" step="any"></div>' +
  '<button type="button" class="end plus" tabindex="-1"><img alt=""></button>';

function build(i) {
  const node = Object.assign(document.createElement("div"), { className: "row", innerHTML: ROW });
  const row = { node, find: (s) => node.querySelector(s), slider: node.querySelector("input"), p: 0, grid: [0], heated: false };
  const to = (p) => { row.p = Math.min(row.grid.length - 1, Math.max(0, p)); row.slider.value = row.p; draw(); };
  const rest = () => { to(Math.round(row.p)); settle(); }; // only frames that Python renders are rested on
  let wait = 0;
  node.addEventListener("pointerdown", () => take(i), true);
  node.addEventListener("focusin", () => take(i));
  row.slider.addEventListener("input", (e) => {
    row.p = Number(row.slider.value);
    draw();
    S.swap = performance.now() - e.timeStamp;
    S.swaps = S.swaps.slice(-199).concat(S.swap);
    clearTimeout(wait);
    if (!S.held) wait = setTimeout(rest, 150); // moved without a finger, by a screen reader for one
  });
  row.slider.addEventListener("pointerdown", () => { S.held = true; clearTimeout(wait); });
  for (const up of ["pointerup", "pointercancel"]) row.slider.addEventListener(up, () => { S.held = false; rest(); });
  row.slider.addEventListener("keydown", (e) => {
    const last = row.grid.length - 1, step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[e.key];
    const p = step ? Math.round(row.p) + step : { Home: 0, End: last, "0": position(row.grid, 0) }[e.key];
    if (p === undefined) return;
    e.preventDefault();
    const began = e.timeStamp;
    to(p);
    S.swap = performance.now() - began;
    clearTimeout(wait);
    wait = setTimeout(rest, 150);
  });
  row.slider.addEventListener("dblclick", () => { to(position(row.grid, 0)); settle(); });
  row.find(".minus").addEventListener("click", () => { to(0); settle(); });
  row.find(".plus").addEventListener("click", () => { to(row.grid.length - 1); settle(); });
  row.find(".heat").addEventListener("click", () => {
    row.heated = !row.heated;
    row.find(".heat").setAttribute("aria-pressed", row.heated);
    draw();
  });
  return row;
}

function fill(row, strip) { // new frames under a slider that may be under the finger: it stays where it is
  const s = row.strip ? strength(row) : strip.strength;
  Object.assign(row, { strip, grid: strip.strengths });
  row.p = S.held ? position(row.grid, s) : Math.round(position(row.grid, s));
  row.slider.max = row.grid.length - 1;
  row.slider.value = row.p;
  row.slider.setAttribute("aria-label", strip.title);
  row.find(".title").textContent = row.find(".title").title = strip.title;
  row.find(".label").textContent = strip.label;
  row.find(".heat").hidden = !strip.heat;
  if (strip.heat && row.heat?.src !== strip.heat) row.heat = Object.assign(new Image(), { src: strip.heat, onload: later });
  const there = strip.frames.filter(Boolean);
  [[".minus", there[0]], [".plus", there.at(-1)]].forEach(([end, uri]) => uri && (row.find(end + " img").src = uri));
  row.find(".minus").setAttribute("aria-label", strip.title + " " + signed(row.grid[0]));
  row.find(".plus").setAttribute("aria-label", strip.title + " " + signed(row.grid.at(-1)));
}

// ---- talking to Python
const here = (index = S.active) => ({ key: S.key, index, strengths: strengths() });

function tell(event) {
  S.settled = strengths();
  props.value = here();
  trigger(event, here());
  report();
}

function settle() {
  if (!strengths().some((s, i) => Math.abs(s - S.settled[i]) >= SAME)) return;
  S.history = S.history.slice(-99).concat([S.settled]);
  tell("input");
}

function take(i) {
  if (i === S.active) return;
  S.active = i;
  draw();
  tell("select");
}

function go(target) {
  S.rows.forEach((row, i) => { row.slider.value = row.p = Math.round(position(row.grid, target[i] ?? 0)); });
  draw();
}

async function adopt(value) {
  if (!value) return;
  const turn = (S.turn = (S.turn ?? 0) + 1);
  const anew = async () => value.original && { bitmap: await decode(value.original).catch(() => null) };
  const original = value.original === S.uri ? S.original : anew();
  const [first] = await Promise.all([original, ...value.strips.map(load)]); // so that no row is ever without a picture
  if (turn !== S.turn) return; // Python has spoken again meanwhile
  const fresh = value.key !== S.key || value.strips.length !== S.rows.length;
  if (fresh) {
    Object.assign(S, { key: value.key, rows: value.strips.map((_, i) => build(i)), active: 0, history: [], held: false });
    find(".rows").replaceChildren(...S.rows.map((row) => row.node));
  }
  Object.assign(S, { original: first?.bitmap ? first : null, uri: value.original });
  const frames = [first, ...value.strips.flatMap((strip) => films.get(strip.key))];
  const { width, height } = frames.find((frame) => frame?.bitmap)?.bitmap ?? { width: 1, height: 1 };
  Object.assign(S, { width, height });
  Object.assign(sheet.canvas, { width, height });
  value.strips.forEach((strip, i) => fill(S.rows[i], strip));
  S.rows.forEach(dots);
  if (fresh) S.settled = strengths();
  find(".stage").style.setProperty("--shape", width + " / " + height);
  resize();
  props.value = here();
}

// ---- the rest
const compare = (by) => { S.comparing = by; draw(); };
for (const target of [canvas, find(".compare")]) {
  const release = () => { if (S.comparing === target) compare(null); }; // pressing one takes the focus off the other
  target.addEventListener("pointerdown", (e) => { target.setPointerCapture(e.pointerId); compare(target); });
  for (const up of ["pointerup", "pointercancel", "blur"]) target.addEventListener(up, release);
  target.addEventListener("keydown", (e) => { if (e.key === " ") { e.preventDefault(); compare(target); } });
  target.addEventListener("keyup", (e) => { if (e.key === " ") release(); });
}
find(".undo").addEventListener("click", () => { go(S.history.pop()); tell("input"); });
find(".reset").addEventListener("click", () => { go([]); settle(); });

function resize() {
  const dense = Math.min(2, window.devicePixelRatio || 1);
  canvas.width = Math.max(1, Math.round(canvas.clientWidth * dense));
  canvas.height = Math.max(1, Math.round(canvas.clientHeight * dense));
  draw();
}
new ResizeObserver(resize).observe(canvas);
watch("shown", () => adopt(props.shown));
adopt(props.shown);

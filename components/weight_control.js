// The weight control. Gradio runs this with: element (the component's div), props, trigger, watch.
// A place is (u, g): u from 0 to 1 along the log of the noise level, g the weight. One object, element.__state, holds all.
const root = element.querySelector(".weight");
const find = (selector) => root.querySelector(selector);
const svg = find(".plot");
const LEFT = 34, RIGHT = 8, TOP = 8, BOTTOM = 20; // pixels around the plot
const TOPS = [2, 5, 10, 20, 50, 100]; // of the scale: the first above all weights, so that there is room to draw higher
const LEAST = -1, MOST = 100; // of a weight
const columns = props.most; // at which a stroke leaves points

const S = (element.__state = root.__state = {
  kind: "constant", low: 0.01, high: 100, level: [], weight: [], variance: [], mean: [], words: "", notes: "",
  points: [], //  [u, g], u rising
  top: TOPS[0], stroke: null, held: -1, pending: false, answers: 0, // held: the point that is dragged
});

const clamp = (v, low, high) => Math.min(high, Math.max(low, v));
const uOf = (level) => Math.log(level / S.low) / Math.log(S.high / S.low);
const levelOf = (u) => Number((S.low * Math.exp(u * Math.log(S.high / S.low))).toPrecision(3));
const rounded = (g) => Math.round(clamp(g, LEAST, MOST) * 100) / 100;
const column = (i) => (i + 0.5) / columns;

// ---- drawing
const wide = () => Math.max(60, svg.clientWidth - LEFT - RIGHT), high = () => svg.clientHeight - TOP - BOTTOM;
const X = (u) => LEFT + u * wide();
const Y = (g) => TOP + ((S.top - g) / (S.top - LEAST)) * high();
const way = (places) => places.map(([u, g], i) => (i ? "L" : "M") + X(u).toFixed(1) + " " + Y(g).toFixed(1)).join("");

function node(name, attributes, text) {
  const made = document.createElementNS(svg.namespaceURI, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function scale() {
  if (S.stroke || S.held >= 0) return; // a scale that moves under a finger cannot be drawn on
  const most = Math.max(0, ...S.weight, ...(S.kind === "curve" ? [2, ...S.points.map(([, g]) => g)] : []));
  S.top = TOPS.find((top) => top > most) ?? MOST;
}

function draw() {
  scale();
  root.dataset.kind = S.kind;
  svg.setAttribute("tabindex", S.kind === "curve" ? 0 : -1);
  const lines = [], ticks = [];
  for (const g of [LEAST, 0, S.top / 2, S.top]) {
    lines.push(node("line", { x1: X(0), x2: X(1), y1: Y(g), y2: Y(g), class: g ? "" : "zero" }));
    if (g >= 0 || Y(g) - Y(0) > 11) ticks.push(node("text", { x: LEFT - 6, y: Y(g) + 4, "text-anchor": "end" }, g < 0 ? "−1" : g));
  }
  ticks.push(node("text", { x: 2, y: TOP + high() / 2 + 4 }, "γ"));
  for (let k = Math.ceil(Math.log10(S.low) - 1e-9); k <= Math.log10(S.high) + 1e-9; k++) {
    const u = uOf(10 ** k);
    lines.push(node("line", { x1: X(u), x2: X(u), y1: TOP, y2: TOP + high() }));
    ticks.push(node("text", { x: X(u), y: TOP + high() + 15, "text-anchor": "middle" }, Number((10 ** k).toPrecision(1))));
  }
  find(".grid").replaceChildren(...lines);
  find(".ticks").replaceChildren(...ticks);
  const kernels = [];
  for (const name of ["variance", "mean"])
    for (const values of S[name]) {
      const places = values.map((v, i) => [uOf(S.level[i]), 0.94 * S.top * v]);
      kernels.push(node("path", { class: name, d: way(places) }));
    }
  find(".kernels").replaceChildren(...kernels);
  const stale = S.kind === "curve" && (S.pending || !S.points.length); // Python has not yet said what it makes of the points
  find(".line").setAttribute("d", stale ? "" : way(S.weight.map((g, i) => [uOf(S.level[i]), clamp(g, LEAST, S.top)])));
  const on = S.kind === "curve" ? S.points : [];
  const ends = on.length ? [[Math.min(0, on[0][0]), on[0][1]], ...on, [Math.max(1, on.at(-1)[0]), on.at(-1)[1]]] : [];
  find(".drawn").setAttribute("d", way(ends.map(([u, g]) => [clamp(u, 0, 1), g])));
  place(on);
  find(".clear").disabled = !S.points.length;
  find(".words").textContent = S.pending ? "" : S.words;
  find(".notes").textContent = S.pending ? "" : S.notes;
}

function place(on) { // the same nodes stay, so that one keeps its focus
  const group = find(".points");
  while (group.children.length > on.length) group.lastChild.remove();
  while (group.children.length < on.length) {
    const one = node("g", { tabindex: 0, role: "slider", "aria-valuemin": LEAST, "aria-valuemax": MOST, "aria-orientation": "vertical" });
    one.append(node("circle", { class: "reach", r: 14 }), node("circle", { r: 4.5 }));
    group.append(one);
  }
  on.forEach(([u, g], i) => {
    const one = group.children[i];
    one.setAttribute("transform", "translate(" + X(u) + "," + Y(g) + ")");
    one.setAttribute("visibility", u < 0 || u > 1 ? "hidden" : "visible");
    one.setAttribute("aria-label", "γ at noise level " + levelOf(u));
    one.setAttribute("aria-valuenow", g);
  });
}

// ---- changing
function send() {
  if (S.points.length > columns) S.points = resampled();
  const flat = [];
  for (const [u, g] of S.points) if (!flat.length || levelOf(u) > flat.at(-2)) flat.push(levelOf(u), rounded(g));
  S.pending = flat.length > 0;
  props.value = flat;
  trigger("input", { points: flat.length / 2 });
  draw();
}

function at(u) { // the curve through the points
  const i = S.points.findIndex(([v]) => v >= u);
  if (i <= 0) return S.points.at(i).at(1); // beyond the first, or the last
  const [[a, from], [b, to]] = [S.points[i - 1], S.points[i]];
  return from + ((to - from) * (u - a)) / (b - a);
}
const resampled = () => Array.from({ length: columns }, (_, i) => [column(i), at(column(i))]);

function paint([from, gFrom], [to, gTo]) {
  const first = Math.floor(Math.min(from, to) * columns), last = Math.floor(Math.max(from, to) * columns);
  for (let i = clamp(first, 0, columns - 1); i <= clamp(last, 0, columns - 1); i++) {
    const share = to === from ? 1 : clamp((column(i) - from) / (to - from), 0, 1);
    S.points = S.points.filter(([u]) => Math.abs(u - column(i)) >= 0.5 / columns);
    S.points.push([column(i), rounded(gFrom + share * (gTo - gFrom))]);
  }
  S.points.sort(([a], [b]) => a - b);
}

function move(i, u, g) { // never past its neighbours
  const gap = 0.02, low = (S.points[i - 1]?.[0] ?? -gap) + gap, up = (S.points[i + 1]?.[0] ?? 1 + gap) - gap;
  S.points[i] = [low <= up ? clamp(u, low, up) : S.points[i][0], rounded(g)];
}

function clear() {
  S.points = [];
  send();
}

// ---- pointer: mouse, touch and pen alike
const where = (e) => {
  const r = svg.getBoundingClientRect();
  const u = clamp((e.clientX - r.left - LEFT) / wide(), 0, 1);
  return [u, clamp(S.top - ((e.clientY - r.top - TOP) / high()) * (S.top - LEAST), LEAST, S.top)];
};
const tell = ([u, g]) => (find(".at").textContent = levelOf(u) + ", γ " + rounded(g).toFixed(2));

svg.addEventListener("pointerdown", (e) => {
  if (S.kind !== "curve" || !e.isPrimary || e.button) return;
  svg.setPointerCapture(e.pointerId);
  root.dataset.by = "pointer";
  const here = where(e), hit = [...find(".points").children].indexOf(e.target.closest(".points g"));
  S.before = S.points;
  if (hit >= 0) S.held = hit;
  else {
    S.stroke = here;
    S.points = [...S.points];
    paint(here, here);
  }
  draw();
});
svg.addEventListener("pointermove", (e) => {
  const here = where(e);
  if (S.kind !== "curve") return;
  tell(here);
  if (S.held >= 0) {
    S.points = [...S.points];
    move(S.held, ...here);
  } else if (S.stroke) {
    paint(S.stroke, here);
    S.stroke = here;
  } else return;
  S.pending = true;
  draw();
});
svg.addEventListener("pointerup", () => {
  if (!S.stroke && S.held < 0) return;
  const changed = S.points !== S.before;
  Object.assign(S, { stroke: null, held: -1 });
  if (changed) send();
});
svg.addEventListener("pointercancel", () => {
  if (!S.stroke && S.held < 0) return;
  Object.assign(S, { stroke: null, held: -1, points: S.before, pending: false });
  draw();
});
svg.addEventListener("pointerleave", () => S.stroke || (find(".at").textContent = ""));
svg.addEventListener("dblclick", () => S.kind === "curve" && clear());
find(".clear").addEventListener("click", clear);

// ---- keyboard
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
svg.addEventListener("keyup", () => delete root.dataset.by); // Tab too
svg.addEventListener("keydown", (e) => {
  if (S.kind !== "curve") return;
  const nodes = find(".points").children, i = [...nodes].indexOf(e.target), arrow = ARROWS[e.key];
  if (i < 0 && e.key === "Enter") { // in the middle of the widest gap
    const edges = [0, ...S.points.map(([u]) => u), 1].map((u) => clamp(u, 0, 1));
    const gaps = edges.slice(1).map((u, k) => u - edges[k]), k = gaps.indexOf(Math.max(...gaps));
    const u = edges[k] + gaps[k] / 2;
    if (S.points.length < columns) S.points = [...S.points, [u, S.points.length ? rounded(at(u)) : 1]].sort(([a], [b]) => a - b);
    send();
    nodes[S.points.findIndex(([v]) => v === u)]?.focus();
  } else if (i >= 0 && (e.key === "Delete" || e.key === "Backspace")) {
    S.points = S.points.filter((_, k) => k !== i);
    send();
    (nodes[Math.min(i, nodes.length - 1)] ?? svg).focus();
  } else if (i >= 0 && arrow) {
    const [u, g] = S.points[i], far = e.shiftKey ? 10 : 1;
    S.points = [...S.points];
    move(i, u + (arrow[0] * far) / (4 * columns), g + arrow[1] * far * 0.1);
    tell(S.points[i]);
    send();
  } else return;
  e.preventDefault();
});

// ---- answers from Python
function adopt(value) {
  if (!value) return;
  const { low, high, level } = value;
  if (level) {
    const points = S.points.map(([u, g]) => [levelOf(u), g]); // other ends, the same noise levels
    const same = low === S.low && high === S.high;
    Object.assign(S, { low, high, level: [...level], weight: [...value.weight] });
    for (const name of ["variance", "mean"]) S[name] = value[name].map((row) => [...row]);
    if (!same) S.points = points.map(([l, g]) => [uOf(l), g]);
  } else S.weight = []; // there is no such weight
  Object.assign(S, { words: value.words, notes: value.notes, answers: S.answers + 1 });
  if (!S.stroke && S.held < 0) S.pending = !level && S.kind === "curve" && S.points.length > 0 && !value.notes;
  draw();
}

function take(given) { // a link's curve, or one that Python proposes
  const flat = [...(given?.flat ?? [])];
  S.points = [];
  for (let i = 0; i + 1 < flat.length; i += 2) S.points.push([uOf(flat[i]), flat[i + 1]]);
  S.points.sort(([a], [b]) => a - b);
  props.value = flat;
  draw();
}

watch("shown", () => adopt(props.shown));
watch("points", () => take(props.points));
watch("kind", () => { S.kind = props.kind; draw(); });
S.kind = props.kind;
adopt(props.shown);
take(props.points);
new ResizeObserver(draw).observe(svg);

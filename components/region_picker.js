// The region picker. Gradio runs this with: element (the component's div), props, trigger, watch; masks.js comes before it.
// One object, element.__state, holds everything and draw() paints it, so tests can wait on it.
const root = element.querySelector(".picker");
const find = (selector) => root.querySelector(selector);
const canvas = find("canvas");
const paint = canvas.getContext("2d");
const MAX_REGION = 20000; // characters; what Python accepts

const S = (element.__state = root.__state = {
  mode: "click", image: "", picture: null, width: 0, height: 0,
  region: "", //      what was last picked, as sent
  pending: false, //  picked here, not yet answered by Python
  mask: null, //      of the region now picked; null while only Python can know it
  kept: "", //        of the picture before, to be asked of the one that is loading
  linked: "", //      set by a link, whose picture may still be on its way
  ghost: null, //     the last answer, as a dotted outline, while a dial asks again about the same pixel
  seed: null, box: null, path: null, // marks: clicked pixel, rectangle, open outline
  cursor: null, //    of the keyboard
  stroke: null, before: null, late: null, note: "", area: 0,
});

const clamp = (v, low, high) => Math.min(high, Math.max(low, v));
const pulse = find(".area").animate({ opacity: [1, 0.35] }, { duration: 600, direction: "alternate", iterations: Infinity });
const dial = (name) => Number(find("." + name).value);

// ---- drawing
const sheet = document.createElement("canvas"); // the tint, at the mask's own size

function draw() {
  const { width: W, height: H } = canvas;
  paint.clearRect(0, 0, W, H);
  report();
  if (!S.picture) return;
  const k = W / S.width, px = W / canvas.clientWidth; // backing pixels per natural pixel, per CSS pixel
  const trace = (shape, scale, dash = []) => { // white over dark: visible on any picture and to any eye
    paint.save();
    paint.scale(scale, scale);
    paint.lineCap = paint.lineJoin = "round";
    for (const [style, width] of [["rgba(10,20,30,.7)", 3.5], ["#fff", 1.5]]) {
      paint.strokeStyle = style;
      paint.lineWidth = (width * px) / scale;
      paint.setLineDash(dash.map((d) => (d * px) / scale));
      paint.stroke(shape);
    }
    paint.restore();
  };
  const ring = ([x, y], radius, cross) => {
    const mark = new Path2D();
    mark.arc(x * k, y * k, radius, 0, 7);
    if (cross) for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      mark.moveTo((x + dx / 2) * k, (y + dy / 2) * k);
      mark.lineTo(x * k + dx * 14 * px, y * k + dy * 14 * px);
    }
    trace(mark, 1);
  };
  paint.imageSmoothingEnabled = true;
  paint.imageSmoothingQuality = "high";
  paint.drawImage(S.picture, 0, 0, W, H);
  if (S.mask) {
    const { h, w, data } = S.mask, tint = new ImageData(w, h); // the rest fades into the paper, the region keeps its colours
    const veil = root.closest(".dark") ? [16, 21, 27, 140] : [252, 252, 251, 140];
    data.forEach((bit, i) => bit || tint.data.set(veil, 4 * i));
    Object.assign(sheet, { width: w, height: h }).getContext("2d").putImageData(tint, 0, 0);
    paint.imageSmoothingEnabled = false;
    paint.drawImage(sheet, 0, 0, W, H);
    trace((S.mask.outline ??= outline(S.mask)), W / w);
  } else if (S.ghost) trace((S.ghost.outline ??= outline(S.ghost)), W / S.ghost.w, [0.5, 5]);
  const shape = new Path2D();
  if (S.box && !S.mask) shape.rect(S.box[0], S.box[1], S.box[2] - S.box[0], S.box[3] - S.box[1]);
  S.path?.forEach(([x, y], i) => (i ? shape.lineTo(x, y) : shape.moveTo(x, y)));
  trace(shape, k, S.path ? [] : [5, 5]);
  if (S.seed && !S.path) ring([S.seed[0] + 0.5, S.seed[1] + 0.5], 4.5 * px);
  if (S.cursor) ring(S.cursor, S.mode === "brush" ? (dial("size") / 2) * k : 9 * px, true);
}

function report() {
  S.area = S.mask ? count(S.mask) : 0;
  const share = (100 * S.area) / (S.mask ? S.mask.h * S.mask.w : 1);
  root.dataset.mode = S.mode;
  root.toggleAttribute("data-ready", !!S.picture);
  if (S.pending && !S.mask) pulse.play();
  else pulse.cancel();
  find(".area").textContent = S.note || (S.mask ? S.area + " pixels, " + share.toFixed(1) + " % of the picture" :
    S.pending ? "finding the region" : S.picture ? "nothing picked yet" : "");
  for (const name of ["tolerance", "grain"]) find("." + name + " ~ output").textContent = dial(name).toFixed(2);
  find(".size ~ output").textContent = dial("size") + " px";
  for (const b of find(".parts").children) b.setAttribute("aria-pressed", S.region === "part:" + b.textContent);
  find(".clear").disabled = !S.region;
}

// ---- sending
function emit(region, mask = null) {
  if (region.length > MAX_REGION) return giveUp("This outline is too detailed to send. Draw a simpler one.");
  if (mask && !count(mask)) return clear();
  const pixel = (r) => r.startsWith("click:") && r.split(",", 2).join();
  S.ghost = pixel(region) && pixel(region) === pixel(S.region) ? S.mask || S.ghost : null;
  Object.assign(S, { region, mask, pending: true, note: "", before: null });
  read(region);
  props.value = region;
  trigger("input", { region });
  settle();
}

function clear() {
  Object.assign(S, { region: "", mask: null, ghost: null, pending: false, note: "", path: null, stroke: null, before: null });
  read("");
  props.value = "";
  trigger("clear");
  settle();
}

function read(region) { // the marks and dials that belong to a region
  const [kind, rest = ""] = region.split(/:(.*)/s), numbers = rest.split(",").map(Number);
  S.box = kind === "box" ? numbers : null;
  S.seed = kind === "click" ? numbers.slice(0, 2) : null;
  if (kind === "click") ["tolerance", "grain"].forEach((name, i) => {
    if (Number.isFinite(numbers[i + 2])) find("." + name).value = numbers[i + 2];
  });
}

const click = ([x, y]) => emit("click:" + [Math.floor(x), Math.floor(y), dial("tolerance"), dial("grain")]);
const box = () => emit("box:" + S.box, fromBox(S.height, S.width, S.box));
const remember = () => (S.before ??= { region: S.region, mask: S.mask, pending: S.pending });

function lasso() {
  const mask = fromLasso(S.height, S.width, S.path);
  S.path = null;
  return count(mask) ? emit(encode(mask), mask) : giveUp();
}

function brush(from, to) {
  const same = S.mask && S.mask.w === S.width && S.mask.h === S.height;
  const data = same ? S.mask.data.slice() : new Uint8Array(S.width * S.height);
  S.mask = { h: S.height, w: S.width, data };
  stamp(S.mask, from, to, dial("size") / 2, find(".erase").checked ? 0 : 1);
}

function giveUp(note = "") { // back to what was picked before this gesture
  Object.assign(S, S.before, { stroke: null, path: null, before: null, cursor: null, note });
  read(S.region);
  settle();
}

function settle() { // a gesture is over: now an answer that came meanwhile may be looked at
  const late = S.late;
  S.late = null;
  if (late) adopt(late);
  draw();
}

// ---- pointer: mouse, touch and pen alike
const place = (e) => {
  const r = canvas.getBoundingClientRect();
  return [clamp(((e.clientX - r.left) / r.width) * S.width, 0, S.width - 1e-6),
    clamp(((e.clientY - r.top) / r.height) * S.height, 0, S.height - 1e-6)];
};
const where = ([x, y]) => (find(".where").textContent = "x " + Math.floor(x) + "  y " + Math.floor(y));

canvas.addEventListener("pointerdown", (e) => {
  if (!S.picture || !e.isPrimary || e.button) return;
  canvas.setPointerCapture(e.pointerId);
  const from = place(e);
  remember();
  Object.assign(S, { stroke: { from, last: from, x: e.clientX, y: e.clientY }, cursor: null, note: "" });
  if (S.mode === "box" || S.mode === "lasso") S.mask = S.seed = S.ghost = S.box = null;
  if (S.mode === "lasso") S.path = [from];
  if (S.mode === "brush") brush(from, from);
  draw();
});
canvas.addEventListener("pointermove", (e) => {
  if (!S.picture || !e.isPrimary) return;
  const at = place(e), { stroke } = S;
  where(at);
  if (!stroke || S.mode === "click") return;
  if (S.mode === "box") S.box = [0, 1].map((i) => Math.floor(Math.min(stroke.from[i], at[i])))
    .concat([0, 1].map((i) => Math.floor(Math.max(stroke.from[i], at[i])) + 1));
  if (S.mode === "lasso") S.path.push(at);
  if (S.mode === "brush") brush(stroke.last, at);
  stroke.last = at;
  draw();
});
canvas.addEventListener("pointerup", (e) => {
  if (!S.stroke || !e.isPrimary) return;
  const still = Math.hypot(e.clientX - S.stroke.x, e.clientY - S.stroke.y) < 6;
  S.stroke = null;
  if (S.mode === "brush") return emit(encode(S.mask), S.mask);
  if (still !== (S.mode === "click")) return giveUp(); // a finger that scrolled, or a rectangle of nothing
  return { click: () => click(place(e)), box, lasso }[S.mode]();
});
canvas.addEventListener("pointercancel", () => giveUp());
canvas.addEventListener("pointerleave", () => S.stroke || (find(".where").textContent = ""));

// ---- keyboard
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
canvas.addEventListener("keydown", (e) => {
  const arrow = ARROWS[e.key];
  if (!S.picture || !(arrow || ["Enter", " ", "Escape"].includes(e.key))) return;
  e.preventDefault();
  if (e.key === "Escape") return giveUp();
  const { width: w, height: h } = S;
  S.cursor ??= [Math.floor(w / 2) + 0.5, Math.floor(h / 2) + 0.5];
  if (S.mode === "box") {
    remember();
    S.mask = S.ghost = S.seed = null;
    S.cursor = null;
    S.box ??= [w, h, w, h].map((side, i) => Math.round(side * (i < 2 ? 0.35 : 0.65)));
    if (!arrow) return box();
    const [x0, y0, x1, y1] = S.box, [dx, dy] = arrow;
    if (e.shiftKey) S.box = [x0, y0, clamp(x1 + dx, x0 + 1, w), clamp(y1 + dy, y0 + 1, h)];
    else if (x0 + dx >= 0 && x1 + dx <= w && y0 + dy >= 0 && y1 + dy <= h) S.box = [x0 + dx, y0 + dy, x1 + dx, y1 + dy];
    where(S.box);
  } else if (arrow) {
    const far = e.shiftKey ? 8 : 1;
    S.cursor = [clamp(S.cursor[0] + arrow[0] * far, 0.5, w - 0.5), clamp(S.cursor[1] + arrow[1] * far, 0.5, h - 0.5)];
    where(S.cursor);
  } else if (S.mode === "click") return click(S.cursor);
  else if (S.mode === "brush") {
    brush(S.cursor, S.cursor);
    return emit(encode(S.mask), S.mask);
  } else { // lasso: Enter sets a corner, Enter again at the same corner closes
    remember();
    S.mask = S.ghost = S.seed = S.box = null;
    const last = S.path?.at(-1);
    if (last && last.join() === S.cursor.join()) return lasso();
    (S.path ??= []).push(S.cursor);
  }
  draw();
});
canvas.addEventListener("blur", () => { S.cursor = null; draw(); });

// ---- controls
const group = "mode-" + Math.random().toString(36).slice(2); // radio buttons of two pickers on one page stay apart
for (const radio of root.querySelectorAll(".modes input")) {
  radio.name = group;
  radio.addEventListener("change", () => { S.mode = radio.value; giveUp(); });
}
let waiting;
for (const name of ["tolerance", "grain"]) find("." + name).addEventListener("input", () => {
  clearTimeout(waiting);
  report();
  if (S.seed) waiting = setTimeout(() => S.seed && click(S.seed), 150);
});
find(".size").addEventListener("input", draw);
find(".clear").addEventListener("click", clear);

// ---- answers from Python
function adopt(value) {
  if (!value) return;
  const fresh = typeof value.image === "string" && value.image !== S.image;
  if (S.stroke && !fresh) return void (S.late = value);
  if (fresh) {
    clearTimeout(waiting);
    S.kept = !value.region && (S.region === S.linked || /^(part|box|click):/.test(S.region)) ? S.region : "";
    S.linked = "";
    Object.assign(S, { image: value.image, picture: null, region: "", mask: null, ghost: null, pending: false,
      stroke: null, path: null, before: null, cursor: null, late: null, note: "" });
    read("");
    show(value.image);
  }
  if (value.parts && value.parts.join() !== [...find(".parts").children].map((b) => b.textContent).join())
    find(".parts").replaceChildren(...value.parts.map((part) => {
    const b = Object.assign(document.createElement("button"), { type: "button", textContent: part });
    b.addEventListener("click", () => S.picture && emit("part:" + part));
    return b;
  }));
  if (fresh || value.pick || value.region === S.region) { // otherwise it answers an earlier gesture
    Object.assign(S, { region: value.region, mask: decode(value.overlay), ghost: null, pending: false });
    read(S.region);
    if (value.pick) S.linked = S.region;
    if (props.value !== S.region && !S.kept) props.value = S.region; // what is kept is about to be asked again
  }
  draw();
}

async function show(uri) {
  if (!uri.startsWith("data:image/")) return;
  const picture = new Image();
  picture.src = uri;
  await picture.decode().catch(() => null);
  if (uri !== S.image || !picture.naturalWidth) return; // another picture came meanwhile
  const alike = S.width === picture.naturalWidth && S.height === picture.naturalHeight;
  Object.assign(S, { picture, width: picture.naturalWidth, height: picture.naturalHeight });
  if (S.kept && alike && !S.region) emit(S.kept); // what was picked by name or place is asked of the new picture
  else if (S.kept && !S.region) props.value = "";
  S.kept = "";
  find(".stage").style.setProperty("--shape", S.width + " / " + S.height);
  resize();
}

function resize() {
  const dense = Math.min(2, window.devicePixelRatio || 1);
  canvas.width = Math.max(1, Math.round(canvas.clientWidth * dense));
  canvas.height = Math.max(1, Math.round(canvas.clientHeight * dense));
  draw();
}
new ResizeObserver(resize).observe(canvas);
watch("shown", () => adopt(props.shown));
adopt(props.shown);

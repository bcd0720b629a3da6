// The scrubber. Gradio runs this with: element (the component's div), props, trigger, watch.
// Sliding never leaves the browser: pictures are decoded once, the charts of the group are moved by the event "scrub".
const root = element.querySelector(".scrubber");
const find = (selector) => root.querySelector(selector);
const slider = find("input"), caption = find("output");
const scrubbed = (window.__scrub ??= {}); // group -> last index; charts that come later look here
const LARGEST = 192; // pixels kept of a side, twice what a tile shows
const SMALL = 32; // pixels of a side, up to which single pixels are shown

const S = (element.__state = root.__state = {
  key: null, captions: [], pictures: [], index: 0, tiles: [],
  drawn: 0, decoded: 0, swaps: [], // number of drawings; pictures that are ready; milliseconds from input event to after its paint
});

// ---- pictures
let films = new Map(); // uri -> bitmap; what a scene shares with another is decoded once
async function decode(uri) {
  const picture = new Image();
  picture.src = uri;
  await picture.decode();
  const { naturalWidth: w, naturalHeight: h } = picture, k = LARGEST / Math.max(w, h);
  const smaller = { resizeWidth: Math.round(w * k) || 1, resizeHeight: Math.round(h * k) || 1, resizeQuality: "high" };
  return createImageBitmap(picture, k < 1 ? smaller : {});
}
async function load(uri, into) {
  if (!into.has(uri)) into.set(uri, films.get(uri) ?? (await decode(uri).catch(() => null)));
}

function draw() {
  slider.value = S.index;
  caption.textContent = S.captions[S.index] ?? "";
  slider.setAttribute("aria-valuetext", caption.textContent);
  (S.pictures[S.index] ?? []).forEach(([label, uri], i) => {
    const { node, canvas, words } = S.tiles[i], bitmap = films.get(uri);
    words.textContent = label;
    node.setAttribute("aria-label", label);
    if (!bitmap || canvas.bitmap === bitmap) return; // one that is not ready yet leaves the one before: no flicker
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height)
      Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
    canvas.classList.toggle("pixels", Math.max(bitmap.width, bitmap.height) <= SMALL);
    const paint = canvas.getContext("2d");
    paint.clearRect(0, 0, canvas.width, canvas.height);
    paint.drawImage(bitmap, 0, 0);
    canvas.bitmap = bitmap;
  });
  S.drawn++;
}

function tile(_, i) {
  const node = Object.assign(document.createElement("button"), { type: "button", className: "tile" });
  const canvas = document.createElement("canvas"), words = document.createElement("span");
  node.append(canvas, words);
  node.addEventListener("click", () => tell("select", { picture: i }));
  return { node, canvas, words };
}

// ---- moving
function announce() {
  scrubbed[props.group] = S.index;
  document.dispatchEvent(new CustomEvent("scrub", { detail: { group: props.group, index: S.index } }));
}

function go(index) {
  S.index = Math.min(Math.max(0, index), Math.max(0, S.captions.length - 1));
  draw();
}

slider.addEventListener("input", (e) => {
  go(Number(slider.value));
  announce();
  requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel(); // its message comes after the paint
    port1.onmessage = () => (S.swaps = S.swaps.slice(-199).concat(performance.now() - e.timeStamp));
    port2.postMessage(0);
  });
});

function scrub(e) {
  if (!element.isConnected) return document.removeEventListener("scrub", scrub); // the page has replaced this component
  if (e.detail.group === props.group && e.detail.index !== S.index) go(e.detail.index);
}
document.addEventListener("scrub", scrub);

// ---- talking to Python
const here = (more) => ({ key: S.key, index: S.index, ...more });
function tell(event, more) {
  props.value = here(more);
  trigger(event, props.value);
}
slider.addEventListener("change", () => tell("input"));

async function adopt(value) {
  if (!value) return;
  const turn = (S.turn = (S.turn ?? 0) + 1);
  const { key, captions } = value, n = captions.length, pictures = JSON.parse(JSON.stringify(value.pictures)); // not watched
  const middle = () => (n === S.captions.length ? S.index : Math.floor(n / 2));
  const next = new Map();
  await Promise.all((pictures[middle()] ?? []).map(([, uri]) => load(uri, next))); // so that no tile is ever empty
  if (turn !== S.turn) return; // Python has spoken again meanwhile
  const index = middle(), k = pictures[0]?.length ?? 0;
  films = new Map([...films, ...next]);
  if (k !== S.tiles.length) {
    S.tiles = Array.from({ length: k }, tile);
    find(".tiles").replaceChildren(...S.tiles.map((t) => t.node));
  }
  Object.assign(S, { key, captions, pictures, decoded: 0 });
  slider.max = Math.max(0, n - 1);
  root.toggleAttribute("data-empty", !n);
  find(".bar").style.setProperty("--room", Math.max(0, ...captions.map((words) => words.length)) + "ch"); // the rail keeps its length
  go(index);
  if (n) {
    props.value = here();
    announce();
  }
  const order = pictures.map((_, i) => i).sort((a, b) => Math.abs(a - index) - Math.abs(b - index));
  for (const i of order) {
    await Promise.all(pictures[i].map(([, uri]) => load(uri, next)));
    if (turn !== S.turn) return;
    for (const [, uri] of pictures[i]) films.set(uri, next.get(uri));
    S.decoded += pictures[i].length;
    if (i === S.index) draw();
  }
  films = next; // what was shown before is let go
}

find(".name").textContent = props.called;
slider.setAttribute("aria-label", props.called);
watch("shown", () => adopt(props.shown));
adopt(props.shown);

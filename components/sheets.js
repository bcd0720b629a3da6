// Sheets. Gradio runs this with: element (the component's div), props, watch.
// Every frame is decoded once; sliding draws another one and never asks Python.
const root = element.querySelector(".sheets");
const scrubbed = (window.__scrub ??= {}); // group -> last index

const S = (element.__state = root.__state = { sheets: [], index: 0, drawn: 0, decoded: 0, labels: [] });

async function decode(uri) {
  const picture = new Image();
  picture.src = uri;
  await picture.decode();
  return createImageBitmap(picture);
}

function draw() {
  for (const { canvas, films } of S.sheets) {
    const bitmap = films[Math.min(S.index, films.length - 1)];
    if (!bitmap || canvas.bitmap === bitmap) continue; // one that is not ready yet leaves the one before: no flicker
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height)
      Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    canvas.bitmap = bitmap;
  }
  S.drawn++;
}

function figure(label) {
  const node = document.createElement("figure"), canvas = document.createElement("canvas");
  const words = Object.assign(document.createElement("figcaption"), { textContent: label });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  node.append(canvas, words);
  return { node, canvas, words, films: [] };
}

function scrub(e) {
  if (!element.isConnected) return document.removeEventListener("scrub", scrub); // the page has replaced this component
  if (e.detail.group !== props.group || e.detail.index === S.index) return;
  S.index = e.detail.index;
  draw();
}
document.addEventListener("scrub", scrub);

function announce(index) {
  scrubbed[props.group] = S.index = index;
  document.dispatchEvent(new CustomEvent("scrub", { detail: { group: props.group, index } }));
  draw();
}

async function adopt(value) {
  if (!value) return;
  const turn = (S.turn = (S.turn ?? 0) + 1);
  const sheets = JSON.parse(JSON.stringify(value)); // not watched
  S.index = scrubbed[props.group] ?? S.index;
  const at = (frames) => Math.min(S.index, frames.length - 1);
  const first = await Promise.all(sheets.map(({ frames }) => decode(frames[at(frames)]).catch(() => null)));
  if (turn !== S.turn) return; // Python has spoken again meanwhile
  if (sheets.length !== S.sheets.length) {
    S.sheets = sheets.map(({ label }) => figure(label));
    root.replaceChildren(...S.sheets.map((one) => one.node));
  }
  S.labels = sheets.map((one) => one.label);
  S.decoded = 0;
  S.sheets.forEach((one, i) => {
    one.words.textContent = sheets[i].label;
    one.canvas.setAttribute("aria-label", sheets[i].label);
    one.films = Array(sheets[i].frames.length).fill(null);
    one.films[at(sheets[i].frames)] = first[i];
  });
  draw();
  const places = Math.max(0, ...sheets.map(({ frames }) => frames.length));
  if (places > 1 && places !== S.places) { // another number of steps: begin with the first frame; the slider follows
    S.places = places;
    announce(0);
  }
  for (const [i, { frames }] of sheets.entries())
    for (const [k, uri] of frames.entries()) {
      const bitmap = S.sheets[i].films[k] ?? (await decode(uri).catch(() => null));
      if (turn !== S.turn) return;
      S.sheets[i].films[k] = bitmap;
      S.decoded++;
      if (Math.min(S.index, frames.length - 1) === k) draw();
    }
}

watch("shown", () => adopt(props.shown));
adopt(props.shown);

// The chart. Gradio runs this with: element (the component's div), props, trigger, watch.
// Plotly draws, only while the chart is in sight; what is to be drawn is kept here, untouched by Plotly.
const root = element.querySelector(".chart");
const find = (selector) => root.querySelector(selector);
const plot = find(".plot"), note = find(".note");
const scrubbed = (window.__scrub ??= {}); // group -> last index, for charts that are hidden or come later
const touch = matchMedia("(pointer: coarse)").matches; // a finger on the plot scrolls the page, so there is no zoom
const CONFIG = { displaylogo: false, displayModeBar: touch ? false : "hover", modeBarButtons: [["zoom2d", "pan2d", "resetScale2d"]] };

const S = (element.__state = root.__state = {
  figure: null, frame: -1, //  what is wanted, -1: no frame
  visible: false, stale: true, colours: "", // stale: what is drawn is another figure, or in other colours
  shown: -1, drawn: 0, swaps: [], // frame that is drawn; number of drawings; milliseconds from "scrub" to after its paint
});

// ---- figures
const KINDS = { f4: Float32Array, f8: Float64Array, i1: Int8Array, u1: Uint8Array, i2: Int16Array, u2: Uint16Array,
  i4: Int32Array, u4: Uint32Array };
function unpack(packed) { // an array as plotly.py sends it, 1-D or 2-D; Plotly itself reads the rest
  const shape = String(packed.shape ?? "").split(",").map(Number), kind = KINDS[packed.dtype];
  if (!kind || shape.length > 2) return packed;
  const flat = new kind(Uint8Array.from(atob(packed.bdata), (c) => c.charCodeAt(0)).buffer);
  if (shape.length < 2) return flat;
  return Array.from({ length: shape[0] }, (_, i) => flat.subarray(i * shape[1], (i + 1) * shape[1]));
}

const plain = (value) => Object.prototype.toString.call(value) === "[object Object]";
function merge(under, over) { // a new object; lists are taken whole
  if (!plain(under) || !plain(over)) return over === undefined ? under : over;
  const keys = new Set([...Object.keys(under), ...Object.keys(over)]);
  return Object.fromEntries([...keys].map((key) => [key, merge(under[key], over[key])]));
}
function flatten(value, path = "") { // {line: {width: 2}} -> {"line.width": 2}, as Plotly's updates want it
  if (!plain(value)) return { [path]: value };
  return Object.assign({}, ...Object.entries(value).map(([key, v]) => flatten(v, path ? path + "." + key : key)));
}

function parse(text) {
  const { data, layout = {}, frames = [] } = JSON.parse(text, (_, v) => (v?.bdata ? unpack(v) : v));
  return { data, layout, frames: frames.map((frame) => {
    const changes = (frame.data ?? []).map(({ type, ...rest }) => rest); // a type in an update would reset the trace
    const traces = frame.traces ?? changes.map((_, i) => i), set = flatten(frame.layout ?? {});
    const kind = JSON.stringify([traces, changes.map((c) => Object.keys(flatten(c))), Object.keys(set)]);
    return { name: frame.name, changes, traces, layout: frame.layout ?? {}, set, kind };
  }) };
}

function whole(k) { // data and layout with frame k
  const { data, layout, frames } = S.figure, frame = frames[k];
  const traces = data.map((trace, i) => merge(trace, frame?.changes[frame.traces.indexOf(i)] ?? {}));
  return { data: traces, layout: merge(layout, frame?.layout ?? {}) };
}

// ---- drawing
function dress(layout, source) { // what the figure leaves open, in the colours that hold at an element of the page
  const colour = (name) => getComputedStyle(source).getPropertyValue(name).trim();
  const [ink, quiet, line, paper] = ["--body-text-color", "--body-text-color-subdued", "--border-color-primary",
    "--background-fill-primary"].map(colour);
  const { fontFamily: family, fontSize } = getComputedStyle(plot), none = "rgba(0,0,0,0)";
  const axis = { gridcolor: line, zerolinecolor: line, linecolor: quiet, tickcolor: quiet, tickfont: { color: quiet } };
  const template = { layout: {
    font: { color: ink, family, size: parseFloat(fontSize) }, paper_bgcolor: none, plot_bgcolor: none, xaxis: axis, yaxis: axis,
    scene: { xaxis: axis, yaxis: axis, zaxis: axis }, legend: { bgcolor: none }, shapedefaults: { line: { color: quiet } },
    annotationdefaults: { font: { color: quiet } }, modebar: { bgcolor: none, color: quiet, activecolor: ink },
    hoverlabel: { bgcolor: paper, bordercolor: line, font: { color: ink, family } },
  } };
  return { ...layout, template: merge(template, layout.template ?? {}) };
}

function draw() {
  const { data, layout } = whole(S.frame);
  const size = { width: plot.clientWidth, height: plot.clientHeight }; // to measure it in every update would cost a fifth
  const ours = { uirevision: "kept", ...layout, autosize: false, ...size };
  if (touch) ours.dragmode = false;
  S.colours = seen();
  window.Plotly.react(plot, data, dress(ours, root), CONFIG);
  if (S.drawn === 0) plot.on("plotly_click", click);
}

function swap() { // to another frame of the figure that is drawn: only what frames set, 1 to 5 ms instead of 10
  const { changes, traces, set } = S.figure.frames[S.frame], update = {};
  changes.map((change) => flatten(change)).forEach((flat, i) => {
    for (const key of Object.keys(flat)) (update[key] ??= Array(traces.length).fill(undefined))[i] = flat[key];
  });
  if (traces.length) window.Plotly.update(plot, update, set, traces);
  else window.Plotly.relayout(plot, set);
}

function refresh() { // brings the screen up to date, at the least cost
  planned = 0;
  if (!S.visible || !S.figure?.data.length || !window.Plotly) return;
  const { frames } = S.figure, index = scrubbed[props.group];
  if (props.group && frames.length && index >= 0) S.frame = Math.min(index, frames.length - 1);
  if (S.stale) draw();
  else if (S.frame === S.shown) return;
  else if (frames[S.frame].kind === frames[S.shown]?.kind) swap();
  else draw();
  Object.assign(S, { stale: false, shown: S.frame, drawn: S.drawn + 1 });
}

let planned = 0; // what arrives together is drawn once
const later = () => (planned ||= requestAnimationFrame(refresh));

function load() { // the library, once for all charts; a failure may be tried again
  const { root: address = "", api_prefix = "/gradio_api" } = window.gradio_config ?? {};
  return (window.__plotly ??= new Promise((resolve, reject) => {
    const src = address + api_prefix + "/file=" + encodeURI(props.library);
    document.head.append(Object.assign(document.createElement("script"), { src, onload: resolve, onerror: reject }));
  }).catch((error) => {
    window.__plotly = null;
    throw error;
  }));
}

function say() {
  const empty = !S.figure?.data.length;
  root.toggleAttribute("data-empty", empty);
  note.textContent = empty ? "Nothing to plot yet" : S.failed ? "The plot could not be loaded. Reload the page." : "";
}

function adopt(text) {
  if (!text) return;
  Object.assign(S, { figure: parse(text), frame: -1, stale: true });
  say();
  later();
}

// ---- clicks
const TWICE = 400; // milliseconds; a tap comes as touch and as mouse, a double click as two
function click({ points: [point] }) {
  const at = point.pointNumber ?? point.pointNumbers?.[0] ?? 0; // [row, column] in a heat map
  const index = Array.isArray(at) ? at[0] * point.data.z[0].length + at[1] : at;
  const now = performance.now(), found = { curve: point.curveNumber, index, x: point.x, y: point.y, frame: S.shown };
  const words = JSON.stringify(found), again = words === S.clicked?.words && now - S.clicked.at < TWICE;
  S.clicked = { words, at: now };
  if (again) return;
  props.value = found;
  trigger("select", found);
}

// ---- downloads
function save(href, kind) {
  Object.assign(document.createElement("a"), { href, download: props.file + "." + kind }).click();
}

find(".svg").addEventListener("click", async () => {
  if (!S.drawn) return;
  const { template } = dress(S.figure.layout, document.documentElement); // for paper: :root keeps the light colours
  const layout = { ...plot.layout, template };
  const size = { width: plot.clientWidth, height: plot.clientHeight };
  save(await window.Plotly.toImage({ data: plot.data, layout }, { format: "svg", ...size }), "svg");
});

function table() { // [{frame, curve, x, y, ...}], one a point; a heat map has z, error bars columns of their own
  const { data, frames } = S.figure;
  return (frames.length ? frames : [null]).flatMap((frame, k) => (frame ? whole(k) : { data }).data.flatMap((trace, c) => {
    const start = { frame: frame ? frame.name ?? k : "", curve: trace.name ?? c };
    if (trace.z?.[0]?.length !== undefined && typeof trace.z[0] !== "string")
      return Array.from(trace.z, (row, i) => Array.from(row, (z, j) => ({ ...start, x: trace.x?.[j] ?? j, y: trace.y?.[i] ?? i, z }))).flat();
    const column = (values) => values && ((i) => (values instanceof Float32Array ? Number(values[i].toPrecision(7)) : values[i]));
    const columns = { x: column(trace.x) ?? ((i) => i), y: column(trace.y) ?? ((i) => i), z: column(trace.z) };
    for (const bars of ["error_x", "error_y"]) {
      columns[bars] = column(trace[bars]?.array);
      columns[bars + "_minus"] = column(trace[bars]?.arrayminus);
    }
    const there = Object.entries(columns).filter(([, at]) => at), n = (trace.y ?? trace.x ?? []).length;
    return Array.from({ length: n }, (_, i) => ({ ...start, ...Object.fromEntries(there.map(([name, at]) => [name, at(i)])) }));
  }));
}

find(".csv").addEventListener("click", () => {
  if (!S.figure?.data.length) return;
  const rows = table(), names = new Set(["frame", "curve", "x", "y"]);
  for (const row of rows) Object.keys(row).forEach((name) => names.add(name));
  const cell = (v) => (/[",\n]/.test(v ?? "") ? '"' + String(v).replaceAll('"', '""') + '"' : Number.isNaN(v) ? "" : v ?? "");
  const lines = [[...names], ...rows.map((row) => [...names].map((name) => cell(row[name])))].map((line) => line.join(","));
  const url = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
  save(url, "csv");
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // the browser reads it after this handler has ended
});

// ---- the rest
root.setAttribute("aria-label", props.called || "Plot");
find(".area").style.height = props.height + "px";
const block = element.closest(".block"); // what a gr.Row lays out; gr.HTML's own min_width does not get there
if (block) block.style.minWidth = "min(280px, 100%)"; // a row of charts becomes a column

const sight = new IntersectionObserver(async (entries) => {
  S.visible = entries.at(-1).isIntersecting;
  if (!S.visible) return;
  S.failed = await load().then(() => false, () => true);
  say();
  later();
}, { rootMargin: "200px" });
sight.observe(root);

const seen = () => ["--body-text-color", "--border-color-primary"].map((name) => getComputedStyle(root).getPropertyValue(name)).join();
const dark = new MutationObserver(() => {
  if (S.colours && S.colours !== seen()) S.stale = true;
  later();
});
dark.observe(document.body, { attributes: true, attributeFilter: ["class"] });

new ResizeObserver(() => { // Plotly's own `responsive` hears the window alone, not a column or tab
  const width = plot.clientWidth;
  if (S.drawn && width && width !== plot.layout.width) window.Plotly.relayout(plot, { width });
}).observe(plot);

function scrub(e) {
  if (!element.isConnected) { // the page has replaced this component
    document.removeEventListener("scrub", scrub);
    dark.disconnect();
    return;
  }
  if (!props.group || e.detail.group !== props.group) return;
  scrubbed[props.group] = e.detail.index;
  if (!S.visible || !S.figure?.frames.length) return;
  later();
  requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel(); // its message comes after the paint
    port1.onmessage = () => (S.swaps = S.swaps.slice(-199).concat(performance.now() - e.timeStamp));
    port2.postMessage(0);
  });
}
document.addEventListener("scrub", scrub);

watch("shown", () => adopt(props.shown));
adopt(props.shown);

// Masks as {h, w, data}: data holds h*w zeros and ones, row-major. Pure functions; the region picker reads this file first.

// "rle:<h>x<w>:<runs>" -> mask, or null when it is not one. The first run counts zeros.
function decode(text) {
  const found = /^rle:(\d+)x(\d+):([\d,]+)$/.exec(text || "");
  if (!found) return null;
  const h = Number(found[1]), w = Number(found[2]);
  if (!h || !w || h * w > 16e6) return null;
  const data = new Uint8Array(h * w);
  let at = 0, on = 0;
  for (const run of found[3].split(",")) {
    if (on) data.fill(1, at, at + Number(run));
    at += Number(run);
    on ^= 1;
  }
  return at === h * w ? { h, w, data } : null;
}

function encode({ h, w, data }) {
  const runs = [];
  let on = 0, length = 0;
  for (const bit of data) {
    if (bit !== on) {
      runs.push(length);
      on = bit;
      length = 0;
    }
    length++;
  }
  runs.push(length);
  return "rle:" + h + "x" + w + ":" + runs.join(",");
}

const blank = (h, w) => ({ h, w, data: new Uint8Array(h * w) });
const count = (mask) => mask.data.reduce((sum, bit) => sum + bit, 0);

function fromBox(h, w, [x0, y0, x1, y1]) {
  const mask = blank(h, w);
  for (let y = y0; y < y1; y++) mask.data.fill(1, y * w + x0, y * w + x1);
  return mask;
}

// The inside of a closed outline: even-odd rule at pixel centres.
function fromLasso(h, w, points) {
  const mask = blank(h, w);
  for (let y = 0; y < h; y++) {
    const cuts = [];
    points.forEach(([xa, ya], i) => {
      const [xb, yb] = points[(i + 1) % points.length];
      if (ya <= y + 0.5 !== yb <= y + 0.5) cuts.push(xa + ((y + 0.5 - ya) / (yb - ya)) * (xb - xa));
    });
    cuts.sort((a, b) => a - b);
    for (let i = 0; i + 1 < cuts.length; i += 2) {
      const [from, to] = [cuts[i], cuts[i + 1]].map((x) => Math.min(w, Math.max(0, Math.ceil(x - 0.5))));
      mask.data.fill(1, y * w + from, y * w + to);
    }
  }
  return mask;
}

// Writes `value` under a disc dragged from a to b; at least the pixel under its centre.
function stamp({ h, w, data }, a, b, radius, value) {
  const steps = Math.max(1, Math.ceil(Math.hypot(b[0] - a[0], b[1] - a[1]) * 2));
  for (let i = 0; i <= steps; i++) {
    const x = a[0] + ((b[0] - a[0]) * i) / steps, y = a[1] + ((b[1] - a[1]) * i) / steps;
    for (let v = Math.max(0, Math.floor(y - radius)); v < Math.min(h, y + radius + 1); v++)
      for (let u = Math.max(0, Math.floor(x - radius)); u < Math.min(w, x + radius + 1); u++)
        if ((u + 0.5 - x) ** 2 + (v + 0.5 - y) ** 2 <= Math.max(radius ** 2, 0.5)) data[v * w + u] = value;
  }
}

// Along pixel edges, so that it shows exactly which pixels count.
function outline({ h, w, data }) {
  const path = new Path2D();
  const bit = (x, y) => (x < 0 || y < 0 || x >= w || y >= h ? 0 : data[y * w + x]);
  for (let y = 0; y <= h; y++)
    for (let x = 0; x <= w; x++) {
      if (bit(x, y) !== bit(x, y - 1)) path.moveTo(x, y), path.lineTo(x + 1, y);
      if (bit(x, y) !== bit(x - 1, y)) path.moveTo(x, y), path.lineTo(x, y + 1);
    }
  return path;
}

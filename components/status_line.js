// The status line of an action: bar and words while it runs, then the link and the Python line of what was done.
const root = element.querySelector(".line");
const find = (selector) => root.querySelector(selector);
const S = (element.__state = root.__state = { state: "idle", words: "", since: 0 });

function show(value) {
  if (!value || typeof value !== "object") return;
  if (value.state === "open") {
    props.value = { state: "idle", words: "" };
    return void setTimeout(() => trigger("submit"), 150); // after the other components have taken what the link says
  }
  if (value.state === "running" && S.state !== "running") S.since = performance.now();
  Object.assign(S, { done: 0, total: 0, query: null, why_no_link: null, python: "", linked: false }, value);
  root.dataset.state = S.state;
  find(".words").textContent = S.words;
  find(".words").setAttribute("role", S.state === "failed" ? "alert" : "status");
  const part = S.total ? S.done / S.total : 0;
  root.toggleAttribute("data-open", S.state === "running" && !part); // no fraction known yet
  find(".track i").style.transform = "scaleX(" + (S.state === "running" ? Math.max(part, 0.02) : 0) + ")";
  if (S.state === "running" && !part) slide.play();
  else slide.cancel();
  find(".link").disabled = !S.query;
  find(".link").title = S.why_no_link || "A link that reopens exactly this";
  // The address follows what is on the screen, so that a reload or a bookmark comes back to it.
  if (S.linked && S.query) history.replaceState(history.state, "", "?" + S.query + themeOf(location.search));
}

const slide = find(".track i").animate(
  [{ transform: "translateX(-30%) scaleX(.3)" }, { transform: "translateX(100%) scaleX(.3)" }],
  { duration: 1100, iterations: Infinity, easing: "ease-in-out" });
slide.cancel();

function themeOf(search) { // light or dark, chosen in the address by whoever projects the page
  const theme = new URLSearchParams(search).get("__theme");
  return theme ? "&__theme=" + encodeURIComponent(theme) : "";
}

async function copy(button, text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // not a secure context, or inside a frame that may not
    const area = Object.assign(document.createElement("textarea"), { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  const words = button.textContent;
  if (words === "Copied") return;
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = words), 1200);
}

find(".cancel").addEventListener("click", () => trigger("stop"));
find(".link").addEventListener("click", (e) => copy(e.currentTarget, location.origin + location.pathname + "?" + S.query));
find(".python").addEventListener("click", (e) => copy(e.currentTarget, S.python));
watch("value", () => show(props.value));
show(props.value);

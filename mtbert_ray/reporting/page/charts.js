// Charts by plotly.js: unpacked once, drawn when they come into sight, and again for another width, scheme or print.

// Okabe and Ito's, safe for color blindness; the marks differ in shape as well. On dark paper the same hues, lighter.
const PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"];
const PALETTE_ON_DARK = ["#4EA6DC", "#F08A4B", "#3CC49A", "#DD9CC3", "#8CCDF2", "#F0B84A"];
const darkScheme = matchMedia("(prefers-color-scheme: dark)");
const palette = () => darkScheme.matches && !isPrinting ? PALETTE_ON_DARK : PALETTE;
const SYMBOLS = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross"];
const charts = new Map();
const PRINT_WIDTH = 680;  // Pixels that fit on a page of A4 or letter paper.
let plotlyReady = null;
let isPrinting = false;

// A script element of its own, since text that was packed cannot be one.
async function unpackPlotly() {
  const text = atob(byId("plotly").textContent.trim());
  const packed = new Uint8Array(text.length);
  for (let place = 0; place < text.length; place++) packed[place] = text.charCodeAt(place);
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(unpacked).text();
  document.head.append(script);
  if (!window.Plotly) throw new Error("plotly.js did not start");
}

function colors() {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(`--${name}`).trim();
  return isPrinting
    ? { paper: "#ffffff", ink: "#1f2328", quiet: "#57606a", line: "#e3e7eb", faint: "#8c959f", accent: "#0067a3" }
    : Object.fromEntries(["paper", "ink", "quiet", "line", "faint", "accent"].map((name) => [name, color(name)]));
}

// Plotly reads some markup in its texts.
function plain(text) {
  return String(text).replace(/\s+/g, " ").replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function baseLayout(extra = {}) {
  const { paper, ink, line } = colors();
  return {
    paper_bgcolor: paper, plot_bgcolor: paper,
    font: { family: getComputedStyle(document.body).fontFamily, size: 12.5, color: ink },
    margin: { l: 58, r: 14, t: 10, b: 48 },
    hovermode: "closest",
    hoverlabel: { bgcolor: paper, bordercolor: line, font: { color: ink, size: 12.5 }, align: "left" },
    legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0, font: { size: 12 }, itemclick: false, itemdoubleclick: false },
    ...extra,
  };
}

function axis(extra = {}) {
  const { line, quiet } = colors();
  return {
    gridcolor: line, linecolor: line, zeroline: false, tickfont: { color: quiet, size: 11.5 }, automargin: true, ...extra,
    title: { standoff: 8, font: { size: 12.5 }, ...(extra.title ?? {}) },
  };
}

// Registers a chart. `build` returns {data, layout, height, alt}; `after` gets the element once it is drawn first.
function chart(id, build, after = () => {}) {
  const node = byId(id);
  charts.set(id, { node, build, after, isDrawn: false });
  new IntersectionObserver((entries, observer) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    draw(id);
  }, { rootMargin: "400px" }).observe(node);
}

async function draw(id) {
  const { node, build, after } = charts.get(id);
  try {
    await (plotlyReady ??= unpackPlotly());
  } catch (error) {
    node.replaceChildren(el("p", { class: "warning" }, `Charts cannot be drawn in this browser: ${error.message}. The tables have the numbers.`));
    return;
  }
  drawNow(id);
  const known = charts.get(id);
  if (!known.isDrawn) after(node, build);
  known.isDrawn = true;
}

function drawNow(id) {
  const { node, build } = charts.get(id);
  const width = isPrinting ? PRINT_WIDTH : node.clientWidth;
  const { data, layout, height, alt } = build(width);
  node.setAttribute("aria-label", alt);
  Plotly.react(node, data, { ...layout, width, height }, { displayModeBar: false, doubleClick: "reset" });
}

// Draws a chart again if it has been drawn; one that has not come into sight yet is drawn then.
function redraw(...ids) {
  ids.filter((id) => charts.get(id)?.isDrawn).forEach(drawNow);
}

function redrawAll() {
  redraw(...charts.keys());
}

let resizing = 0, lastWidth = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === lastWidth) return;  // A phone's address bar changes the height alone.
  lastWidth = innerWidth;
  clearTimeout(resizing);
  resizing = setTimeout(redrawAll, 150);
});
darkScheme.addEventListener("change", redrawAll);
addEventListener("beforeprint", () => { isPrinting = true; if (window.Plotly) charts.forEach((known, id) => { drawNow(id); known.isDrawn = true; }); });
addEventListener("afterprint", () => { isPrinting = false; redrawAll(); });

// The numbers of an axis, logarithmic where they are a factor of 30 apart.
function spansDecades(values) {
  const known = values.filter((value) => value !== null);
  return known.length > 1 && Math.min(...known) > 0 && Math.max(...known) / Math.min(...known) >= 30;
}

// The limits of an axis around values with a margin, as Plotly wants them.
function rangeAround(values, isLog, margin = 0.08) {
  const scaled = values.filter((value) => value !== null).map((value) => isLog ? Math.log10(value) : value);
  const low = Math.min(...scaled), high = Math.max(...scaled), span = high - low || Math.abs(high) * 0.1 || 1;
  return [low - margin * span, high + margin * span];
}

// Ticks of seconds at whole minutes and hours.
function timeTicks(low, high) {
  const steps = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 43200, 86400, 172800, 432000];
  const step = steps.find((size) => (high - low) / size <= 6) ?? 864000;
  const ticks = [];
  for (let tick = Math.ceil(Math.max(low, 0) / step) * step; tick <= high; tick += step) ticks.push(tick);
  return { tickvals: ticks, ticktext: ticks.map((tick) => tick === 0 ? "0" : shortTime(tick)) };
}

function shortTime(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return seconds % 60 ? `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")} min` : `${seconds / 60} min`;
  return seconds % 3600 ? `${(seconds / 3600).toFixed(1)} h` : `${seconds / 3600} h`;
}

function metricAxis(metric, values, extra = {}) {
  const isLog = spansDecades(values);
  const range = extra.range ?? rangeAround(values, isLog);
  const ticks = metric.unit === "s" && !isLog ? timeTicks(...range) : {};
  const unit = metric.unit && !(ticks.tickvals) ? ` (${metric.unit})` : "";
  const better = metric.direction === "maximize" ? `${plain(metric.label)}${unit}  better →` : metric.direction === "minimize" ? `← better  ${plain(metric.label)}${unit}` : plain(metric.label) + unit;
  return axis({ type: isLog ? "log" : "linear", ...ticks, ...extra, range, title: { text: better, ...(extra.title ?? {}) } });
}

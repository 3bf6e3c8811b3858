// The front of any two objectives: every finished trial, the members strong, bounds shaded, intervals where known.

const ORDER = { name: "order", label: "order of the trials", unit: "" };

function frontAxes() {
  const choices = objectives.map((objective) => [objective.name, objective.label]);
  options(byId("front-y"), choices, chosen.y);
  options(byId("front-x"), [...choices, [ORDER.name, ORDER.label]], chosen.x);
  options(byId("front-color"), [...groupings.map((one) => [one.name, one.name]), ["", "none"]], chosen.color);
  for (const [id, key] of [["front-x", "x"], ["front-y", "y"], ["front-color", "color"], ["front-zoom", "zoom"]]) {
    byId(id).addEventListener("change", (event) => choose({ [key]: event.target.value }));
  }
  for (const id of ["front-dominated", "front-errors"]) byId(id).addEventListener("change", () => redraw("front-chart"));
  if (!isNoiseKnown) byId("front-errors-label").hidden = true;
}

const axisMetric = (name) => objectives.find((objective) => objective.name === name) ?? ORDER;
const axisValue = (trial, name) => name === ORDER.name ? view.trials.indexOf(trial) + 1 : valueOf(trial, name);

// The groups of a color: each with its label, its place in the palette and its trials.
function groupsOf(trials) {
  const grouping = groupings.find((one) => one.name === chosen.color);
  if (!grouping) return [{ label: "", place: 0, trials }];
  const labels = [...grouping.values, null];
  return labels.map((label, place) => ({
    label: shortened(label === null ? `no ${grouping.name}` : `${grouping.name} ${label}`, 48),
    place: Math.min(place, 5),
    isMissing: label === null,
    trials: trials.filter((trial) => trial.values[grouping.place] === label),
  })).filter((group) => group.trials.length);
}

const colorOf = (group) => group.isMissing ? colors().faint : palette()[group.place];

const hoverTexts = new Map();
function hoverText(trial) {
  if (!hoverTexts.has(trial)) hoverTexts.set(trial, writeHoverText(trial));
  return hoverTexts.get(trial);
}

function writeHoverText(trial) {
  const lines = objectives.map((objective, place) => {
    const pair = trial.noise?.intervals[place];
    return `${plain(objective.label)} ${plain(quantity(objective, valueOf(trial, objective.name)))}${pair && pair[1] > pair[0] ? ` (${plain(interval(objective, pair))})` : ""}`;
  });
  const config = configPairs(trial).map(([name, value]) => `${plain(name)} ${plain(configValue(value))}`);
  return [`<b>${plain(trial.id)}</b>`, ...lines, "", ...config].join("<br>");
}

function frontTrace(trials, look, extra = {}) {
  return {
    type: "scatter", mode: "markers", showlegend: false,
    x: trials.map((trial) => axisValue(trial, chosen.x)), y: trials.map((trial) => axisValue(trial, chosen.y)),
    customdata: trials.map((trial) => trial.id), text: trials.map(hoverText), hovertemplate: "%{text}<extra></extra>",
    marker: look, ...extra,
  };
}

function errorBars(trials, name, color) {
  const place = objectives.findIndex((objective) => objective.name === name);
  const pairs = trials.map((trial) => trial.noise?.intervals[place] ?? null);
  if (!byId("front-errors").checked || !pairs.some(Boolean)) return undefined;
  const values = trials.map((trial) => valueOf(trial, name));
  return {
    type: "data", symmetric: false, thickness: 1, width: 0, color,
    array: pairs.map((pair, at) => pair ? Math.max(0, pair[1] - values[at]) : 0),
    arrayminus: pairs.map((pair, at) => pair ? Math.max(0, values[at] - pair[0]) : 0),
  };
}

function groupTraces(group) {
  const { paper, faint } = colors();
  const color = colorOf(group), symbol = SYMBOLS[group.place];
  const isMember = (trial) => trial.on_front;
  const others = group.trials.filter((trial) => !isMember(trial) && trial.feasible);
  const near = others.filter((trial) => trial.noise?.may_be_on_front);
  const beaten = others.filter((trial) => !trial.noise?.may_be_on_front);
  const beyond = group.trials.filter((trial) => !trial.feasible);
  const members = group.trials.filter(isMember);
  const traces = byId("front-dominated").checked ? [
    frontTrace(beaten, { color, symbol, size: 6.5, opacity: 0.28 }),
    frontTrace(near, { color, symbol, size: 7.5, opacity: 0.75 }),
    frontTrace(beyond, { color: faint, symbol: "x-thin", size: 6, line: { width: 1.3, color: faint } }),
  ] : [];
  traces.push(frontTrace(members, { color, symbol, size: 11, line: { color: paper, width: 1 } },
    { error_x: errorBars(members, chosen.x, `${color}99`), error_y: errorBars(members, chosen.y, `${color}99`) }));
  if (group.label) traces.push({ ...frontTrace([], { color, symbol, size: 9 }), x: [null], y: [null], name: plain(group.label), showlegend: true });
  return traces;
}

// The staircase between the trials that no other beats in these two objectives.
function staircase() {
  const [across, up] = [axisMetric(chosen.x), axisMetric(chosen.y)];
  if (across === ORDER || across === up) return [];
  const sorted = front.slice().sort((a, b) => lossOf(a, across) - lossOf(b, across) || lossOf(a, up) - lossOf(b, up));
  let best = Infinity;
  const steps = sorted.filter((trial) => lossOf(trial, up) < best && ((best = lossOf(trial, up)), true));
  return [{
    type: "scatter", mode: "lines", hoverinfo: "skip", showlegend: false, line: { color: colors().quiet, width: 1.2, shape: "hv", dash: "dot" },
    x: steps.map((trial) => valueOf(trial, across.name)), y: steps.map((trial) => valueOf(trial, up.name)),
  }];
}

// The members that get their id beside them: the chosen and recommended ones first, without overlaps.
function labelled(place) {
  const first = [chosen.pick, ...recommendedTrials().map(({ trial }) => trial.id)].map((id) => trialOf.get(id)).filter((trial) => trial?.on_front);
  const taken = [], marks = front.map(place);
  return [...new Set([...first, ...front])].filter((trial) => {
    const [x, y] = labelPlace(place(trial), trial.id);
    const width = 7.5 * trial.id.length;
    const isOver = ([a, b], room) => Math.abs(a - x) < (width + room) / 2 && Math.abs(b - y) < 8 + room / 3;
    const isFree = !taken.some((other) => isOver(other, width)) && (first.includes(trial) || !marks.some((mark) => isOver(mark, 6)));
    if (isFree) taken.push([x, y]);
    return isFree && trial.id.length <= 16;
  });
}

function labelTrace(place) {
  const trials = labelled(place);
  return { ...frontTrace(trials, {}), mode: "text", text: trials.map((trial) => plain(trial.id)), textposition: labelSide(), textfont: { size: 11.5, color: colors().ink }, hoverinfo: "skip", hovertemplate: undefined };
}

// The middle of a mark's label, in pixels.
function labelPlace([x, y], id) {
  const [up, across] = labelSide().split(" ");
  return [x + (across === "left" ? -1 : 1) * (3.75 * id.length + 5), y + (up === "top" ? 1 : -1) * 13];
}

// Labels stand on the better side, where no trial is.
function labelSide() {
  const up = axisMetric(chosen.y).direction === "minimize" ? "bottom" : "top";
  return `${up} ${axisMetric(chosen.x).direction === "maximize" ? "right" : "left"}`;
}

// A ring around the choice: a shape, which moves without the chart being drawn again.
function pickRing() {
  const trial = trialOf.get(chosen.pick);
  if (!trial) return [];
  const [x, y] = [axisValue(trial, chosen.x), axisValue(trial, chosen.y)];
  return [{ type: "circle", xsizemode: "pixel", ysizemode: "pixel", xanchor: x, yanchor: y, x0: -11, x1: 11, y0: -11, y1: 11, line: { width: 2, color: colors().ink } }];
}

let boundShapes = [];
function movePickRing() {
  if (charts.get("front-chart")?.isDrawn) Plotly.relayout("front-chart", { shapes: [...boundShapes, ...pickRing()] });
}

// Shades what is beyond a constraint, and draws the reference where it lies within the axes.
function bounds(ranges, logs) {
  const { faint, quiet } = colors();
  const shapes = [], annotations = [];
  [["x", chosen.x], ["y", chosen.y]].forEach(([letter, name]) => {
    const objective = axisMetric(name);
    if (objective === ORDER) return;
    const other = letter === "x" ? "y" : "x";
    for (const kind of ["constraint", "reference"]) {
      const bound = objective[kind];
      if (bound === null || (logs[letter] && bound <= 0)) continue;
      const at = logs[letter] ? Math.log10(bound) : bound;
      if (at < ranges[letter][0] || at > ranges[letter][1]) continue;
      const worse = ranges[letter][objective.direction === "minimize" ? 1 : 0];
      const end = logs[letter] ? 10 ** worse : worse;
      if (kind === "constraint") shapes.push({ type: "rect", layer: "below", line: { width: 0 }, fillcolor: faint, opacity: 0.16, [`${letter}0`]: bound, [`${letter}1`]: end, [`${other}ref`]: "paper", [`${other}0`]: 0, [`${other}1`]: 1 });
      shapes.push({ type: "line", layer: "below", line: { color: faint, width: 1, dash: kind === "constraint" ? "solid" : "dash" }, [`${letter}0`]: bound, [`${letter}1`]: bound, [`${other}ref`]: "paper", [`${other}0`]: 0, [`${other}1`]: 1 });
      annotations.push({ text: `${kind} ${plain(quantity(objective, bound))}`, showarrow: false, font: { size: 11, color: quiet }, [letter]: at, [`${other}ref`]: "paper", [other]: letter === "x" ? 1 : 0.01, xanchor: letter === "x" ? "right" : "left", yanchor: letter === "x" ? "top" : "bottom", textangle: letter === "x" ? -90 : 0 });
    }
  });
  boundShapes = shapes;
  return { shapes: [...shapes, ...pickRing()], annotations };
}

function buildFront(width) {
  const shown = chosen.zoom === "front" || !byId("front-dominated").checked ? front : compared;
  const base = shown.length ? shown : compared;
  const [xs, ys] = [chosen.x, chosen.y].map((name) => base.map((trial) => axisValue(trial, name)));
  const logs = { x: spansDecades(xs), y: spansDecades(ys) };
  const ranges = { x: rangeAround(xs, logs.x, width < 600 ? 0.14 : 0.08), y: rangeAround(ys, logs.y) };
  const groups = groupsOf(compared);
  const height = width < 600 ? 390 : 470;
  const share = (value, isLog, [low, high]) => ((isLog ? Math.log10(value) : value) - low) / (high - low);
  const place = (trial) => [share(axisValue(trial, chosen.x), logs.x, ranges.x) * (width - 80), share(axisValue(trial, chosen.y), logs.y, ranges.y) * (height - 110)];
  return {
    data: [...staircase(), ...groups.flatMap(groupTraces), labelTrace(place)],
    layout: baseLayout({
      xaxis: metricAxis(axisMetric(chosen.x), xs, { range: ranges.x }),
      yaxis: metricAxis(axisMetric(chosen.y), ys, { range: ranges.y }),
      ...bounds(ranges, logs), dragmode: width < 600 ? false : "zoom",
    }),
    height,
    alt: frontAlt(),
  };
}

function frontAlt() {
  const [across, up] = [axisMetric(chosen.x), axisMetric(chosen.y)];
  const members = front.slice(0, 8).map((trial) => `${trial.id}: ${quantity(up, axisValue(trial, up.name))}, ${quantity(across, axisValue(trial, across.name))}`);
  return `Scatter plot of ${up.label} against ${across.label}, ${counted(compared.length, "finished trial")}, ${front.length} on the front. ${members.join("; ")}${front.length > 8 ? "; and more in the table" : ""}.`;
}

function frontCaption() {
  const parts = ["Strong marks are on the front, faint ones are dominated"];
  if (isNoiseKnown && compared.some((trial) => !trial.on_front && trial.noise?.may_be_on_front)) parts.push("those between may be on it within noise");
  if (compared.some((trial) => !trial.feasible)) parts.push("crosses break a constraint");
  byId("front-caption").textContent = `${parts.join(", ")}; the ring is your choice.${objectives.length > 2 ? " The dotted line is the front of these two objectives alone." : ""} ${matchMedia("(pointer: coarse)").matches ? "Tap a mark for the trial." : "Drag to zoom, double-click to zoom out, click a mark for the trial."}`;
}

function showFront() {
  if (!compared.length) return drop("front");
  frontAxes();
  frontCaption();
  showMembers();
  drawnBy(["x", "y", "color", "zoom"], () => redraw("front-chart"));
  drawnBy(["pick"], movePickRing);
  chart("front-chart", buildFront, (node) => node.on("plotly_click", ({ points }) => points[0].customdata && showDetail(points[0].customdata)));
}

function showMembers() {
  if (!front.length) return;
  const short = front.filter((trial) => !isHairThin(trial)), thin = front.filter(isHairThin);
  fill("members", el("details", { open: front.length <= 10 },
    el("summary", {}, `${counted(front.length, "trial")} on the front, and what each gives up`),
    table(["Trial", ...objectives.map((objective) => objective.label), ...(isNoiseKnown ? ["On the front"] : []), "Against the best in each objective"],
      [...short, ...thin].map((trial) => [
        trialButton(trial.id),
        ...objectives.map((objective) => quantity(objective, valueOf(trial, objective.name))),
        ...(isNoiseKnown ? [percent(trial.noise.front_probability)] : []),
        el("div", { class: "trade-offs" }, trial.noise?.as_good_as && el("div", { class: "caution" }, `in no objective better than ${trial.noise.as_good_as} by more than the tolerance`),
          (view.trade_offs[trial.id] ?? []).map((text) => el("div", {}, text)))]),
      { label: "Trials on the front", class: "members" })));
}

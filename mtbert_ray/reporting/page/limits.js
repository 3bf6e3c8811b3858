// Limits and weights by slider: they pick a trial from the front, and give the command that trains it.

const limits = new Map();
const weights = new Map(objectives.map((objective, place) => [objective.name, place === 0 ? 10 : 0]));
const STEPS = 100;

function frontRange(objective) {
  const values = front.map((trial) => valueOf(trial, objective.name));
  return [Math.min(...values), Math.max(...values)];
}

// A limit at a place of its slider, rounded towards the looser side so that the tightest still admits a trial.
function limitAt(objective, place) {
  const [low, high] = frontRange(objective);
  const isMin = objective.direction === "minimize";
  const share = place / STEPS;
  const isLog = spansDecades([low, high]);
  const between = (from, to) => isLog ? from * (to / from) ** share : from + (to - from) * share;
  const exact = isMin ? between(low, high) : between(high, low);
  const step = 10 ** (Math.floor(Math.log10(Math.max(Math.abs(high - low), Math.abs(exact) * 1e-6, 1e-12))) - 1);
  const rounded = (isMin ? Math.ceil(exact / step - 1e-9) : Math.floor(exact / step + 1e-9)) * step;
  return Number(rounded.toPrecision(12));
}

function placeOf(objective, limit) {
  for (let place = 0; place < STEPS; place++) {
    const at = limitAt(objective, place);
    if (objective.direction === "minimize" ? at >= limit : at <= limit) return place;
  }
  return STEPS;
}

const isWithin = (trial) => objectives.every((objective) => {
  const limit = limits.get(objective.name);
  const value = valueOf(trial, objective.name);
  return limit === undefined || (objective.direction === "minimize" ? value <= limit : value >= limit);
});

// The weighted sum of losses over the front's own ranges; ties go to the objectives in their order.
function pickFrom(members) {
  const cost = (trial) => objectives.reduce((sum, objective) => {
    const [low, high] = frontRange(objective);
    const loss = objective.direction === "minimize" ? valueOf(trial, objective.name) - low : high - valueOf(trial, objective.name);
    return sum + weights.get(objective.name) * (high > low ? loss / (high - low) : 0);
  }, 0);
  const compare = (a, b) => cost(a) - cost(b) || objectives.reduce((order, objective) => order || lossOf(a, objective) - lossOf(b, objective), 0);
  return members.filter(isWithin).sort(compare)[0] ?? null;
}

function pickReason() {
  const bounds = objectives.filter((objective) => limits.has(objective.name))
    .map((objective) => `${objective.label} ${objective.direction === "minimize" ? "≤" : "≥"} ${quantity(objective, limits.get(objective.name))}`);
  const counting = objectives.filter((objective) => weights.get(objective.name) > 0);
  const by = counting.length === 1 ? `best ${counting[0].label}`
    : counting.length ? `best balance of ${joined(counting.map((objective) => `${objective.label} ×${weights.get(objective.name)}`))}` : "first in the order of the objectives";
  return `${by}${bounds.length ? ` with ${joined(bounds)}` : " without limits"}`;
}

function showPick() {
  const trial = pickFrom(front);
  const count = front.filter(isWithin).length;
  fill("pick", trial ? [
    el("div", { class: "card-head" }, el("h4", {}, "Your choice"), trialButton(trial.id)),
    el("p", { class: "quiet" }, `${pickReason()}; ${count} of ${front.length} on the front are within the limits.`),
    figures(trial, trial),
    el("p", { class: "config-text" }, configText(trial)),
    cautions(trial).map((text) => el("p", { class: "caution" }, text)),
    commandLine(trial.train_command, `train ${trial.id}`),
  ] : el("p", {}, "No trial on the front is within these limits."));
  if (chosen.pick !== (trial?.id ?? null)) choose({ pick: trial?.id ?? null });
}

function limitRow(objective) {
  const isMin = objective.direction === "minimize";
  const slider = el("input", { type: "range", id: `limit-${objective.name}`, min: 0, max: STEPS, value: STEPS, "aria-label": `${isMin ? "Most" : "Least"} ${objective.label}` });
  const number = el("input", { type: "number", step: "any", placeholder: "any", "aria-label": `${isMin ? "Most" : "Least"} ${objective.label}${objective.unit && ` in ${objective.unit}`}` });
  const weight = el("input", { type: "range", id: `weight-${objective.name}`, min: 0, max: 10, value: weights.get(objective.name), "aria-label": `Weight of ${objective.label}` });
  const shownWeight = el("output", {}, String(weights.get(objective.name)));
  const set = (limit) => {
    if (limit === undefined) limits.delete(objective.name);
    else limits.set(objective.name, limit);
    slider.setAttribute("aria-valuetext", limit === undefined ? "any" : quantity(objective, limit));
    showPick();
  };
  slider.addEventListener("input", () => {
    const limit = Number(slider.value) === STEPS ? undefined : limitAt(objective, Number(slider.value));
    number.value = limit ?? "";
    set(limit);
  });
  number.addEventListener("input", () => {
    const limit = number.value === "" ? undefined : Number(number.value);
    slider.value = limit === undefined ? STEPS : placeOf(objective, limit);
    set(limit);
  });
  weight.addEventListener("input", () => {
    weights.set(objective.name, Number(weight.value));
    shownWeight.textContent = weight.value;
    showPick();
  });
  slider.setAttribute("aria-valuetext", "any");
  return el("fieldset", {},
    el("legend", {}, objective.label),
    el("div", { class: "limit" }, el("span", {}, isMin ? "at most" : "at least"), slider, number, el("span", { class: "unit" }, objective.unit)),
    el("div", { class: "limit" }, el("span", {}, "weight"), weight, shownWeight));
}

function showLimits() {
  if (!front.length) return byId("limits")?.remove();
  byId("limits").addEventListener("submit", (event) => event.preventDefault());
  fill("limit-rows", objectives.map(limitRow));
  showPick();
}

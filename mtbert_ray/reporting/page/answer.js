// The first screen: which few configs are worth having, what each costs and gives up, how sure that is, how to get it.

const LATER = ["seed", "started", "epochs trained", "trials planned"];  // Shown with the environment.

function showHeader() {
  byId("name").textContent = view.name;
  byId("state").textContent = view.state;
  byId("state").classList.toggle("running", view.is_running);
  if (view.question) byId("question").textContent = view.question;
  else drop("question");
  fill("facts", view.facts.filter(([name]) => !LATER.includes(name)).map(([name, value]) => el("span", {}, el("span", { class: "fact-name" }, `${name} `), value)));
  byId("headline").textContent = view.headline;
}

const FEW = 3;

// The recommended trials, each once with all that recommends it; where they are few, the best in each objective too.
function recommendedTrials() {
  const found = new Map();
  for (const { title, trial, reason } of view.recommendations ?? []) {
    if (!trial) continue;
    if (!found.has(trial)) found.set(trial, []);
    found.get(trial).push({ title, reason });
  }
  for (const trial of objectives.map(bestIn)) {
    if (trial && found.size < FEW && !found.has(trial.id)) found.set(trial.id, [{ title: bestTitle(trial), reason: "" }]);
  }
  return [...found].map(([id, roles]) => ({ trial: trialOf.get(id), roles }));
}

function bestIn(objective) {
  return front.reduce((best, trial) => best && lossOf(best, objective) <= lossOf(trial, objective) ? best : trial, null);
}

function bestTitle(trial) {
  return joined(objectives.filter((objective) => bestIn(objective) === trial)
    .map((objective) => `${objective.direction === "minimize" ? "least" : "best"} ${objective.label}`));
}

function showRecommended() {
  const rows = recommendedTrials();
  if (!rows.length) return;
  const best = rows[0].trial;
  fill("recommended", el("div", { class: "cards" }, rows.map(({ trial, roles }) => card(trial, roles, best))), withoutTrial());
}

function withoutTrial() {
  return (view.recommendations ?? []).filter((one) => !one.trial).map((one) => el("p", { class: "quiet" }, one.reason));
}

function card(trial, roles, best) {
  return el("article", { class: "card", "aria-label": `Trial ${trial.id}` },
    el("div", { class: "card-head" },
      el("h3", {}, joined(roles.map((role) => role.title), "and")),
      trialButton(trial.id)),
    figures(trial, best),
    el("dl", { class: "config" }, configPairs(trial).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, configValue(value))))),
    roles.filter((role) => role.reason).map((role) => el("p", { class: "reason" }, role.reason)),
    sureness(trial),
    cautions(trial).map((text) => el("p", { class: "caution" }, text)),
    el("details", {}, el("summary", {}, "Get it"), commandsOf(trial)));
}

// A line an objective: its value, how sure that is, and the difference from the first trial.
function figures(trial, best) {
  return el("table", { class: "figures", "aria-label": `Objectives of ${trial.id}` }, el("tbody", {}, objectives.map((objective, place) => {
    const value = estimateOf(trial, place), difference = value - estimateOf(best, place);
    const isGain = (difference > 0) === (objective.direction === "maximize");
    const isNoise = trial.noise?.differs_from_best[place] === false;
    return el("tr", {},
      el("th", { scope: "row" }, objective.label),
      el("td", { class: "value" }, briefQuantity(objective, value)),
      el("td", { class: "spread" }, halfWidth(objective, trial.noise?.intervals[place])),
      el("td", { class: trial.noise?.differs_from_best[place] !== true ? "same" : isGain ? "gain" : "loss" }, trial === best ? "" : difference === 0 ? "the same" : `${signed(objective, difference)}${isNoise ? ", within noise" : ""}`));
  })));
}

// Of a repeated trial the mean over seeds.
function estimateOf(trial, place) {
  return trial.noise?.estimates[place] ?? valueOf(trial, objectives[place].name);
}

function sureness(trial) {
  return isNoiseKnown && el("p", { class: "sure" }, `On the front in ${percent(trial.noise.front_probability)} of resamples.`);
}

function cautions(trial) {
  const twin = trial.noise?.as_good_as;
  return [...(view.warnings[trial.id] ?? []), ...trial.marks.map((mark) => `Its costs: it ${mark}.`.replace("it other", "other")), ...(twin ? [`In no objective better than ${twin} by more than the tolerance.`] : [])];
}

function commandsOf(trial) {
  return [
    el("p", { class: "quiet" }, "Train it again:"), commandLine(trial.train_command, `train ${trial.id}`),
    trial.predict_command && [el("p", { class: "quiet" }, "Predict with its checkpoint:"), commandLine(trial.predict_command, `predict with ${trial.id}`)],
  ];
}

function showChoices() {
  if (!view.choices?.length) return drop("choices");
  fill("choices", view.choices.map(({ choice, verdict }) => el("li", {}, el("b", {}, choice), ` ${verdict}`)));
}

function showNotes() {
  const notes = [...view.notes, ...view.noise_notes];
  if (!notes.length) return drop("notes");
  fill("notes", el("details", { open: notes.length < 4 },
    el("summary", {}, `${counted(notes.length, "thing")} to mind`),
    el("ul", {}, notes.map((note) => el("li", {}, note)))));
}

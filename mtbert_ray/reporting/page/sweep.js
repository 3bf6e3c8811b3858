// What the page knows: the view that it carries, looked up by name, and what its reader has chosen.

const view = JSON.parse(byId("view").textContent);
const objectives = view.objectives;
const trialOf = new Map(view.trials.map((trial) => [trial.id, trial]));
const placeOfMetric = new Map(view.metrics.map((metric, place) => [metric.name, place]));
const metricOf = new Map([...view.metrics, ...objectives].map((metric) => [metric.name, metric]));
const front = view.front.map((id) => trialOf.get(id));
const compared = view.trials.filter((trial) => trial.compared);

const valueOf = (trial, name) => trial.metrics[placeOfMetric.get(name)] ?? null;
const lossOf = (trial, objective) => valueOf(trial, objective.name) * (objective.direction === "minimize" ? 1 : -1);

function configPairs(trial) {
  return view.hyperparameters.map((hyperparameter, place) => [hyperparameter.name, trial.values[place]]).filter(([, value]) => value !== null);
}

function configText(trial) {
  return configPairs(trial).map(([name, value]) => `${name} ${configValue(value)}`).join(", ") || "the defaults";
}

// Without any known noise a probability says nothing.
const isNoiseKnown = compared.some((trial) => trial.noise?.intervals.some((pair) => pair && pair[1] > pair[0]));

// The members that differ from another member by no more than noise and tolerance stay out of short lists.
const isHairThin = (trial) => Boolean(trial.noise?.as_good_as);

const groupings = view.hyperparameters
  .map((hyperparameter, place) => ({ ...hyperparameter, place }))
  .filter((hyperparameter) => hyperparameter.kind === "category" && hyperparameter.values.length > 1 && hyperparameter.values.length <= 6);

const chosen = {
  x: objectives.length > 1 ? objectives[1].name : "order",
  y: objectives[0]?.name,
  color: groupings[0]?.name ?? "",
  zoom: "all",
  pick: null,
};

const listeners = [];
// Takes in what the reader chose, and draws again whatever depends on it.
function choose(changes) {
  Object.assign(chosen, changes);
  listeners.forEach(([names, draw]) => names.some((name) => name in changes) && draw());
}
function drawnBy(names, draw) {
  listeners.push([names, draw]);
}

// The charts: what the report endpoints answer, brought into the shape that is drawn.

import { API, ask } from "./asking.js";
import { isRest, showColumns, showMeters } from "./charts.js";
import { element, fill, tell } from "./elements.js";
import { counted, money, number, percent, unitName } from "./words.js";

const at = (id) => document.getElementById(id);
const sum = (values) => values.reduce((total, value) => total + value, 0);
const NAMES = { compute: "CPU", memory: "Memory", volumes: "Volumes", costs: "Cost" };
const PROJECTS_SHOWN = 8;
const NODES_SHOWN = 8;
const NOT_A_NODE = new Set(["No-node", "no-node"]);

export async function showReports(choice) {
  const { days, measure, by } = choice;
  const nodes = measure === "memory" ? "memory" : "compute";
  const paths = {
    usage: path(measure, days, by, 5),
    capacity: path(nodes, days, "node", NODES_SHOWN),
    costs: path("costs", days, "project", PROJECTS_SHOWN, { "order_by[distributed_cost]": "desc" }),
    compute: path("compute", days, "cluster", 1),
    memory: path("memory", days, "cluster", 1),
  };
  const answers = await Promise.all(Object.values(paths).map(ask));
  const report = Object.fromEntries(Object.keys(paths).map((name, index) => [name, answers[index]]));
  for (const name of ["usage", "capacity", "costs"]) at(`${name}-link`).href = API + paths[name];
  showFigures(report);
  showUsage(report.usage, choice);
  showCapacity(report.capacity, NAMES[nodes]);
  showCosts(report.costs);
}

function path(measure, days, by, limit, more = {}) {
  return `/reports/openshift/${measure}/?` + new URLSearchParams({
    "filter[limit]": limit, "filter[resolution]": "daily", "filter[time_scope_units]": "day",
    "filter[time_scope_value]": `-${days}`, [`group_by[${by}]`]: "*", ...more,
  });
}

// Every row of a report with the name of its group: [name, index of its day, row].
function* rowsOf(report, by) {
  for (const [day, bucket] of report.data.entries()) {
    for (const group of bucket[`${by}s`] ?? []) {
      for (const row of group.values ?? []) yield [group[by], day, row];
    }
  }
}

function showFigures({ compute, memory, costs }) {
  const figure = (name, value, more) => element("li", {}, element("span", { class: "name" }, name),
    element("span", { class: "value" }, value), element("span", { class: "more" }, more));
  const used = (name, { usage, request, capacity }) => figure(`${name} used`, percent(usage?.value ?? 0, capacity?.value ?? 0),
    `${number(usage?.value ?? 0)} of ${number(capacity?.value ?? 0)} ${unitName(usage?.units ?? "")}; ${percent(request?.value ?? 0, capacity?.value ?? 0)} requested`);
  const cost = costs.meta.total.cost?.distributed ?? costs.meta.total.cost?.total;
  const wasted = compute.meta.total.total_score?.wasted_cost;
  fill(at("figures"),
    figure("Cost", cost?.value ? money(cost.value, cost.units) : "–", cost?.value
      ? (wasted?.value ? `${money(wasted.value, wasted.units)} for CPU requested but idle` : "all clusters")
      : "no prices yet"),
    used("CPU", compute.meta.total), used("Memory", memory.meta.total),
    figure("Projects", number(costs.data.length ? groupsOf(costs) : 0), "with data in the period"));
}

function groupsOf(report) {
  const named = new Set([...rowsOf(report, "project")].map(([name]) => name).filter((name) => !isRest(name)));
  return named.size + (report.meta.others ?? 0);
}

function showUsage(report, { measure, by }) {
  const dates = report.data.map((bucket) => bucket.date);
  const series = new Map();
  let unit = "";
  for (const [name, day, row] of rowsOf(report, by)) {
    const value = measure === "costs" ? row.cost?.distributed ?? row.cost?.total : row.usage;
    unit ||= value?.units ?? "";
    if (!series.has(name)) series.set(name, dates.map(() => 0));
    series.get(name)[day] += Number(value?.value ?? 0);
  }
  const sorted = [...series].map(([label, values]) => ({ label, values })).filter((one) => one.values.some((value) => value > 0))
    .sort((a, b) => isRest(a.label) - isRest(b.label) || sum(b.values) - sum(a.values));
  const write = measure === "costs" ? (value) => money(value, unit) : number;
  const title = `${NAMES[measure]} by ${by} and day, in ${unitName(unit)}`;
  tell(at("usage-title"), sorted.length ? title : `${NAMES[measure]} by ${by} and day`);
  showColumns(at("usage"), {
    title, dates, series: sorted, unit: unitName(unit), write, today: new Date().toISOString().slice(0, 10),
    empty: measure === "costs" ? "Nothing costs anything yet: give the clusters prices with ./kura cost-model apply FILE --source NAME."
      : "No data in this period.",
  });
}

function showCapacity(report, measured) {
  const nodes = new Map();
  let unit = "";
  for (const [name, , row] of rowsOf(report, "node")) {
    if (isRest(name) || NOT_A_NODE.has(name)) continue;
    const known = nodes.get(name) ?? { used: 0, requested: 0, offered: 0 };
    known.used += row.usage?.value ?? 0;
    known.requested += row.request?.value ?? 0;
    known.offered += row.capacity?.value ?? 0;
    unit ||= unitName(row.usage?.units ?? "");
    nodes.set(name, known);
  }
  const share = (part, whole) => (whole > 0 ? Math.min((100 * part) / whole, 100) : 0);
  const lines = [...nodes].sort(([, a], [, b]) => b.used - a.used).map(([label, { used, requested, offered }]) => ({
    label, value: percent(used, offered),
    parts: [["requested", 0, share(requested, offered)], ["used", 0, share(used, offered)]],
    more: `${number(used)} used, ${number(requested)} requested, ${number(offered)} offered ${unit}`,
  }));
  const others = report.meta.others ?? 0;
  tell(at("capacity-title"), `${measured} capacity against use`
    + (others ? `, the ${lines.length} busiest of ${counted(lines.length + others, "node")}` : " by node"));
  showMeters(at("capacity"), lines, { kind: "share", empty: "No node has reported in this period." });
}

function showCosts(report) {
  const projects = new Map();
  let currency = report.meta.currency;
  for (const [name, , row] of rowsOf(report, "project")) {
    const known = projects.get(name) ?? { infrastructure: 0, supplementary: 0, distributed: 0, total: 0 };
    const cost = row.cost ?? {};
    currency = cost.total?.units ?? currency;
    known.infrastructure += row.infrastructure?.total?.value ?? 0;
    known.supplementary += row.supplementary?.total?.value ?? 0;
    known.distributed += sum(Object.entries(cost).filter(([key]) => key.endsWith("_distributed")).map(([, part]) => part.value));
    known.total += cost.distributed?.value ?? cost.total?.value ?? 0;
    projects.set(name, known);
  }
  const lines = [...projects].filter(([, cost]) => Math.abs(cost.total) >= 0.005)
    .sort(([a, x], [b, y]) => isRest(a) - isRest(b) || y.total - x.total);
  at("costs-panel").hidden = !lines.length;
  const kinds = ["infrastructure", "supplementary", "distributed"];
  const lengthOf = (cost) => sum(kinds.map((kind) => Math.max(cost[kind], 0)));
  const named = lines.filter(([label]) => !isRest(label));
  const longest = Math.max(...(named.length ? named : lines).map(([, cost]) => lengthOf(cost)));
  const others = report.meta.others ?? 0;
  showMeters(at("costs"), lines.map(([label, cost]) => ({
    label: isRest(label) && others ? counted(others, "other project") : label,
    value: money(cost.total, currency),
    // What others hand on is negative and would hide how much they cost: they have one part, their total.
    parts: isRest(label) ? stacked([["rest", cost.total]], longest) : stacked(kinds.map((kind) => [kind, cost[kind]]), longest),
    more: kinds.map((kind) => `${money(cost[kind], currency)} ${kind}`).join(", "),
  })), { kind: "money", empty: "Nothing costs anything yet." });
}

// [[kind, amount]] → [[kind, from, to]] in per cent of `whole`, one after the other.
function stacked(amounts, whole) {
  let from = 0;
  return amounts.map(([kind, amount]) => {
    const to = Math.min(from + (100 * Math.max(amount, 0)) / whole, 100);
    const part = [kind, from, to];
    from = to;
    return part;
  });
}

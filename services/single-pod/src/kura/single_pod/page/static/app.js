// Asks the API what is there and shows it. Every text from data goes through text nodes, never through HTML.

import { capacityBars, element, shortNumber, stackedBars } from "./charts.js";

const API = "/api/cost-management/v1";
const REFRESH_MILLISECONDS = 5000;
const UNITS = { compute: "core-hours", memory: "GiB-hours", volumes: "GiB-months", costs: "" };
const at = (id) => document.getElementById(id);

async function ask(path) {
  const answer = await fetch(API + path, { headers: { Accept: "application/json" } });
  if (!answer.ok) {
    const body = await answer.json().catch(() => ({}));
    throw new Error(body.errors?.[0]?.detail ?? `${path} answered ${answer.status}`);
  }
  return answer.json();
}

function query(parameters) {
  return new URLSearchParams(parameters).toString();
}

function when(text) {
  if (!text) return "–";
  const moment = new Date(/[zZ]|[+-]\d\d:?\d\d$/.test(text) ? text : `${text.replace(" ", "T")}Z`);
  return Number.isNaN(moment.getTime()) ? text : `${moment.toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

function showClusters(sources) {
  at("clusters").replaceChildren(...sources.map((source) => element("article", { class: "card" },
    element("h3", {}, source.name),
    element("p", {}, source.authentication?.credentials?.cluster_id ?? source.source_ref ?? ""),
    element("p", {}, `Last upload: ${when(source.last_payload_received_at)}`),
    element("p", {}, source.paused ? "Paused" : source.has_data ? "Has data" : "No data yet"))));
  if (!sources.length) {
    at("clusters").replaceChildren(element("p", { class: "empty" },
      "No cluster is registered yet. Add one with: ./kura source add NAME --cluster-id ID"));
  }
}

function showUploads(uploads) {
  at("uploads").replaceChildren(...uploads.map((upload) => {
    const files = upload.files ?? [];
    const rows = files.reduce((sum, file) => sum + (file.rows ?? 0), 0);
    const visible = upload.stages?.seconds_to_visible ?? secondsBetween(upload.accepted_at, upload.summarised_at);
    return element("tr", {},
      element("td", { class: `state ${upload.state}` }, upload.state),
      element("td", {}, upload.source?.name ?? upload.cluster_id ?? "–"),
      element("td", {}, when(upload.accepted_at)),
      element("td", {}, String(files.length)),
      element("td", { class: "number" }, shortNumber(rows)),
      element("td", { class: "number" }, visible === null ? "–" : shortNumber(visible)),
      element("td", { class: "words" }, upload.reason ?? ""));
  }));
  if (!uploads.length) {
    at("uploads").replaceChildren(element("tr", {}, element("td", { colspan: "7", class: "words" },
      "Nothing was uploaded yet. Try: ./kura upload FILE --wait")));
  }
}

function secondsBetween(start, end) {
  return start && end ? (new Date(end) - new Date(start)) / 1000 : null;
}

function summarise(sources, uploads) {
  const busy = uploads.filter((one) => one.state === "accepted" || one.state === "processing").length;
  const failed = uploads.filter((one) => one.state === "failed").length;
  const parts = [`${sources.length} ${sources.length === 1 ? "cluster" : "clusters"}`];
  parts.push(busy ? `${busy} ${busy === 1 ? "upload" : "uploads"} being processed` : "nothing being processed");
  if (failed) parts.push(`${failed} recent ${failed === 1 ? "upload" : "uploads"} failed`);
  const text = parts.join(" · ");
  if (at("summary").textContent !== text) at("summary").textContent = text;
}

async function showUsage() {
  const choice = new FormData(at("choice"));
  const [measure, by, days] = [choice.get("measure"), choice.get("by"), choice.get("days")];
  const path = `/reports/openshift/${measure}/?` + query({
    "filter[limit]": "5", "filter[resolution]": "daily", "filter[time_scope_units]": "day",
    "filter[time_scope_value]": days, [`group_by[${by}]`]: "*",
  });
  const report = await ask(path);
  const dates = report.data.map((bucket) => bucket.date);
  const series = new Map();
  let unit = UNITS[measure];
  report.data.forEach((bucket, day) => {
    for (const group of bucket[`${by}s`] ?? []) {
      for (const row of group.values ?? []) {
        const value = measure === "costs" ? row.cost?.total : row.usage;
        unit = unit || value?.units || "";
        if (!series.has(group[by])) series.set(group[by], dates.map(() => 0));
        series.get(group[by])[day] += Number(value?.value ?? 0);
      }
    }
  });
  const rest = (label) => label === "Others" || label === "Other";
  const sorted = [...series].map(([label, values]) => ({ label, values }))
    .sort((a, b) => rest(a.label) - rest(b.label) || sum(b.values) - sum(a.values));
  stackedBars(at("usage"), { title: `${measure} by ${by} and day in ${unit}`, dates, series: sorted, unit });
  at("usage-links").replaceChildren(element("a", { href: API + path }, "JSON"));
}

const sum = (values) => values.reduce((total, value) => total + value, 0);

async function showCapacity() {
  const report = await ask("/reports/openshift/compute/?" + query({
    "filter[limit]": "12", "filter[resolution]": "daily", "filter[time_scope_units]": "day",
    "filter[time_scope_value]": "-10", "group_by[node]": "*",
  }));
  const nodes = new Map();
  for (const bucket of report.data) {
    for (const group of bucket.nodes ?? []) {
      if (group.node === "Others" || group.node === "Other" || group.node === "No-node") continue;
      for (const row of group.values ?? []) {
        const known = nodes.get(group.node) ?? { label: group.node, used: 0, requested: 0, offered: 0 };
        known.used += row.usage?.value ?? 0;
        known.requested += row.request?.value ?? 0;
        known.offered += row.capacity?.value ?? 0;
        nodes.set(group.node, known);
      }
    }
  }
  capacityBars(at("capacity"), { title: "CPU used and requested of what each node offered", rows: [...nodes.values()], unit: "core-hours" });
}

let shownState = "";

async function refresh() {
  try {
    const [sources, uploads] = await Promise.all([ask("/sources/?limit=100"), ask("/uploads/?limit=10")]);
    showClusters(sources.data);
    showUploads(uploads.data);
    summarise(sources.data, uploads.data);
    const state = uploads.data.map((one) => `${one.request_id}${one.summarised_at}`).join();
    if (state !== shownState) {
      await Promise.all([showUsage(), showCapacity()]);
      shownState = state;
    }
    at("problem").hidden = true;
  } catch (error) {
    at("problem").textContent = `Kura cannot be asked at the moment: ${error.message}`;
    at("problem").hidden = false;
    at("summary").textContent = "Not reachable";
  }
}

at("choice").addEventListener("change", () => showUsage().catch(refresh));
at("choice").addEventListener("submit", (event) => event.preventDefault());
await refresh();
document.body.dataset.ready = "true";
setInterval(() => document.hidden || refresh(), REFRESH_MILLISECONDS);

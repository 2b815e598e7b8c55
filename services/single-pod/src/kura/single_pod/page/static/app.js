// Asks the API what is there and shows it, again and again: often while something is being processed.

import { API, ask } from "./asking.js";
import { element, fill, tell } from "./elements.js";
import { showReports } from "./reports.js";
import { ago, counted, duration, exactly, number } from "./words.js";

const BUSY_MILLISECONDS = 700;
const IDLE_MILLISECONDS = 2000;
const REPORT_MILLISECONDS = 60_000;
const UPLOADS_SHOWN = 10;
const UNDERWAY = new Set(["accepted", "processing"]);
const KINDS = { done: "good", failed: "bad", waiting: "busy", accepted: "busy moving", processing: "busy moving" };
const at = (id) => document.getElementById(id);

const shown = { state: "", choice: "", reports: 0, at: null };

function stateOf(source, latest) {
  if (source.paused) return ["quiet", "paused"];
  if (latest && UNDERWAY.has(latest.state)) return ["busy moving", "processing"];
  if (latest?.state === "failed") return ["bad", "last upload failed"];
  if (latest?.state === "waiting") return ["busy", "waiting for files"];
  return source.has_data ? ["good", "up to date"] : ["quiet", "no data yet"];
}

function showClusters(sources, uploads) {
  fill(at("clusters"), ...sources.map((source) => {
    const id = source.authentication?.credentials?.cluster_id ?? source.source_ref ?? "";
    const [kind, words] = stateOf(source, uploads.find((upload) => upload.source_uuid === source.uuid));
    const models = (source.cost_models ?? []).map((model) => model.name).join(", ");
    return element("li", { class: "card" },
      element("div", { class: "top" },
        element("h3", {}, element("a", { href: `${API}/sources/${source.uuid}/`, "data-key": source.uuid }, source.name)),
        element("span", { class: `state ${kind}` }, words)),
      element("p", { class: "id" }, id),
      element("p", { class: "soft", title: exactly(source.last_payload_received_at) },
        source.last_payload_received_at ? `Last upload ${ago(source.last_payload_received_at)}` : "Nothing uploaded yet"),
      element("p", { class: "soft" }, models ? `Prices: ${models}` : "No prices"));
  }));
}

function showUploads(uploads) {
  at("uploads-panel").hidden = !uploads.length;
  fill(at("uploads"), ...uploads.map((upload) => element("tr", {},
    element("td", {}, element("span", { class: `state ${KINDS[upload.state] ?? "quiet"}` }, upload.state)),
    element("td", { class: "who" },
      element("a", { href: `${API}/uploads/${upload.request_id}/`, "data-key": upload.request_id },
        upload.source_name ?? upload.cluster_id ?? "unknown"),
      ...(upload.reason ? [element("span", { class: "reason" }, upload.reason)] : [])),
    element("td", { title: exactly(upload.accepted_at) }, ago(upload.accepted_at)),
    element("td", { class: "number", "data-name": "Rows" }, number(upload.rows ?? 0)),
    element("td", { class: "number", "data-name": "Ready after" }, upload.state === "done" ? duration(upload.seconds?.total) : "–"))));
}

// Clusters that send but that nobody has registered: their uploads are kept until somebody does.
function showUnknownClusters(uploads) {
  const ids = [...new Set(uploads.filter((upload) => upload.reason_code === "unknown_cluster").map((upload) => upload.cluster_id))];
  at("waiting").hidden = !ids.length;
  fill(at("waiting"), ...ids.flatMap((id) => [
    element("p", {}, `Cluster ${id} sends data but is not registered. Nothing is lost; register it with:`),
    element("pre", { tabindex: "0", "data-key": id }, `./kura source add NAME --cluster-id ${id}`)]));
}

function summaryOf(sources, uploads) {
  const busy = uploads.filter((upload) => UNDERWAY.has(upload.state)).length;
  const failed = uploads.filter((upload) => upload.state === "failed").length;
  const parts = [counted(sources.length, "cluster")];
  parts.push(busy ? `${counted(busy, "upload")} being processed` : "nothing being processed");
  if (failed) parts.push(`${counted(failed, "recent upload")} failed`);
  return parts.join(" · ");
}

function choice() {
  return Object.fromEntries(new FormData(at("choice")));
}

async function refreshReports(state) {
  const wanted = JSON.stringify(choice());
  const fresh = state === shown.state && wanted === shown.choice && Date.now() - shown.reports < REPORT_MILLISECONDS;
  if (fresh) return;
  await showReports(choice());
  Object.assign(shown, { state, choice: wanted, reports: Date.now() });
}

async function refresh() {
  const [sources, uploads] = await Promise.all([ask("/sources/?limit=100"), ask(`/uploads/?limit=${UPLOADS_SHOWN}`)]);
  at("start").hidden = sources.data.length > 0 || uploads.data.length > 0;
  at("clusters").closest("section").hidden = !sources.data.length;
  showClusters(sources.data, uploads.data);
  showUnknownClusters(uploads.data);
  showUploads(uploads.data);
  const hasData = sources.data.some((source) => source.has_data);
  at("reports").hidden = !hasData;
  if (hasData) await refreshReports(JSON.stringify(uploads.data.map((upload) => [upload.request_id, upload.summarised_at, upload.finished_at])));
  tell(at("summary"), summaryOf(sources.data, uploads.data));
  at("problem").hidden = true;
  shown.at = new Date();
  return uploads.data.some((upload) => UNDERWAY.has(upload.state));
}

function showProblem(error) {
  const since = shown.at ? ` What is shown is from ${shown.at.toISOString().slice(11, 19)} UTC.` : "";
  tell(at("problem"), `Kura does not answer: ${error.message}${/[.!?]$/.test(error.message) ? "" : "."}${since} Trying again by itself.`);
  at("problem").hidden = false;
  tell(at("summary"), "Not reachable");
}

let timer;
let asked = 0;

// One round; what the user chose meanwhile starts another one, and the older one no longer plans the next.
async function round() {
  clearTimeout(timer);
  const mine = ++asked;
  let busy = false;
  try {
    busy = await refresh();
  } catch (error) {
    showProblem(error);
  }
  document.body.dataset.ready = "true";
  if (mine === asked && !document.hidden) timer = setTimeout(round, busy ? BUSY_MILLISECONDS : IDLE_MILLISECONDS);
}

at("choice").addEventListener("change", round);
document.addEventListener("visibilitychange", () => document.hidden || round());
round();

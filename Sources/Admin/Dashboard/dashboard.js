// The page at `/`. It draws what GET /events says, once a second, and asks for nothing else. Text that comes from outside
// (names of tables, messages) only ever becomes text: there is no innerHTML here, and the policy of the page forbids scripts
// that are not this file.
"use strict";

const historySeconds = 120;
const history = [];
// A block is confirmed every second or two: what happened in one second says little.
const smoothingSeconds = 5;
let recentRates = [];
let tablesBefore = new Map();
let tablesTime = 0;

const byId = (id) => document.getElementById(id);

function node(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// Figures that people read: 1.23 M, 45.6 k, 789.
function count(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size >= 1e9) return (value / 1e9).toFixed(2) + " G";
  if (size >= 1e6) return (value / 1e6).toFixed(2) + " M";
  if (size >= 1e4) return (value / 1e3).toFixed(1) + " k";
  return Number.isInteger(value) || size >= 100 ? value.toFixed(0) : value.toFixed(1);
}

function bytes(value) {
  if (value === null || value === undefined) return "–";
  for (const [unit, size] of [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]]) {
    if (value >= size) return (value / size).toFixed(1) + " " + unit;
  }
  return Math.round(value) + " B";
}

function time(seconds) {
  if (seconds >= 86400) return (seconds / 86400).toFixed(1) + " d";
  if (seconds >= 3600) return (seconds / 3600).toFixed(1) + " h";
  if (seconds >= 60) return (seconds / 60).toFixed(1) + " min";
  return seconds.toFixed(0) + " s";
}

const perSecond = (value) => (value === null || value === undefined ? "–" : count(value) + "/s");

function list(id, entries) {
  byId(id).replaceChildren(...entries.filter(Boolean).flatMap(([name, value, className]) => [node("dt", name), node("dd", value, className)]));
}

function body(id, rows, empty) {
  const columns = byId(id).parentElement.tHead.rows[0].cells.length;
  if (rows.length === 0) {
    const cell = node("td", empty, "quiet");
    cell.colSpan = columns;
    rows = [[cell]];
  }
  byId(id).replaceChildren(...rows.map((cells) => {
    const row = node("tr");
    row.append(...cells.map((cell) => (cell instanceof Node ? cell : node("td", cell))));
    return row;
  }));
}

// The mean of the last seconds' rates.
function smoothed(rates) {
  if (!rates) {
    recentRates = [];
    return null;
  }
  recentRates = [...recentRates, rates].slice(-smoothingSeconds);
  return Object.fromEntries(Object.keys(rates).map((name) =>
    [name, recentRates.reduce((sum, second) => sum + second[name], 0) / recentRates.length]));
}

const errorsText = (errors) => Object.entries(errors).map(([type, number]) => `${type} ${count(number)}`).join(", ") || "none";

// What flows out of each stage.
function outflow(name, rates) {
  if (!rates) return ["–", ""];
  switch (name) {
    case "receive": return [bytes(rates.received_bytes) + "/s", ""];
    case "validate": return [count(rates.accepted_rows) + " rows/s", ""];
    case "spool": return [count(rates.durable_groups) + " syncs/s", ""];
    case "batch": return [count(rates.sealed_blocks) + " blocks/s", ""];
    case "compress": return [bytes(rates.encoded_bytes) + "/s", rates.raw_bytes > 0 ? `${(100 * rates.encoded_bytes / rates.raw_bytes).toFixed(0)} % of ${bytes(rates.raw_bytes)}/s` : ""];
    default: return [count(rates.committed_rows) + " rows/s", ""];
  }
}

function stage(data, entry) {
  const pressure = data.backpressure;
  const isSlow = pressure && pressure.stage === entry.stage;
  const waits = pressure && pressure.waiting.includes(entry.stage);
  const item = node("li", null, isSlow ? "slow" : waits ? "waits" : "");
  const head = node("span", entry.stage, "name");
  if (isSlow) head.append(node("span", "slow", "tag bad"));
  else if (waits) head.append(node("span", "waits", "tag warn"));
  const [rate, note] = outflow(entry.stage, data.rates);
  item.append(head, node("span", rate, "rate"));
  if (entry.queue) {
    const queue = entry.queue;
    const share = Math.min(1, Math.max(queue.elements / queue.elements_max, queue.bytes / queue.bytes_max));
    const bar = node("div", null, "bar");
    const fill = node("i", null, share > 0.9 ? "full" : "");
    fill.style.width = (100 * share).toFixed(1) + "%";
    bar.append(fill);
    bar.setAttribute("role", "meter");
    bar.setAttribute("aria-valuenow", (100 * share).toFixed(0));
    bar.setAttribute("aria-valuemin", "0");
    bar.setAttribute("aria-valuemax", "100");
    bar.setAttribute("aria-label", `queue of ${entry.stage}`);
    const rows = queue.rows === null ? "" : `, ${count(queue.rows)} rows`;
    item.append(bar, node("span", `queue ${bytes(queue.bytes)} of ${bytes(queue.bytes_max)}, ${count(queue.elements)} of ${count(queue.elements_max)}${rows}`, "detail"));
  } else {
    item.append(node("span", `${count(data.connections.producers)} producers`, "detail"));
  }
  const parts = [];
  if (note) parts.push(note);
  if (entry.rows > 0) parts.push(`holds ${count(entry.rows)} rows`);
  if (entry.in_flight && entry.in_flight.blocks > 0) parts.push(`${count(entry.in_flight.blocks)} blocks in flight`);
  if (parts.length) item.append(node("span", parts.join(", "), "detail"));
  return item;
}

function chart() {
  const picture = byId("chart");
  const peak = Math.max(1, ...history.flatMap((point) => [point.accepted, point.committed, point.rejected]));
  byId("peak").textContent = `top of the chart: ${perSecond(peak)}`;
  const line = (name) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", "path");
    const start = historySeconds - history.length;
    made.setAttribute("class", name);
    made.setAttribute("d", history.map((point, index) =>
      `${index ? "L" : "M"}${(600 * (start + index) / (historySeconds - 1)).toFixed(1)} ${(88 - 84 * point[name] / peak).toFixed(1)}`).join(""));
    return made;
  };
  picture.replaceChildren(...(history.length > 1 ? ["accepted", "committed", "rejected"].map(line) : []));
}

function tableRates(data) {
  const now = performance.now();
  const seconds = (now - tablesTime) / 1000;
  const rates = new Map(data.tables.map((table) => {
    const before = tablesBefore.get(table.table);
    return [table.table, before === undefined || seconds <= 0 ? null : (table.accepted_rows - before) / seconds];
  }));
  tablesBefore = new Map(data.tables.map((table) => [table.table, table.accepted_rows]));
  tablesTime = now;
  return rates;
}

function rejections(data) {
  const counts = new Map();
  for (const table of data.tables) {
    for (const [reason, rows] of Object.entries(table.rejected_rows)) counts.set(reason, (counts.get(reason) || 0) + rows);
  }
  const samples = new Map();
  for (const sample of data.rejections) if (!samples.has(sample.reason)) samples.set(sample.reason, sample);
  const items = [...counts].sort((a, b) => b[1] - a[1]).map(([reason, rows]) => {
    const sample = samples.get(reason);
    const item = node("li");
    item.append(node("span", reason, "name"), node("span", `${count(rows)} rows`, "warn"));
    if (!sample) return item;
    const where = [sample.table, sample.column].filter(Boolean).join(", column ");
    item.append(node("span", `newest at ${sample.time.slice(11, 19)} UTC${where ? `, ${where}` : ""}`, "quiet"), node("div", sample.message));
    if (sample.row) item.append(node("code", sample.row));
    return item;
  });
  byId("rejections").replaceChildren(...(items.length ? items : [node("li", "none", "quiet")]));
}

function hosts(data) {
  byId("hosts-section").hidden = data.hosts.length === 0;
  body("hosts", data.hosts.map((host) => {
    const state = { closed: "", open: "bad", half_open: "warn" }[host.breaker];
    const errors = errorsText(host.errors);
    return [host.host, node("td", host.breaker.replace("_", " "), state), count(host.connections), count(host.blocks_in_flight), count(host.committed_blocks),
      node("td", errors, errors === "none" ? "quiet" : "warn")];
  }), "");
}

// What somebody should know who looks for a second: each a class and a sentence, the worst first.
function notices(data) {
  const found = [];
  const rows = data.rows;
  const spool = data.spool;
  if (data.sink === "clickhouse" && data.connections.sink === 0 && data.health !== "initializing") found.push(["bad", "No connection to ClickHouse: rows wait in the spool. The log says what each host answers."]);
  const open = data.hosts.filter((host) => host.breaker !== "closed");
  if (open.length > 0) found.push(["warn", `Left alone for now, because it failed again and again: ${open.map((host) => host.host).join(", ")}.`]);
  if (rows.discarded > 0) found.push(["bad", `${count(rows.discarded)} accepted rows were discarded by a policy that somebody chose.`]);
  if (rows.dead_lettered > 0) found.push(["bad", `${count(rows.dead_lettered)} accepted rows were refused by the sink; they are in the dead letter.`]);
  if (spool && (Object.keys(spool.errors).length > 0 || spool.damaged_places > 0)) found.push(["bad", "The spool's disk fails: see Spool."]);
  if (spool && spool.full) found.push(["bad", "The spool is full: producers wait, or what spool.full_policy says."]);
  if (data.intake === "paused") found.push(["warn", "Paused: no rows are taken, producers wait. POST /resume ends it."]);
  if (data.intake === "draining") found.push(["warn", "Draining: what was accepted is shipped, nothing more is taken."]);
  if (data.backpressure) found.push(["warn", `Backpressure: ${data.backpressure.message}.`]);
  found.sort(([first], [second]) => (first === second ? 0 : first === "bad" ? -1 : 1));
  if (found.length === 0) found.push(["", "All is well: nobody waits for room."]);
  byId("notices").replaceChildren(...found.map(([className, text]) => node("p", text, `notice ${className}`)));
}

function show(data) {
  byId("main").hidden = false;
  byId("ask").hidden = true;
  const health = byId("health");
  health.textContent = data.health.replace("_", " ");
  health.className = "badge " + (["healthy", "connected"].includes(data.health) ? "good" : ["degraded", "initializing"].includes(data.health) ? "" : "bad");
  document.title = `sluice: ${data.health.replace("_", " ")}`;
  byId("intake").textContent = data.intake === "open" ? `for ${time(data.health_age_seconds)}` : `intake ${data.intake}`;
  byId("about").textContent = [data.version, `sink ${data.sink}`, `up ${time(data.uptime_seconds)}`].filter(Boolean).join(" · ");

  data.rates = smoothed(data.rates);
  notices(data);

  // What stands in for the spool where there is none has nothing to show.
  const flow = data.stages.filter((entry) => !["dead-letter", "direct"].includes(entry.stage));
  byId("flow").replaceChildren(...flow.map((entry) => stage(data, entry)));
  if (data.rates) {
    history.push({ accepted: data.rates.accepted_rows, committed: data.rates.committed_rows, rejected: data.rates.rejected_rows });
    if (history.length > historySeconds) history.shift();
  }
  chart();

  const rows = data.rows;
  list("rows", [
    ["received", count(rows.received)], ["accepted", count(rows.accepted)],
    ["rejected", count(rows.rejected), rows.rejected > 0 ? "warn" : ""],
    ["committed", count(rows.committed)], ["in flight", count(rows.in_flight)],
    ["dead-lettered", count(rows.dead_lettered), rows.dead_lettered > 0 ? "bad" : ""],
    ["discarded", count(rows.discarded), rows.discarded > 0 ? "bad" : ""],
  ]);
  const names = { accept: "accept", durable: "durable", seal: "seal", encode: "encode", insert: "insert", end_to_end: "end to end" };
  body("latency", Object.entries(names).map(([key, name]) => {
    const latency = data.latency_ms[key];
    const figure = (value) => (latency.count === 0 ? "–" : value >= 100 ? value.toFixed(0) : value.toFixed(2));
    return [name, figure(latency.average), figure(latency.p50), figure(latency.p99), figure(latency.max)];
  }), "");
  list("sink", [
    ["kind", data.sink || "–"], ["connections", count(data.connections.sink)],
    ["blocks", data.rates ? perSecond(data.rates.committed_blocks) : "–"],
    ["errors", errorsText(data.errors), Object.keys(data.errors).length ? "warn" : ""],
  ]);
  hosts(data);
  const spool = data.spool;
  const letter = data.dead_letter;
  const discarded = letter ? Object.values(letter.discarded_rows).reduce((sum, value) => sum + value, 0) : 0;
  list("spool", [
    spool ? ["on disk", `${bytes(spool.bytes)} of ${bytes(spool.bytes_max)}`, spool.full || spool.bytes > 0.8 * spool.bytes_max ? "bad" : ""] : ["spool", "none"],
    spool && ["not confirmed", `${count(spool.unsettled_rows)} rows`],
    spool && ["oldest", time(spool.oldest_age_seconds), spool.oldest_age_seconds > 300 ? "warn" : ""],
    spool && Object.keys(spool.errors).length > 0 && ["disk errors", errorsText(spool.errors), "bad"],
    spool && spool.damaged_places > 0 && ["damaged places", count(spool.damaged_places), "bad"],
    spool && ["files", count(spool.segments)],
    spool && ["left by an earlier run", `${count(spool.restored_rows)} rows`],
  ]);
  list("letter", [
    letter ? ["rejected rows", count(letter.rows)] : ["dead letter", "none"],
    letter && ["refused blocks", count(letter.blocks), letter.blocks > 0 ? "bad" : ""],
    letter && ["not kept", `${count(discarded)} rows`, discarded > 0 ? "bad" : ""],
    letter && letter.disk_errors > 0 && ["disk errors", count(letter.disk_errors), "bad"],
  ]);
  const process = data.process;
  list("process", [
    ["CPU", data.rates ? (100 * data.rates.cores).toFixed(1) + " %" : "–"], ["memory", bytes(process.resident_bytes)],
    ["descriptors", `${count(process.open_files)} of ${count(process.open_files_max)}`, process.open_files > 0.8 * process.open_files_max ? "bad" : ""],
    ["threads", count(process.threads)],
    ["producers", `${count(data.connections.producers)}, ${count(data.connections.producers_refused)} turned away`],
  ]);

  const rates = tableRates(data);
  body("tables", data.tables.map((table) => {
    const rejected = Object.values(table.rejected_rows).reduce((sum, value) => sum + value, 0);
    return [table.table, count(table.accepted_rows), perSecond(rates.get(table.table)), count(table.committed_rows), count(table.committed_blocks),
      table.committed_blocks ? count(Math.round(table.committed_rows / table.committed_blocks)) : "–", node("td", count(rejected), rejected > 0 ? "warn" : "")];
  }), "no rows yet");
  byId("more").textContent = data.tables_count > data.tables.length ? `The ${data.tables.length} with the most rows of ${data.tables_count}; /status has all.` : "";
  rejections(data);
  byId("producers-section").hidden = data.producers.length === 0;
  body("producers", data.producers.map((producer) =>
    [producer.producer ?? "(no name)", producer.connected ? "yes" : `last ${producer.last_seen}`, count(producer.rows), String(producer.taken_sequence), String(producer.durable_sequence), String(producer.settled_sequence)]), "");
}

// fetch, not EventSource: only it can send the token along.
async function follow() {
  const token = sessionStorage.getItem("sluice-token");
  const answer = await fetch("/events", { headers: token ? { Authorization: `Bearer ${token}` } : {}, cache: "no-store" });
  if (answer.status === 401) {
    byId("main").hidden = true;
    byId("ask").hidden = false;
    byId("asked").textContent = token ? "That is not the token." : "";
    sessionStorage.removeItem("sluice-token");
    return false;
  }
  if (!answer.ok) throw new Error(`the daemon answered ${answer.status}`);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return true;
    text += value;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const data = text.slice(0, end).split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6)).join("\n");
      text = text.slice(end + 2);
      if (data) {
        show(JSON.parse(data));
        byId("live").textContent = "live";
      }
    }
  }
}

async function run() {
  for (;;) {
    // What was counted before belongs to another connection, perhaps to another process.
    recentRates = [];
    let why = "the stream ended";
    try {
      if (!(await follow())) return;
    } catch (error) {
      why = error.message;
    }
    const health = byId("health");
    health.textContent = "no answer";
    health.className = "badge bad";
    byId("live").textContent = `${why}; trying again`;
    await new Promise((resume) => setTimeout(resume, 2000));
  }
}

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("sluice-token", byId("token").value.trim());
  byId("token").value = "";
  run();
});

run();

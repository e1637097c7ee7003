// Backfills and upgrades of this sidecar as they go on, and what others do as the counts show it.

import { api } from "./api.js";
import { h, notice } from "./dom.js";
import { count, duration, number, plural } from "./format.js";

const EVERY = 2000;
const WINDOW = 30_000;
const KINDS = { feed: "Feed", backfill: "Backfill", prepare: "Upgrade: filling the next index", switch: "Upgrade: switching", rollback: "Upgrade: going back" };
const COUNTS = { encoded: "encoded", kept: "unchanged", skipped: "without text", conflicts: "written by others meanwhile", gone: "deleted meanwhile", failed: "failed" };

// A card that follows an index until it leaves the page; `ended` is called when a job ends.
export function jobsCard(index, ended) {
  const body = h("div", { class: "jobs" });
  const card = h("section", { class: "card pad", "aria-label": "Jobs" }, h("h2", {}, "Jobs"), body);
  let before = [];
  let running = null;

  async function look() {
    if (!card.isConnected) return;
    if (!document.hidden && !card.closest("[hidden]")) {
      try {
        const found = await api.jobs({ index });
        const now = Date.now();
        before = [...before.filter(({ at }) => at >= now - WINDOW), { at: now, ...found.counts }];
        const runs = found.jobs.filter((job) => job.runs).length;
        body.replaceChildren(...shown(found, before));
        if (running !== null && runs < running) ended();
        running = runs;
      } catch (error) {
        body.replaceChildren(h("p", { class: "said" }, error.reason));
      }
    }
    setTimeout(look, EVERY);
  }
  setTimeout(look);
  return card;
}

function shown({ jobs, counts }, before) {
  const runs = jobs.some((job) => job.runs);
  const list = jobs.length > 0 && h("ul", { class: "plain" }, jobs.slice(0, 5).map((job) => h("li", {}, job.runs ? going(job) : over(job))));
  return [list, !runs && elsewhere(counts, before)].filter(Boolean);
}

function going(job) {
  const title = h("p", {}, h("strong", {}, KINDS[job.kind]), ` of ${job.index}, ${job.phase}`);
  if (job.kind === "feed") return [title, h("p", { class: "said" }, `${plural(job.encoded, "document")} so far, ${number(rateOf(job))} a second; ${counted(job, ["encoded"])}`), failures(job)];
  const whole = job.to_encode ?? 0;
  const rate = rateOf(job);
  const left = rate > 0 && whole > job.encoded ? `, ${duration((whole - job.encoded) / rate)} left` : "";
  const bar = h("progress", { "aria-label": KINDS[job.kind], max: Math.max(1, whole), ...(job.to_encode === null ? {} : { value: Math.min(job.encoded, whole) }) });
  return [
    title,
    bar,
    h("p", { class: "said" }, job.to_encode === null ? "A sample is being encoded." : `${count(job.encoded)} of about ${count(whole)} encoded, ${number(rate)} a second${left}; ${counted(job, ["encoded"])}`),
    job.paused && notice(`It waits: ${job.paused}.`),
    job.notes.map(notice),
    failures(job),
  ];
}

const rateOf = (job) => job.encoded / Math.max(1, job.seconds);

function over(job) {
  const ago = `${duration(job.ago)} ago, after ${duration(job.seconds)}`;
  return [
    h("p", {}, h("strong", {}, KINDS[job.kind]), ` of ${job.index}: ${job.phase}, ${ago}`),
    h("p", { class: "said" }, counted(job, []), job.serving.length > 0 && ` ${job.serving.join(", ")} serves now.`),
    job.error && notice(`${job.error.reason}. ${job.error.next_step}`),
    failures(job),
  ];
}

const counted = (job, without) => {
  const parts = Object.entries(COUNTS).filter(([name]) => job[name] && !without.includes(name)).map(([name, words]) => `${count(job[name])} ${words}`);
  return parts.length ? `${parts.join(", ")}.` : "nothing else yet.";
};

function failures(job) {
  if (!job.not_done.length) return null;
  const more = job.failed - job.not_done.length;
  return h("details", {}, h("summary", {}, plural(job.failed, "document"), " not done"), h("ul", { class: "failures" }, job.not_done.map((one) => h("li", {}, h("code", {}, one.id), ` ${one.reason}`)), more > 0 && h("li", {}, `and ${count(more)} more, in the report of whoever began it`)));
}

// Another process tells this sidecar nothing: only its documents are seen.
function elsewhere({ documents, encoded }, before) {
  const first = before[0];
  const seconds = (before.at(-1).at - first.at) / 1000;
  const more = encoded - first.encoded;
  const words = more > 0
    ? `${count(more)} more documents are encoded than ${duration(seconds)} ago, ${number(more / seconds)} a second: ${count(encoded)} of ${count(documents)}. Another process does this, such as a feed, or a backfill that was started elsewhere; it alone knows its phase and errors.`
    : "Nothing runs in this sidecar. What another process encodes is seen here by its count.";
  return h("p", { class: "said", "data-seen": String(Math.max(0, more)) }, words);
}

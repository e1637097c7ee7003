// Questions to the gateway. Token and cluster credentials live as long as the tab, and are sent nowhere else.

const kept = sessionStorage;

export const access = {
  get token() { return kept.getItem("token") ?? ""; },
  set token(value) { kept.setItem("token", value); },
  get cluster() { return kept.getItem("cluster") ?? ""; },
  set cluster(value) { kept.setItem("cluster", value); },
};

export class Problem extends Error {
  constructor(status, body) {
    super(body.error ?? body.reason);
    this.status = status;
    this.code = body.error_type ?? "";
    this.reason = body.reason ?? `The gateway answered ${status}.`;
    this.nextStep = body.next_step ?? "";
  }
}

async function ask(name, body, signal, more) {
  const headers = { ...more };
  if (access.token) headers.authorization = `Bearer ${access.token}`;
  if (access.cluster) headers["cherche-cluster-authorization"] = access.cluster;
  if (body !== undefined) headers["content-type"] = "application/json";
  if (Object.values(headers).some((value) => /[^\x20-\x7e]/.test(value))) {
    throw new Problem(0, { reason: "A token or a credential holds a character that cannot be sent.", next_step: "Copy it again: it is of plain letters, digits and signs." });
  }
  let response;
  try {
    const method = body === undefined ? "GET" : "POST";
    response = await fetch(`/page/api/${name}`, { method, headers, signal, body: body && JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { reason: "The sidecar does not answer.", next_step: "Is `cherche serve` or `cherche ui` still running?" });
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Problem(response.status, answer);
  return answer;
}

// Credentials for another cluster than the sidecar's.
const elsewhere = (credentials) => (credentials ? { "cherche-try-authorization": credentials } : {});

// Work of many searches: each answer says how far it is, until one has the result.
async function work(name, question, signal, step) {
  let found = await ask(name, question, signal);
  while (!found.result) {
    step(found);
    found = await ask("proceed", { work: found.work }, signal);
  }
  return found.result;
}

export const api = {
  indices: () => ask("indices"),
  index: (question) => ask("index", question),
  jobs: (question) => ask("jobs", question),
  judge: (judgement) => ask("judge", judgement),
  judgements: (question) => ask("judgements", question),
  measure: (question, signal, step) => work("measure", question, signal, step),
  try: (question, credentials) => ask("try", question, undefined, elsewhere(credentials)),
  tryCluster: (question, credentials) => ask("try-cluster", question, undefined, elsewhere(credentials)),
  tryWhy: (question, credentials) => ask("try-why", question, undefined, elsewhere(credentials)),
  tune: (question, signal, step) => work("tune", question, signal, step),
  settings: (changes) => ask("settings", changes),
  why: (question) => ask("why", question),
  search: (request, signal) => ask("search", request, signal),
};

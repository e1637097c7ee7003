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

async function ask(name, body, signal) {
  const headers = {};
  if (access.token) headers.authorization = `Bearer ${access.token}`;
  if (access.cluster) headers["cherche-cluster-authorization"] = access.cluster;
  if (body !== undefined) headers["content-type"] = "application/json";
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

export const api = {
  indices: () => ask("indices"),
  index: (question) => ask("index", question),
  judge: (judgement) => ask("judge", judgement),
  judgements: (question) => ask("judgements", question),
  measure: (question) => ask("measure", question),
  settings: (changes) => ask("settings", changes),
  why: (question) => ask("why", question),
  search: (request, signal) => ask("search", request, signal),
};

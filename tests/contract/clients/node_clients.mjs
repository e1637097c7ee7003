// Calls of the real JavaScript clients; tests/contract/interop_clients.py copies this file beside their packages.
// A case returns the positions of the documents in the order of the answer.
import { readFileSync } from "node:fs";

const [url, token, query, given] = process.argv.slice(2);
const documents = JSON.parse(given);
const model = "rerank-v3.5";
const places = (answer) => answer.results.map((one) => one.index);

const cases = [
  ["cohere-ai", "CohereClient.rerank", async () => {
    const { CohereClient } = await import("cohere-ai");
    return places(await new CohereClient({ token, environment: url }).rerank({ model, query, documents }));
  }],
  ["cohere-ai", "CohereClientV2.rerank", async () => {
    const { CohereClientV2 } = await import("cohere-ai");
    return places(await new CohereClientV2({ token, environment: url }).rerank({ model, query, documents }));
  }],
  ["@langchain/cohere", "CohereRerank.rerank", async () => {
    const { CohereClient } = await import("cohere-ai");
    const { CohereRerank } = await import("@langchain/cohere");
    const client = new CohereClient({ token, environment: url });
    const reranker = new CohereRerank({ apiKey: token, model, topN: documents.length, client });
    return (await reranker.rerank(documents, query)).map((one) => one.index);
  }],
];

const rows = [];
for (const [client, call, run] of cases) {
  const { version } = JSON.parse(readFileSync(new URL(`./node_modules/${client}/package.json`, import.meta.url)));
  let answer;
  try {
    answer = await run();
  } catch (error) {
    answer = `${error.name}: ${error.message}`;
  }
  rows.push({ client, version, call, answer });
}
console.log("ROWS" + JSON.stringify(rows));

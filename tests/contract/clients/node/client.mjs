// A round trip with @grpc/grpc-js and what @grpc/proto-loader reads in protos/; tests/contract/interop_stubs.py copies
// this file beside their packages. A case returns the positions of the documents in the order of the answer.
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const [address, token, query, given, protos] = process.argv.slice(2);
const documents = JSON.parse(given);
const files = ["encoder", "index", "model", "reranker", "search"].map((name) => `cherche/v1/${name}.proto`);
const { cherche } = grpc.loadPackageDefinition(loader.loadSync(files, { includeDirs: [protos], keepCase: true, defaults: true }));

const headers = new grpc.Metadata();
headers.set("authorization", `Bearer ${token}`);

function client(service) {
  return new cherche.v1[service](address, grpc.credentials.createInsecure());
}

function call(service, method, request) {
  return new Promise((resolve, reject) => {
    client(service)[method](request, headers, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

async function rerank() {
  const texts = { items: documents.map((text) => ({ text })) };
  const answer = await call("RerankerService", "Rerank", { query, texts });
  return answer.scores.map((score) => score.index);
}

async function itemError() {
  const items = [{ text: documents[0] }, { text: "a".repeat((1 << 20) + 1) }];
  const answer = await call("EncoderService", "EncodeDocuments", { items });
  if (answer.items[0].status) {
    throw new Error("the neighbour failed too");
  }
  return answer.items[1].status.message;
}

async function search() {
  const index = "node";
  await call("IndexService", "SetupIndex", { index, options: { fields: [{ name: "text" }] } });
  const stream = client("IndexService").IndexDocuments(headers);
  stream.write({ target: { index, refresh: true } });
  for (const [place, text] of documents.entries()) {
    stream.write({ document: { id: String(place), source_json: Buffer.from(JSON.stringify({ text })) } });
  }
  stream.end();
  for await (const _ of stream);
  const answer = await call("SearchService", "Search", { index, text: query, rerank: true });
  return answer.hits.map((hit) => Number(hit.id));
}

const cases = {
  rerank,
  search,
  "item error": itemError,
  "call error": () => call("ModelService", "GetModel", { name: "unknown" }).catch((error) => error.details),
  "too large": () => call("ModelService", "GetModel", { name: "a".repeat(5 << 20) }).catch((error) => error.details),
};
const answers = {};
for (const [name, run] of Object.entries(cases)) {
  answers[name] = await run().catch((error) => `${error.name}: ${error.message}`);
}
console.log("ANSWERS" + JSON.stringify(answers));
process.exit(0);

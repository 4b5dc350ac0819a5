// Indexes a video and searches it, and prints what it has read as one JSON document.
// Arguments: an address for each service (embedder indexer search), the folders of proto files (a:b), and a video.
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const [embedderAddress, indexerAddress, searchAddress, protos, video] = process.argv.slice(2);
const services = ["embedder", "indexer", "search"].map((name) => `videosearch/v1/${name}.proto`);
const definitions = loadSync([...services, "google/rpc/status.proto", "google/rpc/error_details.proto"], {
  includeDirs: protos.split(":"),
  keepCase: true, // field names as the proto files have them
  longs: Number,
  enums: String,
  defaults: true,
});
const { v1 } = grpc.loadPackageDefinition(definitions).videosearch;
const plain = grpc.credentials.createInsecure();
const embedder = new v1.EmbedderService(embedderAddress, plain);
const indexer = new v1.IndexerService(indexerAddress, plain);
const search = new v1.SearchService(searchAddress, plain);

const call = (client, method, request) =>
  new Promise((resolve, reject) =>
    client[method](request, (error, response) => (error ? reject(error) : resolve(response))),
  );
const seconds = ({ seconds, nanos }) => seconds + nanos / 1e9;

// A vector's bytes are little-endian float32; they need not lie where a Float32Array may begin.
const numbers = (vector) => Array.from({ length: vector.length / 4 }, (_, place) => vector.readFloatLE(4 * place));

async function indexed(uri) {
  const { job } = await call(indexer, "IndexVideo", { uri, video_id: "of-node", metadata: { client: "node" } });
  const states = [];
  for await (const state of indexer.WatchIndexJob({ job_id: job.job_id })) states.push(state.job);
  return states.at(-1);
}

// The rich details of an error: google.rpc.Status in a trailer, with messages in it that are named by their types.
function details(error) {
  const [trailer] = error.metadata.get("grpc-status-details-bin");
  const status = definitions["google.rpc.Status"].deserialize(trailer);
  return Object.fromEntries(
    status.details.map(({ type_url, value }) => {
      const type = type_url.split("/").at(-1);
      return [type, definitions[type].deserialize(value)];
    }),
  );
}

const job = await indexed(video);
const { embeddings } = await call(embedder, "EmbedTexts", { texts: ["people riding bicycles"] });
const { hits } = await call(search, "SearchScenes", {
  text: "people riding bicycles in the city",
  filter: { metadata: { client: "node" } },
  top_k: 1,
});
const error = await call(indexer, "IndexVideo", { uri: "/outside.mp4" }).catch((refused) => refused);

const hit = hits[0];
console.log(
  JSON.stringify({
    job: { state: job.state, scene_count: job.scene_count, duration_s: seconds(job.duration) },
    vector: numbers(embeddings[0].embedding.vector),
    hit: { video_id: hit.video_id, score: hit.score, start_s: seconds(hit.segment.start_offset) },
    error: { code: error.code, text: error.details, details: details(error) },
  }),
);
for (const client of [embedder, indexer, search]) client.close();

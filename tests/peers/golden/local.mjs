// Small servers on 127.0.0.1 that answer from a script and remember what they were asked.
import http from "node:http";

/** Starts `handler` on a free port; gives its URL and a function that stops it. */
export async function serve(handler) {
  const server = http.createServer(handler);
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const stop = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return { url: `http://127.0.0.1:${server.address().port}`, port: server.address().port, stop };
}

export async function bodyOf(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

/** A facilitator that gives `answers[path]` in turn (the last one again and again); `asked` collects the requests. */
export async function scripted(answers) {
  const asked = [];
  const left = Object.fromEntries(Object.entries(answers).map(([path, list]) => [path, [].concat(list)]));
  const server = await serve(async (request, response) => {
    const body = await bodyOf(request);
    const { "content-type": contentType, authorization } = request.headers;
    const headers = JSON.parse(JSON.stringify({ "content-type": contentType, authorization }));
    asked.push({ method: request.method, path: request.url, headers, body });
    const queue = left[request.url] ?? [];
    const answer = (queue.length > 1 ? queue.shift() : queue[0]) ?? { status: 404, body: "" };
    response.writeHead(answer.status ?? 200, { "content-type": "application/json", ...answer.headers });
    response.end(answer.body);
  });
  return { ...server, asked };
}

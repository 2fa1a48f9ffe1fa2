// Every request that this page makes.

// Gets what lies at `url` from byte `from` on. `took(chunk)` gets each piece of it and returns false to stop. Answers with what the server said:
// status, the size of all of it (0 if unknown), its tag, and whether it went on where we were.
export async function fetchPieces(url, from, tag, begun, took) {
  const headers = from > 0 ? { Range: `bytes=${from}-`, ...(tag ? { "If-Range": tag } : {}) } : {};
  const answer = await fetch(url, { headers });
  const size = Number(answer.headers.get("content-length") ?? 0);
  const range = answer.headers.get("content-range")?.match(/\/(\d+)$/);
  const said = {
    status: answer.status,
    total: range ? Number(range[1]) : answer.status === 200 ? size : 0,
    tag: answer.headers.get("x-linked-etag") ?? answer.headers.get("etag") ?? "",
    resumed: answer.status === 206,
  };
  if (!answer.ok && answer.status !== 206) return said;
  begun(said);
  const reader = answer.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (took(value) === false) {
      await reader.cancel();
      break;
    }
  }
  return said;
}

// Sends a conversation to an OpenAI-compatible server. `took(json)` gets each event of the stream, as text. Answers with {status, text}: text is
// what the server said where it did not stream.
export async function converse(url, key, body, took) {
  const headers = { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  const answer = await fetch(url, { method: "POST", headers, body });
  const streams = answer.headers.get("content-type")?.startsWith("text/event-stream");
  if (!answer.ok || !streams) return { status: answer.status, text: await answer.text() };
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const lines = (rest + value).split(/\r?\n/);
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data:")) took(line.slice(5).trim());
    }
  }
  return { status: answer.status, text: "" };
}

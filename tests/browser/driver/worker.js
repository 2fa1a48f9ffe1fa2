addEventListener("message", async ({ data }) => {
  if (data.warn) console.warn(data.warn);
  if (!data.post) return;
  const answer = fetch(data.post, { method: "POST", body: "said by the worker" });
  postMessage(await answer.then(({ status }) => status, String));
});

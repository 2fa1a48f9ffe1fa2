// What a person brings to the page, and what the page asked of others.

// The files of a drop or a paste, or its text: an array of [name, file], or a string; undefined where there is neither.
export async function carried(transfer) {
  const files = [...(transfer?.files ?? [])];
  const text = transfer?.getData("text/plain");
  if (files.length) {
    const read = await Promise.all(files.map(async (file) => {
      // What cannot be read, such as a folder, is left out.
      try { await file.slice(0, 1).arrayBuffer(); return [file.name, file]; } catch { return undefined; }
    }));
    return read.filter((file) => file);
  }
  return text?.trim() ? text : undefined;
}

// Other hosts from which the page (not its worker) got anything, each once.
export function otherHosts() {
  const hosts = performance.getEntriesByType("resource").map(({ name }) => new URL(name, location.href));
  return [...new Set(hosts.filter(({ protocol, host }) => protocol.startsWith("http") && host !== location.host).map(({ host }) => host))];
}

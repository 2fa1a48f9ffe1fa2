// Files that this browser keeps for the page (the origin private file system), as the worker uses them. A name is a path: "reads/ab12/log.jsonl".

async function folder(path, create) {
  let place = await navigator.storage.getDirectory();
  for (const part of path) place = await place.getDirectoryHandle(part, { create });
  return place;
}

function split(name) {
  const parts = name.split("/");
  return [parts.slice(0, -1), parts.at(-1)];
}

// A file that only this tab may use while it is open; its reads and writes return at once. Undefined if it is not there and not wanted.
export async function openFile(name, create) {
  const [path, last] = split(name);
  try {
    const handle = await (await folder(path, create)).getFileHandle(last, { create });
    return await handle.createSyncAccessHandle();
  } catch (problem) {
    if (!create && problem.name === "NotFoundError") return undefined;
    throw problem;
  }
}

// A file of which ranges are read while the worker waits, so that it is never in memory whole: `read(bytes, at)` fills what it can and says how
// much that is.
class Ranges {
  #handle;
  #blob;
  constructor(handle, blob) {
    this.#handle = handle;
    this.#blob = blob;
    this.size = handle?.getSize() ?? blob.size;
  }
  read(bytes, at) {
    if (this.#handle) return this.#handle.read(bytes, { at });
    const found = new Uint8Array(new FileReaderSync().readAsArrayBuffer(this.#blob.slice(at, at + bytes.length)));
    bytes.set(found);
    return found.length;
  }
  close() {
    this.#handle?.close();
  }
}

// A kept file by its ranges, or undefined. Several tabs may read it at once: by handles where the browser knows those that only read, else all but
// the first by slices, which are slower.
export async function openRanges(name) {
  const [path, last] = split(name);
  try {
    const file = await (await folder(path, false)).getFileHandle(last);
    try {
      return new Ranges(await file.createSyncAccessHandle({ mode: "read-only" }));
    } catch (problem) {
      if (problem.name !== "NoModificationAllowedError") throw problem;
      return new Ranges(undefined, await file.getFile());
    }
  } catch (problem) {
    if (problem.name === "NotFoundError") return undefined;
    throw problem;
  }
}

// A file that a person chose, by its ranges.
export function rangesOf(blob) {
  return new Ranges(undefined, blob);
}

// What comes in pieces and cannot be kept: the browser holds it, outside of the module's memory and where it likes.
export class Gathered {
  #blobs = [];
  #pieces = [];
  #bytes = 0;
  add(piece) {
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    if (this.#bytes > 8 << 20) this.#settle();
  }
  #settle() {
    this.#blobs.push(new Blob(this.#pieces));
    this.#pieces = [];
    this.#bytes = 0;
  }
  clear() {
    this.#blobs = this.#pieces = [];
    this.#bytes = 0;
  }
  ranges() {
    this.#settle();
    return new Ranges(undefined, new Blob(this.#blobs));
  }
}

// The bytes of a file, or undefined.
export async function readFile(name) {
  const [path, last] = split(name);
  try {
    const file = await (await (await folder(path, false)).getFileHandle(last)).getFile();
    return new Uint8Array(await file.arrayBuffer());
  } catch (problem) {
    if (problem.name === "NotFoundError") return undefined;
    throw problem;
  }
}

// Writes a file whole.
export async function writeFile(name, bytes) {
  const handle = await openFile(name, true);
  try {
    handle.truncate(0);
    handle.write(bytes, { at: 0 });
    handle.flush();
  } finally {
    handle.close();
  }
}

// The names in a folder: [name, bytes or -1 for a folder].
export async function list(name) {
  const found = [];
  let place;
  try {
    place = await folder(name ? name.split("/") : [], false);
  } catch {
    return found;
  }
  for await (const [entry, handle] of place.entries()) {
    if (handle.kind === "directory") {
      found.push([entry, -1]);
    } else {
      const file = await handle.getFile();
      found.push([entry, file.size]);
    }
  }
  return found;
}

// Removes a file or a folder with all that is in it. True if it was there.
export async function remove(name) {
  const [path, last] = split(name);
  try {
    await (await folder(path, false)).removeEntry(last, { recursive: true });
    return true;
  } catch (problem) {
    if (problem.name === "NotFoundError") return false;
    throw problem;
  }
}

// [quota, usage] in bytes, or undefined.
export async function quota() {
  const { quota, usage } = (await navigator.storage?.estimate?.()) ?? {};
  return quota === undefined ? undefined : [quota, usage ?? 0];
}

// A turn of the event loop, so that messages come in while the processor is busy.
const channel = new MessageChannel();
const waiting = [];
channel.port1.onmessage = () => waiting.shift()?.();
export function breathe() {
  return new Promise((resolve) => {
    waiting.push(resolve);
    channel.port2.postMessage(0);
  });
}

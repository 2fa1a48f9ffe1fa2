// <longhand-reader>: a reader of long documents for any page. Nothing is fetched before it is wanted; nothing is sent anywhere unless the page
// names a server (`endpoint`).
//
//   <script type="module" src="longhand.js"></script>
//   <longhand-reader src="handbook.pdf" ask="How is leave approved?"></longhand-reader>

const here = new URL("./", import.meta.url).href;

let loaded;

// The module, once for all readers of the page.
function engine() {
  loaded ??= import(`${here}longhand-web.js`).then(async (module) => {
    await module.default();
    return module;
  });
  // A failed load can be tried again.
  loaded.catch(() => { loaded = undefined; });
  return loaded;
}

const words = {
  en: {
    start: "Read with Longhand",
    what: "Answers from the whole document, with the place each sentence comes from.",
    here: "It is read in this tab; nothing is sent.",
    sends: (host) => `What is read is sent to ${host}.`,
    loading: "Loading …",
    failed: "The reader could not be started",
    policy: "Does this page's content security policy allow 'wasm-unsafe-eval', and workers and scripts of its own origin?",
    again: "Try again",
  },
  de: {
    start: "Mit Longhand lesen",
    what: "Antworten aus dem ganzen Dokument, mit der Stelle, von der jeder Satz kommt.",
    here: "Gelesen wird in diesem Tab; nichts wird gesendet.",
    sends: (host) => `Was gelesen wird, geht an ${host}.`,
    loading: "Lädt …",
    failed: "Der Leser konnte nicht starten",
    policy: "Erlaubt die Content-Security-Policy dieser Seite 'wasm-unsafe-eval' sowie Worker und Skripte des eigenen Ursprungs?",
    again: "Noch einmal",
  },
};

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// The text of a part of the page, and the way back from a byte of it to the page. Blocks stand on lines of their own, as a person reads them.
class PageText {
  constructor(root) {
    this.pieces = [];
    this.text = "";
    this.#walk(root);
    this.text = this.text.trimEnd() + "\n";
  }

  #walk(node) {
    if (node.nodeType === Node.TEXT_NODE) {
      const said = node.data;
      if (!said.trim()) {
        if (this.text && !/\s$/.test(this.text)) this.text += " ";
        return;
      }
      this.pieces.push({ start: this.text.length, node });
      this.text += said;
      return;
    }
    if (node.nodeType !== Node.ELEMENT_NODE || ["SCRIPT", "STYLE", "TEMPLATE", "NOSCRIPT", "LONGHAND-READER"].includes(node.tagName)) return;
    if (node.hidden || getComputedStyle(node).display === "none") return;
    const block = !["inline", "inline-block", "contents"].includes(getComputedStyle(node).display) || node.tagName === "BR";
    const line = () => { if (this.text && !this.text.endsWith("\n")) this.text += "\n"; };
    if (block) line();
    for (const child of node.childNodes) this.#walk(child);
    if (block) line();
  }

  // The place of bytes start..end (UTF-8) as a range of the page.
  range(start, end) {
    const bytes = new TextEncoder().encode(this.text);
    const decoder = new TextDecoder();
    const from = decoder.decode(bytes.subarray(0, start)).length;
    const to = from + decoder.decode(bytes.subarray(start, end)).length;
    const at = (place) => {
      const piece = this.pieces.findLast(({ start }) => start <= place) ?? this.pieces[0];
      return [piece.node, Math.min(place - piece.start, piece.node.length)];
    };
    if (!this.pieces.length) return undefined;
    const range = new Range();
    range.setStart(...at(from));
    range.setEnd(...at(Math.max(from, to - 1)));
    if (range.endOffset < range.endContainer.length) range.setEnd(range.endContainer, range.endOffset + 1);
    return range;
  }

  // Scrolls the page to a passage and marks it.
  show(start, end) {
    const range = this.range(start, end);
    if (!range) return;
    range.startContainer.parentElement.scrollIntoView({ block: "center", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    if (globalThis.Highlight && CSS.highlights) {
      CSS.highlights.set("longhand", new Highlight(range));
    } else {
      const selection = getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
    }
  }
}

export class LonghandReader extends HTMLElement {
  static observedAttributes = ["src", "read", "lang"];

  #root = this.attachShadow({ mode: "open" });
  #reader;
  #page;
  #starting;

  connectedCallback() {
    if (!this.#root.firstChild) this.#card();
    if (this.hasAttribute("autoload")) this.start();
  }

  // A removed reader lets its documents and its hold on the model go. One that is only moved is connected again by then.
  disconnectedCallback() {
    queueMicrotask(() => {
      if (this.isConnected) return;
      this.#reader?.close();
      this.#reader = this.#starting = this.#page = undefined;
      this.#root.replaceChildren();
    });
  }

  attributeChangedCallback(name, before, now) {
    if (name === "lang" && !this.#reader && this.#root.firstChild) this.#card();
    if (this.#reader && before !== now && (name === "src" || name === "read")) this.#source();
  }

  get #words() {
    const wanted = (this.getAttribute("lang") ?? document.documentElement.lang ?? "en").slice(0, 2);
    return words[wanted] ?? words.en;
  }

  #style() {
    return element("link", { rel: "stylesheet", href: `${here}style.css` });
  }

  #card() {
    const said = this.#words;
    const endpoint = this.getAttribute("endpoint");
    let host;
    try { host = endpoint && new URL(endpoint, location.href).host; } catch { host = endpoint; }
    const button = element("button", { type: "button", textContent: said.start });
    button.part = "button";
    button.dataset.test = "start";
    button.addEventListener("click", () => this.start());
    const card = element("div", { className: "card" }, element("p", { textContent: said.what }), element("p", { className: "soft", textContent: host ? said.sends(host) : said.here }), button);
    card.part = "card";
    this.#root.replaceChildren(this.#style(), card);
  }

  #failed(problem) {
    const said = this.#words;
    const text = element("p", { textContent: `${said.failed}: ${problem?.message ?? problem}` });
    text.setAttribute("role", "alert");
    text.dataset.test = "problem";
    const button = element("button", { type: "button", textContent: said.again });
    button.addEventListener("click", () => { this.#card(); this.start(); });
    const card = element("div", { className: "card" }, text, element("p", { className: "soft", textContent: said.policy }), button);
    card.part = "card error";
    this.#root.replaceChildren(this.#style(), card);
    this.#send("error", { kind: "other", message: String(problem?.message ?? problem) });
  }

  #send(name, detail) {
    this.dispatchEvent(new CustomEvent(`longhand-${name}`, { detail, bubbles: true, composed: true }));
  }

  // Fetches the engine and shows the reader; done when it can be asked. The click on the element's button does the same.
  start() {
    this.#starting ??= this.#start().catch((problem) => {
      this.#starting = undefined;
      this.#failed(problem);
      throw problem;
    });
    // Whoever waits hears of a failure; the click does not wait.
    this.#starting.catch(() => {});
    return this.#starting;
  }

  async #start() {
    const status = element("p", { textContent: this.#words.loading });
    status.setAttribute("role", "status");
    const place = element("div", { className: "place" });
    place.part = "reader";
    this.#root.replaceChildren(this.#style(), status, place);
    const module = await engine();
    if (!this.isConnected) return;
    status.remove();
    const options = { base: here, fixed: this.hasAttribute("src") || this.hasAttribute("read"), lang: this.getAttribute("lang") ?? "" };
    this.#reader = module.mountReader(place, options, (name, detail) => {
      if (name === "shown") this.#page?.show(detail.start, detail.end);
      else this.#send(name, detail);
    });
    await this.#source();
    await this.#model();
    const ask = this.getAttribute("ask");
    if (ask) this.#reader.suggest(ask);
  }

  // What `src` or `read` names.
  async #source() {
    const [src, read] = [this.getAttribute("src"), this.getAttribute("read")];
    this.#page = undefined;
    if (src?.startsWith("#") || src?.startsWith(".")) {
      const found = document.querySelector(src);
      if (!found) throw new Error(`nothing on this page is ${src}`);
      this.#page = new PageText(found);
      await this.#reader.openText(document.title || "page", this.#page.text);
    } else if (read ?? src) {
      const answer = await fetch(read ?? src);
      if (!answer.ok) throw new Error(`${read ?? src}: the server answered ${answer.status}`);
      const name = new URL(read ?? src, location.href).pathname.split("/").at(-1) || "document";
      await this.#reader.open(read && !name.endsWith(".longhand") ? `${name}.longhand` : name, new Uint8Array(await answer.arrayBuffer()));
    }
  }

  // What `endpoint` or `model` names. `auto` leaves the choice to the person.
  async #model() {
    const [endpoint, model] = [this.getAttribute("endpoint"), this.getAttribute("model") ?? "auto"];
    if (endpoint) await this.#reader.load({ from: "server", url: new URL(endpoint, location.href).href, model: model === "auto" ? "default" : model, key: "" });
    else if (model === "tiny") await this.#reader.load({ from: "tiny", base: `${here}tiny/` });
    else if (model !== "auto") await this.#reader.load({ from: "address", url: new URL(model, location.href).href });
  }

  // Asks, and resolves with the answer: { text, citations }.
  async ask(question) {
    await this.start();
    return this.#reader.ask(question);
  }

  // Ends what is going on; what was read is kept.
  stop() {
    this.#reader?.stop();
  }

  // Opens a File, a Blob, bytes or a text.
  async open(document, name = document?.name ?? "document.txt") {
    await this.start();
    this.#page = undefined;
    if (typeof document === "string") return this.#reader.openText(name, document);
    const bytes = document instanceof Uint8Array ? document.slice() : new Uint8Array(await document.arrayBuffer());
    return this.#reader.open(name, bytes);
  }

  // The read as text: "html", "markdown", "json" or "longhand".
  async export(form = "markdown") {
    await this.start();
    return this.#reader.export(form);
  }
}

// Without an element: a model that generates, and reads.
export const Longhand = {
  // options: { model: "tiny" | address, endpoint, onprogress({stage, done, total}) }
  async load(options = {}) {
    const module = await engine();
    const listeners = new Map();
    const reader = module.headlessReader({ base: here }, (name, detail) => {
      if (name === "loading") options.onprogress?.(detail);
      else listeners.get(name)?.(detail);
    });
    if (options.endpoint) await reader.load({ from: "server", url: options.endpoint, model: options.model ?? "default", key: options.key ?? "" });
    else if (!options.model || options.model === "tiny") await reader.load({ from: "tiny", base: `${here}tiny/` });
    else await reader.load({ from: "address", url: new URL(options.model, location.href).href });
    return {
      // The continuation of a prompt.
      generate: (prompt, { maxTokens = 128 } = {}) => reader.generate(prompt, maxTokens),
      // Reads a text, File or Blob, and answers: { text, citations }. onnote hears the notes after every section.
      async read(document, question, { onnote, onprogress } = {}) {
        listeners.set("note", onnote);
        listeners.set("progress", onprogress);
        if (typeof document === "string") await reader.openText("document.txt", document);
        else await reader.open(document.name ?? "document", new Uint8Array(await document.arrayBuffer()));
        return reader.ask(question);
      },
      stop: () => reader.stop(),
      close: () => reader.close(),
    };
  },
};

if (!customElements.get("longhand-reader")) customElements.define("longhand-reader", LonghandReader);

// One engine for all tabs and embedded pages of an origin: its models and buffers are there once. The page that holds a lock runs the worker, and
// the others speak to that worker over channels. When that page goes, the lock passes to the next one, which starts a worker of its own.
//
// Files can be written at once only in a dedicated worker, which a shared worker cannot start in every browser: so a lock chooses the page.
// All names begin with the module's build, for only ends of one build understand each other:
//   lock NAME       held by the page that runs the engine; the others wait for it
//   lock NAME TAB   held by a page as long as it is there; the engine waits for it, to let go of what that page had
//   channel NAME    {hello: tab}: answer me · {engine}: I have begun · {gone: engine, why} · {ping: tab}, {pong: tab, engine}: is its page awake?
//   channel NAME TAB  {to: engine, message} and {from: engine, message}

// Milliseconds between two questions to the engine's page. One that leaves two of them unanswered sleeps (phones put whole pages to sleep), and
// loses the engine.
const PATIENCE = 5000;

// An address as seen from the page: the engine may run in a page of another folder.
export function absolute(address) {
  return new URL(address, document.baseURI).href;
}

// A page's line to an engine. `heard(message)` gets what the engine says. `ended(why, begun)` is called once, when the engine is gone: `why` is
// undefined where its page was closed; `begun`: it had listened before.
class Line {
  #heard;
  #ended;
  #send;
  #early = [];

  constructor(heard, ended) {
    this.#heard = heard;
    this.#ended = ended;
  }

  post(message) {
    if (this.#send) this.#send(message);
    else this.#early.push(message);
  }

  hear(message) {
    if (this.#ended) this.#heard(message);
  }

  // The engine listens.
  open(send) {
    this.#send = send;
    this.#early.splice(0).forEach(send);
  }

  close(why) {
    const ended = this.#ended;
    const begun = Boolean(this.#send);
    this.#ended = undefined;
    this.open(() => {});
    ended?.(why, begun);
  }
}

// Starts the engine for a line. Without a name it serves this page alone.
function start(line, base, build, name, tab, broke) {
  const worker = new Worker(`${base}worker.js`, { type: "module", name });
  worker.onmessage = ({ data }) => {
    if (data.ready === undefined) line.hear(data);
    // The files may have been replaced since this page was loaded.
    else if (data.ready !== build) broke("it is of another version than this page");
    else line.open((message) => worker.postMessage({ ...message, session: `${tab} ${message.session}` }));
  };
  worker.onerror = (event) => broke(event.message ?? "its module could not be loaded");
  return worker;
}

// This page among the tabs.
class Tab {
  id = crypto.randomUUID();
  #name;
  #build;
  #base;
  #line;
  // The one we speak to, ours or another page's.
  #engine;
  #worker;
  // The lock is waited for or held; held; can be let go; cannot be had in this browser.
  #queued = false;
  #leads = false;
  #resign;
  #leave;
  #barred = false;
  // Questions without an answer.
  #unanswered = 0;

  constructor(build) {
    this.#build = build;
    this.#name = `longhand ${build}`;
    this.hub = new BroadcastChannel(this.#name);
    this.own = new BroadcastChannel(`${this.#name} ${this.id}`);
    this.hub.onmessage = ({ data }) => this.#news(data);
    this.own.onmessage = ({ data }) => this.#said(data);
    this.timer = setInterval(() => this.#ask(), PATIENCE);
    // What the engine is told of this page holds as long as this lock.
    navigator.locks.request(`${this.#name} ${this.id}`, () => new Promise((leave) => {
      this.#leave = leave;
      this.#hello();
    })).catch(() => this.#bar());
  }

  join(base, heard, ended) {
    this.#base = base;
    this.#line = new Line(heard, ended);
    if (this.#barred || this.#leads) this.#start();
    else if (this.#queued) this.#hello();
    else this.#queue();
    return this.#line;
  }

  // Storage is closed to this page, and locks with it: an engine of its own.
  #bar() {
    if (this.#barred) return;
    this.#barred = true;
    if (this.#line && !this.#engine) this.#start();
  }

  #queue(steal) {
    this.#queued = true;
    const waiting = new AbortController();
    this.waiting = waiting;
    const held = () => {
      this.#leads = true;
      // Whom we spoke to is gone. The reader joins again at once, if it is still there.
      if (this.#engine) this.#over();
      else if (this.#line) this.#start();
      if (!this.#line) return this.#idle();
      return new Promise((resolve) => { this.#resign = resolve; });
    };
    navigator.locks.request(this.#name, steal ? { steal } : { signal: waiting.signal }, held).catch((problem) => {
      if (waiting.signal.aborted) return;
      if (problem.name !== "AbortError") return this.#bar();
      // Another page took it, since this one slept.
      this.#idle();
      this.#stop();
      this.#over();
    });
    // Whoever has the engine may have begun before we listened.
    this.#hello();
  }

  #idle() {
    this.#queued = this.#leads = false;
    this.#resign = undefined;
  }

  #start() {
    const line = this.#line;
    this.#engine = this.#barred ? "" : crypto.randomUUID();
    const broke = (why) => {
      if (line !== this.#line) return;
      this.hub.postMessage({ gone: this.#engine, why });
      this.#stop();
      const resign = this.#resign;
      this.#idle();
      resign?.();
      this.#over(why);
    };
    this.#worker = start(line, this.#base, this.#build, this.#engine, this.id, broke);
  }

  #stop() {
    this.#worker?.terminate();
    this.#worker = undefined;
  }

  // The line has ended; its reader may join again meanwhile.
  #over(why) {
    const line = this.#line;
    this.#line = this.#engine = undefined;
    line?.close(why);
  }

  #hello() {
    if (this.#leave && this.#line && !this.#leads && !this.#engine) this.hub.postMessage({ hello: this.id });
  }

  #news({ engine, gone, why, ping, pong }) {
    if (ping && this.#leads) this.hub.postMessage({ pong: ping, engine: this.#engine });
    if (this.#leads || this.#barred) return;
    if (pong === this.id) this.#unanswered = 0;
    const over = engine ? this.#engine && this.#engine !== engine : gone && this.#engine === gone;
    if (over) this.#over(why);
    else if (engine) this.#hello();
  }

  #said({ from, message }) {
    this.#unanswered = 0;
    if (!this.#line || this.#leads || this.#barred) return;
    if (from === this.#engine) {
      if (message.ready === undefined) this.#line.hear(message);
    } else if (!this.#engine && message.ready !== undefined) {
      this.#engine = from;
      this.#line.open((message) => this.own.postMessage({ to: from, message: { ...message, session: `${this.id} ${message.session}` } }));
    }
  }

  // Is the engine's page awake? Nobody looks at a hidden page, so it need not know.
  #ask() {
    if (!this.#line || this.#leads || this.#barred || !this.#queued || document.hidden) {
      this.#unanswered = 0;
    } else if (this.#unanswered < 2) {
      this.#unanswered += 1;
      this.hub.postMessage({ ping: this.id });
    } else {
      this.#unanswered = 0;
      this.waiting.abort();
      this.#queue(true);
    }
  }

  // Leaves everything behind, as a page that was closed does.
  end() {
    clearInterval(this.timer);
    this.#stop();
    this.waiting?.abort();
    this.#resign?.();
    this.#leave?.();
    this.hub.close();
    this.own.close();
    this.#over();
  }
}

let tab;

// A page that comes back out of the browser's memory has lost its locks, whatever it thinks.
globalThis.document && addEventListener("pageshow", ({ persisted }) => {
  const before = tab;
  if (!persisted || !before) return;
  tab = undefined;
  before.end();
});

// The page's line to the engine of this build, which runs here or in another tab.
export function joinEngine(base, build, heard, ended) {
  if (!navigator.locks || !globalThis.BroadcastChannel) {
    const line = new Line(heard, ended);
    const worker = start(line, base, build, "", "alone", (why) => {
      worker.terminate();
      line.close(why);
    });
    return line;
  }
  tab ??= new Tab(build);
  return tab.join(base, heard, ended);
}

// The engine's end, in its worker: serves other pages beside its own. `heard(message, say)` gets what they ask, `left(tab)` those that are gone.
export function serveTabs(build, heard, left) {
  const engine = self.name;
  if (!engine) return;
  const name = `longhand ${build}`;
  const hub = new BroadcastChannel(name);
  const lines = new Map();
  const join = (tab) => {
    const line = new BroadcastChannel(`${name} ${tab}`);
    const say = (message) => line.postMessage({ from: engine, message });
    line.onmessage = ({ data: { to, message } }) => {
      if (to === engine) heard(message, say);
    };
    navigator.locks.request(`${name} ${tab}`, () => {
      lines.delete(tab);
      line.close();
      left(tab);
    });
    return say;
  };
  hub.onmessage = ({ data: { hello } }) => {
    if (!hello) return;
    if (!lines.has(hello)) lines.set(hello, join(hello));
    lines.get(hello)({ ready: build });
  };
  hub.postMessage({ engine });
}

// Waits so many milliseconds.
export function pause(milliseconds) {
  return new Promise((resolve) => { setTimeout(resolve, milliseconds); });
}

/** A passage of a document. */
export interface Source {
  /** Bytes of the document's text, UTF-8. */
  span: { doc: string; start: number; end: number };
  /** The document's own words there. */
  quote: string;
}

/** One sentence of an answer or of notes, and the passage that carries it. */
export interface Citation {
  /** First byte of the sentence in the answer or the notes, UTF-8. */
  start: number;
  /** One past its last byte. */
  end: number;
  /** How far the documents carry it. */
  support: { kind: "quoted" } | { kind: "supported"; score: number } | { kind: "not_found" } | { kind: "no_claim" };
  /** The passage; with `quoted` and `supported` only. */
  source?: Source;
}

/** What was answered. */
export interface Answer {
  text: string;
  citations: Citation[];
}

/** Notes after a section. */
export interface Note {
  /** Which question, from 0. */
  question: number;
  /** Which section, from 1. */
  section: number;
  memory: string;
  citations: Citation[];
  /** Told when a person changed these notes, or took a change back: whether they are a person's now. */
  edited?: boolean;
}

/** A section that begins. */
export interface Progress {
  /** Which question, from 0. */
  question: number;
  /** Which section, from 1. */
  section: number;
  /** Of so many. */
  of: number;
}

/** A model on its way. */
export interface Loading {
  stage: "download" | "check" | "load" | "test";
  done: number;
  /** 0 where it is not known. */
  total: number;
}

/** What went wrong. */
export interface Problem {
  kind: "device" | "lost" | "network" | "storage" | "other_tab" | "model" | "document" | "foreign" | "other";
  message: string;
}

/** What the element's events carry. They bubble and leave shadow roots. */
export interface LonghandReaderEventMap {
  "longhand-loading": CustomEvent<Loading>;
  "longhand-ready": CustomEvent<{ model: string; gpu: boolean }>;
  "longhand-progress": CustomEvent<Progress>;
  "longhand-note": CustomEvent<Note>;
  "longhand-answer": CustomEvent<Answer & { question: number }>;
  "longhand-error": CustomEvent<Problem>;
}

/** The form of an export; `longhand` can be opened again. */
export type Form = "html" | "markdown" | "json" | "longhand";

/** `<longhand-reader>`: a reader of long documents. Nothing is fetched before a click, unless it has `autoload`. */
export class LonghandReader extends HTMLElement {
  /** Fetches the engine and shows the reader; done when it can be asked. */
  start(): Promise<void>;
  /** Opens a file, bytes or a text. */
  open(document: File | Blob | Uint8Array | string, name?: string): Promise<void>;
  /** Reads for a question, or asks further. `null` where there was no answer. */
  ask(question: string): Promise<Answer | null>;
  /** Ends what is going on; what was read is kept. */
  stop(): void;
  /** The read as text; Markdown unless told otherwise. */
  export(form?: Form): Promise<string>;

  addEventListener<K extends keyof LonghandReaderEventMap>(
    type: K,
    listener: (this: LonghandReader, event: LonghandReaderEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions): void;
  removeEventListener<K extends keyof LonghandReaderEventMap>(
    type: K,
    listener: (this: LonghandReader, event: LonghandReaderEventMap[K]) => unknown,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | EventListenerOptions): void;
}

/** A model without an element. */
export interface Loaded {
  /** The continuation of a prompt; 128 tokens unless told otherwise. */
  generate(prompt: string, options?: { maxTokens?: number }): Promise<string>;
  /** Reads a document and answers. `null` where there was no answer. */
  read(
    document: string | File | Blob,
    question: string,
    options?: { onnote?: (note: Note) => void; onprogress?: (progress: Progress) => void },
  ): Promise<Answer | null>;
  /** Ends what is going on. */
  stop(): void;
  /** Lets the model go. */
  close(): void;
}

export interface LoadOptions {
  /** `tiny` (the demonstration model, which knows only the generated world) or the address of a model's folder or `.gguf` file; with `endpoint` its name there. */
  model?: string;
  /** An OpenAI-compatible server. What is read is sent to it. */
  endpoint?: string;
  /** Sent to the server as a bearer token. */
  key?: string;
  onprogress?: (loading: Loading) => void;
}

export const Longhand: {
  load(options?: LoadOptions): Promise<Loaded>;
};

declare global {
  interface HTMLElementTagNameMap {
    "longhand-reader": LonghandReader;
  }
}

// Runs a row's SQL once more, in a worker of its own: SQLite is fetched for it alone, and a query that goes on too long ends with the worker.
// In: {table, sql}. Out: "began" once SQLite is here, then {rows: [[cell]]} with cells "null", {integer}, {real}, {text}, or {refused: sentence};
// where SQLite cannot be had {missing: sentence}.
//
// A query may do what `crates/synth/src/sql/guard.rs` allows and no more: read the table `t`, in so many steps, with so much memory.

const SQL = 10_000;
const CELL = 2_000;
const COLUMNS = 64;
const ENTITIES = 10_000;
const ROWS = 1_000;
const RESULT = 1_000_000;
const LENGTH = 10_000;
const HEAP = 32 << 20;
const STRIDE = 1_000;
const STEPS = 1_000_000;

const CONFIGS = { DEFENSIVE: 1, TRUSTED_SCHEMA: 0, ENABLE_TRIGGER: 0, ENABLE_VIEW: 0, DQS_DML: 0, DQS_DDL: 0 };

const LIMITS = {
  LENGTH, SQL_LENGTH: SQL, COLUMN: 100, EXPR_DEPTH: 100, PARSER_DEPTH: 200, COMPOUND_SELECT: 20, VDBE_OP: 25_000, FUNCTION_ARG: 20,
  LIKE_PATTERN_LENGTH: 100, ATTACHED: 0, VARIABLE_NUMBER: 0, TRIGGER_DEPTH: 0, WORKER_THREADS: 0,
};

// Functions of their arguments alone, none of which makes long texts from short ones.
const FUNCTIONS = new Set(`abs avg ceil ceiling coalesce concat concat_ws count cume_dist dense_rank exp first_value floor glob group_concat if ifnull
  iif instr lag last_value lead length like ln log log10 log2 lower ltrim max median min mod nth_value ntile nullif percent_rank
  pow power rank round row_number rtrim sign sqrt string_agg substr substring sum total trim trunc typeof unicode upper`.split(/\s+/));

// What SQLite's own limits say.
const LIMITED = ["too many", "too large", "too deep", "too big", "too long", "too complex", "ecursion limit", "parser stack"];

class Refused extends Error {}

function refuse(why) {
  throw new Refused(why);
}

function bytes(text) {
  return new TextEncoder().encode(text).length;
}

// The table in memory, as `t`. Numbers are real ones, as natively: a quotient of two documents' figures is never a whole number by accident.
function load({ capi }, db, { columns, rows }) {
  const bad = (why) => refuse(`the table: ${why}`);
  if (columns.length < 1 || columns.length > COLUMNS || rows.length > ENTITIES) {
    bad(`${columns.length} columns and ${rows.length} rows; from 1 to ${COLUMNS} and at most ${ENTITIES} are allowed`);
  }
  const definitions = columns.map(({ name }, at) => {
    if (!/^[a-z_][a-z0-9_]{0,99}$/.test(name)) bad(`column ${at} is not named by lower-case letters, digits and _`);
    const values = rows.map((row) => row[at]?.value ?? null).filter((value) => value !== null);
    return `"${name}" ${values.length && values.every((value) => typeof value === "number") ? "REAL" : "TEXT"}`;
  });
  db.exec(`PRAGMA hard_heap_limit=${HEAP}; PRAGMA temp_store=MEMORY; BEGIN; CREATE TABLE t (${definitions.join(", ")})`);
  const insert = db.prepare(`INSERT INTO t VALUES (${columns.map(() => "?").join(", ")})`);
  for (const [at, row] of rows.entries()) {
    if (row.length !== columns.length) bad(`row ${at} has ${row.length} cells, and there are ${columns.length} columns`);
    for (const [column, { value }] of row.entries()) {
      if (typeof value === "number") capi.sqlite3_bind_double(insert.pointer, column + 1, value);
      else if (value === null || (typeof value === "string" && bytes(value) <= CELL && !value.includes("\0"))) insert.bind(column + 1, value);
      else bad(`row ${at} has a cell that is no number, text of up to ${CELL} bytes or null`);
    }
    insert.stepReset();
  }
  insert.finalize();
  db.exec("COMMIT; PRAGMA query_only=ON");
}

// From here on the database belongs to a stranger.
function guard({ capi }, db, seen) {
  const known = (name) => capi[name] ?? refuse(`this SQLite does not know ${name}`);
  for (const [name, on] of Object.entries(CONFIGS)) {
    if (capi.sqlite3_db_config(db.pointer, known(`SQLITE_DBCONFIG_${name}`), on, 0)) refuse(`this SQLite cannot set ${name}`);
  }
  for (const [name, most] of Object.entries(LIMITS)) capi.sqlite3_limit(db.pointer, known(`SQLITE_LIMIT_${name}`), most);
  const authorized = (_, action, first, second) => {
    const what = denied(capi, action, first, second);
    if (what === undefined) return capi.SQLITE_OK;
    seen.denied ??= what;
    return known("SQLITE_DENY");
  };
  if (capi.sqlite3_set_authorizer(db.pointer, authorized, 0)) refuse("this SQLite has no authorizer");
  let steps = 0;
  capi.sqlite3_progress_handler(db.pointer, STRIDE, () => {
    steps += STRIDE;
    seen.stopped = steps >= STEPS;
    return seen.stopped ? 1 : 0;
  }, 0);
}

// What is not allowed, in words. Everything that is not known here is not allowed.
function denied(capi, action, first, second) {
  switch (action) {
    case capi.SQLITE_SELECT:
    case capi.SQLITE_RECURSIVE:
      return undefined;
    case capi.SQLITE_READ:
      // Without a column only the rows of a subquery are counted.
      return first === "t" || second === "" ? undefined : `reading \`${first}\``;
    case capi.SQLITE_FUNCTION:
      return FUNCTIONS.has(String(second).toLowerCase()) ? undefined : `the function \`${second}\``;
    case capi.SQLITE_PRAGMA:
      return `the pragma \`${first}\``;
    case capi.SQLITE_ATTACH:
    case capi.SQLITE_DETACH:
      return "other databases";
    case capi.SQLITE_TRANSACTION:
    case capi.SQLITE_SAVEPOINT:
      return "transactions";
    default:
      return "changing something";
  }
}

// SQLite's error with what the hooks know of it.
function said(capi, db, code, seen, otherwise) {
  const message = capi.sqlite3_errmsg(db.pointer);
  const only = "a statement may only read the table `t`";
  if (seen.stopped) return `it was stopped after ${STEPS} steps`;
  if (seen.denied) return `${seen.denied}: ${only}`;
  switch (code & 0xff) {
    case capi.SQLITE_NOMEM:
      return `too big: it needs more than ${HEAP >> 20} MiB`;
    case capi.SQLITE_TOOBIG:
      return `too big: a text or row of more than ${LENGTH} bytes`;
    case capi.SQLITE_AUTH:
      return `${message}: ${only}`;
    case capi.SQLITE_READONLY:
      return `changing something: ${only}`;
    default:
      return LIMITED.some((sign) => message.includes(sign)) ? `too big: ${message}` : `${otherwise}: ${message}`;
  }
}

function query({ capi, wasm }, db, sql, seen) {
  const scope = wasm.scopedAllocPush();
  let statement = 0;
  try {
    const [found, rest] = wasm.scopedAllocPtr(2);
    const prepare = (text) => {
      const code = capi.sqlite3_prepare_v3(db.pointer, text, -1, 0, found, rest);
      if (code) refuse(said(capi, db, code, seen, "SQLite says"));
      return wasm.peekPtr(found);
    };
    statement = prepare(wasm.scopedAllocCString(sql));
    if (!statement) refuse("there is no statement");
    for (let at = wasm.peekPtr(rest); wasm.peek(at, "i8") !== 0; at = wasm.peekPtr(rest)) {
      const another = prepare(at);
      capi.sqlite3_finalize(another);
      if (another) refuse("only one statement is executed, and here are two");
    }
    const columns = capi.sqlite3_column_count(statement);
    if (!capi.sqlite3_stmt_readonly(statement) || capi.sqlite3_stmt_isexplain(statement) || columns === 0) {
      refuse("not a query: a statement may only read the table `t`");
    }
    const rows = [];
    let size = 0;
    for (;;) {
      const code = capi.sqlite3_step(statement);
      if (code === capi.SQLITE_DONE) return rows;
      if (code !== capi.SQLITE_ROW) refuse(said(capi, db, code, seen, "it fails"));
      if (rows.length === ROWS) refuse(`too big: more than ${ROWS} rows`);
      const row = Array.from({ length: columns }, (_, column) => cell(capi, statement, column));
      size += row.reduce((sum, { text }) => sum + (text === undefined ? 16 : bytes(text)), 0);
      if (size > RESULT) refuse(`too big: a result of more than ${RESULT} bytes`);
      rows.push(row);
    }
  } finally {
    capi.sqlite3_finalize(statement);
    wasm.scopedAllocPop(scope);
  }
}

function cell(capi, statement, column) {
  switch (capi.sqlite3_column_type(statement, column)) {
    case capi.SQLITE_NULL:
      return "null";
    case capi.SQLITE_INTEGER:
      return { integer: String(capi.sqlite3_column_int64(statement, column)) };
    case capi.SQLITE_FLOAT: {
      const real = capi.sqlite3_column_double(statement, column);
      return Number.isFinite(real) ? { real } : refuse("it fails: a number is infinite");
    }
    case capi.SQLITE_TEXT:
      return { text: capi.sqlite3_column_text(statement, column) };
    default:
      return refuse("it fails: a value is neither a number nor a text");
  }
}

function run(sqlite, table, sql) {
  if (bytes(sql) > SQL) refuse(`too big: ${bytes(sql)} bytes of SQL, and ${SQL} are allowed`);
  if (sql.includes("\0")) refuse("SQLite says: a zero byte");
  const db = new sqlite.oo1.DB(":memory:", "c");
  const seen = {};
  load(sqlite, db, table);
  guard(sqlite, db, seen);
  return query(sqlite, db, sql, seen);
}

self.onmessage = async ({ data: { table, sql } }) => {
  let sqlite;
  try {
    // Everything is in memory: no file of this browser's is touched.
    globalThis.sqlite3ApiConfig = { disable: { vfs: { kvvfs: true, opfs: true, "opfs-vfs": true, "opfs-sahpool": true, "opfs-wl": true } } };
    const module = await import("./sqlite/sqlite3.js");
    sqlite = await module.default();
  } catch (problem) {
    return postMessage({ missing: String(problem?.message ?? problem) });
  }
  postMessage("began");
  try {
    postMessage({ rows: run(sqlite, table, sql) });
  } catch (problem) {
    postMessage({ refused: problem instanceof Refused ? problem.message : `it fails: ${problem?.message ?? problem}` });
  }
};

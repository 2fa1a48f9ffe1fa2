//! What a stranger's statement may do: read, and not for long.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{Connection, Error, ErrorCode};

use super::{SQL, SqlError};

/// Longest text or row that a query may build, in bytes.
pub const LENGTH: usize = 10_000;
/// What SQLite may allocate, in bytes. It is one bound for all connections of a process, and once set it can only be lowered.
pub const HEAP: usize = 32 << 20;
/// Instructions between two looks at the count.
const STRIDE: u32 = 1_000;

/// Instructions of SQLite's virtual machine, and seconds. The steps are what ends a query, the same on every machine; the clock is for
/// those whose single steps are slow, and does not run in a browser.
#[derive(Clone, Copy)]
pub struct Budget {
    pub steps: u64,
    #[cfg_attr(target_arch = "wasm32", expect(dead_code))]
    pub seconds: f64,
}

pub const BUDGET: Budget = Budget { steps: 1_000_000, seconds: 2.0 };

/// Functions of their arguments alone: no time, no randomness, no files, nothing that makes long texts from short ones. Those of
/// mathematics are there only where SQLite was built with them.
const FUNCTIONS: &str = " abs avg ceil ceiling coalesce concat concat_ws count cume_dist dense_rank exp first_value floor glob group_concat if ifnull \
    iif instr lag last_value lead length like ln log log10 log2 lower ltrim max median min mod nth_value ntile nullif percent_rank \
    pow power rank round row_number rtrim sign sqrt string_agg substr substring sum total trim trunc typeof unicode upper ";

/// What the hooks have seen.
#[derive(Default)]
pub struct Seen {
    denied: Option<String>,
    stopped: Option<SqlError>,
}

/// From here on the connection belongs to a stranger.
pub fn guard(connection: &mut Connection, seen: &Arc<Mutex<Seen>>, budget: Budget) -> rusqlite::Result<()> {
    for (config, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        // `"gdp"` is a column or an error, never the text gdp.
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
    ] {
        connection.set_db_config(config, on)?;
    }
    for (limit, most) in [
        (Limit::SQLITE_LIMIT_LENGTH, LENGTH as i32),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, SQL as i32),
        (Limit::SQLITE_LIMIT_COLUMN, 100),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 100),
        (Limit::SQLITE_LIMIT_PARSER_DEPTH, 200),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 20),
        (Limit::SQLITE_LIMIT_VDBE_OP, 25_000),
        (Limit::SQLITE_LIMIT_FUNCTION_ARG, 20),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 100),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 0),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 0),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        connection.set_limit(limit, most)?;
    }
    let hook = Arc::clone(seen);
    connection.authorizer(Some(move |context: AuthContext<'_>| match refused(&context.action) {
        None => Authorization::Allow,
        Some(what) => {
            lock(&hook).denied.get_or_insert(what);
            Authorization::Deny
        }
    }))?;
    let hook = Arc::clone(seen);
    let mut steps = 0;
    #[cfg(not(target_arch = "wasm32"))]
    let start = std::time::Instant::now();
    connection.progress_handler(
        STRIDE as i32,
        Some(move || {
            steps += u64::from(STRIDE);
            if steps >= budget.steps {
                lock(&hook).stopped = Some(SqlError::Steps(budget.steps));
                return true;
            }
            #[cfg(not(target_arch = "wasm32"))]
            if start.elapsed().as_secs_f64() > budget.seconds {
                lock(&hook).stopped = Some(SqlError::Time(budget.seconds.to_string()));
                return true;
            }
            false
        }),
    )
}

/// What is not allowed, in words. Everything that is not known here is not allowed.
fn refused(action: &AuthAction<'_>) -> Option<String> {
    match action {
        AuthAction::Select | AuthAction::Recursive => None,
        AuthAction::Read { table_name: "t", .. } => None,
        // Of a subquery or common table expression of which only the rows are counted. It says nothing of what is in a real table.
        AuthAction::Read { column_name: "", .. } => None,
        AuthAction::Read { table_name, .. } => Some(format!("reading `{table_name}`")),
        AuthAction::Function { function_name } if FUNCTIONS.contains(&format!(" {} ", function_name.to_ascii_lowercase())) => None,
        AuthAction::Function { function_name } => Some(format!("the function `{function_name}`")),
        AuthAction::Pragma { pragma_name, .. } => Some(format!("the pragma `{pragma_name}`")),
        AuthAction::Attach { .. } | AuthAction::Detach { .. } => Some("other databases".into()),
        AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => Some("transactions".into()),
        _ => Some("changing something".into()),
    }
}

/// SQLite's error with what the hooks know of it. `other`: what it is where nothing more is known.
pub fn said(error: Error, seen: &Seen, other: fn(String) -> SqlError) -> SqlError {
    if let Some(stopped) = &seen.stopped {
        return stopped.clone();
    }
    if let Some(denied) = &seen.denied {
        return SqlError::Denied(denied.clone());
    }
    let (code, message) = match error {
        Error::Empty => return SqlError::Empty,
        Error::MultipleStatement => return SqlError::Several,
        Error::SqlInputError { error, msg, .. } => (error.code, msg),
        Error::SqliteFailure(error, message) => (error.code, message.unwrap_or_else(|| error.to_string())),
        error => return SqlError::Failed(error.to_string()),
    };
    let limits = ["too many", "too large", "too deep", "too big", "too long", "too complex", "ecursion limit", "parser stack"];
    match code {
        ErrorCode::OutOfMemory => SqlError::TooBig(format!("it needs more than {} MiB", HEAP >> 20)),
        ErrorCode::TooBig => SqlError::TooBig(format!("a text or row of more than {LENGTH} bytes")),
        ErrorCode::AuthorizationForStatementDenied => SqlError::Denied(message),
        ErrorCode::ReadOnly => SqlError::Denied("changing something".into()),
        _ if limits.iter().any(|limit| message.contains(limit)) => SqlError::TooBig(message),
        _ => other(message),
    }
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::tests::{ask, table};
    use crate::sql::within;

    #[test]
    fn nothing_but_reading_the_table_is_allowed() {
        for sql in [
            "DROP TABLE t",
            "DELETE FROM t",
            "UPDATE t SET size = 1",
            "INSERT INTO t VALUES ('x', 1, 2)",
            "WITH x AS (SELECT 1) DELETE FROM t",
            "CREATE TABLE u (a)",
            "CREATE TEMP VIEW u AS SELECT 1",
            "CREATE VIRTUAL TABLE u USING fts5(a)",
            "ALTER TABLE t ADD COLUMN x",
            "ATTACH 'file:/tmp/x.db' AS x",
            "DETACH main",
            "VACUUM",
            "VACUUM INTO '/tmp/x.db'",
            "REINDEX",
            "ANALYZE",
            "BEGIN",
            "COMMIT",
            "SAVEPOINT a",
            "PRAGMA table_info(t)",
            "PRAGMA writable_schema=ON",
            "PRAGMA hard_heap_limit=0",
            "PRAGMA query_only=OFF",
            "EXPLAIN SELECT * FROM t",
            "EXPLAIN QUERY PLAN SELECT * FROM t",
            "SELECT sql FROM sqlite_master",
            "SELECT name FROM pragma_table_info('t')",
            "SELECT value FROM json_each('[1]')",
            "SELECT load_extension('/tmp/x.so')",
            "SELECT readfile('/etc/passwd')",
            "SELECT writefile('/tmp/x', 1)",
            "SELECT randomblob(1000000000)",
            "SELECT zeroblob(1000000000)",
            "SELECT hex(zeroblob(1000000000))",
            "SELECT printf('%.*c', 1000000000, 'x')",
            "SELECT format('%1000000000d', 1)",
            "SELECT replace(name, 'a', name) FROM t",
            "SELECT random()",
            "SELECT date('now')",
            "SELECT sqlite_version()",
            "SELECT * FROM t WHERE size = (SELECT max(total_changes()) FROM t)",
            "SELECT * FROM t; DROP TABLE t",
        ] {
            match ask(sql) {
                // What this SQLite does not have is unknown to it before it could be denied.
                Err(SqlError::Syntax(message)) if message.contains("no such function") => {}
                Err(SqlError::Denied(_)) => {}
                other => panic!("{sql}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_does_not_end_is_stopped_by_its_steps() {
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
        let explodes = format!("SELECT count(*) FROM {}", (0..20).map(|at| format!("t AS t{at}")).collect::<Vec<_>>().join(", "));
        for sql in [endless, &explodes] {
            assert_eq!(ask(sql), Err(SqlError::Steps(1_000_000)), "{sql}");
            // Without the bound on steps it goes on until the clock stops it.
            let unbounded = Budget { steps: u64::MAX, seconds: 0.3 };
            assert_eq!(within(&table(), sql, unbounded), Err(SqlError::Time("0.3".into())), "{sql}");
        }
        let thousand = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1001) SELECT i FROM n";
        assert!(matches!(ask(thousand), Err(SqlError::TooBig(why)) if why.contains("rows")));
        assert_eq!(ask(&thousand.replace("1001", "1000")).map(|rows| rows.len()), Ok(1000));
    }

    #[test]
    fn what_grows_is_stopped_by_its_size() {
        let too_big = |sql: String| match ask(&sql) {
            Err(SqlError::TooBig(_)) => {}
            other => panic!("{}: {other:?}", sql.chars().take(80).collect::<String>()),
        };
        // Each level uses the one before it ten times.
        let uses = |level: usize| vec![format!("a{level}"); 10].join(", ");
        let chain = (0..12).map(|level| format!(", a{}(x) AS (SELECT count(*) FROM {})", level + 1, uses(level))).collect::<String>();
        too_big(format!("WITH a0(x) AS (SELECT 1){chain} SELECT count(*) FROM a12"));
        // SQLite puts the inner sums into the outer ones before it runs anything: only the bound on memory ends it.
        too_big((0..25).fold("SELECT size AS x FROM t".into(), |sql, _| format!("SELECT x + x + x + x AS x FROM ({sql})")));
        too_big(format!("SELECT {}1{}", "(SELECT ".repeat(500), ")".repeat(500)));
        too_big(format!("SELECT * FROM {}t{}", "(SELECT * FROM ".repeat(500), ")".repeat(500)));
        too_big(format!("SELECT {}1", "NOT ".repeat(2000)));
        too_big(format!("SELECT {}1", "1 + ".repeat(2000)));
        too_big(format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(30)));
        too_big(format!("SELECT {}", vec!["1"; 101].join(", ")));
        too_big(format!("SELECT '{}'", "x".repeat(SQL)));
        too_big("WITH RECURSIVE r(x) AS (SELECT 'ab' UNION ALL SELECT x || x FROM r) SELECT length(x) FROM r".into());
        let wide = "WITH RECURSIVE r(i, x) AS (SELECT 1, substr(name || name || name || name || name || name, 1, 20) FROM t UNION ALL \
                    SELECT i + 1, substr(x || x, 1, 2000) FROM r) SELECT x FROM r ORDER BY x";
        too_big(wide.into());
        assert!(matches!(ask(&format!("SELECT {}", "(".repeat(3000))), Err(SqlError::TooBig(_) | SqlError::Syntax(_))));
    }
}

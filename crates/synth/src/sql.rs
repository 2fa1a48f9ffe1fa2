//! SQLite for strangers' queries: read-only, limited in steps, time and size.
//!
//! What a model or a person wrote is one statement over one table `t` in memory. SQLite itself refuses everything else: an authorizer
//! that knows the few harmless actions and functions, limits on every size, a count of steps, and a bound on its memory.

mod guard;

use std::sync::{Arc, Mutex};

use data::Table;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, OpenFlags};
use serde_json::Value;

use guard::{BUDGET, Budget, HEAP, Seen, guard, lock, said};

/// Longest statement, in bytes.
const SQL: usize = 10_000;
/// Longest text in a cell of the table, in bytes.
const CELL: usize = 2_000;
/// Most columns and rows of the table.
const TABLE: (usize, usize) = (64, 10_000);
/// Most rows of a result.
const ROWS: usize = 1_000;
/// Most bytes of a result.
const RESULT: usize = 1_000_000;
/// One query at a time: SQLite's bound on memory is the whole process's.
static TURN: Mutex<()> = Mutex::new(());

/// Why a statement has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    /// The table cannot be loaded.
    #[error("the table: {0}")]
    Table(String),
    /// SQLite does not understand the statement.
    #[error("SQLite says: {0}")]
    Syntax(String),
    /// There is none, or only comments.
    #[error("there is no statement")]
    Empty,
    /// More than one.
    #[error("only one statement is executed, and here are two")]
    Several,
    /// It does something else than read the table.
    #[error("{0}: a statement may only read the table `t`")]
    Denied(String),
    /// It runs too long, counted in instructions.
    #[error("it was stopped after {0} steps")]
    Steps(u64),
    /// It runs too long by the clock.
    #[error("it was stopped after {0} seconds")]
    Time(String),
    /// Something is longer or deeper than is allowed.
    #[error("too big: {0}")]
    TooBig(String),
    /// It fails while it runs, or its result is no table of numbers and texts.
    #[error("it fails: {0}")]
    Failed(String),
}

/// The rows that a statement finds in the table `t`. Integers stay integers, other numbers are rounded to 12 significant digits (sums
/// differ in the last ones with the order of the rows), and what has no value is null.
pub fn run(table: &Table, sql: &str) -> Result<Vec<Vec<Value>>, SqlError> {
    within(table, sql, BUDGET)
}

fn within(table: &Table, sql: &str, budget: Budget) -> Result<Vec<Vec<Value>>, SqlError> {
    if sql.len() > SQL {
        return Err(SqlError::TooBig(format!("{} bytes of SQL, and {SQL} are allowed", sql.len())));
    }
    if sql.contains('\0') {
        return Err(SqlError::Syntax("a zero byte".into()));
    }
    let _turn = lock(&TURN);
    let mut connection = load(table)?;
    let seen = Arc::new(Mutex::new(Seen::default()));
    guard(&mut connection, &seen, budget).map_err(|error| SqlError::Failed(error.to_string()))?;
    query(&connection, sql).map_err(|failure| match failure {
        Failure::Ours(error) => error,
        Failure::Prepare(error) => said(error, &lock(&seen), SqlError::Syntax),
        Failure::Step(error) => said(error, &lock(&seen), SqlError::Failed),
    })
}

/// Who said no, and when.
enum Failure {
    Ours(SqlError),
    Prepare(Error),
    Step(Error),
}

/// The table in memory, as `t`.
fn load(table: &Table) -> Result<Connection, SqlError> {
    let bad = |why: String| SqlError::Table(why);
    if table.columns.is_empty() || table.columns.len() > TABLE.0 || table.rows.len() > TABLE.1 {
        return Err(bad(format!(
            "{} columns and {} rows; from 1 to {} and at most {} are allowed",
            table.columns.len(),
            table.rows.len(),
            TABLE.0,
            TABLE.1
        )));
    }
    let mut definitions = Vec::new();
    for (at, column) in table.columns.iter().enumerate() {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if column.name.is_empty()
            || column.name.len() > 100
            || !column.name.chars().all(good)
            || column.name.starts_with(|c: char| c.is_ascii_digit())
        {
            return Err(bad(format!("column {at} is not named by lower-case letters, digits and _")));
        }
        definitions.push(format!("\"{}\" {}", column.name, affinity(table, at)));
    }
    let failed = |error: Error| bad(error.to_string());
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_MEMORY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_in_memory_with_flags(flags).map_err(failed)?;
    // Nothing is written to disk, and whatever a statement makes SQLite allocate ends here.
    connection.execute_batch(&format!("PRAGMA hard_heap_limit={HEAP}; PRAGMA temp_store=MEMORY; BEGIN")).map_err(failed)?;
    connection.execute(&format!("CREATE TABLE t ({})", definitions.join(", ")), []).map_err(failed)?;
    {
        let places = vec!["?"; table.columns.len()].join(", ");
        let mut insert = connection.prepare(&format!("INSERT INTO t VALUES ({places})")).map_err(failed)?;
        for (at, row) in table.rows.iter().enumerate() {
            if row.len() != table.columns.len() {
                return Err(bad(format!("row {at} has {} cells, and there are {} columns", row.len(), table.columns.len())));
            }
            let cells = row.iter().map(|cell| {
                stored(&cell.value).ok_or_else(|| bad(format!("row {at} has a cell that is no number, text of up to {CELL} bytes or null")))
            });
            insert.execute(rusqlite::params_from_iter(cells.collect::<Result<Vec<_>, _>>()?)).map_err(failed)?;
        }
    }
    connection.execute_batch("COMMIT; PRAGMA query_only=ON").map_err(failed)?;
    Ok(connection)
}

/// The declared type. Numbers are real ones: a quotient of two documents' figures is never a whole number by accident.
fn affinity(table: &Table, column: usize) -> &'static str {
    let values = || table.rows.iter().filter_map(|row| row.get(column)).map(|cell| &cell.value).filter(|value| !value.is_null());
    if values().next().is_some() && values().all(Value::is_number) { "REAL" } else { "TEXT" }
}

fn stored(value: &Value) -> Option<rusqlite::types::Value> {
    match value {
        Value::Null => Some(rusqlite::types::Value::Null),
        Value::Number(number) => number.as_f64().filter(|number| number.is_finite()).map(rusqlite::types::Value::Real),
        Value::String(text) => (text.len() <= CELL && !text.contains('\0')).then(|| text.clone().into()),
        _ => None,
    }
}

fn query(connection: &Connection, sql: &str) -> Result<Vec<Vec<Value>>, Failure> {
    let mut statement = connection.prepare(sql).map_err(Failure::Prepare)?;
    if !statement.readonly() || statement.is_explain() != 0 || statement.column_count() == 0 {
        return Err(Failure::Ours(SqlError::Denied("not a query".into())));
    }
    let columns = statement.column_count();
    let mut rows = statement.raw_query();
    let (mut out, mut size) = (Vec::new(), 0);
    while let Some(row) = rows.next().map_err(Failure::Step)? {
        if out.len() == ROWS {
            return Err(Failure::Ours(SqlError::TooBig(format!("more than {ROWS} rows"))));
        }
        let mut cells = Vec::with_capacity(columns);
        for column in 0..columns {
            let value = normal(row.get_ref(column).map_err(Failure::Step)?).map_err(Failure::Ours)?;
            size += value.as_str().map_or(16, str::len);
            cells.push(value);
        }
        if size > RESULT {
            return Err(Failure::Ours(SqlError::TooBig(format!("a result of more than {RESULT} bytes"))));
        }
        out.push(cells);
    }
    Ok(out)
}

fn normal(value: ValueRef<'_>) -> Result<Value, SqlError> {
    match value {
        ValueRef::Null => Ok(Value::Null),
        ValueRef::Integer(number) => Ok(number.into()),
        ValueRef::Real(number) if number.is_finite() => Ok(rounded(number, 12).into()),
        ValueRef::Real(_) => Err(SqlError::Failed("a number is infinite".into())),
        ValueRef::Text(text) => Ok(String::from_utf8_lossy(text).into_owned().into()),
        ValueRef::Blob(_) => Err(SqlError::Failed("a value is neither a number nor a text".into())),
    }
}

/// To so many significant digits, as the decimal number nearest to it.
pub(crate) fn rounded(number: f64, digits: usize) -> f64 {
    let text = format!("{number:.*e}", digits.saturating_sub(1));
    // `-0` is 0.
    text.parse::<f64>().map_or(number, |number| number + 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::{Cell, Column};
    use proptest::prelude::*;
    use serde_json::json;

    pub fn table() -> Table {
        let column = |name: &str| Column { name: name.into(), relation: name.into(), unit: String::new() };
        let row = |name: &str, size: Value, age: Value| [json!(name), size, age].map(|value| Cell { value, fact: String::new() }).to_vec();
        Table {
            columns: vec![column("name"), column("size"), column("age")],
            rows: vec![row("O'Hara", json!(7), json!(0.1)), row("Émile", json!(2), json!(0.2)), row("Bo", json!(5), Value::Null)],
        }
    }

    pub fn ask(sql: &str) -> Result<Vec<Vec<Value>>, SqlError> {
        // However slow the machine: only steps and sizes count here.
        within(&table(), sql, Budget { seconds: 600.0, ..BUDGET })
    }

    #[test]
    fn a_query_is_answered_as_sqlite_does() {
        assert_eq!(ask("SELECT name FROM t WHERE size > 2 ORDER BY size DESC"), Ok(vec![vec![json!("O'Hara")], vec![json!("Bo")]]));
        assert_eq!(
            ask("select count(*), sum(age), avg(age), max(age) from T -- 0.1 + 0.2;"),
            Ok(vec![vec![json!(3), json!(0.3), json!(0.15), json!(0.2)]])
        );
        assert_eq!(ask("/* ; */ WITH big AS (SELECT * FROM t WHERE size > 4) SELECT count(*) FROM big ;; "), Ok(vec![vec![json!(2)]]));
        assert_eq!(ask("SELECT size / 2, age FROM t WHERE name = 'Bo'"), Ok(vec![vec![json!(2.5), Value::Null]]));
        assert_eq!(ask("SELECT name, rank() OVER (ORDER BY size) FROM t LIMIT 1").map(|rows| rows[0][1].clone()), Ok(json!(1)));
        assert_eq!(
            ask("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT sum(i) FROM n"),
            Ok(vec![vec![json!(45)]])
        );
        assert_eq!(ask("SELECT 1e15 / 3, 'a' || char(1) FROM t LIMIT 0"), Err(SqlError::Denied("the function `char`".into())));
        assert_eq!(ask("SELECT name FROM t WHERE size > 100"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_single_statement_is_an_error_in_sqlites_words() {
        assert_eq!(ask("SELECT 1; SELECT 2"), Err(SqlError::Several));
        for sql in ["", " ; ", "-- nothing", "/* open"] {
            assert_eq!(ask(sql), Err(SqlError::Empty), "{sql}");
        }
        let syntax = |sql: &str, words: &str| match ask(sql) {
            Err(SqlError::Syntax(message)) if message.contains(words) => {}
            other => panic!("{sql}: {other:?}"),
        };
        syntax("SELEC 1", "near \"SELEC\"");
        syntax("SELECT salary FROM t", "no such column: salary");
        syntax("SELECT \"salary\" FROM t", "no such column");
        syntax("SELECT 1; nonsense", "near \"nonsense\"");
        syntax("SELECT 1\0; DROP TABLE t", "zero byte");
        syntax("SELECT name FROM u", "no such table: u");
        assert!(matches!(ask("SELECT ?"), Err(SqlError::TooBig(_) | SqlError::Syntax(_))));
        assert!(matches!(ask("SELECT x'00ff'"), Err(SqlError::Failed(_))));
        assert!(matches!(ask("SELECT 9e999"), Err(SqlError::Failed(_))));
        assert!(matches!(ask("SELECT sum(i) FROM (SELECT 9223372036854775807 AS i UNION ALL SELECT 1)"), Err(SqlError::Failed(_))));
    }

    #[test]
    fn a_table_that_is_none_is_refused() {
        let bad = |change: fn(&mut Table)| {
            let mut table = table();
            change(&mut table);
            assert!(matches!(run(&table, "SELECT 1"), Err(SqlError::Table(_))), "{table:?}");
        };
        bad(|table| table.columns.clear());
        bad(|table| table.columns[1].name = "a b\" TEXT); --".into());
        bad(|table| table.columns[1].name = "name".into());
        bad(|table| table.rows[1].truncate(2));
        bad(|table| table.rows[0][0].value = "x".repeat(CELL + 1).into());
        bad(|table| table.rows[0][1].value = json!([1]));
        bad(|table| table.rows = vec![table.rows[0].clone(); TABLE.1 + 1]);
        // Words of SQL are names like others.
        let mut table = table();
        table.columns[1].name = "order".into();
        assert_eq!(run(&table, "SELECT sum(\"order\") FROM t"), Ok(vec![vec![json!(14.0)]]));
    }

    proptest! {
        #[test]
        fn any_text_is_answered_or_refused(words in prop::collection::vec(prop::sample::select(vec![
            "SELECT", "FROM", "t", "name", "size", "*", "(", ")", ",", "WHERE", ">", "1", "'a'", "\"", "WITH", "x", "AS", "UNION", "ALL", "ORDER BY",
            "GROUP BY", "count", "max", "||", ";", "--", "/*", "JOIN", "RECURSIVE", "DROP", "TABLE", "PRAGMA", "é", "\0", "CASE", "WHEN", "END", "NULL",
        ]), 0..30), any in ".{0,40}") {
            let sql = words.join(" ") + &any;
            let once = ask(&sql);
            prop_assert_eq!(once, ask(&sql));
            prop_assert_eq!(ask("SELECT count(*) FROM t"), Ok(vec![vec![json!(3)]]));
        }
    }
}

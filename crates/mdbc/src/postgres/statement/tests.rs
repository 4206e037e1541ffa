//! What statements are told to be.

use super::*;

fn of(text: &str) -> Statement {
    Statement::of(text).unwrap()
}

fn set_of(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn what_is_written_is_told_from_what_is_read() {
    for (text, targets) in [
        (
            "INSERT INTO s.a SELECT * FROM b ON CONFLICT DO UPDATE SET x = 1",
            &["a"][..],
        ),
        ("UPDATE ONLY \"A\" SET x = 1 FROM b", &["A"]),
        (
            "WITH w AS (DELETE FROM a RETURNING *) SELECT * FROM w, b",
            &["a"],
        ),
        (
            "MERGE INTO a USING b ON a.k = b.k WHEN MATCHED THEN DELETE",
            &["a"],
        ),
        ("COPY a (x, y) FROM STDIN", &["a"]),
        ("COPY a TO STDOUT", &[]),
        ("SELECT * FROM a FOR UPDATE", &[]),
        ("SELECT a.update FROM a", &[]),
    ] {
        assert_eq!(of(text).targets, set_of(targets), "{text}");
    }
    assert!(of("TRUNCATE a, b").targets.contains("b"));
}

#[test]
fn a_snapshot_is_no_table() {
    for (text, kind) in [
        (
            "COPY mdbc_snapshot TO STDOUT (FORMAT binary)",
            Kind::Snapshot,
        ),
        ("COPY mdbc_snapshot FROM STDIN", Kind::Copy),
        ("COPY (SELECT * FROM mdbc_snapshot) TO STDOUT", Kind::Copy),
    ] {
        assert_eq!(of(text).kind, kind, "{text}");
    }
    let other = Statement::of("COPY mdbc_snapshot TO STDOUT");
    assert_eq!(other.unwrap_err().state, state::FEATURE_NOT_SUPPORTED);
}

#[test]
fn what_only_reads_is_told() {
    for text in [
        "SELECT * FROM a",
        "(SELECT 1)",
        "WITH x AS (SELECT 1) TABLE x",
        "COPY (SELECT * FROM a) TO STDOUT",
        "SHOW search_path",
    ] {
        assert!(of(text).is_read_only, "{text}");
        assert!(!of(text).is_opaque, "{text}");
    }
    for text in [
        "SELECT nextval('s')",
        "SELECT 1 INTO x",
        "SELECT * FROM a FOR NO KEY UPDATE",
        "WITH x AS (INSERT INTO a VALUES (1) RETURNING *) TABLE x",
        "COPY a FROM STDIN",
        "CREATE TABLE a (k int PRIMARY KEY)",
    ] {
        assert!(!of(text).is_read_only, "{text}");
    }
    assert!(of("SELECT * FROM a FOR KEY SHARE").locks_rows);
}

#[test]
fn what_cannot_be_told_touches_everything() {
    for text in [
        "DO $$begin end$$",
        "CALL p()",
        "frobnicate",
        "SELECT * FROM U&\"\\0061\"",
    ] {
        assert!(of(text).is_opaque, "{text}");
        assert!(!of(text).is_read_only, "{text}");
    }
    assert_eq!(of("EXECUTE \"P\"(1)").executes.as_deref(), Some("P"));
}

#[test]
fn transactions_are_mdbc_s() {
    let begin = |is_read_only| Kind::Begin { is_read_only };
    for (text, kind) in [
        ("begin", begin(None)),
        (
            "START TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY",
            begin(Some(true)),
        ),
        ("BEGIN READ WRITE", begin(Some(false))),
        ("END", Kind::Commit { is_chained: false }),
        ("COMMIT AND CHAIN", Kind::Commit { is_chained: true }),
        ("ROLLBACK", Kind::Rollback { is_chained: false }),
        ("ROLLBACK TO SAVEPOINT a", Kind::Savepoint { is_back: true }),
        (
            "SET TRANSACTION READ ONLY",
            Kind::SetTransaction {
                is_read_only: Some(true),
                is_session: false,
            },
        ),
        (
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            Kind::SetTransaction {
                is_read_only: None,
                is_session: true,
            },
        ),
        ("SET search_path = a", Kind::Plain),
        ("SHOW music.age", Kind::Age),
        ("DEALLOCATE ALL", Kind::Deallocate(None)),
        ("VACUUM", Kind::Outside),
        ("-- nothing", Kind::Empty),
    ] {
        assert_eq!(of(text).kind, kind, "{text}");
    }
}

#[test]
fn freshness_is_local_or_latest() {
    let freshness = |wanted: Option<&str>, is_local| Kind::Freshness {
        wanted: wanted.map(str::to_owned),
        is_local,
    };
    assert_eq!(
        of("SET music.read = 'local'").kind,
        freshness(Some("local"), false)
    );
    assert_eq!(
        of("SET LOCAL music.read TO latest").kind,
        freshness(Some("latest"), true)
    );
    assert_eq!(of("RESET music.read").kind, freshness(None, false));
    let wrong = Statement::of("SET music.read = 'old'").unwrap_err();
    assert_eq!(wrong.state, state::INVALID_PARAMETER_VALUE);
}

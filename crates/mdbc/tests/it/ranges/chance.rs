//! The ranges that a statement is told to touch are enough: it does the same
//! where nothing but their rows is there.

#![allow(clippy::indexing_slicing, reason = "a test that goes wrong fails")]

use mdbc::engine::{Access, RangeAccess};

use super::{SCHEMA, Told, answer};
use crate::dice::Dice;

/// Where the ranges begin of all tables that have some.
const BOUNDS: [i64; 3] = [3, 5, 8];
/// How many statements are tried.
const STATEMENTS: u64 = 500;

/// Makes statements by chance.
struct Maker {
    dice: Dice,
    aliases: u64,
}

impl Maker {
    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        let at = self.dice.below(u64::try_from(all.len()).unwrap());
        all[usize::try_from(at).unwrap()]
    }

    fn value(&mut self) -> String {
        let number = self.dice.below(12);
        match self.dice.below(9) {
            0 => format!("'{number}'"),
            1 => format!("{number}::bigint"),
            2 => "NULL".to_owned(),
            3 => format!("({number} + 0)"),
            4 => format!("{number}.0"),
            _ => number.to_string(),
        }
    }

    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("t{}", self.aliases)
    }

    /// A condition on columns of one of these, or on columns of two of them.
    fn predicate(&mut self, aliases: &[String], depth: u64) -> String {
        let at = |maker: &mut Self| {
            let at = maker.dice.below(u64::try_from(aliases.len()).unwrap());
            aliases[usize::try_from(at).unwrap()].clone()
        };
        let (one, other) = (at(self), at(self));
        let column = self.one_of(&["w", "w", "w", "k", "v"]);
        let operator = self.one_of(&["=", "=", "<", "<=", ">", ">=", "<>"]);
        let (x, y) = (self.value(), self.value());
        match self.dice.below(if depth == 0 { 9 } else { 13 }) {
            0..=2 => format!("{one}.{column} {operator} {x}"),
            3 => format!("{x} {operator} {one}.{column}"),
            4 => format!("{one}.{column} IN ({x}, {y})"),
            5 => format!("{one}.{column} BETWEEN {x} AND {y}"),
            6 => format!("({one}.w, {one}.k) = ({x}, {y})"),
            7 => format!("{one}.{column} {operator} {other}.w"),
            8 => format!("{one}.w = {other}.w"),
            9 => {
                let (left, right) = (
                    self.predicate(aliases, depth - 1),
                    self.predicate(aliases, depth - 1),
                );
                let word = self.one_of(&["OR", "AND"]);
                format!("({left} {word} {right})")
            }
            10 => format!("NOT ({})", self.predicate(aliases, depth - 1)),
            11 => {
                let not = self.one_of(&["", "NOT "]);
                format!("{not}EXISTS ({})", self.select(&[one], depth - 1))
            }
            _ => format!(
                "{one}.k IN (SELECT k FROM ({}) AS q)",
                self.select(std::slice::from_ref(&one), depth - 1)
            ),
        }
    }

    fn condition(&mut self, aliases: &[String], depth: u64) -> String {
        let mut all = self.predicate(aliases, depth);
        for _ in 0..self.dice.below(3) {
            all = format!("{all} AND {}", self.predicate(aliases, depth));
        }
        all
    }

    fn table(&mut self) -> &'static str {
        self.one_of(&["a", "a", "b", "b", "c", "low", "whole"])
    }

    /// A query of columns w, k and v, within one whose tables are `around`.
    fn select(&mut self, around: &[String], depth: u64) -> String {
        let first = self.alias();
        let mut own = vec![first.clone()];
        let mut from = format!("{} AS {first}", self.table());
        for _ in 0..self.dice.below(3) {
            let (table, alias) = (self.table(), self.alias());
            let join = self.one_of(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", ",", "USING"]);
            if join == "," && own.len() == 1 {
                from = format!("{from}, {table} AS {alias}");
                own.push(alias);
                continue;
            }
            let left = own.clone();
            own.push(alias.clone());
            let word = self.one_of(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
            from = if join == "USING" && left.len() == 1 {
                format!("{from} {word} {table} AS {alias} USING (w)")
            } else {
                let join = if matches!(join, "," | "USING") {
                    "JOIN"
                } else {
                    join
                };
                let mut both = vec![left[left.len() - 1].clone()];
                both.push(alias.clone());
                format!(
                    "{from} {join} {table} AS {alias} ON {}",
                    self.condition(&both, 0)
                )
            };
        }
        let all: Vec<String> = own.iter().chain(around).cloned().collect();
        let mut condition = self.condition(&all, depth);
        // A name without its table's, where there is one of it.
        if own.len() == 1 && self.dice.one_in(2) {
            condition = condition.replace(&format!("{first}."), "");
        }
        let last = &own[own.len() - 1];
        format!("SELECT {first}.w, {first}.k, {last}.v FROM {from} WHERE {condition}")
    }

    fn statement(&mut self) -> String {
        let target = self.one_of(&["a", "b"]);
        let (x, y) = (self.value(), self.value());
        let me = vec![target.to_owned()];
        match self.dice.below(12) {
            0 => {
                let condition = self.condition(&me, 1);
                format!("UPDATE {target} SET v = v + 1 WHERE {condition} RETURNING w, k, v")
            }
            1 => {
                let condition = self.condition(&me, 1);
                let k = 1000 + self.dice.below(100);
                format!(
                    "UPDATE {target} SET w = {x}, k = k + {k} WHERE {condition} RETURNING w, k, v"
                )
            }
            2 => format!(
                "DELETE FROM {target} WHERE {} RETURNING w, k, v",
                self.condition(&me, 1)
            ),
            3 => {
                let all = vec![target.to_owned(), "q".to_owned()];
                let condition = self.condition(&all, 1);
                let other = self.table();
                format!(
                    "UPDATE {target} SET v = q.v FROM {other} AS q WHERE {target}.k = q.k AND \
                     {condition} RETURNING {target}.w, {target}.k, 0"
                )
            }
            4 => {
                let all = vec![target.to_owned(), "q".to_owned()];
                let condition = self.condition(&all, 1);
                let other = self.table();
                format!(
                    "DELETE FROM {target} USING {other} AS q WHERE {condition} \
                     RETURNING {target}.w, {target}.k, {target}.v"
                )
            }
            5 => format!(
                "INSERT INTO {target} (w, k, v) VALUES ({x}, 1, 2), ({y}, 70, 3) \
                 ON CONFLICT DO NOTHING RETURNING w, k, v"
            ),
            6 => format!(
                "INSERT INTO {target} (v, k, w) VALUES (1, 2, {x}) ON CONFLICT (w, k) DO UPDATE \
                 SET v = {target}.v + 1 RETURNING w, k, v"
            ),
            7 => format!("INSERT INTO {target} (w, k, v) VALUES ({x}, 2, 2) RETURNING w, k, v"),
            8 => {
                let (left, right) = (self.select(&[], 1), self.select(&[], 1));
                format!("{left} UNION ALL {right}")
            }
            9 => {
                let (inner, outer) = (self.select(&[], 1), self.condition(&["q".to_owned()], 0));
                format!("WITH q AS ({inner}) SELECT * FROM q WHERE {outer}")
            }
            _ => self.select(&[], 2),
        }
    }
}

/// Leaves only the rows in ranges that were told.
fn leave(access: &Access) -> String {
    let mut text = Vec::new();
    for table in ["a", "b"] {
        let Some(RangeAccess { reads, writes }) = access.ranges.get(table) else {
            let is_touched = access.reads.contains(table) || access.writes.contains(table);
            if !is_touched {
                text.push(format!("DELETE FROM {table};"));
            }
            continue;
        };
        for number in (0..4).filter(|number| !reads.contains(number) && !writes.contains(number)) {
            let at = usize::try_from(number).unwrap();
            let low = at.checked_sub(1).map_or(i64::MIN, |at| BOUNDS[at]);
            let high = BOUNDS.get(at).copied().unwrap_or(i64::MAX);
            text.push(format!(
                "DELETE FROM {table} WHERE w >= {low} AND w < {high};"
            ));
        }
    }
    text.concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_does_the_same_where_only_the_rows_are_that_it_was_told_to_touch() {
    let told = Told::start(SCHEMA).await;
    let (mut worked, mut narrowed) = (0, 0);
    for seed in 0..STATEMENTS {
        let mut maker = Maker {
            dice: Dice(seed),
            aliases: 0,
        };
        let statement = maker.statement();
        told.client.batch_execute("BEGIN").await.unwrap();
        let whole = answer(&told.client, &statement).await;
        let access = told.last();
        told.client.batch_execute("ROLLBACK").await.unwrap();
        if let Err(state) = &whole {
            let fine = ["23505", "23502", "42883", "42702", "42804", "42601"];
            assert!(
                fine.contains(&state.as_str()),
                "{seed}: {state}: {statement}"
            );
            if state.starts_with("42") {
                continue;
            }
        }
        let text = format!("BEGIN; {}", leave(&access));
        told.client.batch_execute(&text).await.unwrap();
        let part = answer(&told.client, &statement).await;
        told.client.batch_execute("ROLLBACK").await.unwrap();
        assert_eq!(whole, part, "{seed}: {statement}\n{access:?}");
        worked += u64::from(whole.is_ok_and(|rows| !rows.is_empty()));
        let is_narrow = |ranges: &RangeAccess| (&ranges.reads | &ranges.writes).len() < 4;
        narrowed += u64::from(access.ranges.values().any(is_narrow));
    }
    println!("{worked} had rows, {narrowed} were told less than all");
    assert!(
        worked > STATEMENTS / 4 && narrowed > STATEMENTS / 3,
        "it proves something"
    );
}

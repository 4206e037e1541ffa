//! What is in the tables, and the conditions of TPC-C on it, clause 3.3.2, with
//! two more: stock is what was ordered, and balances what was paid and
//! delivered.

use std::collections::BTreeMap;

use crate::database::{Row, Session};
use crate::failure::Failure;
use crate::look::content;
use crate::order::Seen;

type Sums = BTreeMap<Vec<i64>, i64>;

/// The tables by name, and their columns of numbers, those of the key first.
const TABLES: [(&str, &str, &str); 9] = [
    ("item", "i_id, i_price", "i_id"),
    ("warehouse", "w_id, w_ytd", "w_id"),
    (
        "district",
        "d_w_id, d_id, d_ytd, d_next_o_id",
        "d_w_id, d_id",
    ),
    (
        "customer",
        "c_w_id, c_d_id, c_id, c_balance, c_payments, c_deliveries",
        "c_w_id, c_d_id, c_id",
    ),
    (
        "history",
        "h_w_id, h_id, h_c_w_id, h_c_d_id, h_c_id, h_d_id, h_amount",
        "h_w_id, h_id",
    ),
    (
        "orders",
        "o_w_id, o_d_id, o_id, o_c_id, o_carrier, o_lines",
        "o_w_id, o_d_id, o_id",
    ),
    (
        "new_order",
        "no_w_id, no_d_id, no_o_id",
        "no_w_id, no_d_id, no_o_id",
    ),
    (
        "order_line",
        "ol_w_id, ol_d_id, ol_o_id, ol_number, ol_i_id, ol_supply_w_id, ol_quantity, ol_amount, \
         ol_delivered",
        "ol_w_id, ol_d_id, ol_o_id, ol_number",
    ),
    (
        "stock",
        "s_w_id, s_i_id, s_quantity, s_ytd, s_orders, s_away",
        "s_w_id, s_i_id",
    ),
];

/// Reads all tables.
///
/// # Errors
///
/// When one cannot be read.
pub(super) async fn look(session: &mut Session) -> Result<Seen, Failure> {
    let mut all = BTreeMap::new();
    let mut seen = Seen::default();
    for (name, columns, key) in TABLES {
        let sql = format!("SELECT {columns} FROM {name} ORDER BY {key}");
        let rows = session.rows((&sql, &[])).await?;
        seen.tables.insert(name.to_owned(), content(&rows));
        all.insert(name, numbers(&rows));
    }
    let count = |name| {
        all.get(name)
            .map_or(0, |rows: &Vec<Vec<i64>>| rows.len() as u64)
    };
    seen.marks.insert("new-order", count("orders"));
    seen.marks.insert("payment", count("history"));
    seen.problems = problems(&all);
    Ok(seen)
}

fn numbers(rows: &[Row]) -> Vec<Vec<i64>> {
    rows.iter()
        .map(|row| row.iter().map(|value| value.int()).collect())
        .collect()
}

type Tables = BTreeMap<&'static str, Vec<Vec<i64>>>;

/// What one rule says of groups of rows: two sums that are to be equal.
struct Rule {
    text: &'static str,
    left: Sums,
    right: Sums,
}

fn problems(tables: &Tables) -> Vec<String> {
    let sums = |name, key: &[usize], of: &dyn Fn(&[i64]) -> i64| {
        sums(tables.get(name).map_or(&[][..], Vec::as_slice), key, of)
    };
    let one = |_: &[i64]| 1;
    let rules = [
        Rule {
            text: "w_ytd is the sum of d_ytd",
            left: sums("warehouse", &[0], &|row| at(row, 1)),
            right: sums("district", &[0], &|row| at(row, 2)),
        },
        Rule {
            text: "w_ytd is the sum of the history",
            left: sums("warehouse", &[0], &|row| at(row, 1)),
            right: sums("history", &[0], &|row| at(row, 6)),
        },
        Rule {
            text: "d_next_o_id is one more than there are orders",
            left: sums("district", &[0, 1], &|row| at(row, 3) - 1),
            right: sums("orders", &[0, 1], &one),
        },
        Rule {
            text: "o_lines is the number of lines",
            left: sums("orders", &[0, 1, 2], &|row| at(row, 5)),
            right: sums("order_line", &[0, 1, 2], &one),
        },
        Rule {
            text: "orders without a carrier are new",
            left: sums("orders", &[0, 1, 2], &|row| i64::from(at(row, 4) == 0)),
            right: sums("new_order", &[0, 1, 2], &one),
        },
        Rule {
            text: "s_ytd is what was ordered",
            left: sums("stock", &[0, 1], &|row| at(row, 3)),
            right: sums("order_line", &[5, 4], &|row| at(row, 6)),
        },
        Rule {
            text: "what was delivered and paid is the balance",
            left: sums("customer", &[0, 1, 2], &|row| at(row, 3)),
            right: balances(tables),
        },
    ];
    rules.iter().filter_map(Rule::problem).collect()
}

impl Rule {
    fn problem(&self) -> Option<String> {
        let differ = |key: &&Vec<i64>| self.left.get(*key) != self.right.get(*key);
        let mut keys = self.left.keys().chain(self.right.keys());
        let key = keys.find(differ)?;
        let of = |sums: &Sums| sums.get(key).copied().unwrap_or_default();
        let (left, right) = (of(&self.left), of(&self.right));
        Some(format!("{}: not of {key:?}, {left} and {right}", self.text))
    }
}

/// What was delivered to each customer, less what he paid.
fn balances(tables: &Tables) -> Sums {
    let rows = |name| tables.get(name).map_or(&[][..], Vec::as_slice);
    let customers: BTreeMap<Vec<i64>, i64> = rows("orders")
        .iter()
        .map(|row| (key(row, &[0, 1, 2]), at(row, 3)))
        .collect();
    let mut sums = Sums::new();
    for line in rows("order_line").iter().filter(|line| at(line, 8) == 1) {
        let customer = customers
            .get(&key(line, &[0, 1, 2]))
            .copied()
            .unwrap_or_default();
        *sums
            .entry(vec![at(line, 0), at(line, 1), customer])
            .or_default() += at(line, 7);
    }
    for paid in rows("history") {
        *sums.entry(key(paid, &[2, 3, 4])).or_default() -= at(paid, 6);
    }
    without_nothing(sums)
}

fn sums(rows: &[Vec<i64>], columns: &[usize], of: &dyn Fn(&[i64]) -> i64) -> Sums {
    let mut sums = Sums::new();
    for row in rows {
        *sums.entry(key(row, columns)).or_default() += of(row);
    }
    without_nothing(sums)
}

/// A group without rows is one whose sum is 0.
fn without_nothing(mut sums: Sums) -> Sums {
    sums.retain(|_, sum| *sum != 0);
    sums
}

fn key(row: &[i64], columns: &[usize]) -> Vec<i64> {
    columns.iter().map(|column| at(row, *column)).collect()
}

fn at(row: &[i64], column: usize) -> i64 {
    row.get(column).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One order of one line, paid for and delivered.
    fn whole() -> Tables {
        BTreeMap::from([
            ("warehouse", vec![vec![1, 50]]),
            ("district", vec![vec![1, 2, 50, 2]]),
            ("customer", vec![vec![1, 2, 3, 20, 1, 1]]),
            ("history", vec![vec![1, 9, 1, 2, 3, 2, 50]]),
            ("orders", vec![vec![1, 2, 1, 3, 7, 1]]),
            ("new_order", vec![]),
            ("order_line", vec![vec![1, 2, 1, 1, 5, 1, 4, 70, 1]]),
            ("stock", vec![vec![1, 5, 46, 4, 1, 0]]),
        ])
    }

    #[test]
    fn what_fits_has_no_problems() {
        assert_eq!(problems(&whole()), Vec::<String>::new());
    }

    #[test]
    fn each_rule_finds_what_is_lost() {
        for (table, column, rule) in [
            ("warehouse", 1, "w_ytd"),
            ("district", 3, "d_next_o_id"),
            ("orders", 5, "o_lines"),
            ("stock", 3, "s_ytd"),
            ("customer", 3, "balance"),
        ] {
            let mut tables = whole();
            tables.get_mut(table).unwrap()[0][column] -= 1;
            let problems = problems(&tables).join("; ");
            assert!(problems.contains(rule), "{table}: {problems}");
        }
        let mut tables = whole();
        tables.insert("new_order", vec![vec![1, 2, 1]]);
        assert!(problems(&tables)[0].contains("are new"));
    }
}

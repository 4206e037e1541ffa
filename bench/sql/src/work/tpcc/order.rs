//! Orders: placed, looked at, delivered; and what is in stock for them.

use std::collections::{BTreeMap, BTreeSet};

use super::{DISTRICTS, ITEMS, LINES_AWAY, LINES_MAX, LINES_MIN, LOW, ORDERS_UNDONE, Tpcc};
use crate::database::{Row, Session, Value, values};
use crate::dice::Dice;
use crate::failure::{Failure, Meaning};

/// How many of the last orders the stock level is about.
const LAST_ORDERS: i64 = 20;
/// What is put on a stock that runs low.
const REFILL: i64 = 91;
/// The least that remains of one.
const REMAINS: i64 = 10;

/// An order to be placed.
#[derive(Clone, Debug)]
pub(crate) struct NewOrder {
    warehouse: i64,
    district: i64,
    customer: i64,
    lines: Vec<Line>,
    /// Undone at the end, as TPC-C has it for one of a hundred.
    pub(super) is_undone: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    supplier: i64,
    item: i64,
    quantity: i64,
}

impl NewOrder {
    pub(super) fn draw(
        tpcc: &Tpcc,
        (warehouse, district, customer): (i64, i64, i64),
        dice: &mut Dice,
    ) -> Self {
        let count = dice.one_of(LINES_MIN..=LINES_MAX);
        let items: BTreeSet<i64> = (0..count).map(|_| dice.one_of(1..=ITEMS)).collect();
        let line = |item| Line {
            supplier: tpcc.perhaps_away(warehouse, LINES_AWAY, dice),
            item,
            quantity: dice.one_of(1..=10),
        };
        let mut lines: Vec<Line> = items.into_iter().map(line).collect();
        // Locked in one order by all.
        lines.sort();
        let is_undone = dice.per_cent(ORDERS_UNDONE);
        Self {
            warehouse,
            district,
            customer,
            lines,
            is_undone,
        }
    }

    pub(super) async fn write(&self, session: &mut Session) -> Result<(), Failure> {
        let number = self.number(session).await?;
        let head = values![self.warehouse, self.district, number];
        let lines = i64::try_from(self.lines.len()).unwrap_or_default();
        session
            .change((
                "INSERT INTO orders (o_w_id, o_d_id, o_id, o_c_id, o_carrier, o_lines) \
                 VALUES ($1, $2, $3, $4, 0, $5)",
                values![self.warehouse, self.district, number, self.customer, lines],
            ))
            .await?;
        session
            .change((
                "INSERT INTO new_order (no_w_id, no_d_id, no_o_id) VALUES ($1, $2, $3)",
                head,
            ))
            .await?;
        let prices = self.prices(session).await?;
        self.take_from_stock(session).await?;
        self.write_lines(session, number, &prices).await
    }

    /// The order's number; what it costs beside is looked at.
    async fn number(&self, session: &mut Session) -> Result<i64, Failure> {
        let place = values![self.warehouse, self.district];
        let district = session
            .rows((
                "SELECT d_next_o_id, d_tax FROM district \
                 WHERE d_w_id = $1 AND d_id = $2 FOR UPDATE",
                place,
            ))
            .await?;
        let number = number(&district, "district")?;
        session
            .change((
                "UPDATE district SET d_next_o_id = d_next_o_id + 1 WHERE d_w_id = $1 AND d_id = $2",
                place,
            ))
            .await?;
        session
            .rows((
                "SELECT w_tax FROM warehouse WHERE w_id = $1",
                values![self.warehouse],
            ))
            .await?;
        session
            .rows((
                "SELECT c_discount FROM customer \
                 WHERE c_w_id = $1 AND c_d_id = $2 AND c_id = $3",
                values![self.warehouse, self.district, self.customer],
            ))
            .await?;
        Ok(number)
    }

    async fn prices(&self, session: &mut Session) -> Result<BTreeMap<i64, i64>, Failure> {
        let items: Vec<Value> = self.lines.iter().map(|line| line.item.into()).collect();
        let list = placeholders(1, items.len());
        let sql = format!("SELECT i_id, i_price FROM item WHERE i_id IN ({list})");
        let rows = session.rows((&sql, &items)).await?;
        if rows.len() == items.len() {
            return Ok(pairs(&rows));
        }
        Err(Failure::new(
            Meaning::Wrong,
            "client",
            "an item has no price",
        ))
    }

    async fn take_from_stock(&self, session: &mut Session) -> Result<(), Failure> {
        for lines in self
            .lines
            .chunk_by(|one, other| one.supplier == other.supplier)
        {
            let Some(supplier) = lines.first().map(|line| line.supplier) else {
                continue;
            };
            let mut values = vec![Value::Int(supplier)];
            values.extend(lines.iter().map(|line| Value::Int(line.item)));
            let sql = format!(
                "SELECT s_i_id, s_quantity FROM stock WHERE s_w_id = $1 AND s_i_id IN ({}) \
                 ORDER BY s_i_id FOR UPDATE",
                placeholders(2, lines.len())
            );
            let stock = pairs(&session.rows((&sql, &values)).await?);
            for line in lines {
                let there = stock.get(&line.item).copied().unwrap_or_default();
                self.take(session, line, there).await?;
            }
        }
        Ok(())
    }

    async fn take(&self, session: &mut Session, line: &Line, there: i64) -> Result<(), Failure> {
        let Line {
            supplier,
            item,
            quantity,
        } = *line;
        let remains = if there - quantity >= REMAINS {
            there - quantity
        } else {
            there - quantity + REFILL
        };
        let away = i64::from(supplier != self.warehouse);
        session
            .change((
                "UPDATE stock SET s_quantity = $1, s_ytd = s_ytd + $2, s_orders = s_orders + 1, \
                 s_away = s_away + $3 WHERE s_w_id = $4 AND s_i_id = $5",
                values![remains, quantity, away, supplier, item],
            ))
            .await
            .map(drop)
    }

    async fn write_lines(
        &self,
        session: &mut Session,
        number: i64,
        prices: &BTreeMap<i64, i64>,
    ) -> Result<(), Failure> {
        let mut values: Vec<Value> = Vec::new();
        let mut rows = Vec::new();
        for (line, at) in self.lines.iter().zip(1_i64..) {
            let amount = line.quantity * prices.get(&line.item).copied().unwrap_or_default();
            rows.push(format!("({}, 0)", placeholders(values.len() + 1, 8)));
            values.extend_from_slice(values![self.warehouse, self.district, number, at]);
            values.extend_from_slice(values![line.item, line.supplier, line.quantity, amount]);
        }
        let sql = format!(
            "INSERT INTO order_line (ol_w_id, ol_d_id, ol_o_id, ol_number, ol_i_id, \
             ol_supply_w_id, ol_quantity, ol_amount, ol_delivered) VALUES {}",
            rows.join(", ")
        );
        session.change((&sql, &values)).await.map(drop)
    }
}

/// The last order of a customer, and its lines.
pub(super) async fn status(
    session: &mut Session,
    warehouse: i64,
    district: i64,
    customer: i64,
) -> Result<(), Failure> {
    session
        .rows((
            "SELECT c_balance FROM customer WHERE c_w_id = $1 AND c_d_id = $2 AND c_id = $3",
            values![warehouse, district, customer],
        ))
        .await?;
    let last = session
        .rows((
            "SELECT o_id, o_carrier FROM orders WHERE o_w_id = $1 AND o_d_id = $2 AND o_c_id = $3 \
             ORDER BY o_id DESC LIMIT 1",
            values![warehouse, district, customer],
        ))
        .await?;
    if let Some([order, _]) = last.first().map(Vec::as_slice) {
        session
            .rows((
                "SELECT ol_i_id, ol_quantity, ol_amount, ol_delivered FROM order_line \
                 WHERE ol_w_id = $1 AND ol_d_id = $2 AND ol_o_id = $3",
                values![warehouse, district, order.int()],
            ))
            .await?;
    }
    Ok(())
}

/// The oldest order of each district goes out. Rows are read as they are to be
/// changed: a snapshot may be older than the row that was waited for.
pub(super) async fn deliver(
    session: &mut Session,
    warehouse: i64,
    carrier: i64,
) -> Result<(), Failure> {
    for district in 1..=DISTRICTS {
        let oldest = session
            .rows((
                "SELECT no_o_id FROM new_order WHERE no_w_id = $1 AND no_d_id = $2 \
                 ORDER BY no_o_id LIMIT 1 FOR UPDATE",
                values![warehouse, district],
            ))
            .await?;
        if let Some(order) = oldest.first().and_then(|row| row.first()) {
            deliver_order(session, (warehouse, district, order.int()), carrier).await?;
        }
    }
    Ok(())
}

async fn deliver_order(
    session: &mut Session,
    (warehouse, district, order): (i64, i64, i64),
    carrier: i64,
) -> Result<(), Failure> {
    let place = values![warehouse, district, order];
    session
        .change((
            "DELETE FROM new_order WHERE no_w_id = $1 AND no_d_id = $2 AND no_o_id = $3",
            place,
        ))
        .await?;
    let orders = session
        .rows((
            "SELECT o_c_id FROM orders WHERE o_w_id = $1 AND o_d_id = $2 AND o_id = $3 FOR UPDATE",
            place,
        ))
        .await?;
    let customer = number(&orders, "order")?;
    session
        .change((
            "UPDATE orders SET o_carrier = $1 WHERE o_w_id = $2 AND o_d_id = $3 AND o_id = $4",
            values![carrier, warehouse, district, order],
        ))
        .await?;
    let lines = session
        .rows((
            "SELECT ol_amount FROM order_line \
             WHERE ol_w_id = $1 AND ol_d_id = $2 AND ol_o_id = $3 FOR UPDATE",
            place,
        ))
        .await?;
    let amount: i64 = lines
        .iter()
        .filter_map(|row| row.first())
        .map(Value::int)
        .sum();
    session
        .change((
            "UPDATE order_line SET ol_delivered = 1 \
             WHERE ol_w_id = $1 AND ol_d_id = $2 AND ol_o_id = $3",
            place,
        ))
        .await?;
    session
        .change((
            "UPDATE customer SET c_balance = c_balance + $1, c_deliveries = c_deliveries + 1 \
             WHERE c_w_id = $2 AND c_d_id = $3 AND c_id = $4",
            values![amount, warehouse, district, customer],
        ))
        .await
        .map(drop)
}

/// How many items of the last orders are low in stock.
pub(super) async fn stock_level(
    session: &mut Session,
    warehouse: i64,
    district: i64,
) -> Result<(), Failure> {
    let next = session
        .rows((
            "SELECT d_next_o_id FROM district WHERE d_w_id = $1 AND d_id = $2",
            values![warehouse, district],
        ))
        .await?;
    let next = number(&next, "district")?;
    session
        .rows((
            "SELECT count(DISTINCT s_i_id) FROM order_line JOIN stock ON s_i_id = ol_i_id \
             WHERE ol_w_id = $1 AND ol_d_id = $2 AND ol_o_id >= $3 AND ol_o_id < $4 \
             AND s_w_id = $5 AND s_quantity < $6",
            values![
                warehouse,
                district,
                next - LAST_ORDERS,
                next,
                warehouse,
                LOW
            ],
        ))
        .await
        .map(drop)
}

/// The first number of the first row.
fn number(rows: &[Row], what: &str) -> Result<i64, Failure> {
    let number = rows.first().and_then(|row| row.first()).map(Value::int);
    number.ok_or_else(|| Failure::new(Meaning::Wrong, "client", format!("no such {what}")))
}

fn pairs(rows: &[Row]) -> BTreeMap<i64, i64> {
    let pair = |row: &Row| Some((row.first()?.int(), row.get(1)?.int()));
    rows.iter().filter_map(pair).collect()
}

/// So many, from that number on.
fn placeholders(first: usize, count: usize) -> String {
    let all: Vec<String> = (first..first + count)
        .map(|number| format!("${number}"))
        .collect();
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_item_is_twice_in_an_order_and_all_are_locked_in_order() {
        let mut dice = Dice::seeded(1);
        for _ in 0..100 {
            let order = NewOrder::draw(&Tpcc::new(3), (1, 1, 1), &mut dice);
            let mut items: Vec<i64> = order.lines.iter().map(|line| line.item).collect();
            assert!(order.lines.is_sorted());
            items.sort_unstable();
            items.dedup();
            assert_eq!(items.len(), order.lines.len());
        }
    }

    #[test]
    fn placeholders_go_on_from_those_before() {
        assert_eq!(placeholders(3, 2), "$3, $4");
    }
}

//! A mix like that of TPC-C, at a small scale: its five transactions at
//! 45/43/4/4/4, its tables with fewer rows and columns. Amounts are whole
//! numbers, customers are told by their numbers, and there is no think time.

mod order;
mod payment;
mod schema;
mod seen;

use self::order::NewOrder;
use self::payment::Payment;
use super::{Drawer, Table};
use crate::database::Session;
use crate::dice::Dice;
use crate::failure::Failure;
use crate::order::Seen;

/// How much there is of everything.
const WAREHOUSES_OF_SITE: i64 = 2;
const DISTRICTS: i64 = 10;
const CUSTOMERS: i64 = 30;
const ITEMS: i64 = 1_000;
/// Lines of an order.
const LINES_MIN: i64 = 5;
const LINES_MAX: i64 = 15;
/// Per cent of lines whose stock is of another warehouse, and of payments by
/// customers of another.
const LINES_AWAY: i64 = 1;
const PAYMENTS_AWAY: i64 = 15;
/// Per cent of new orders that are undone at their end.
const ORDERS_UNDONE: i64 = 1;
/// Below what stock is low.
const LOW: i64 = 15;

/// Which warehouses there are.
pub(crate) struct Tpcc {
    sites: u32,
}

/// A transaction.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    NewOrder(NewOrder),
    Payment(Payment),
    OrderStatus {
        warehouse: i64,
        district: i64,
        customer: i64,
    },
    Delivery {
        warehouse: i64,
        carrier: i64,
    },
    StockLevel {
        warehouse: i64,
        district: i64,
    },
}

impl Tpcc {
    pub(super) fn new(sites: u32) -> Self {
        Self { sites }
    }

    fn warehouses(&self) -> i64 {
        i64::from(self.sites) * WAREHOUSES_OF_SITE
    }

    pub(super) fn draw(&self, drawer: Drawer, dice: &mut Dice) -> Job {
        let own = i64::from(drawer.client) % WAREHOUSES_OF_SITE + 1;
        let warehouse = (i64::from(drawer.site) - 1) * WAREHOUSES_OF_SITE + own;
        let district = dice.one_of(1..=DISTRICTS);
        let customer = dice.one_of(1..=CUSTOMERS);
        match dice.one_of(1..=100) {
            1..=45 => Job::NewOrder(NewOrder::draw(self, (warehouse, district, customer), dice)),
            46..=88 => {
                let from = (warehouse, district, customer);
                Job::Payment(Payment::draw(self, from, drawer.id(), dice))
            }
            89..=92 => Job::OrderStatus {
                warehouse,
                district,
                customer,
            },
            93..=96 => Job::Delivery {
                warehouse,
                carrier: dice.one_of(1..=10),
            },
            _ => Job::StockLevel {
                warehouse,
                district,
            },
        }
    }

    /// Another warehouse for so many of a hundred.
    fn perhaps_away(&self, warehouse: i64, per_cent: i64, dice: &mut Dice) -> i64 {
        let others = self.warehouses() - 1;
        if others == 0 || !dice.per_cent(per_cent) {
            return warehouse;
        }
        let other = dice.one_of(1..=others);
        if other < warehouse { other } else { other + 1 }
    }

    pub(super) async fn attempt(&self, session: &mut Session, job: &Job) -> Result<(), Failure> {
        session.begin().await?;
        match job {
            Job::NewOrder(order) => {
                order.write(session).await?;
                if order.is_undone {
                    return session.rollback().await;
                }
            }
            Job::Payment(payment) => payment.write(session).await?,
            Job::OrderStatus {
                warehouse,
                district,
                customer,
            } => {
                order::status(session, *warehouse, *district, *customer).await?;
            }
            Job::Delivery { warehouse, carrier } => {
                order::deliver(session, *warehouse, *carrier).await?;
            }
            Job::StockLevel {
                warehouse,
                district,
            } => {
                order::stock_level(session, *warehouse, *district).await?;
            }
        }
        session.commit().await
    }

    pub(super) fn tables(&self) -> Vec<Table> {
        schema::tables(self.sites)
    }

    pub(super) async fn look(&self, session: &mut Session) -> Result<Seen, Failure> {
        seen::look(session).await
    }
}

impl Job {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::NewOrder(order) if order.is_undone => "new-order-undone",
            Self::NewOrder(_) => "new-order",
            Self::Payment(_) => "payment",
            Self::OrderStatus { .. } => "order-status",
            Self::Delivery { .. } => "delivery",
            Self::StockLevel { .. } => "stock-level",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_mix_is_that_of_tpc_c() {
        let (tpcc, mut dice) = (Tpcc::new(3), Dice::seeded(1));
        let mut kinds = BTreeMap::new();
        for count in 0..10_000 {
            let drawer = Drawer {
                run: 1,
                site: 2,
                client: 1,
                count,
            };
            *kinds
                .entry(tpcc.draw(drawer, &mut dice).kind())
                .or_insert(0) += 1;
        }
        let near = |kind, expected: i32| {
            let count: i32 = kinds[kind];
            assert!((count - expected).abs() < expected / 5, "{kind}: {count}");
        };
        near("new-order", 4455);
        near("payment", 4300);
        near("delivery", 400);
        near("stock-level", 400);
        near("order-status", 400);
    }

    #[test]
    fn away_is_never_at_home() {
        let (tpcc, mut dice) = (Tpcc::new(3), Dice::seeded(1));
        let away: Vec<i64> = (0..1000)
            .map(|_| tpcc.perhaps_away(4, 100, &mut dice))
            .collect();
        assert!(
            away.iter()
                .all(|warehouse| (1..=6).contains(warehouse) && *warehouse != 4)
        );
        assert_eq!(tpcc.perhaps_away(4, 0, &mut dice), 4);
    }
}

//! A customer pays.

use super::{DISTRICTS, PAYMENTS_AWAY, Tpcc};
use crate::database::{Session, values};
use crate::dice::Dice;
use crate::failure::Failure;

/// A payment.
#[derive(Clone, Debug)]
pub(crate) struct Payment {
    id: i64,
    warehouse: i64,
    district: i64,
    /// Warehouse, district and number.
    customer: (i64, i64, i64),
    amount: i64,
}

impl Payment {
    pub(super) fn draw(
        tpcc: &Tpcc,
        (warehouse, district, customer): (i64, i64, i64),
        id: i64,
        dice: &mut Dice,
    ) -> Self {
        let of = tpcc.perhaps_away(warehouse, PAYMENTS_AWAY, dice);
        let its_district = if of == warehouse {
            district
        } else {
            dice.one_of(1..=DISTRICTS)
        };
        Self {
            id,
            warehouse,
            district,
            customer: (of, its_district, customer),
            amount: dice.one_of(1..=5000),
        }
    }

    pub(super) async fn write(&self, session: &mut Session) -> Result<(), Failure> {
        let Self {
            id,
            warehouse,
            district,
            customer: (c_w, c_d, c),
            amount,
        } = *self;
        session
            .change((
                "UPDATE warehouse SET w_ytd = w_ytd + $1 WHERE w_id = $2",
                values![amount, warehouse],
            ))
            .await?;
        session
            .change((
                "UPDATE district SET d_ytd = d_ytd + $1 WHERE d_w_id = $2 AND d_id = $3",
                values![amount, warehouse, district],
            ))
            .await?;
        session
            .change((
                "UPDATE customer SET c_balance = c_balance - $1, c_payments = c_payments + 1 \
                 WHERE c_w_id = $2 AND c_d_id = $3 AND c_id = $4",
                values![amount, c_w, c_d, c],
            ))
            .await?;
        session
            .change((
                "INSERT INTO history (h_w_id, h_id, h_d_id, h_c_w_id, h_c_d_id, h_c_id, h_amount) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
                values![warehouse, id, district, c_w, c_d, c, amount],
            ))
            .await?;
        Ok(())
    }
}

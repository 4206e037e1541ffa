//! The tables, and what is in them before the first order.

use super::{CUSTOMERS, DISTRICTS, ITEMS, Tpcc, WAREHOUSES_OF_SITE};
use crate::database::{Row, values};
use crate::work::{Owned, Table};

const GROUP: &str = "tpcc";
const NOTE: &str = "a few words that make this row as long as others are";

/// All tables.
pub(super) fn tables(sites: u32) -> Vec<Table> {
    let warehouses: Vec<i64> = (1..=Tpcc::new(sites).warehouses()).collect();
    let each = |rows: &dyn Fn(i64) -> Vec<Row>| warehouses.iter().flat_map(|w| rows(*w)).collect();
    let districts = |w| {
        (1..=DISTRICTS)
            .map(move |d| values![w, d, 7, 0, 1].to_vec())
            .collect()
    };
    let stock = |w| {
        (1..=ITEMS)
            .map(move |i| values![w, i, 50, 0, 0, 0, NOTE].to_vec())
            .collect()
    };
    let table = |name, column, columns, rows| owned(name, column, columns, rows, sites);
    vec![
        item(),
        table(
            "warehouse",
            "w_id",
            WAREHOUSE,
            each(&|w| vec![values![w, NOTE, 5, 0].to_vec()]),
        ),
        table("district", "d_w_id", DISTRICT, each(&districts)),
        table("customer", "c_w_id", CUSTOMER, each(&customers)),
        table("history", "h_w_id", HISTORY, Vec::new()),
        table("orders", "o_w_id", ORDERS, Vec::new()),
        table("new_order", "no_w_id", NEW_ORDER, Vec::new()),
        table("order_line", "ol_w_id", ORDER_LINE, Vec::new()),
        table("stock", "s_w_id", STOCK, each(&stock)),
    ]
}

const WAREHOUSE: &str =
    "w_id bigint, w_name varchar(100), w_tax bigint, w_ytd bigint, PRIMARY KEY (w_id)";
const DISTRICT: &str = "d_w_id bigint, d_id bigint, d_tax bigint, d_ytd bigint, \
                        d_next_o_id bigint, PRIMARY KEY (d_w_id, d_id)";
const CUSTOMER: &str = "c_w_id bigint, c_d_id bigint, c_id bigint, c_discount bigint, \
                        c_balance bigint, c_payments bigint, c_deliveries bigint, \
                        c_data varchar(100), PRIMARY KEY (c_w_id, c_d_id, c_id)";
const HISTORY: &str = "h_w_id bigint, h_id bigint, h_d_id bigint, h_c_w_id bigint, \
                       h_c_d_id bigint, h_c_id bigint, h_amount bigint, \
                       PRIMARY KEY (h_w_id, h_id)";
// The customer's last order is found by the key's first columns: districts are
// small.
const ORDERS: &str = "o_w_id bigint, o_d_id bigint, o_id bigint, o_c_id bigint, \
                      o_carrier bigint, o_lines bigint, PRIMARY KEY (o_w_id, o_d_id, o_id)";
const NEW_ORDER: &str =
    "no_w_id bigint, no_d_id bigint, no_o_id bigint, PRIMARY KEY (no_w_id, no_d_id, no_o_id)";
const ORDER_LINE: &str = "ol_w_id bigint, ol_d_id bigint, ol_o_id bigint, ol_number bigint, \
                          ol_i_id bigint, ol_supply_w_id bigint, ol_quantity bigint, \
                          ol_amount bigint, ol_delivered bigint, \
                          PRIMARY KEY (ol_w_id, ol_d_id, ol_o_id, ol_number)";
const STOCK: &str = "s_w_id bigint, s_i_id bigint, s_quantity bigint, s_ytd bigint, \
                     s_orders bigint, s_away bigint, s_data varchar(100), \
                     PRIMARY KEY (s_w_id, s_i_id)";

fn customers(w: i64) -> Vec<Row> {
    let of_district = |d| (1..=CUSTOMERS).map(move |c| values![w, d, c, 3, 0, 0, 0, NOTE].to_vec());
    (1..=DISTRICTS).flat_map(of_district).collect()
}

/// A table of which each site's warehouses have a part.
fn owned(name: &str, column: &str, columns: &'static str, rows: Vec<Row>, sites: u32) -> Table {
    let first = |site: i64| (site - 1) * WAREHOUSES_OF_SITE + 1;
    let bounds: Vec<String> = (2..=i64::from(sites))
        .map(|site| first(site).to_string())
        .collect();
    Table {
        name: name.to_owned(),
        columns,
        owned: Owned::InGroup {
            group: GROUP.to_owned(),
            ranges: Some(format!("{column}: {}", bounds.join(", "))),
        },
        rows,
    }
}

/// What is sold; it never changes.
fn item() -> Table {
    Table {
        name: "item".to_owned(),
        columns: "i_id bigint, i_name varchar(100), i_price bigint, PRIMARY KEY (i_id)",
        owned: Owned::Nowhere,
        rows: (1..=ITEMS)
            .map(|i| values![i, NOTE, i % 90 + 10].to_vec())
            .collect(),
    }
}

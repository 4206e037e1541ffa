//! Accounts and their entries: a transaction changes the balance of an account
//! and adds an entry that says by how much.

use std::collections::{BTreeMap, HashMap};

use super::{Drawer, Owned, Table};
use crate::database::{Row, Session, Value, values};
use crate::dice::Dice;
use crate::failure::{Failure, Meaning};
use crate::look::content;
use crate::order::{Seen, Workload};

/// Accounts of each site.
const ACCOUNTS_OF_SITE: i64 = 2_000;
/// Accounts of all, where nobody has his own.
const ACCOUNTS_SHARED: i64 = 10_000;
/// Those that all fight for.
const ACCOUNTS_HOT: i64 = 10;
/// The most that an account changes by.
const AMOUNT_MAX: i64 = 100;
/// What is noted beside each row, so that it has the size of one.
const NOTE: &str = "an account of somebody, with words that make a row of it";

const ACCOUNT: &str =
    "site bigint, id bigint, balance bigint, note varchar(100), PRIMARY KEY (site, id)";
const ENTRY: &str = "site bigint, id bigint, account bigint, amount bigint, note varchar(100), \
                     PRIMARY KEY (site, id)";

/// Which accounts there are.
pub(crate) struct Entries {
    workload: Workload,
    sites: u32,
}

/// A transaction.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// What the tables' names end with.
    suffix: String,
    site: i64,
    account: i64,
    id: i64,
    amount: i64,
}

impl Entries {
    pub(super) fn new(workload: Workload, sites: u32) -> Self {
        Self { workload, sites }
    }

    /// What the names of tables end with, those of all sites, or of one.
    fn suffixes(&self) -> Vec<String> {
        match self.workload {
            Workload::Own => (1..=self.sites).map(|site| format!("own_{site}")).collect(),
            Workload::Ranges => vec!["ranges".to_owned()],
            Workload::Hot => vec!["hot".to_owned()],
            _ => vec!["shared".to_owned()],
        }
    }

    /// The sites in the rows of one pair of tables, and how many accounts each has.
    fn accounts(&self) -> (Vec<i64>, i64) {
        match self.workload {
            Workload::Ranges => ((1..=i64::from(self.sites)).collect(), ACCOUNTS_OF_SITE),
            Workload::Own => (vec![0], ACCOUNTS_OF_SITE),
            Workload::Hot => (vec![0], ACCOUNTS_HOT),
            _ => (vec![0], ACCOUNTS_SHARED),
        }
    }

    pub(super) fn tables(&self) -> Vec<Table> {
        let (sites, accounts) = self.accounts();
        let ranges = (self.workload == Workload::Ranges).then(|| {
            let bounds: Vec<String> = (2..=self.sites).map(|site| site.to_string()).collect();
            format!("site: {}", bounds.join(", "))
        });
        let row = |site, id| vec![Value::Int(site), Value::Int(id), Value::Int(0), NOTE.into()];
        let all = sites
            .iter()
            .flat_map(|site| (1..=accounts).map(|id| row(*site, id)));
        let rows: Vec<Row> = all.collect();
        let pair = |suffix: String| {
            let owned = Owned::InGroup {
                group: format!("g_{suffix}"),
                ranges: ranges.clone(),
            };
            let table = |name: &str, columns, rows| Table {
                name: format!("{name}_{suffix}"),
                columns,
                owned: owned.clone(),
                rows,
            };
            [
                table("account", ACCOUNT, rows.clone()),
                table("entry", ENTRY, Vec::new()),
            ]
        };
        self.suffixes().into_iter().flat_map(pair).collect()
    }

    pub(super) fn draw(&self, drawer: Drawer, dice: &mut Dice) -> Entry {
        let (_, accounts) = self.accounts();
        let suffix = match self.workload {
            Workload::Own => format!("own_{}", drawer.site),
            _ => self.suffixes().remove(0),
        };
        Entry {
            suffix,
            site: if self.workload == Workload::Ranges {
                drawer.site.into()
            } else {
                0
            },
            account: dice.one_of(1..=accounts),
            id: drawer.id(),
            amount: dice.one_of(1..=AMOUNT_MAX),
        }
    }

    pub(super) async fn attempt(
        &self,
        session: &mut Session,
        entry: &Entry,
        pipelined: bool,
    ) -> Result<(), Failure> {
        let Entry {
            suffix,
            site,
            account,
            id,
            amount,
        } = entry;
        let update = format!(
            "UPDATE account_{suffix} SET balance = balance + $1 WHERE site = $2 AND id = $3"
        );
        let insert = format!(
            "INSERT INTO entry_{suffix} (site, id, account, amount, note) \
             VALUES ($1, $2, $3, $4, $5)"
        );
        let update: (&str, &[Value]) = (&update, values![*amount, *site, *account]);
        let insert: (&str, &[Value]) = (&insert, values![*site, *id, *account, *amount, NOTE]);
        let changed = if pipelined {
            session.at_once(update, insert).await?
        } else {
            session.begin().await?;
            let changed = (session.change(update).await?, session.change(insert).await?);
            session.commit().await?;
            changed
        };
        if changed == (1, 1) {
            return Ok(());
        }
        let text = format!("{changed:?} rows were changed, not one account and one entry");
        Err(Failure::new(Meaning::Wrong, "client", text))
    }

    pub(super) async fn look(&self, session: &mut Session) -> Result<Seen, Failure> {
        let mut seen = Seen::default();
        for suffix in self.suffixes() {
            let accounts =
                format!("SELECT site, id, balance FROM account_{suffix} ORDER BY site, id");
            let accounts = session.rows((&accounts, &[])).await?;
            let entries =
                format!("SELECT site, id, account, amount FROM entry_{suffix} ORDER BY site, id");
            let entries = session.rows((&entries, &[])).await?;
            seen.problems.extend(problems(&accounts, &entries));
            *seen.marks.entry("entry").or_default() += entries.len() as u64;
            seen.tables
                .insert(format!("account_{suffix}"), content(&accounts));
            seen.tables
                .insert(format!("entry_{suffix}"), content(&entries));
        }
        Ok(seen)
    }
}

/// Accounts whose balance is not the sum of their entries.
fn problems(accounts: &[Row], entries: &[Row]) -> Vec<String> {
    let mut sums: HashMap<(i64, i64), i64> = HashMap::new();
    for entry in entries {
        if let [site, _, account, amount] = entry.as_slice() {
            *sums.entry((site.int(), account.int())).or_default() += amount.int();
        }
    }
    let mut wrong = BTreeMap::new();
    for account in accounts {
        if let [site, id, balance] = account.as_slice() {
            let sum = sums.remove(&(site.int(), id.int())).unwrap_or_default();
            if sum != balance.int() {
                wrong.insert((site.int(), id.int()), (balance.int(), sum));
            }
        }
    }
    let first = wrong.iter().next().map(|((site, id), (balance, sum))| {
        let count = wrong.len();
        format!(
            "{count} balances are not the sums of their entries, such as that of account {id} of \
             site {site}: {balance}, and its entries say {sum}"
        )
    });
    let strangers = (!sums.is_empty()).then(|| format!("{} accounts are missing", sums.len()));
    first.into_iter().chain(strangers).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_update_is_found() {
        let account = |balance| vec![values![0, 1, balance].to_vec()];
        let entries = [values![0, 7, 1, 5].to_vec(), values![0, 8, 1, 6].to_vec()];
        assert!(problems(&account(11), &entries).is_empty());
        let found = problems(&account(6), &entries);
        assert!(found[0].contains("6, and its entries say 11"), "{found:?}");
        assert_eq!(problems(&[], &entries), ["1 accounts are missing"]);
    }

    #[test]
    fn sites_with_tables_of_their_own_do_not_meet() {
        let tables = Entries::new(Workload::Own, 3).tables();
        let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
        assert_eq!(names.len(), 6);
        assert!(names.contains(&"account_own_2") && names.contains(&"entry_own_3"));
    }
}

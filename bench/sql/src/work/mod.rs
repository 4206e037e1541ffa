//! What transactions do, and on which tables.

mod entries;
mod tpcc;

use anyhow::{Context as _, Result};

use crate::arguments::Arguments;
use crate::database::{Product, Row, Session};
use crate::dice::Dice;
use crate::failure::{Failure, Meaning};
use crate::order::{Answer, Seen, Workload};

pub(crate) use self::entries::Entries;
pub(crate) use self::tpcc::Tpcc;

/// Rows that are made with one statement.
const ROWS_AT_ONCE: usize = 500;

/// What the transactions of a workload are drawn from.
pub(crate) enum Work {
    Entries(Entries),
    Tpcc(Tpcc),
}

/// A transaction that was drawn.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    Entry(entries::Entry),
    Tpcc(tpcc::Job),
}

/// Who draws.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drawer {
    /// The number of the run, the site and the client.
    pub(crate) run: u32,
    pub(crate) site: u32,
    pub(crate) client: u32,
    /// How many the client drew before.
    pub(crate) count: u32,
}

impl Drawer {
    /// A number that no other transaction has. It fits 63 bits for up to 2048
    /// runs, 16 sites, 4096 clients.
    pub(crate) fn id(&self) -> i64 {
        let of = |part: u32, shift: u32| i64::from(part) << shift;
        of(self.run, 48) | of(self.site, 44) | of(self.client, 32) | i64::from(self.count)
    }
}

impl Work {
    pub(crate) fn of(workload: Workload, sites: u32) -> Self {
        match workload {
            Workload::Tpcc => Self::Tpcc(Tpcc::new(sites)),
            _ => Self::Entries(Entries::new(workload, sites)),
        }
    }

    /// The next transaction of a client.
    pub(crate) fn draw(&self, drawer: Drawer, dice: &mut Dice) -> Job {
        match self {
            Self::Entries(entries) => Job::Entry(entries.draw(drawer, dice)),
            Self::Tpcc(tpcc) => Job::Tpcc(tpcc.draw(drawer, dice)),
        }
    }

    /// Does a transaction, to its end.
    ///
    /// # Errors
    ///
    /// When it fails; the session may be within it still.
    pub(crate) async fn attempt(
        &self,
        session: &mut Session,
        job: &Job,
        pipelined: bool,
    ) -> Result<(), Failure> {
        match (self, job) {
            (Self::Entries(entries), Job::Entry(entry)) => {
                entries.attempt(session, entry, pipelined).await
            }
            (Self::Tpcc(tpcc), Job::Tpcc(job)) => tpcc.attempt(session, job).await,
            _ => Err(Failure::new(
                Meaning::Wrong,
                "client",
                "a job of another work",
            )),
        }
    }

    /// Reads all tables and checks them.
    pub(crate) async fn look(&self, session: &mut Session) -> Result<Seen, Failure> {
        match self {
            Self::Entries(entries) => entries.look(session).await,
            Self::Tpcc(tpcc) => tpcc.look(session).await,
        }
    }

    fn tables(&self) -> Vec<Table> {
        match self {
            Self::Entries(entries) => entries.tables(),
            Self::Tpcc(tpcc) => tpcc.tables(),
        }
    }
}

impl Job {
    /// What it is called in results.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Entry(_) => "entry",
            Self::Tpcc(job) => job.kind(),
        }
    }
}

/// A table, and what is in it at first.
pub(crate) struct Table {
    pub(crate) name: String,
    /// Between the parentheses.
    pub(crate) columns: &'static str,
    /// What it is at mdbc, where it may be owned together with others.
    owned: Owned,
    rows: Vec<Row>,
}

/// How mdbc owns a table.
#[derive(Clone)]
enum Owned {
    /// Together with all tables of a group, by ranges where there are any.
    InGroup {
        group: String,
        ranges: Option<String>,
    },
    /// Not at all: its rows never change.
    Nowhere,
}

/// How tables are made at mdbc: what it takes is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Ranges of groups of tables are owned.
    GroupedRanges,
    /// Ranges of single tables.
    Ranges,
    /// Groups of tables.
    Groups,
    /// Single tables.
    Plain,
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Self::GroupedRanges => "ranges of groups of tables",
            Self::Ranges => "ranges of tables",
            Self::Groups => "groups of tables",
            Self::Plain => "tables",
        }
    }

    /// Those of a workload, the best first.
    fn all(product: Product, workload: Workload) -> &'static [Self] {
        match (product, workload) {
            (Product::Postgres | Product::Mariadb, _) => &[Self::Plain],
            (_, Workload::Ranges) => &[Self::GroupedRanges, Self::Ranges],
            (_, Workload::Tpcc) => &[Self::GroupedRanges, Self::Ranges, Self::Groups, Self::Plain],
            _ => &[Self::Groups, Self::Plain],
        }
    }
}

impl Table {
    fn definition(&self, product: Product, form: Form) -> String {
        let Self { name, columns, .. } = self;
        let definition = format!("CREATE TABLE {name} ({columns})");
        if product == Product::Mariadb {
            return definition;
        }
        // Room for what changes, so that an update leaves the indexes as they are.
        let mut with = "fillfactor = 50".to_owned();
        match &self.owned {
            _ if product == Product::Postgres => {}
            Owned::Nowhere => with += ", music = 'eventual'",
            Owned::InGroup { group, ranges } => {
                with += ", music = 'strong'";
                if matches!(form, Form::GroupedRanges | Form::Groups) {
                    with += &format!(", music_group = '{group}'");
                }
                if let (Form::GroupedRanges | Form::Ranges, Some(ranges)) = (form, ranges) {
                    with += &format!(", music_ranges = '{ranges}'");
                }
            }
        }
        format!("{definition} WITH ({with})")
    }
}

/// Makes the tables of a workload, in the best form that the server takes.
///
/// # Errors
///
/// When the server cannot be reached, or takes the tables and not their rows.
pub(crate) async fn make(arguments: &Arguments, workload: Workload, sites: u32) -> Result<Answer> {
    let tables = Work::of(workload, sites).tables();
    let mut session = Session::connect(arguments, &arguments.run).await?;
    for table in &tables {
        session
            .script(&format!("DROP TABLE IF EXISTS {}", table.name))
            .await?;
    }
    let mut why = String::new();
    for form in Form::all(arguments.product, workload) {
        match define(&mut session, &tables, arguments.product, *form).await {
            Ok(()) => {
                fill(&mut session, &tables).await?;
                return Ok(Answer::Made {
                    form: form.name().to_owned(),
                });
            }
            Err(refused) if refused.meaning == Meaning::Wrong => why = refused.to_string(),
            Err(failure) => return Err(failure).context("cannot make tables"),
        }
    }
    Ok(Answer::Refused { why })
}

/// Makes all tables, or none.
async fn define(
    session: &mut Session,
    tables: &[Table],
    product: Product,
    form: Form,
) -> Result<(), Failure> {
    for (number, table) in tables.iter().enumerate() {
        if let Err(failure) = session.script(&table.definition(product, form)).await {
            for made in tables.iter().take(number) {
                session.script(&format!("DROP TABLE {}", made.name)).await?;
            }
            return Err(failure);
        }
    }
    Ok(())
}

async fn fill(session: &mut Session, tables: &[Table]) -> Result<()> {
    for table in tables {
        for rows in table.rows.chunks(ROWS_AT_ONCE) {
            let filled = session.script(&insert(&table.name, rows)).await;
            filled.with_context(|| format!("cannot fill {}", table.name))?;
        }
    }
    Ok(())
}

/// A statement that makes rows, with their values in it.
fn insert(table: &str, rows: &[Row]) -> String {
    let value = |value: &crate::database::Value| match value {
        crate::database::Value::Null => "NULL".to_owned(),
        crate::database::Value::Int(number) => number.to_string(),
        crate::database::Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
    };
    let row = |row: &Row| format!("({})", row.iter().map(value).collect::<Vec<_>>().join(", "));
    let rows: Vec<String> = rows.iter().map(row).collect();
    format!("INSERT INTO {table} VALUES {}", rows.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_transactions_have_one_number() {
        let drawer = |run, site, client, count| {
            Drawer {
                run,
                site,
                client,
                count,
            }
            .id()
        };
        let all = [
            drawer(1, 1, 0, 0),
            drawer(1, 1, 0, 1),
            drawer(1, 1, 1, 0),
            drawer(2, 1, 0, 0),
        ];
        assert!(all.windows(2).all(|two| two[0] < two[1]));
        assert!(drawer(2047, 15, 4095, u32::MAX) > 0);
    }

    #[test]
    fn a_table_says_how_it_is_owned_to_mdbc_alone() {
        let table = &Work::of(Workload::Ranges, 3).tables()[0];
        let text = |product, form| table.definition(product, form);
        assert!(!text(Product::Mariadb, Form::Plain).contains("WITH"));
        let ranges = text(Product::Mdbc, Form::GroupedRanges);
        assert!(ranges.contains("music_ranges = 'site: 2, 3'"), "{ranges}");
        assert!(ranges.contains("music_group"), "{ranges}");
    }

    #[test]
    fn values_are_quoted() {
        let rows = [vec!["it's".into(), 7.into()]];
        assert_eq!(insert("t", &rows), "INSERT INTO t VALUES ('it''s', 7)");
    }
}

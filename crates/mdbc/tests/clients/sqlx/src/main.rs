//! sqlx against mdbc: describe, prepared statements, binary values, transactions, a pool.

use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};
use sqlx::types::{Json, Uuid};
use sqlx::{Acquire, Executor, Row};

type Anything = Box<dyn std::error::Error>;

fn state(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(|code| code.into_owned())
}

async fn types(pool: &PgPool) -> Result<(), Anything> {
    pool.execute(
        "CREATE TABLE kinds (id bigserial PRIMARY KEY, name text NOT NULL, day date, at timestamptz,
         code uuid, doc jsonb, list int[], raw bytea, ratio float8, ok bool, small int2)",
    )
    .await?;
    let described = pool.describe("SELECT id, name FROM kinds WHERE id = $1 AND name = $2").await?;
    assert_eq!(described.columns().len(), 2);
    let day = NaiveDate::from_ymd_opt(2024, 2, 29).ok_or("no such day")?;
    let at: DateTime<Utc> = "2024-02-29T12:30:00.000005Z".parse()?;
    let code = Uuid::from_u128(0xa0ee_bc99_9c0b_4ef8_bb6d_6bb9_bd38_0a11);
    let id: i64 = sqlx::query_scalar(
        "INSERT INTO kinds (name, day, at, code, doc, list, raw, ratio, ok, small)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id",
    )
    .bind("häßlich")
    .bind(day)
    .bind(at)
    .bind(code)
    .bind(Json(vec![1, 2]))
    .bind(vec![Some(1), None])
    .bind(vec![0_u8, 255])
    .bind(0.25)
    .bind(true)
    .bind(-7_i16)
    .fetch_one(pool)
    .await?;
    let row = sqlx::query("SELECT * FROM kinds WHERE id = $1").bind(id).fetch_one(pool).await?;
    assert_eq!(row.get::<String, _>("name"), "häßlich");
    assert_eq!(row.get::<NaiveDate, _>("day"), day);
    assert_eq!(row.get::<DateTime<Utc>, _>("at"), at);
    assert_eq!(row.get::<Uuid, _>("code"), code);
    assert_eq!(row.get::<Json<Vec<i32>>, _>("doc").0, [1, 2]);
    assert_eq!(row.get::<Vec<Option<i32>>, _>("list"), [Some(1), None]);
    assert_eq!(row.get::<Vec<u8>, _>("raw"), [0, 255]);
    assert!((row.get::<f64, _>("ratio") - 0.25).abs() < f64::EPSILON);
    assert!(row.get::<bool, _>("ok"));
    assert_eq!(row.get::<i16, _>("small"), -7);
    Ok(())
}

async fn transactions(pool: &PgPool) -> Result<(), Anything> {
    let mut transaction = pool.begin().await?;
    sqlx::query("UPDATE kinds SET name = $1").bind("other").execute(&mut *transaction).await?;
    let mut inner = transaction.begin().await?;
    let failed = sqlx::query("INSERT INTO kinds (name) VALUES (NULL)").execute(&mut *inner).await;
    assert_eq!(failed.err().as_ref().and_then(state).as_deref(), Some("23502"));
    inner.rollback().await?;
    let names = sqlx::query_scalar("SELECT name FROM kinds");
    let names: Vec<String> = names.fetch_all(&mut *transaction).await?;
    assert_eq!(names, ["other"]);
    transaction.rollback().await?;
    let name: String = sqlx::query_scalar("SELECT name FROM kinds").fetch_one(pool).await?;
    assert_eq!(name, "häßlich");
    Ok(())
}

async fn crowd(pool: &PgPool) -> Result<(), Anything> {
    let tasks: Vec<_> = (0..40)
        .map(|number| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let insert = sqlx::query("INSERT INTO kinds (name) VALUES ($1)");
                insert.bind(format!("n{number}")).execute(&pool).await
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await??.rows_affected(), 1);
    }
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM kinds").fetch_one(pool).await?;
    assert_eq!(count, 41);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Anything> {
    let url = std::env::args().nth(1).ok_or("the address is missing")?;
    let pool = PgPoolOptions::new().max_connections(4).connect(&url).await?;
    types(&pool).await?;
    transactions(&pool).await?;
    crowd(&pool).await?;
    Ok(())
}

// node-postgres against mdbc: parameters, prepared statements, types, cursors, errors.

import assert from "node:assert/strict";
import pg from "pg";
import Cursor from "pg-cursor";

async function fails(state, run) {
  await assert.rejects(run, (error) => {
    assert.equal(error.code, state, error.message);
    return true;
  });
}

const client = new pg.Client({ connectionString: process.argv[2] });
await client.connect();

await client.query(`CREATE TABLE kinds (id serial PRIMARY KEY, name varchar(20), price numeric(8,2),
  at timestamptz, ok boolean, doc jsonb, list int[], raw bytea, big bigint)`);
const at = new Date("2024-02-29T12:30:00.123Z");
const inserted = await client.query(
  `INSERT INTO kinds (name, price, at, ok, doc, list, raw, big)
   VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING *`,
  ["häßlich", "12.5", at, true, { b: [1, null] }, [1, 2], Buffer.from([0, 255]), "9007199254740993"],
);
assert.deepEqual(inserted.rows[0], {
  id: 1,
  name: "häßlich",
  price: "12.50",
  at,
  ok: true,
  doc: { b: [1, null] },
  list: [1, 2],
  raw: Buffer.from([0, 255]),
  big: "9007199254740993",
});
assert.equal(inserted.command, "INSERT");
assert.equal(inserted.rowCount, 1);

for (const id of [1, 2]) {
  const found = await client.query({ name: "by-id", text: "SELECT name FROM kinds WHERE id = $1", values: [id] });
  assert.equal(found.rowCount, id === 1 ? 1 : 0);
}

const several = await client.query("SELECT 1 AS a; SELECT 2 AS b, 3 AS c");
assert.deepEqual(several.map((result) => result.rows), [[{ a: 1 }], [{ b: 2, c: 3 }]]);

await client.query("BEGIN");
await client.query("UPDATE kinds SET name = 'other'");
await fails("23502", () => client.query("INSERT INTO kinds (id) VALUES (NULL)"));
await fails("25P02", () => client.query("SELECT 1"));
await client.query("ROLLBACK");
assert.equal((await client.query("SELECT name FROM kinds")).rows[0].name, "häßlich");

const cursor = client.query(new Cursor("SELECT n FROM generate_series(1, $1::int) AS s (n)", [10]));
assert.deepEqual((await cursor.read(4)).map((row) => row.n), [1, 2, 3, 4]);
assert.equal((await cursor.read(100)).length, 6);
assert.equal((await cursor.read(1)).length, 0);
await cursor.close();

await fails("22P02", () => client.query("SELECT $1::int", ["x"]));
await fails("42P01", () => client.query("SELECT * FROM nowhere"));
const notices = [];
client.on("notice", (notice) => notices.push(notice.message));
await client.query("DROP TABLE IF EXISTS nowhere");
assert.deepEqual(notices, ['table "nowhere" does not exist, skipping']);

const pool = new pg.Pool({ connectionString: process.argv[2], max: 5 });
const counted = await Promise.all(
  Array.from({ length: 50 }, (_, n) => pool.query("INSERT INTO kinds (name) VALUES ($1)", [`n${n}`])),
);
assert.equal(counted.length, 50);
assert.equal((await pool.query("SELECT count(*)::int AS count FROM kinds")).rows[0].count, 51);
await pool.end();
await client.end();

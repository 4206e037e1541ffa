"""psycopg 3 against mdbc: text and binary, pipelines, cursors, COPY, errors.

The connection string is the first argument; the process fails with the first
thing that is not as psycopg's users expect it.
"""

import datetime
import decimal
import json
import sys
import threading
import uuid

import psycopg
from psycopg.types.json import Jsonb


def check(found, expected):
    assert found == expected, f"{found!r} is not {expected!r}"


def fails(state, run):
    try:
        run()
    except psycopg.Error as error:
        check(error.sqlstate, state)
        return error
    raise AssertionError(f"{state} was expected")


ROW = (
    1,
    "häßlich",
    decimal.Decimal("12.50"),
    datetime.date(2024, 2, 29),
    datetime.datetime(2024, 2, 29, 12, 30, 1, 5),
    datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.timezone.utc),
    1.5,
    True,
    uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    {"b": [1, None]},
    [1, 2, None],
    b"\x00\xff",
    datetime.time(1, 2, 3),
    datetime.timedelta(days=2, seconds=5),
)


def types(connection):
    connection.execute(
        "CREATE TABLE kinds (id int PRIMARY KEY, name text, price numeric(8,2), day date, at timestamp,"
        " moment timestamptz, ratio float8, ok bool, code uuid, doc jsonb, list int[], raw bytea,"
        " clock time, span interval)"
    )
    given = [Jsonb(value) if isinstance(value, dict) else value for value in ROW]
    for number, binary in enumerate([False, True]):
        given[0] = number
        marks = ", ".join(["%b" if binary else "%t"] * len(given))
        if binary:
            # A date travels as text where psycopg has no binary form.
            marks = ", ".join(["%s"] * len(given))
        connection.execute(f"INSERT INTO kinds VALUES ({marks})", given, binary=binary)
    for binary in [False, True]:
        cursor = connection.cursor(binary=binary)
        for number in [0, 1]:
            found = cursor.execute("SELECT * FROM kinds WHERE id = %s", [number]).fetchone()
            check(found[1:], ROW[1:])
    check(connection.execute("SELECT id FROM kinds WHERE id = ANY(%s)", [[0, 7]]).fetchall(), [(0,)])


def transactions(connection):
    connection.execute("CREATE TABLE account (name text PRIMARY KEY, balance int CHECK (balance >= 0))")
    with connection.transaction():
        connection.execute("INSERT INTO account VALUES ('a', 10), ('b', 0)")
    try:
        with connection.transaction():
            connection.execute("UPDATE account SET balance = balance + 20 WHERE name = 'b'")
            connection.execute("UPDATE account SET balance = balance - 20 WHERE name = 'a'")
    except psycopg.errors.CheckViolation as error:
        assert "account_balance_check" in str(error)
    check(connection.execute("SELECT sum(balance), min(balance) FROM account").fetchone(), (10, 0))
    with connection.transaction():
        connection.execute("UPDATE account SET balance = 1 WHERE name = 'b'")
        try:
            with connection.transaction():
                connection.execute("UPDATE account SET balance = 2 WHERE name = 'b'")
                connection.execute("SELECT 1 / 0")
        except psycopg.errors.DivisionByZero:
            pass
    check(connection.execute("SELECT balance FROM account WHERE name = 'b'").fetchone(), (1,))


def failed_block(dsn):
    with psycopg.connect(dsn) as connection:
        fails("42P01", lambda: connection.execute("SELECT * FROM nowhere"))
        fails("25P02", lambda: connection.execute("SELECT 1"))
        connection.rollback()
        check(connection.execute("SELECT 1").fetchone(), (1,))


def pipelines(connection):
    connection.execute("CREATE TABLE item (id int PRIMARY KEY, name text)")
    with connection.pipeline() as pipeline:
        first = connection.execute("INSERT INTO item VALUES (%s, %s) RETURNING name", [1, "one"])
        second = connection.execute("SELECT count(*) FROM item")
        pipeline.sync()
        check(first.fetchone(), ("one",))
        check(second.fetchone(), (1,))
    # What stands between two syncs is one transaction.
    def broken():
        with connection.pipeline():
            connection.execute("INSERT INTO item VALUES (2, 'two')")
            connection.execute("INSERT INTO item VALUES (1, 'again')")

    fails("23505", broken)
    check(connection.execute("SELECT count(*) FROM item").fetchone(), (1,))
    connection.cursor().executemany("INSERT INTO item VALUES (%s, %s)", [(n, str(n)) for n in range(10, 40)])
    check(connection.execute("SELECT count(*) FROM item").fetchone(), (31,))


def cursors(dsn):
    with psycopg.connect(dsn) as connection:
        with connection.cursor(name="server side") as cursor:
            cursor.itersize = 7
            cursor.execute("SELECT n, n * n FROM generate_series(1, %s) AS s (n)", [50])
            check(sum(square for _, square in cursor), sum(n * n for n in range(1, 51)))
        with connection.cursor(name="c") as cursor:
            cursor.execute("SELECT id FROM item ORDER BY id")
            check(len(cursor.fetchmany(3)), 3)
            check(len(cursor.fetchall()), 28)


def copies(connection):
    connection.execute("CREATE TABLE line (id int PRIMARY KEY, text text, at timestamptz)")
    rows = [(n, None if n % 3 == 0 else f"tab\there \\ {n}\n", ROW[5]) for n in range(1000)]
    with connection.cursor().copy("COPY line (id, text, at) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
    check(connection.execute("SELECT * FROM line ORDER BY id").fetchall(), rows)
    with connection.cursor().copy("COPY (SELECT id, text FROM line WHERE id < 4 ORDER BY id) TO STDOUT") as copy:
        copy.set_types(["int4", "text"])
        check(list(copy.rows()), [row[:2] for row in rows[:4]])
    connection.execute("CREATE TABLE other (id int PRIMARY KEY, text text, at timestamptz)")
    with connection.cursor().copy("COPY line TO STDOUT (FORMAT binary)") as source:
        with connection.cursor() as cursor:
            data = b"".join(source)
    with connection.cursor().copy("COPY other FROM STDIN (FORMAT binary)") as copy:
        copy.write(data)
    check(connection.execute("SELECT count(*), max(text) FROM other").fetchone()[0], 1000)

    def broken():
        with connection.cursor().copy("COPY other FROM STDIN") as copy:
            copy.write("5000\tx\t2024-01-01\nnumber\ty\t2024-01-01\n")

    error = fails("22P02", broken)
    where = f"{error.diag.message_detail} {error.diag.context}"
    assert "line 2, column id" in where, where
    check(connection.execute("SELECT count(*) FROM other").fetchone(), (1000,))


def conflicts(dsn):
    """Two transactions that read and then write: one of them is to try again."""
    with psycopg.connect(dsn) as first, psycopg.connect(dsn) as second:
        for connection in (first, second):
            check(connection.execute("SELECT balance FROM account WHERE name = 'a'").fetchone(), (10,))
        first.execute("UPDATE account SET balance = 9 WHERE name = 'a'")
        first.commit()
        check(second.execute("SELECT balance FROM account WHERE name = 'a'").fetchone(), (10,))
        fails("40001", lambda: second.execute("UPDATE account SET balance = 8 WHERE name = 'a'"))
        second.rollback()
        check(second.execute("SELECT balance FROM account WHERE name = 'a'").fetchone(), (9,))


def cancels(connection):
    endless = "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r"
    timer = threading.Timer(0.2, connection.cancel_safe)
    timer.start()
    error = fails("57014", lambda: connection.execute(endless))
    assert "user request" in str(error)
    timer.join()
    connection.execute("SET statement_timeout = '100ms'")
    error = fails("57014", lambda: connection.execute(endless))
    assert "statement timeout" in str(error)
    connection.execute("RESET statement_timeout")
    check(connection.execute("SELECT 1").fetchone(), (1,))


def errors(connection):
    for state, statement in [
        ("42601", "SELEC 1"),
        ("42703", "SELECT nothing FROM item"),
        ("42883", "SELECT nothing(1)"),
        ("22P02", "SELECT 'x'::int"),
        ("22003", "SELECT 2147483647 + 1"),
        ("22012", "SELECT 1 / 0"),
        ("23502", "INSERT INTO item (name) VALUES ('x')"),
        ("23505", "INSERT INTO item VALUES (1, 'x')"),
        ("0A000", "CREATE TABLE keyless (a int)"),
        ("0A000", "LISTEN x"),
        ("22001", "SELECT 1 WHERE false; CREATE TABLE narrow (a varchar(2) PRIMARY KEY); INSERT INTO narrow VALUES ('abc')"),
        ("42P02", "SELECT $1"),
    ]:
        fails(state, lambda statement=statement: connection.execute(statement))
    fails("22P02", lambda: connection.execute("SELECT * FROM item WHERE id = %s", ["x"]))
    check(json.dumps(connection.execute("SELECT doc FROM kinds").fetchone()[0]), '{"b": [1, null]}')


def main():
    dsn = sys.argv[1]
    with psycopg.connect(dsn, autocommit=True) as connection:
        types(connection)
        transactions(connection)
        pipelines(connection)
        copies(connection)
        cancels(connection)
        errors(connection)
    failed_block(dsn)
    cursors(dsn)
    conflicts(dsn)


main()

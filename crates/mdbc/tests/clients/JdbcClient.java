// pgjdbc against mdbc: metadata, prepared statements, batches, cursors, types, errors.

import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.Date;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Timestamp;
import java.sql.Types;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.UUID;

public class JdbcClient {
    interface Run {
        void run() throws SQLException;
    }

    static void check(Object found, Object expected) {
        if (!Objects.equals(found, expected)) {
            throw new AssertionError(found + " is not " + expected);
        }
    }

    static void fails(String state, Run run) {
        try {
            run.run();
        } catch (SQLException error) {
            check(error.getSQLState(), state);
            return;
        }
        throw new AssertionError(state + " was expected");
    }

    static List<String> column(ResultSet rows, String name) throws SQLException {
        List<String> values = new ArrayList<>();
        while (rows.next()) {
            values.add(rows.getString(name));
        }
        return values;
    }

    static void metadata(Connection connection) throws SQLException {
        DatabaseMetaData meta = connection.getMetaData();
        check(meta.getDatabaseProductName(), "PostgreSQL");
        check(column(meta.getTables(null, "public", "%", new String[] {"TABLE"}), "TABLE_NAME"), List.of("author", "book"));
        check(column(meta.getTables(null, null, "titles", new String[] {"VIEW"}), "TABLE_NAME"), List.of("titles"));
        ResultSet columns = meta.getColumns(null, "public", "author", null);
        columns.next();
        check(columns.getString("COLUMN_NAME"), "id");
        check(columns.getInt("DATA_TYPE"), Types.INTEGER);
        check(columns.getString("IS_AUTOINCREMENT"), "YES");
        check(columns.getString("IS_NULLABLE"), "NO");
        columns.next();
        check(columns.getString("TYPE_NAME"), "varchar");
        check(columns.getInt("COLUMN_SIZE"), 80);
        check(column(meta.getPrimaryKeys(null, "public", "book"), "COLUMN_NAME"), List.of("id"));
        ResultSet keys = meta.getImportedKeys(null, "public", "book");
        keys.next();
        check(keys.getString("PKTABLE_NAME"), "author");
        check(keys.getString("FKCOLUMN_NAME"), "author_id");
        check(keys.getInt("DELETE_RULE"), DatabaseMetaData.importedKeyCascade);
        check(column(meta.getExportedKeys(null, "public", "author"), "FKTABLE_NAME"), List.of("book"));
        List<String> indexes = column(meta.getIndexInfo(null, "public", "book", false, false), "INDEX_NAME");
        check(indexes, List.of("book_pkey", "book_by_title"));
        check(column(meta.getSchemas(), "TABLE_SCHEM").contains("public"), true);
        check(column(meta.getTypeInfo(), "TYPE_NAME").contains("int4"), true);
        check(column(meta.getCatalogs(), "TABLE_CAT").contains("music"), true);
        check(column(meta.getTableTypes(), "TABLE_TYPE").contains("TABLE"), true);
    }

    static void work(Connection connection) throws SQLException {
        String insert = "INSERT INTO author (name, rating, born, at, code, ok, ratio) VALUES (?, ?, ?, ?, ?, ?, ?)";
        UUID code = UUID.fromString("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
        Timestamp at = Timestamp.valueOf("2024-02-29 12:30:00.5");
        try (PreparedStatement statement = connection.prepareStatement(insert, Statement.RETURN_GENERATED_KEYS)) {
            statement.setString(1, "Ada");
            statement.setBigDecimal(2, new BigDecimal("4.50"));
            statement.setDate(3, Date.valueOf("1815-12-10"));
            statement.setTimestamp(4, at);
            statement.setObject(5, code);
            statement.setBoolean(6, true);
            statement.setDouble(7, 0.25);
            check(statement.executeUpdate(), 1);
            ResultSet keys = statement.getGeneratedKeys();
            keys.next();
            check(keys.getInt("id"), 1);
        }
        // Beyond five executions pgjdbc prepares on the server and asks for binary.
        try (PreparedStatement statement = connection.prepareStatement("SELECT * FROM author WHERE id = ?")) {
            for (int number = 0; number < 10; number++) {
                statement.setInt(1, 1);
                ResultSet row = statement.executeQuery();
                row.next();
                check(row.getString("name"), "Ada");
                check(row.getBigDecimal("rating"), new BigDecimal("4.50"));
                check(row.getDate("born"), Date.valueOf("1815-12-10"));
                check(row.getTimestamp("at"), at);
                check(row.getObject("code"), code);
                check(row.getBoolean("ok"), true);
                check(row.getDouble("ratio"), 0.25);
            }
        }
        connection.setAutoCommit(false);
        try (PreparedStatement statement = connection.prepareStatement("INSERT INTO book (author_id, title) VALUES (?, ?)")) {
            for (int number = 0; number < 100; number++) {
                statement.setInt(1, 1);
                statement.setString(2, "title " + number);
                statement.addBatch();
            }
            check(statement.executeBatch().length, 100);
        }
        Savepoint savepoint = connection.setSavepoint();
        fails("23503", () -> connection.createStatement().executeUpdate("INSERT INTO book (author_id, title) VALUES (99, 'x')"));
        fails("25P02", () -> connection.createStatement().executeQuery("SELECT 1"));
        connection.rollback(savepoint);
        connection.commit();
        try (Statement statement = connection.createStatement()) {
            statement.setFetchSize(9);
            ResultSet rows = statement.executeQuery("SELECT title FROM book ORDER BY id");
            check(column(rows, "title").size(), 100);
        }
        connection.rollback();
        connection.setAutoCommit(true);
        check(column(connection.createStatement().executeQuery("SELECT count(*) AS n FROM titles"), "n"), List.of("100"));
        try (Statement statement = connection.createStatement()) {
            statement.setQueryTimeout(1);
            fails("57014", () -> statement.executeQuery(
                "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r"));
        }
        fails("42P01", () -> connection.createStatement().executeQuery("SELECT * FROM nowhere"));
        connection.setReadOnly(true);
        connection.setAutoCommit(false);
        fails("25006", () -> connection.createStatement().executeUpdate("DELETE FROM book"));
        connection.rollback();
    }

    public static void main(String[] arguments) throws SQLException {
        try (Connection connection = DriverManager.getConnection(arguments[0])) {
            try (Statement statement = connection.createStatement()) {
                statement.execute("CREATE TABLE author (id serial PRIMARY KEY, name varchar(80) NOT NULL UNIQUE, rating numeric(5,2),"
                    + " born date, at timestamp, code uuid, ok boolean, ratio float8)");
                statement.execute("CREATE TABLE book (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,"
                    + " author_id int REFERENCES author (id) ON DELETE CASCADE, title text)");
                statement.execute("CREATE INDEX book_by_title ON book (title)");
                statement.execute("CREATE VIEW titles AS SELECT title FROM book");
            }
            metadata(connection);
            work(connection);
        }
    }
}

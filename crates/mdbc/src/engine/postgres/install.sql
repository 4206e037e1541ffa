-- mdbc's own schema in the site's PostgreSQL. Made in one transaction.

CREATE SCHEMA mdbc_internal;

-- Names and values: the format, the version and the fingerprint of the schema.
CREATE TABLE mdbc_internal.meta (name text PRIMARY KEY, value text NOT NULL);

-- How far the logs are applied.
CREATE TABLE mdbc_internal.positions (partition text PRIMARY KEY, position bigint NOT NULL, id bytea NOT NULL);

-- Transactions of this site that are committed here, and that the positions
-- have not passed.
CREATE TABLE mdbc_internal.own (id uuid PRIMARY KEY);

-- The tables of the user's, their kinds, how many columns of theirs have been
-- looked at, and the groups that they are owned in.
CREATE TABLE mdbc_internal.tables (relation oid PRIMARY KEY, kind text NOT NULL, columns int NOT NULL, group_name text);

-- Sequences whose values cannot collide with those of other sites: what they
-- rise by, and a number that each has at all sites, and no other one ever.
CREATE TABLE mdbc_internal.sequences (relation oid PRIMARY KEY, increment bigint NOT NULL,
    number int NOT NULL);

-- All statements that have changed the schema, in order, with the settings that each was
-- understood under; the same at all sites. Whoever gets a snapshot makes the schema by them.
CREATE TABLE mdbc_internal.statements (version bigint PRIMARY KEY, statement jsonb NOT NULL);

-- Triggers of strong tables: what a statement has changed goes to the table of
-- the connection's slot. One table for all would make the reading of one
-- transaction's changes conflict with the writing of every other's. Rows are
-- written as text under settings that no session has a part in.
CREATE FUNCTION mdbc_internal.capture() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres'
SET timezone = 'UTC' SET extra_float_digits = 1 SET bytea_output = 'hex' SET lc_monetary = 'C'
SET xmloption = 'content' AS $body$
DECLARE
    slot text := current_setting('mdbc.slot', true);
BEGIN
    IF coalesce(slot, '') !~ '^[0-9]+$' THEN
        RAISE EXCEPTION 'table %.% is written by mdbc alone', TG_TABLE_SCHEMA, TG_TABLE_NAME
            USING ERRCODE = '42501', HINT = 'Connect to mdbc instead.';
    END IF;
    IF TG_OP IN ('UPDATE', 'DELETE') THEN
        EXECUTE format('INSERT INTO mdbc_internal.changes_%s (kind, schema_name, relation, body) '
            'SELECT ''-'', $1, $2, row("mdbc:row".*)::text FROM "mdbc:old" AS "mdbc:row"', slot)
            USING TG_TABLE_SCHEMA, TG_TABLE_NAME;
    END IF;
    IF TG_OP IN ('UPDATE', 'INSERT') THEN
        EXECUTE format('INSERT INTO mdbc_internal.changes_%s (kind, schema_name, relation, body) '
            'SELECT ''+'', $1, $2, row("mdbc:row".*)::text FROM "mdbc:new" AS "mdbc:row"', slot)
            USING TG_TABLE_SCHEMA, TG_TABLE_NAME;
    END IF;
    IF TG_OP = 'TRUNCATE' THEN
        EXECUTE format('INSERT INTO mdbc_internal.changes_%s (kind, schema_name, relation, body) '
            'VALUES (''t'', $1, $2, '''')', slot)
            USING TG_TABLE_SCHEMA, TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END
$body$;

-- A slot for a connection.
CREATE FUNCTION mdbc_internal.make_slot(slot int) RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    EXECUTE format('CREATE UNLOGGED TABLE IF NOT EXISTS mdbc_internal.changes_%s ('
        'n bigint GENERATED ALWAYS AS IDENTITY (CACHE 64), kind text NOT NULL, '
        'schema_name text NOT NULL, relation text NOT NULL, body text NOT NULL)', slot);
END
$body$;

-- What a transaction has changed, in order; nothing may change after it.
CREATE FUNCTION mdbc_internal.seal(own uuid)
RETURNS TABLE (kind text, schema_name text, relation text, body text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    slot text := current_setting('mdbc.slot');
    lacking text;
BEGIN
    IF current_setting('transaction_isolation') <> 'serializable' THEN
        RAISE EXCEPTION 'the transaction is not serializable' USING ERRCODE = '40001',
            HINT = 'The transaction had no effect.';
    END IF;
    IF current_setting('session_replication_role') <> 'origin' THEN
        RAISE EXCEPTION 'session_replication_role was changed' USING ERRCODE = '0A000',
            HINT = 'The transaction had no effect.';
    END IF;
    SET CONSTRAINTS ALL IMMEDIATE;
    RETURN QUERY EXECUTE format('WITH taken AS (DELETE FROM mdbc_internal.changes_%s RETURNING *) '
        'SELECT t.kind, t.schema_name, t.relation, t.body FROM taken AS t ORDER BY t.n', slot);
    IF FOUND THEN
        INSERT INTO mdbc_internal.own VALUES (own);
    END IF;
    IF current_setting('mdbc.ddl', true) = 'done' THEN
        SELECT c.oid::regclass::text INTO lacking FROM mdbc_internal.tables AS t JOIN pg_class AS c
            ON c.oid = t.relation WHERE t.kind = 'strong' AND NOT EXISTS
            (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary) LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'table % has no primary key', lacking USING ERRCODE = '0A000',
                HINT = 'Rows are told apart at other sites by it. Give the table one, or create '
                    'it WITH (music = ''local'').';
        END IF;
    END IF;
END
$body$;

-- Settings under which a change of the schema is understood.
CREATE FUNCTION mdbc_internal.settings() RETURNS jsonb LANGUAGE sql STABLE AS $body$
    SELECT pg_catalog.jsonb_object_agg(name, pg_catalog.current_setting(name))
    FROM pg_catalog.unnest(ARRAY['search_path', 'datestyle', 'intervalstyle', 'timezone',
        'standard_conforming_strings', 'check_function_bodies', 'xmloption']::text[]) AS name
$body$;

-- Whether a name of a schema is a user's.
CREATE FUNCTION mdbc_internal.is_users(schema_name name) RETURNS boolean LANGUAGE sql IMMUTABLE
RETURN schema_name NOT IN ('mdbc_internal', 'information_schema') AND schema_name !~ '^pg_';

-- The schema may be changed.
CREATE FUNCTION mdbc_internal.before_ddl() RETURNS void LANGUAGE sql SECURITY DEFINER AS $body$
    SELECT pg_catalog.set_config('mdbc.ddl', 'on', true)
$body$;

-- It is changed: what is new is adopted, and the statement is noted and captured.
CREATE FUNCTION mdbc_internal.after_ddl(statement text, new_kind text, new_group text, settings jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    slot text := current_setting('mdbc.slot', true);
    change jsonb := jsonb_build_object('text', statement, 'kind', new_kind, 'group', new_group,
        'settings', settings);
    filled oid[];
BEGIN
    -- What is dropped leaves no trace.
    DELETE FROM mdbc_internal.tables AS t WHERE NOT EXISTS
        (SELECT FROM pg_class AS c WHERE c.oid = t.relation);
    DELETE FROM mdbc_internal.sequences AS s WHERE NOT EXISTS
        (SELECT FROM pg_class AS c WHERE c.oid = s.relation);
    PERFORM mdbc_internal.adopt_tables(new_kind, new_group);
    filled := mdbc_internal.adopt_columns();
    PERFORM mdbc_internal.adopt_sequences();
    PERFORM mdbc_internal.seat_sequences();
    PERFORM mdbc_internal.check_schema();
    INSERT INTO mdbc_internal.meta VALUES ('schema', '1')
        ON CONFLICT (name) DO UPDATE SET value = (meta.value::bigint + 1)::text;
    INSERT INTO mdbc_internal.statements
        SELECT value::bigint, change FROM mdbc_internal.meta WHERE name = 'schema';
    IF slot ~ '^[0-9]+$' THEN
        EXECUTE format('INSERT INTO mdbc_internal.changes_%s (kind, schema_name, relation, body) '
            'VALUES (''d'', '''', '''', $1)', slot)
            USING jsonb_build_object('text', statement, 'kind', new_kind, 'group', new_group,
                'settings', settings)::text;
        PERFORM mdbc_internal.capture_all(slot, relation) FROM unnest(filled) AS relation;
    END IF;
    PERFORM set_config('mdbc.ddl', 'done', true);
END
$body$;

-- New tables get a kind and a group, and strong ones the triggers.
CREATE FUNCTION mdbc_internal.adopt_tables(new_kind text, new_group text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $body$
DECLARE
    t record;
BEGIN
    FOR t IN SELECT c.oid, n.nspname, c.relname FROM pg_class AS c
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND mdbc_internal.is_users(n.nspname)
        AND c.oid NOT IN (SELECT relation FROM mdbc_internal.tables) ORDER BY n.nspname, c.relname
    LOOP
        IF new_kind = 'eventual' THEN
            RAISE EXCEPTION 'eventual tables are not supported by mdbc with PostgreSQL'
                USING ERRCODE = '0A000', HINT = 'Make it strong, or local.';
        END IF;
        IF new_group IS NOT NULL AND new_kind <> 'strong' THEN
            RAISE EXCEPTION 'music_group on the % table "%" is not supported by mdbc', new_kind,
                t.relname USING ERRCODE = '0A000', DETAIL = 'Strong tables alone have owners.';
        END IF;
        INSERT INTO mdbc_internal.tables VALUES (t.oid, new_kind, 0, new_group);
        CONTINUE WHEN new_kind <> 'strong';
        EXECUTE format('CREATE TRIGGER "$mdbc_insert" AFTER INSERT ON %I.%I REFERENCING NEW TABLE AS '
            '"mdbc:new" EXECUTE FUNCTION mdbc_internal.capture()', t.nspname, t.relname);
        EXECUTE format('CREATE TRIGGER "$mdbc_update" AFTER UPDATE ON %I.%I REFERENCING OLD TABLE AS '
            '"mdbc:old" NEW TABLE AS "mdbc:new" EXECUTE FUNCTION mdbc_internal.capture()', t.nspname, t.relname);
        EXECUTE format('CREATE TRIGGER "$mdbc_delete" AFTER DELETE ON %I.%I REFERENCING OLD TABLE AS '
            '"mdbc:old" EXECUTE FUNCTION mdbc_internal.capture()', t.nspname, t.relname);
        EXECUTE format('CREATE TRIGGER "$mdbc_truncate" AFTER TRUNCATE ON %I.%I '
            'EXECUTE FUNCTION mdbc_internal.capture()', t.nspname, t.relname);
    END LOOP;
END
$body$;

-- Strong tables with new columns whose values in rows that are there may be
-- others at each site: their defaults are no constants.
CREATE FUNCTION mdbc_internal.adopt_columns() RETURNS oid[]
LANGUAGE plpgsql SET search_path = pg_catalog AS $body$
DECLARE
    filled oid[];
BEGIN
    SELECT coalesce(array_agg(DISTINCT t.relation), '{}') INTO filled FROM mdbc_internal.tables AS t
        JOIN pg_attribute AS a ON a.attrelid = t.relation AND a.attnum > t.columns
        LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE t.kind = 'strong' AND t.columns > 0 AND NOT a.attisdropped
        AND (a.attidentity <> '' OR a.attgenerated = ''
            AND d.adbin::text ~ 'FUNCEXPR|OPEXPR|SQLVALUEFUNCTION|NEXTVALUE|COERCEVIAIO|COERCETODOMAIN');
    UPDATE mdbc_internal.tables AS t SET columns = c.relnatts FROM pg_class AS c
        WHERE c.oid = t.relation AND c.relnatts > t.columns;
    RETURN filled;
END
$body$;

-- Captures all rows of a table, as if it had been emptied and filled.
CREATE FUNCTION mdbc_internal.capture_all(slot text, relation oid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog SET datestyle = 'ISO, YMD'
SET intervalstyle = 'postgres' SET timezone = 'UTC' SET extra_float_digits = 1
SET bytea_output = 'hex' SET lc_monetary = 'C' SET xmloption = 'content' AS $body$
DECLARE
    t record;
BEGIN
    SELECT n.nspname, c.relname INTO t FROM pg_class AS c JOIN pg_namespace AS n
        ON n.oid = c.relnamespace WHERE c.oid = capture_all.relation;
    EXECUTE format('INSERT INTO mdbc_internal.changes_%s (kind, schema_name, relation, body) '
        'VALUES (''t'', $1, $2, '''')', slot) USING t.nspname, t.relname;
    EXECUTE format('INSERT INTO mdbc_internal.changes_%s (kind, schema_name, relation, body) '
        'SELECT ''+'', $1, $2, row("mdbc:row".*)::text FROM %I.%I AS "mdbc:row"',
        slot, t.nspname, t.relname) USING t.nspname, t.relname;
END
$body$;

-- Values of a sequence at one site are as far apart as there may be sites. The
-- sites' numbers are in mdbc_internal.meta.
CREATE FUNCTION mdbc_internal.adopt_sequences() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $body$
DECLARE
    site bigint := (SELECT value FROM mdbc_internal.meta WHERE name = 'site');
    sites_max bigint := (SELECT value FROM mdbc_internal.meta WHERE name = 'sites_max');
    fresh int;
    s record;
BEGIN
    FOR s IN SELECT c.oid, n.nspname, c.relname, q.seqstart, q.seqincrement, q.seqcycle
        FROM pg_sequence AS q JOIN pg_class AS c ON c.oid = q.seqrelid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        LEFT JOIN mdbc_internal.sequences AS m ON m.relation = c.oid
        WHERE mdbc_internal.is_users(n.nspname) AND c.relpersistence = 'p'
        AND m.increment IS DISTINCT FROM q.seqincrement ORDER BY n.nspname, c.relname
    LOOP
        IF s.seqcycle THEN
            RAISE EXCEPTION 'a sequence that cycles is not supported by mdbc' USING ERRCODE = '0A000';
        END IF;
        -- Minimal and maximal values keep their place: a sequence that cannot
        -- rise so far ends with an error.
        EXECUTE format('ALTER SEQUENCE %I.%I INCREMENT BY %s START WITH %s RESTART', s.nspname,
            s.relname, s.seqincrement * sites_max, s.seqstart + s.seqincrement * (site - 1));
        UPDATE mdbc_internal.meta SET value = (value::int + 1)::text WHERE name = 'sequences'
            RETURNING value INTO fresh;
        INSERT INTO mdbc_internal.sequences VALUES (s.oid, s.seqincrement * sites_max, fresh)
            ON CONFLICT (relation) DO UPDATE SET increment = excluded.increment;
    END LOOP;
END
$body$;

-- After setval: sequences whose next value is another site's go on to the next
-- of their own.
CREATE FUNCTION mdbc_internal.seat_sequences() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    s record;
    last record;
    over bigint;
BEGIN
    FOR s IN SELECT c.oid, n.nspname, c.relname, q.seqstart, q.seqincrement
        FROM mdbc_internal.sequences AS m JOIN pg_sequence AS q ON q.seqrelid = m.relation
        JOIN pg_class AS c ON c.oid = m.relation JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LOOP
        EXECUTE format('SELECT last_value, is_called FROM %I.%I', s.nspname, s.relname) INTO last;
        over := (last.last_value - s.seqstart) % s.seqincrement;
        CONTINUE WHEN over = 0;
        -- The first value of this site behind it, or at it.
        IF over < 0 THEN
            over := over + abs(s.seqincrement);
        END IF;
        IF s.seqincrement > 0 THEN
            PERFORM setval(s.oid::regclass, last.last_value + s.seqincrement - over, false);
        ELSE
            PERFORM setval(s.oid::regclass, last.last_value - over, false);
        END IF;
    END LOOP;
END
$body$;

-- How many values of each sequence this site has given, by the sequence's number.
CREATE FUNCTION mdbc_internal.given() RETURNS TABLE (number int, given bigint)
LANGUAGE sql SET search_path = pg_catalog AS $body$
    SELECT s.number,
        div(pg_sequence_last_value(s.relation)::numeric - q.seqstart, q.seqincrement)::bigint + 1
    FROM mdbc_internal.sequences AS s JOIN pg_sequence AS q ON q.seqrelid = s.relation
    WHERE pg_sequence_last_value(s.relation) IS NOT NULL
$body$;

-- What cannot be the same at all sites is refused by its name.
CREATE FUNCTION mdbc_internal.check_schema() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $body$
DECLARE
    bad text;
BEGIN
    SELECT CASE c.relkind WHEN 'p' THEN 'a partitioned table' WHEN 'f' THEN 'a foreign table'
            WHEN 'm' THEN 'a materialized view'
            ELSE CASE c.relpersistence WHEN 'u' THEN 'an unlogged table' ELSE 'an inherited table' END
        END INTO bad
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE mdbc_internal.is_users(n.nspname) AND (c.relkind IN ('p', 'f', 'm')
            OR c.relkind = 'r' AND c.relpersistence = 'u'
            OR EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = c.oid AND c.relkind = 'r'))
        LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% is not supported by mdbc', bad USING ERRCODE = '0A000';
    END IF;
    PERFORM FROM pg_rewrite AS r JOIN pg_class AS c ON c.oid = r.ev_class
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE mdbc_internal.is_users(n.nspname) AND (c.relkind <> 'v' OR r.rulename <> '_RETURN');
    IF FOUND THEN
        RAISE EXCEPTION 'a rule is not supported by mdbc' USING ERRCODE = '0A000';
    END IF;
    -- Triggers that fire where changes of other sites are applied, and those of
    -- mdbc's that do not fire.
    PERFORM FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE mdbc_internal.is_users(n.nspname) AND (t.tgenabled IN ('A', 'R')
            OR t.tgenabled = 'D' AND (t.tgisinternal OR t.tgname ~ '^\$mdbc_'));
    IF FOUND THEN
        RAISE EXCEPTION 'enabling or disabling such a trigger is not supported by mdbc'
            USING ERRCODE = '0A000';
    END IF;
    PERFORM FROM mdbc_internal.tables AS m WHERE m.kind = 'strong' AND 4 <>
        (SELECT count(*) FROM pg_trigger AS t WHERE t.tgrelid = m.relation
            AND t.tgfoid = 'mdbc_internal.capture'::regproc);
    IF FOUND THEN
        RAISE EXCEPTION 'triggers of mdbc cannot be changed' USING ERRCODE = '42501';
    END IF;
    INSERT INTO mdbc_internal.meta VALUES ('fingerprint', mdbc_internal.fingerprint())
        ON CONFLICT (name) DO UPDATE SET value = excluded.value;
END
$body$;

-- Another text for another schema.
CREATE FUNCTION mdbc_internal.fingerprint() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog SET datestyle = 'ISO, YMD' AS $body$
    SELECT md5(coalesce(string_agg(line, E'\n' ORDER BY line COLLATE "C"), '')) FROM (
        SELECT concat_ws(' ', 'column', n.nspname, c.relname, c.relkind, a.attname, a.attnum,
            format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
            pg_get_expr(d.adbin, d.adrelid)) AS line
        FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE mdbc_internal.is_users(n.nspname) AND a.attnum > 0 AND NOT a.attisdropped
            AND c.relkind IN ('r', 'v', 'c')
        UNION ALL SELECT concat_ws(' ', 'constraint', n.nspname, o.conrelid::regclass, o.conname,
            pg_get_constraintdef(o.oid))
        FROM pg_constraint AS o JOIN pg_namespace AS n ON n.oid = o.connamespace
        WHERE mdbc_internal.is_users(n.nspname)
        UNION ALL SELECT concat_ws(' ', 'index', pg_get_indexdef(i.indexrelid))
        FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE mdbc_internal.is_users(n.nspname)
        UNION ALL SELECT concat_ws(' ', 'trigger', pg_get_triggerdef(t.oid), t.tgenabled)
        FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE mdbc_internal.is_users(n.nspname) AND NOT t.tgisinternal
        UNION ALL SELECT concat_ws(' ', 'view', c.oid::regclass, pg_get_viewdef(c.oid))
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE mdbc_internal.is_users(n.nspname) AND c.relkind = 'v'
        UNION ALL SELECT concat_ws(' ', 'function', pg_get_functiondef(p.oid))
        FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
        WHERE mdbc_internal.is_users(n.nspname) AND p.prokind IN ('f', 'p')
        UNION ALL SELECT concat_ws(' ', 'label', e.enumtypid::regtype, e.enumsortorder, e.enumlabel)
        FROM pg_enum AS e
    ) AS lines
$body$;


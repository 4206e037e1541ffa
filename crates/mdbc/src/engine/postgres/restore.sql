-- What a restore needs beside what replays do; it runs in one transaction.

-- Takes the rows of strong tables out, and makes their indexes anew: those that are there
-- come back if the transaction does not commit. A table that another one points to can be
-- truncated only with that one, and rows of local tables stay.
CREATE FUNCTION mdbc_internal.empty_tables() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $body$
DECLARE
    strong text[];
    is_pointed_to boolean;
    t text;
BEGIN
    SELECT array_agg(format('%I.%I', n.nspname, c.relname)) INTO strong
        FROM mdbc_internal.tables AS m JOIN pg_class AS c ON c.oid = m.relation
        JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE m.kind = 'strong';
    SELECT EXISTS (SELECT FROM pg_constraint AS o
        JOIN mdbc_internal.tables AS f ON f.relation = o.conrelid
        JOIN mdbc_internal.tables AS p ON p.relation = o.confrelid
        WHERE o.contype = 'f' AND f.kind <> 'strong' AND p.kind = 'strong') INTO is_pointed_to;
    IF strong IS NULL THEN
        RETURN;
    ELSIF NOT is_pointed_to THEN
        EXECUTE 'TRUNCATE ' || array_to_string(strong, ', ');
        RETURN;
    END IF;
    FOREACH t IN ARRAY strong LOOP
        EXECUTE 'DELETE FROM ONLY ' || t;
        EXECUTE 'REINDEX TABLE ' || t;
    END LOOP;
END
$body$;

-- Lets labels be used that were added to enums after those that are told. PostgreSQL keeps
-- such labels, by their numbers, from the transaction that adds them: an index that has them
-- would outlive its roll-back. Here all indexes that may get them are made in the same
-- transaction, so they get other numbers: odd ones, since even ones tell the labels' order.
CREATE FUNCTION mdbc_internal.free_labels(known oid[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $body$
DECLARE
    label oid;
    free oid;
BEGIN
    FOR label IN SELECT e.oid FROM pg_enum AS e WHERE e.oid <> ALL (known) LOOP
        LOOP
            free := pg_nextoid('pg_enum', 'oid', 'pg_enum_oid_index');
            EXIT WHEN free::bigint % 2 = 1;
        END LOOP;
        UPDATE pg_enum SET oid = free WHERE oid = label;
    END LOOP;
END
$body$;

-- Sequences go on beyond the values that this site has given: as many as it has said, by
-- their numbers, and those that rows have. Of sequences that the database did not know,
-- some more are left out, which were given a moment before it was lost.
CREATE FUNCTION mdbc_internal.outrun_sequences(said jsonb, known int[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $body$
DECLARE
    s record;
    last record;
    highest numeric;
    given numeric;
BEGIN
    FOR s IN SELECT m.relation, m.number, n.nspname, c.relname, q.seqstart::numeric AS start,
        q.seqincrement::numeric AS step, t.name AS owner, t.attname,
        div(CASE WHEN q.seqincrement > 0 THEN q.seqmax ELSE q.seqmin END - q.seqstart::numeric,
            q.seqincrement) + 1 AS most
        FROM mdbc_internal.sequences AS m JOIN pg_sequence AS q ON q.seqrelid = m.relation
        JOIN pg_class AS c ON c.oid = m.relation JOIN pg_namespace AS n ON n.oid = c.relnamespace
        LEFT JOIN (SELECT d.objid, a.attrelid::regclass::text AS name, a.attname
            FROM pg_depend AS d JOIN pg_attribute AS a
            ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
            WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
            AND d.deptype IN ('a', 'i')
            AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)) AS t ON t.objid = m.relation
    LOOP
        highest := NULL;
        IF s.owner IS NOT NULL THEN
            EXECUTE format('SELECT max((%1$I - $1) / $2) FROM %2$s WHERE (%1$I - $1) %% $2 = 0',
                s.attname, s.owner) INTO highest USING s.start, s.step;
        END IF;
        given := greatest(highest + 1, (said ->> s.number::text)::numeric);
        CONTINUE WHEN given IS NULL OR given <= 0;
        IF s.number <> ALL (known) THEN
            given := given + least(100000, div(greatest(s.most - given, 0), 100));
        END IF;
        given := least(given, s.most);
        EXECUTE format('SELECT last_value, is_called FROM %I.%I', s.nspname, s.relname) INTO last;
        CONTINUE WHEN div(last.last_value - s.start, s.step) + last.is_called::int >= given;
        PERFORM setval(s.relation::regclass, (s.start + (given - 1) * s.step)::bigint, true);
    END LOOP;
END
$body$;

-- The schema is changed by mdbc's statements alone: by no function, no block and
-- no other program.
CREATE FUNCTION mdbc_internal.guard() RETURNS event_trigger LANGUAGE plpgsql
SET search_path = pg_catalog AS $body$
BEGIN
    IF current_setting('mdbc.ddl', true) IS DISTINCT FROM 'on' THEN
        RAISE EXCEPTION '% is not supported by mdbc here', tg_tag USING ERRCODE = '0A000',
            HINT = 'The schema is changed by statements that clients of mdbc send, one at a time; '
                'not by functions and blocks, nor beside mdbc.';
    END IF;
END
$body$;
CREATE EVENT TRIGGER mdbc_guard ON ddl_command_start EXECUTE FUNCTION mdbc_internal.guard();

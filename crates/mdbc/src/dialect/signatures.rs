//! The functions that SQLite, or mdbc's own functions in it, compute.

use crate::types::Base;

/// A function: its name, the types of its arguments and of its result, and
/// what it is in SQLite, with `{0}` for the first argument.
pub(super) struct Signature {
    pub(super) name: &'static str,
    pub(super) arguments: &'static [Base],
    pub(super) result: Base,
    pub(super) sql: &'static str,
    /// Whether its answer depends on more than its arguments.
    pub(super) is_volatile: bool,
}

macro_rules! signatures {
    ($($name:ident($($argument:ident),*) $result:ident $sql:literal $($volatile:ident)?;)+) => {
        &[$(Signature {
            name: stringify!($name),
            arguments: &[$(Base::$argument),*],
            result: Base::$result,
            sql: $sql,
            is_volatile: signatures!(@ $($volatile)?),
        },)+]
    };
    (@) => { false };
    (@ volatile) => { true };
}

pub(super) const SIGNATURES: &[Signature] = signatures! {
    // Text.
    lower(Text) Text "pg_lower({0})";
    upper(Text) Text "pg_upper({0})";
    initcap(Text) Text "pg_initcap({0})";
    length(Text) Int4 "length({0})";
    length(Bytea) Int4 "length({0})";
    char_length(Text) Int4 "length({0})";
    character_length(Text) Int4 "length({0})";
    octet_length(Text) Int4 "octet_length({0})";
    octet_length(Bytea) Int4 "length({0})";
    bit_length(Text) Int4 "(8 * octet_length({0}))";
    substring(Text, Int4) Text "pg_substring({0}, {1}, NULL)";
    substring(Text, Int4, Int4) Text "pg_substring({0}, {1}, {2})";
    substring(Text, Text) Text "pg_substring_match({0}, {1})";
    substring(Bytea, Int4) Bytea "substr({0}, max({1}, 1))";
    substr(Text, Int4) Text "pg_substring({0}, {1}, NULL)";
    substr(Text, Int4, Int4) Text "pg_substring({0}, {1}, {2})";
    strpos(Text, Text) Int4 "instr({0}, {1})";
    position(Text, Text) Int4 "instr({1}, {0})";
    replace(Text, Text, Text) Text "replace({0}, {1}, {2})";
    translate(Text, Text, Text) Text "pg_translate({0}, {1}, {2})";
    btrim(Text) Text "trim({0})";
    btrim(Text, Text) Text "trim({0}, {1})";
    trim(Text) Text "trim({0})";
    ltrim(Text) Text "ltrim({0})";
    ltrim(Text, Text) Text "ltrim({0}, {1})";
    rtrim(Text) Text "rtrim({0})";
    rtrim(Text, Text) Text "rtrim({0}, {1})";
    lpad(Text, Int4) Text "pg_pad({0}, {1}, ' ', 1)";
    lpad(Text, Int4, Text) Text "pg_pad({0}, {1}, {2}, 1)";
    rpad(Text, Int4) Text "pg_pad({0}, {1}, ' ', 0)";
    rpad(Text, Int4, Text) Text "pg_pad({0}, {1}, {2}, 0)";
    left(Text, Int4) Text "pg_left({0}, {1})";
    right(Text, Int4) Text "pg_right({0}, {1})";
    repeat(Text, Int4) Text "pg_repeat({0}, {1})";
    reverse(Text) Text "pg_reverse({0})";
    split_part(Text, Text, Int4) Text "pg_split_part({0}, {1}, {2})";
    starts_with(Text, Text) Bool "(pg_left({0}, length({1})) = {1})";
    overlay(Text, Text, Int4) Text "pg_overlay({0}, {1}, {2}, length({1}))";
    overlay(Text, Text, Int4, Int4) Text "pg_overlay({0}, {1}, {2}, {3})";
    ascii(Text) Int4 "coalesce(unicode({0}), 0)";
    chr(Int4) Text "pg_chr({0})";
    to_hex(Int8) Text "pg_to_hex({0})";
    md5(Text) Text "pg_md5({0})";
    md5(Bytea) Text "pg_md5({0})";
    quote_ident(Text) Text "pg_quote_ident({0})";
    quote_literal(Text) Text "pg_quote_literal({0})";
    encode(Bytea, Text) Text "pg_encode({0}, {1})";
    decode(Text, Text) Bytea "pg_decode({0}, {1})";
    regexp_replace(Text, Text, Text) Text "pg_regexp_replace({0}, {1}, {2}, '')";
    regexp_replace(Text, Text, Text, Text) Text "pg_regexp_replace({0}, {1}, {2}, {3})";
    regexp_like(Text, Text) Bool "pg_matches({0}, {1}, 0)";
    to_char(Timestamp, Text) Text "pg_to_char({0}, {1})";
    to_char(Timestamptz, Text) Text "pg_to_char(pg_cast(1184, 1114, {0}), {1})" volatile;
    to_date(Text, Text) Date "pg_to_date({0}, {1})";
    // Numbers.
    abs(Int2) Int2 "pg_in_range(21, abs({0}))";
    abs(Int4) Int4 "pg_in_range(23, abs({0}))";
    abs(Int8) Int8 "abs({0})";
    abs(Float8) Float8 "abs({0})";
    abs(Numeric) Numeric "pg_numeric_round('abs', {0}, 0)";
    ceil(Float8) Float8 "pg_float_function('ceil', {0})";
    ceil(Numeric) Numeric "pg_numeric_round('ceil', {0}, 0)";
    ceiling(Float8) Float8 "pg_float_function('ceil', {0})";
    ceiling(Numeric) Numeric "pg_numeric_round('ceil', {0}, 0)";
    floor(Float8) Float8 "pg_float_function('floor', {0})";
    floor(Numeric) Numeric "pg_numeric_round('floor', {0}, 0)";
    round(Float8) Float8 "pg_round_even({0})";
    round(Numeric) Numeric "pg_numeric_round('round', {0}, 0)";
    round(Numeric, Int4) Numeric "pg_numeric_round('round', {0}, {1})";
    trunc(Float8) Float8 "pg_float_function('trunc', {0})";
    trunc(Numeric) Numeric "pg_numeric_round('trunc', {0}, 0)";
    trunc(Numeric, Int4) Numeric "pg_numeric_round('trunc', {0}, {1})";
    sign(Float8) Float8 "pg_float_function('sign', {0})";
    sign(Numeric) Numeric "pg_numeric_round('sign', {0}, 0)";
    sqrt(Float8) Float8 "pg_float_function('sqrt', {0})";
    exp(Float8) Float8 "pg_float_function('exp', {0})";
    ln(Float8) Float8 "pg_float_function('ln', {0})";
    log(Float8) Float8 "pg_float_function('log', {0})";
    log10(Float8) Float8 "pg_float_function('log', {0})";
    sin(Float8) Float8 "pg_float_function('sin', {0})";
    cos(Float8) Float8 "pg_float_function('cos', {0})";
    tan(Float8) Float8 "pg_float_function('tan', {0})";
    atan(Float8) Float8 "pg_float_function('atan', {0})";
    radians(Float8) Float8 "pg_float_function('radians', {0})";
    degrees(Float8) Float8 "pg_float_function('degrees', {0})";
    power(Float8, Float8) Float8 "pg_float(701, '^', {0}, {1})";
    pow(Float8, Float8) Float8 "pg_float(701, '^', {0}, {1})";
    mod(Int4, Int4) Int4 "pg_divide(23, '%', {0}, {1})";
    mod(Int8, Int8) Int8 "pg_divide(20, '%', {0}, {1})";
    mod(Numeric, Numeric) Numeric "pg_numeric('%', {0}, {1})";
    div(Numeric, Numeric) Numeric "pg_numeric_round('trunc', pg_numeric('/', {0}, {1}), 0)";
    pi() Float8 "3.141592653589793";
    random() Float8 "pg_random()" volatile;
    gen_random_uuid() Uuid "pg_uuid()" volatile;
    pg_extract_numeric(Float8) Numeric "pg_cast(701, 1700, {0})";
    // Times.
    now() Timestamptz "pg_now()" volatile;
    transaction_timestamp() Timestamptz "pg_now()" volatile;
    statement_timestamp() Timestamptz "pg_clock('statement')" volatile;
    clock_timestamp() Timestamptz "pg_clock('clock')" volatile;
    date_part(Text, Timestamp) Float8 "pg_date_part({0}, 1114, {1})";
    date_part(Text, Timestamptz) Float8 "pg_date_part({0}, 1184, {1})" volatile;
    date_part(Text, Date) Float8 "pg_date_part({0}, 1082, {1})";
    date_part(Text, Time) Float8 "pg_date_part({0}, 1083, {1})";
    date_part(Text, Interval) Float8 "pg_date_part({0}, 1186, {1})";
    date_trunc(Text, Timestamp) Timestamp "pg_date_trunc({0}, {1})";
    date_trunc(Text, Timestamptz) Timestamptz
        "pg_cast(1114, 1184, pg_date_trunc({0}, pg_cast(1184, 1114, {1})))" volatile;
    timezone(Text, Timestamptz) Timestamp "pg_at_zone({0}, 1184, {1})";
    timezone(Text, Timestamp) Timestamptz "pg_at_zone({0}, 1114, {1})";
    make_date(Int4, Int4, Int4) Date "pg_make_date({0}, {1}, {2})";
    to_timestamp(Float8) Timestamptz "pg_to_timestamp({0})";
    age(Timestamp, Timestamp) Interval "pg_age({0}, {1})";
    age(Timestamptz, Timestamptz) Interval
        "pg_age(pg_cast(1184, 1114, {0}), pg_cast(1184, 1114, {1}))" volatile;
    isfinite(Timestamp) Bool "({0} NOT IN (9223372036854775807, -9223372036854775808))";
    justify_days(Interval) Interval "pg_justify({0})";
    // Documents.
    jsonb_typeof(Jsonb) Text "pg_json_typeof({0})";
    json_typeof(Json) Text "pg_json_typeof({0})";
    jsonb_array_length(Jsonb) Int4 "pg_json_length({0})";
    json_array_length(Json) Int4 "pg_json_length({0})";
    jsonb_delete(Jsonb, Text) Jsonb "pg_json_delete({0}, {1})";
    jsonb_pretty(Jsonb) Text "pg_json_pretty({0})";
    // The database itself.
    version() Text "'PostgreSQL 15.0 (mdbc)'";
    pg_backend_pid() Int4 "pg_session('pid')" volatile;
    inet_server_port() Int4 "NULL";
    pg_is_in_recovery() Bool "0";
    txid_current() Int8 "pg_session('transaction')" volatile;
    pg_postmaster_start_time() Timestamptz "pg_clock('start')" volatile;
    set_config(Text, Text, Bool) Text "pg_set_config({0}, {1}, {2})" volatile;
    current_setting(Text) Text "pg_setting({0}, 0)" volatile;
    current_setting(Text, Bool) Text "pg_setting({0}, {1})" volatile;
    pg_size_pretty(Int8) Text "pg_pretty_size({0})";
    pg_encoding_to_char(Int4) Name "CASE {0} WHEN 6 THEN 'UTF8' ELSE '' END";
    pg_char_to_encoding(Name) Int4 "CASE {0} WHEN 'UTF8' THEN 6 ELSE -1 END";
    format_type(Oid, Int4) Text "pg_format_type({0}, {1})";
    pg_get_expr(PgNodeTree, Oid) Text "{0}";
    pg_get_expr(PgNodeTree, Oid, Bool) Text "{0}";
    pg_type_is_visible(Oid) Bool "({0} IS NOT NULL)";
    pg_collation_is_visible(Oid) Bool "({0} IS NOT NULL)";
    pg_operator_is_visible(Oid) Bool "({0} IS NOT NULL)";
    pg_opclass_is_visible(Oid) Bool "({0} IS NOT NULL)";
    pg_conversion_is_visible(Oid) Bool "({0} IS NOT NULL)";
    pg_function_is_visible(Oid) Bool "({0} IS NOT NULL)";
    pg_relation_is_publishable(Regclass) Bool "0";
    pg_partition_ancestors(Regclass) Regclass "NULL";
    pg_table_size(Regclass) Int8 "0";
    pg_total_relation_size(Regclass) Int8 "0";
    pg_relation_size(Regclass) Int8 "0";
    pg_database_size(Name) Int8 "0";
    pg_tablespace_location(Oid) Text "''";
    pg_get_triggerdef(Oid, Bool) Text "NULL";
    pg_get_triggerdef(Oid) Text "NULL";
    pg_get_ruledef(Oid) Text "NULL";
    pg_get_ruledef(Oid, Bool) Text "NULL";
    pg_get_function_result(Oid) Text "NULL";
    pg_get_function_arguments(Oid) Text "NULL";
    pg_get_function_identity_arguments(Oid) Text "NULL";
    pg_get_functiondef(Oid) Text "NULL";
    pg_get_partkeydef(Oid) Text "NULL";
    pg_get_statisticsobjdef_columns(Oid) Text "NULL";
    shobj_description(Oid, Name) Text "NULL";
    has_table_privilege(Oid, Text) Bool "1";
    has_table_privilege(Text, Text) Bool "1";
    has_schema_privilege(Name, Text) Bool "1";
    has_schema_privilege(Oid, Text) Bool "1";
    has_schema_privilege(Name, Name, Text) Bool "1";
    has_database_privilege(Name, Text) Bool "1";
    has_column_privilege(Oid, Name, Text) Bool "1";
    has_any_column_privilege(Oid, Text) Bool "1";
    pg_has_role(Name, Name, Text) Bool "1";
    pg_has_role(Oid, Text) Bool "1";
};

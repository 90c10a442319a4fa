-- batch-screen 0.1.0, snowflake: run 20260302-0123456789
-- For snow sql -f FILE, or a worksheet. Snowflake does not enforce keys.
ALTER SESSION SET TIMEZONE = 'UTC';

-- What is missing is made. Nothing is dropped or retyped.
CREATE SCHEMA IF NOT EXISTS "BATCH_SCREEN";
CREATE TABLE IF NOT EXISTS "BATCH_SCREEN"."RUNS" (
    "RUN_ID" varchar NOT NULL COMMENT 'the run',
    "RUN_DATE" date NOT NULL COMMENT 'its logical date',
    "STARTED_AT" timestamp_ltz COMMENT 'when it was begun',
    "COMPLETED_AT" timestamp_ltz COMMENT 'when its files were complete',
    "LOADED_AT" timestamp_ltz NOT NULL COMMENT 'when it was loaded here',
    "SCHEMA_VERSION" number(10, 0) NOT NULL COMMENT 'version of the columns it was written with',
    "VERSION" varchar COMMENT 'version of batch-screen that wrote it',
    "SANDBOX" boolean NOT NULL COMMENT 'whether its answers are made up by the sandbox',
    "API" varchar COMMENT 'host and contract of the server that was asked',
    "MANIFEST_SHA256" varchar NOT NULL COMMENT 'SHA-256 of its manifest.json, as _SUCCESS has it',
    "SINCE_RUN_ID" varchar COMMENT 'the run that its changes are counted from',
    "INPUTS" varchar NOT NULL COMMENT 'digest of its lists, limit and api: the same for the same',
    "ROWS_READ" number(19, 0) COMMENT 'rows of the list',
    "ROWS_ACCEPTED" number(19, 0) COMMENT 'rows among them with a number that was asked about',
    "ROWS_REJECTED" number(19, 0) COMMENT 'rows among them that were never asked about',
    "LOOKUPS" number(19, 0) COMMENT 'numbers by endpoints',
    "FAILED" number(19, 0) COMMENT 'lookups among them without an answer',
    "ERASED_ROWS" number(19, 0) COMMENT 'rows that were erased from it on a person\'s request',
    "SUPERSEDES" varchar COMMENT 'runs it replaces as a retry, with blanks between',
    "LOADED_TABLES" varchar COMMENT 'its tables that are here, with blanks between',
    PRIMARY KEY ("RUN_ID")
) COMMENT = 'batch-screen: the runs that are loaded whole; rows of any other run do not count';
CREATE TABLE IF NOT EXISTS "BATCH_SCREEN"."RESULTS" (
    "RUN_DATE" date NOT NULL COMMENT 'the logical date of the run',
    "RUN_ID" varchar NOT NULL COMMENT 'the run that wrote the row',
    "ROW_INDEX" number(19, 0) NOT NULL COMMENT 'position of the row over the whole input, from 0; of several phone columns each cell is a row',
    "SOURCE_FILE" varchar NOT NULL COMMENT 'the input file\'s name',
    "SOURCE_ROW" number(19, 0) NOT NULL COMMENT 'the row\'s number in that file, from 1, header not counted',
    "E164" varchar NOT NULL COMMENT 'the number asked about, E.164',
    "REGION" varchar COMMENT 'ISO 3166-1 alpha-2 region of the number',
    "NUMBER_TYPE" varchar COMMENT 'libphonenumber\'s type: mobile, fixed_line, …',
    "RULE" varchar NOT NULL COMMENT 'the rule by which the raw number was accepted',
    "SIM_SWAP_CHECK_OUTCOME" varchar COMMENT 'success, or why there is no value; null only if the endpoint was not asked',
    "SIM_SWAP_CHECK_SWAPPED" boolean COMMENT 'true, false, or null: unknown',
    "SIM_SWAP_CHECK_MAX_AGE_MINUTES" number(10, 0) COMMENT 'the window sent or derived, in minutes; null where none is taken',
    "SIM_SWAP_CHECK_RESPONDED_AT" timestamp_ltz COMMENT 'when the answer arrived',
    "SIM_SWAP_DATE_OUTCOME" varchar COMMENT 'success, or why there is no value; null only if the endpoint was not asked',
    "SIM_SWAP_DATE_LATEST_CHANGE" varchar COMMENT 'reported, none_reported (not: never), or null: unknown',
    "SIM_SWAP_DATE_LATEST_CHANGE_AT" timestamp_ltz COMMENT 'latest change, truncated to microseconds',
    "SIM_SWAP_DATE_RESPONDED_AT" timestamp_ltz COMMENT 'when the answer arrived',
    "DEVICE_SWAP_CHECK_OUTCOME" varchar COMMENT 'success, or why there is no value; null only if the endpoint was not asked',
    "DEVICE_SWAP_CHECK_SWAPPED" boolean COMMENT 'true, false, or null: unknown',
    "DEVICE_SWAP_CHECK_MAX_AGE_MINUTES" number(10, 0) COMMENT 'the window sent or derived, in minutes; null where none is taken',
    "DEVICE_SWAP_CHECK_RESPONDED_AT" timestamp_ltz COMMENT 'when the answer arrived',
    "DEVICE_SWAP_DATE_OUTCOME" varchar COMMENT 'success, or why there is no value; null only if the endpoint was not asked',
    "DEVICE_SWAP_DATE_LATEST_CHANGE" varchar COMMENT 'reported, none_reported (not: never), or null: unknown',
    "DEVICE_SWAP_DATE_LATEST_CHANGE_AT" timestamp_ltz COMMENT 'latest change, truncated to microseconds',
    "DEVICE_SWAP_DATE_RESPONDED_AT" timestamp_ltz COMMENT 'when the answer arrived',
    "CALL_FORWARDING_CHECK_OUTCOME" varchar COMMENT 'success, or why there is no value; null only if the endpoint was not asked',
    "CALL_FORWARDING_CHECK_ACTIVE" boolean COMMENT 'unconditional forwarding: true, false, or null: unknown',
    "CALL_FORWARDING_CHECK_RESPONDED_AT" timestamp_ltz COMMENT 'when the answer arrived',
    "SIM_SWAP_CHECK_SOURCE" varchar COMMENT 'asked, derived (from the date), reused, carried (from a superseded run), or null: skipped',
    "SIM_SWAP_CHECK_WINDOW_START" timestamp_ltz COMMENT 'from when on the value would show a change',
    "SIM_SWAP_CHECK_WINDOW_END" timestamp_ltz COMMENT 'until when it would: when the answer arrived',
    "SIM_SWAP_CHECK_GAP_MINUTES" number(10, 0) COMMENT 'minutes between the last observation and window_start, 0: none; null: no earlier one',
    "SIM_SWAP_DATE_SOURCE" varchar COMMENT 'asked, derived (from the date), reused, carried (from a superseded run), or null: skipped',
    "DEVICE_SWAP_CHECK_SOURCE" varchar COMMENT 'asked, derived (from the date), reused, carried (from a superseded run), or null: skipped',
    "DEVICE_SWAP_CHECK_WINDOW_START" timestamp_ltz COMMENT 'from when on the value would show a change',
    "DEVICE_SWAP_CHECK_WINDOW_END" timestamp_ltz COMMENT 'until when it would: when the answer arrived',
    "DEVICE_SWAP_CHECK_GAP_MINUTES" number(10, 0) COMMENT 'minutes between the last observation and window_start, 0: none; null: no earlier one',
    "DEVICE_SWAP_DATE_SOURCE" varchar COMMENT 'asked, derived (from the date), reused, carried (from a superseded run), or null: skipped',
    "CALL_FORWARDING_CHECK_SOURCE" varchar COMMENT 'asked, derived (from the date), reused, carried (from a superseded run), or null: skipped',
    "SIM_SWAP_CONTRADICTION" boolean COMMENT 'whether check and date, both asked, cannot both be true; null where nobody can tell',
    "DEVICE_SWAP_CONTRADICTION" boolean COMMENT 'whether check and date, both asked, cannot both be true; null where nobody can tell',
    "SIM_CHANGE_AGE_HOURS" float COMMENT 'age of the latest SIM change when its date was answered',
    "SIM_CHANGE_AGE_BAND" varchar COMMENT 'that age\'s band, from <4h to 3y+',
    "DEVICE_CHANGE_AGE_HOURS" float COMMENT 'age of the latest device change when its date was answered',
    "DEVICE_CHANGE_AGE_BAND" varchar COMMENT 'that age\'s band, from <4h to 3y+',
    "RISK_SIM_AND_DEVICE_RECENT" boolean COMMENT 'whether both changed lately: true, false, or null: unknown',
    "RISK_SIM_RECENT" boolean COMMENT 'whether the SIM changed lately: true, false, or null: unknown',
    "RISK_DEVICE_RECENT" boolean COMMENT 'whether the device changed lately: true, false, or null: unknown',
    "RISK_FORWARDING_ACTIVE" boolean COMMENT 'whether all calls are forwarded: true, false, or null: unknown',
    "RISK_VERSION" number(10, 0) NOT NULL COMMENT 'the version of the rules for the age and risk columns',
    "PHONE_COLUMN" varchar NOT NULL COMMENT 'the column that held the number, named as in the file',
    "NUMBER_ID" varchar COMMENT 'the number\'s keyed id; null where e164 is plain',
    "IN_CUSTOMER_ID" varchar COMMENT 'kept from the input: customer_id',
    "IN_KUNDEN_NR" number(19, 0) COMMENT 'kept from the input: Kunden Nr.',
    "IN_DROP_TABLE_RUNS" varchar COMMENT 'kept from the input: \'; DROP TABLE runs; --',
    "IN_AD0644FF" varchar COMMENT 'kept from the input: "`\\',
    "IN_X_Y_Z_LINE" date COMMENT 'kept from the input: \u0024\u0024 \u0024\u007bx} \u0026y \u007b\u007bz}}\u000aline',
    PRIMARY KEY ("RUN_ID", "ROW_INDEX")
) COMMENT = 'batch-screen: an accepted row of the list, with all answers to its number';
ALTER TABLE "BATCH_SCREEN"."RESULTS" ADD COLUMN IF NOT EXISTS "NUMBER_ID" varchar;
COMMENT ON COLUMN "BATCH_SCREEN"."RESULTS"."NUMBER_ID" IS 'the number\'s keyed id; null where e164 is plain';
ALTER TABLE "BATCH_SCREEN"."RESULTS" ADD COLUMN IF NOT EXISTS "IN_CUSTOMER_ID" varchar;
COMMENT ON COLUMN "BATCH_SCREEN"."RESULTS"."IN_CUSTOMER_ID" IS 'kept from the input: customer_id';
ALTER TABLE "BATCH_SCREEN"."RESULTS" ADD COLUMN IF NOT EXISTS "IN_KUNDEN_NR" number(19, 0);
COMMENT ON COLUMN "BATCH_SCREEN"."RESULTS"."IN_KUNDEN_NR" IS 'kept from the input: Kunden Nr.';
ALTER TABLE "BATCH_SCREEN"."RESULTS" ADD COLUMN IF NOT EXISTS "IN_DROP_TABLE_RUNS" varchar;
COMMENT ON COLUMN "BATCH_SCREEN"."RESULTS"."IN_DROP_TABLE_RUNS" IS 'kept from the input: \'; DROP TABLE runs; --';
ALTER TABLE "BATCH_SCREEN"."RESULTS" ADD COLUMN IF NOT EXISTS "IN_AD0644FF" varchar;
COMMENT ON COLUMN "BATCH_SCREEN"."RESULTS"."IN_AD0644FF" IS 'kept from the input: "`\\';
ALTER TABLE "BATCH_SCREEN"."RESULTS" ADD COLUMN IF NOT EXISTS "IN_X_Y_Z_LINE" date;
COMMENT ON COLUMN "BATCH_SCREEN"."RESULTS"."IN_X_Y_Z_LINE" IS 'kept from the input: \u0024\u0024 \u0024\u007bx} \u0026y \u007b\u007bz}}\u000aline';
CREATE TABLE IF NOT EXISTS "BATCH_SCREEN"."LOOKUPS" (
    "RUN_DATE" date NOT NULL COMMENT 'the logical date of the run',
    "RUN_ID" varchar NOT NULL COMMENT 'the run that wrote the row',
    "E164" varchar NOT NULL COMMENT 'the number asked about, E.164',
    "ENDPOINT" varchar NOT NULL COMMENT 'the endpoint asked',
    "MAX_AGE_MINUTES" number(10, 0) COMMENT 'the window sent or derived, in minutes; null where none is taken',
    "OUTCOME" varchar NOT NULL COMMENT 'success, or why there is no value',
    "REASON" varchar COMMENT 'a closer word on the outcome',
    "SWAPPED" boolean COMMENT 'true, false, or null: unknown',
    "ACTIVE" boolean COMMENT 'unconditional forwarding: true, false, or null: unknown',
    "LATEST_CHANGE" varchar COMMENT 'reported, none_reported (not: never), or null: unknown',
    "LATEST_CHANGE_AT" timestamp_ltz COMMENT 'latest change, truncated to microseconds',
    "LATEST_CHANGE_RAW" varchar COMMENT 'the date exactly as answered',
    "HTTP_STATUS" number(10, 0) COMMENT 'the last answer\'s HTTP status',
    "CODE" varchar COMMENT 'the API\'s error code, as answered',
    "MESSAGE" varchar COMMENT 'the API\'s error message, masked and shortened',
    "ATTEMPTS" number(10, 0) NOT NULL COMMENT 'HTTP requests made',
    "REFUSALS" number(10, 0) NOT NULL COMMENT 'requests among them refused for the rate',
    "LATENCY_MS" float COMMENT 'time to the last answer',
    "RESPONDED_AT" timestamp_ltz COMMENT 'when the last answer arrived',
    "CORRELATOR" varchar COMMENT 'the x-correlator sent with the last attempt',
    "UNANSWERED" number(10, 0) NOT NULL COMMENT 'requests beside attempts that a crash left without a saved answer; may have been billed',
    "SOURCE" varchar COMMENT 'asked, derived (from the date), reused, carried (from a superseded run), or null: skipped',
    "SOURCE_RUN_ID" varchar COMMENT 'reused, carried: the earlier run in which it was asked',
    "LAST_OBSERVED_AT" timestamp_ltz COMMENT 'until when earlier runs had observed the number; null: none had, or none was looked at',
    "WINDOW_START" timestamp_ltz COMMENT 'from when on the value would show a change',
    "WINDOW_END" timestamp_ltz COMMENT 'until when it would: when the answer arrived',
    "GAP_MINUTES" number(10, 0) COMMENT 'minutes between the last observation and window_start, 0: none; null: no earlier one',
    "CONTRADICTION" boolean COMMENT 'whether check and date, both asked, cannot both be true; null where nobody can tell',
    "NUMBER_ID" varchar COMMENT 'the number\'s keyed id; null where e164 is plain',
    PRIMARY KEY ("RUN_ID", "E164", "ENDPOINT")
) COMMENT = 'batch-screen: one number at one endpoint, with all that is known of the answer';
ALTER TABLE "BATCH_SCREEN"."LOOKUPS" ADD COLUMN IF NOT EXISTS "NUMBER_ID" varchar;
COMMENT ON COLUMN "BATCH_SCREEN"."LOOKUPS"."NUMBER_ID" IS 'the number\'s keyed id; null where e164 is plain';
CREATE TABLE IF NOT EXISTS "BATCH_SCREEN"."ERRORS" (
    "RUN_DATE" date NOT NULL COMMENT 'the logical date of the run',
    "RUN_ID" varchar NOT NULL COMMENT 'the run that wrote the row',
    "KIND" varchar NOT NULL COMMENT 'reject (a row) or failure (a lookup)',
    "ROW_INDEX" number(19, 0) COMMENT 'rejects: position of the row over the whole input, from 0',
    "SOURCE_FILE" varchar COMMENT 'rejects: the input file\'s name',
    "SOURCE_ROW" number(19, 0) COMMENT 'rejects: the row\'s number in that file, from 1',
    "RAW_MASKED" varchar COMMENT 'rejects: the cell\'s shape, masked',
    "RAW_REGION" varchar COMMENT 'rejects: the row\'s own region, as written',
    "E164" varchar COMMENT 'failures: the number asked about',
    "ENDPOINT" varchar COMMENT 'failures: the endpoint asked',
    "REASON" varchar NOT NULL COMMENT 'the reject\'s reason or the failure\'s outcome',
    "DETAIL" varchar COMMENT 'what was seen, masked',
    "REMEDY" varchar NOT NULL COMMENT 'what to do about it',
    "RETRY_CAN_HELP" boolean NOT NULL COMMENT 'whether asking again may bring an answer',
    "HTTP_STATUS" number(10, 0) COMMENT 'failures: the last answer\'s HTTP status',
    "CODE" varchar COMMENT 'failures: the API\'s error code',
    "ATTEMPTS" number(10, 0) COMMENT 'failures: HTTP requests made',
    "PHONE_COLUMN" varchar COMMENT 'rejects: the column that held the cell, as in the file',
    "NUMBER_ID" varchar COMMENT 'the number\'s keyed id; null where e164 is plain'
) COMMENT = 'batch-screen: a rejected row of the list, or a lookup without success';
ALTER TABLE "BATCH_SCREEN"."ERRORS" ADD COLUMN IF NOT EXISTS "NUMBER_ID" varchar;
COMMENT ON COLUMN "BATCH_SCREEN"."ERRORS"."NUMBER_ID" IS 'the number\'s keyed id; null where e164 is plain';
CREATE TABLE IF NOT EXISTS "BATCH_SCREEN"."CHANGES" (
    "RUN_DATE" date NOT NULL COMMENT 'the logical date of the run',
    "RUN_ID" varchar NOT NULL COMMENT 'the run that wrote the row',
    "SINCE_RUN_ID" varchar NOT NULL COMMENT 'the earlier run it is compared with',
    "E164" varchar NOT NULL COMMENT 'the number asked about, E.164',
    "ENDPOINT" varchar NOT NULL COMMENT 'the endpoint asked',
    "CHANGE" varchar NOT NULL COMMENT 'what is different since the earlier run',
    "BEFORE_OUTCOME" varchar NOT NULL COMMENT 'outcome in the earlier run',
    "AFTER_OUTCOME" varchar NOT NULL COMMENT 'outcome in this run',
    "BEFORE_SWAPPED" boolean COMMENT 'swapped in the earlier run',
    "AFTER_SWAPPED" boolean COMMENT 'swapped in this run',
    "BEFORE_ACTIVE" boolean COMMENT 'active in the earlier run',
    "AFTER_ACTIVE" boolean COMMENT 'active in this run',
    "BEFORE_LATEST_CHANGE_AT" timestamp_ltz COMMENT 'latest_change_at in the earlier run',
    "AFTER_LATEST_CHANGE_AT" timestamp_ltz COMMENT 'latest_change_at in this run',
    "BEFORE_RESPONDED_AT" timestamp_ltz COMMENT 'responded_at in the earlier run',
    "AFTER_RESPONDED_AT" timestamp_ltz COMMENT 'responded_at in this run',
    "COHORT" varchar COMMENT 'the marked block or country the number lies in, or null',
    "LIKELY_MIGRATION" boolean NOT NULL COMMENT 'whether the change is part of that cohort\'s sudden rise',
    "NUMBER_ID" varchar COMMENT 'the number\'s keyed id; null where e164 is plain',
    PRIMARY KEY ("RUN_ID", "E164", "ENDPOINT")
) COMMENT = 'batch-screen: a number that answers otherwise than in the run before; an alert feed';
ALTER TABLE "BATCH_SCREEN"."CHANGES" ADD COLUMN IF NOT EXISTS "NUMBER_ID" varchar;
COMMENT ON COLUMN "BATCH_SCREEN"."CHANGES"."NUMBER_ID" IS 'the number\'s keyed id; null where e164 is plain';
CREATE OR REPLACE VIEW "BATCH_SCREEN"."CURRENT_RUNS" COMMENT = 'batch-screen: of each run date and list, the run completed last, no retried one' AS
SELECT "RUN_ID", "RUN_DATE", "STARTED_AT", "COMPLETED_AT", "LOADED_AT", "SCHEMA_VERSION", "VERSION", "SANDBOX", "API", "MANIFEST_SHA256", "SINCE_RUN_ID", "INPUTS", "ROWS_READ", "ROWS_ACCEPTED", "ROWS_REJECTED", "LOOKUPS", "FAILED", "ERASED_ROWS", "SUPERSEDES", "LOADED_TABLES"
FROM "BATCH_SCREEN"."RUNS"
WHERE "RUN_ID" NOT IN (SELECT each.value FROM "BATCH_SCREEN"."RUNS", LATERAL SPLIT_TO_TABLE("SUPERSEDES", ' ') AS each)
QUALIFY row_number() OVER (
    PARTITION BY "RUN_DATE", "INPUTS"
    ORDER BY "COMPLETED_AT" DESC NULLS LAST, "RUN_ID" DESC
) = 1;
CREATE OR REPLACE VIEW "BATCH_SCREEN"."CURRENT_RESULTS" COMMENT = 'batch-screen: results of current_runs: each customer once a night' AS
SELECT * FROM "BATCH_SCREEN"."RESULTS"
WHERE "RUN_ID" IN (SELECT "RUN_ID" FROM "BATCH_SCREEN"."CURRENT_RUNS");
CREATE OR REPLACE VIEW "BATCH_SCREEN"."SIGNALS" COMMENT = 'batch-screen: the newest known answer for each number and endpoint; null is unknown' AS
SELECT
    l."E164",
    l."NUMBER_ID",
    l."ENDPOINT",
    l."OUTCOME",
    l."REASON",
    l."SWAPPED",
    l."ACTIVE",
    l."LATEST_CHANGE",
    l."LATEST_CHANGE_AT",
    l."MAX_AGE_MINUTES",
    l."WINDOW_START",
    l."WINDOW_END",
    l."RESPONDED_AT",
    l."RUN_ID",
    l."RUN_DATE"
FROM "BATCH_SCREEN"."LOOKUPS" AS l
JOIN "BATCH_SCREEN"."RUNS" AS r ON r."RUN_ID" = l."RUN_ID"
WHERE TRUE
QUALIFY row_number() OVER (
    PARTITION BY coalesce(l."NUMBER_ID", l."E164"), l."ENDPOINT"
    ORDER BY CASE WHEN l."OUTCOME" = 'success' THEN 0 ELSE 1 END,
        l."RESPONDED_AT" DESC NULLS LAST,
        r."COMPLETED_AT" DESC NULLS LAST, l."RUN_ID" DESC
) = 1;

-- The files that the manifest names, into tables with just their columns, in their order.
CREATE OR REPLACE TEMPORARY TABLE "BATCH_SCREEN"."NEW_RESULTS" (
    "run_id" varchar,
    "row_index" number(19, 0),
    "source_file" varchar,
    "source_row" number(19, 0),
    "e164" varchar,
    "region" varchar,
    "number_type" varchar,
    "rule" varchar,
    "sim_swap_check_outcome" varchar,
    "sim_swap_check_swapped" boolean,
    "sim_swap_check_max_age_minutes" number(10, 0),
    "sim_swap_check_responded_at" timestamp_ltz,
    "sim_swap_date_outcome" varchar,
    "sim_swap_date_latest_change" varchar,
    "sim_swap_date_latest_change_at" timestamp_ltz,
    "sim_swap_date_responded_at" timestamp_ltz,
    "device_swap_check_outcome" varchar,
    "device_swap_check_swapped" boolean,
    "device_swap_check_max_age_minutes" number(10, 0),
    "device_swap_check_responded_at" timestamp_ltz,
    "device_swap_date_outcome" varchar,
    "device_swap_date_latest_change" varchar,
    "device_swap_date_latest_change_at" timestamp_ltz,
    "device_swap_date_responded_at" timestamp_ltz,
    "call_forwarding_check_outcome" varchar,
    "call_forwarding_check_active" boolean,
    "call_forwarding_check_responded_at" timestamp_ltz,
    "sim_swap_check_source" varchar,
    "sim_swap_check_window_start" timestamp_ltz,
    "sim_swap_check_window_end" timestamp_ltz,
    "sim_swap_check_gap_minutes" number(10, 0),
    "sim_swap_date_source" varchar,
    "device_swap_check_source" varchar,
    "device_swap_check_window_start" timestamp_ltz,
    "device_swap_check_window_end" timestamp_ltz,
    "device_swap_check_gap_minutes" number(10, 0),
    "device_swap_date_source" varchar,
    "call_forwarding_check_source" varchar,
    "sim_swap_contradiction" boolean,
    "device_swap_contradiction" boolean,
    "sim_change_age_hours" float,
    "sim_change_age_band" varchar,
    "device_change_age_hours" float,
    "device_change_age_band" varchar,
    "risk_sim_and_device_recent" boolean,
    "risk_sim_recent" boolean,
    "risk_device_recent" boolean,
    "risk_forwarding_active" boolean,
    "risk_version" number(10, 0),
    "phone_column" varchar,
    "number_id" varchar,
    "in_customer_id" varchar,
    "in_Kunden Nr." number(19, 0),
    "in_'; DROP TABLE runs; --" varchar,
    "in_""`\" varchar,
    "in_$$ ${x} &y {{z}}
line" date
);
COPY INTO "BATCH_SCREEN"."NEW_RESULTS" FROM '@lake.raw.screened/nights/'
    FILES = (
        'results/run_date=2026-03-02/20260302-0123456789-00000.parquet',
        'results/run_date=2026-03-02/20260302-0123456789-00001.parquet'
    )
    FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE)
    MATCH_BY_COLUMN_NAME = CASE_SENSITIVE ON_ERROR = ABORT_STATEMENT FORCE = TRUE;
CREATE OR REPLACE TEMPORARY TABLE "BATCH_SCREEN"."NEW_LOOKUPS" (
    "run_id" varchar,
    "e164" varchar,
    "endpoint" varchar,
    "max_age_minutes" number(10, 0),
    "outcome" varchar,
    "reason" varchar,
    "swapped" boolean,
    "active" boolean,
    "latest_change" varchar,
    "latest_change_at" timestamp_ltz,
    "latest_change_raw" varchar,
    "http_status" number(10, 0),
    "code" varchar,
    "message" varchar,
    "attempts" number(10, 0),
    "refusals" number(10, 0),
    "latency_ms" float,
    "responded_at" timestamp_ltz,
    "correlator" varchar,
    "unanswered" number(10, 0),
    "source" varchar,
    "source_run_id" varchar,
    "last_observed_at" timestamp_ltz,
    "window_start" timestamp_ltz,
    "window_end" timestamp_ltz,
    "gap_minutes" number(10, 0),
    "contradiction" boolean,
    "number_id" varchar
);
COPY INTO "BATCH_SCREEN"."NEW_LOOKUPS" FROM '@lake.raw.screened/nights/'
    FILES = (
        'lookups/run_date=2026-03-02/20260302-0123456789-00000.parquet',
        'lookups/run_date=2026-03-02/20260302-0123456789-00001.parquet'
    )
    FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE)
    MATCH_BY_COLUMN_NAME = CASE_SENSITIVE ON_ERROR = ABORT_STATEMENT FORCE = TRUE;
CREATE OR REPLACE TEMPORARY TABLE "BATCH_SCREEN"."NEW_ERRORS" (
    "run_id" varchar,
    "kind" varchar,
    "row_index" number(19, 0),
    "source_file" varchar,
    "source_row" number(19, 0),
    "raw_masked" varchar,
    "raw_region" varchar,
    "e164" varchar,
    "endpoint" varchar,
    "reason" varchar,
    "detail" varchar,
    "remedy" varchar,
    "retry_can_help" boolean,
    "http_status" number(10, 0),
    "code" varchar,
    "attempts" number(10, 0),
    "phone_column" varchar,
    "number_id" varchar
);
COPY INTO "BATCH_SCREEN"."NEW_ERRORS" FROM '@lake.raw.screened/nights/'
    FILES = (
        'errors/run_date=2026-03-02/20260302-0123456789-00000.parquet',
        'errors/run_date=2026-03-02/20260302-0123456789-00001.parquet'
    )
    FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE)
    MATCH_BY_COLUMN_NAME = CASE_SENSITIVE ON_ERROR = ABORT_STATEMENT FORCE = TRUE;
CREATE OR REPLACE TEMPORARY TABLE "BATCH_SCREEN"."NEW_CHANGES" (
    "run_id" varchar,
    "since_run_id" varchar,
    "e164" varchar,
    "endpoint" varchar,
    "change" varchar,
    "before_outcome" varchar,
    "after_outcome" varchar,
    "before_swapped" boolean,
    "after_swapped" boolean,
    "before_active" boolean,
    "after_active" boolean,
    "before_latest_change_at" timestamp_ltz,
    "after_latest_change_at" timestamp_ltz,
    "before_responded_at" timestamp_ltz,
    "after_responded_at" timestamp_ltz,
    "cohort" varchar,
    "likely_migration" boolean,
    "number_id" varchar
);
COPY INTO "BATCH_SCREEN"."NEW_CHANGES" FROM '@lake.raw.screened/nights/'
    FILES = (
        'changes/run_date=2026-03-02/20260302-0123456789-00000.parquet',
        'changes/run_date=2026-03-02/20260302-0123456789-00001.parquet'
    )
    FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE)
    MATCH_BY_COLUMN_NAME = CASE_SENSITIVE ON_ERROR = ABORT_STATEMENT FORCE = TRUE;

-- The run, whole or not at all. What is there of it is replaced.
EXECUTE IMMEDIATE $$
DECLARE
    rows_differ EXCEPTION (-20001, 'The rows of the run are not as many as its manifest says.');
BEGIN
BEGIN TRANSACTION;
DELETE FROM "BATCH_SCREEN"."RUNS" WHERE "RUN_ID" = '20260302-0123456789';
DELETE FROM "BATCH_SCREEN"."RESULTS" WHERE "RUN_ID" = '20260302-0123456789';
INSERT INTO "BATCH_SCREEN"."RESULTS" ("RUN_DATE", "RUN_ID", "ROW_INDEX", "SOURCE_FILE", "SOURCE_ROW", "E164", "REGION", "NUMBER_TYPE", "RULE", "SIM_SWAP_CHECK_OUTCOME", "SIM_SWAP_CHECK_SWAPPED", "SIM_SWAP_CHECK_MAX_AGE_MINUTES", "SIM_SWAP_CHECK_RESPONDED_AT", "SIM_SWAP_DATE_OUTCOME", "SIM_SWAP_DATE_LATEST_CHANGE", "SIM_SWAP_DATE_LATEST_CHANGE_AT", "SIM_SWAP_DATE_RESPONDED_AT", "DEVICE_SWAP_CHECK_OUTCOME", "DEVICE_SWAP_CHECK_SWAPPED", "DEVICE_SWAP_CHECK_MAX_AGE_MINUTES", "DEVICE_SWAP_CHECK_RESPONDED_AT", "DEVICE_SWAP_DATE_OUTCOME", "DEVICE_SWAP_DATE_LATEST_CHANGE", "DEVICE_SWAP_DATE_LATEST_CHANGE_AT", "DEVICE_SWAP_DATE_RESPONDED_AT", "CALL_FORWARDING_CHECK_OUTCOME", "CALL_FORWARDING_CHECK_ACTIVE", "CALL_FORWARDING_CHECK_RESPONDED_AT", "SIM_SWAP_CHECK_SOURCE", "SIM_SWAP_CHECK_WINDOW_START", "SIM_SWAP_CHECK_WINDOW_END", "SIM_SWAP_CHECK_GAP_MINUTES", "SIM_SWAP_DATE_SOURCE", "DEVICE_SWAP_CHECK_SOURCE", "DEVICE_SWAP_CHECK_WINDOW_START", "DEVICE_SWAP_CHECK_WINDOW_END", "DEVICE_SWAP_CHECK_GAP_MINUTES", "DEVICE_SWAP_DATE_SOURCE", "CALL_FORWARDING_CHECK_SOURCE", "SIM_SWAP_CONTRADICTION", "DEVICE_SWAP_CONTRADICTION", "SIM_CHANGE_AGE_HOURS", "SIM_CHANGE_AGE_BAND", "DEVICE_CHANGE_AGE_HOURS", "DEVICE_CHANGE_AGE_BAND", "RISK_SIM_AND_DEVICE_RECENT", "RISK_SIM_RECENT", "RISK_DEVICE_RECENT", "RISK_FORWARDING_ACTIVE", "RISK_VERSION", "PHONE_COLUMN", "NUMBER_ID", "IN_CUSTOMER_ID", "IN_KUNDEN_NR", "IN_DROP_TABLE_RUNS", "IN_AD0644FF", "IN_X_Y_Z_LINE")
SELECT DATE '2026-03-02', n.* FROM "BATCH_SCREEN"."NEW_RESULTS" AS n;
DELETE FROM "BATCH_SCREEN"."LOOKUPS" WHERE "RUN_ID" = '20260302-0123456789';
INSERT INTO "BATCH_SCREEN"."LOOKUPS" ("RUN_DATE", "RUN_ID", "E164", "ENDPOINT", "MAX_AGE_MINUTES", "OUTCOME", "REASON", "SWAPPED", "ACTIVE", "LATEST_CHANGE", "LATEST_CHANGE_AT", "LATEST_CHANGE_RAW", "HTTP_STATUS", "CODE", "MESSAGE", "ATTEMPTS", "REFUSALS", "LATENCY_MS", "RESPONDED_AT", "CORRELATOR", "UNANSWERED", "SOURCE", "SOURCE_RUN_ID", "LAST_OBSERVED_AT", "WINDOW_START", "WINDOW_END", "GAP_MINUTES", "CONTRADICTION", "NUMBER_ID")
SELECT DATE '2026-03-02', n.* FROM "BATCH_SCREEN"."NEW_LOOKUPS" AS n;
DELETE FROM "BATCH_SCREEN"."ERRORS" WHERE "RUN_ID" = '20260302-0123456789';
INSERT INTO "BATCH_SCREEN"."ERRORS" ("RUN_DATE", "RUN_ID", "KIND", "ROW_INDEX", "SOURCE_FILE", "SOURCE_ROW", "RAW_MASKED", "RAW_REGION", "E164", "ENDPOINT", "REASON", "DETAIL", "REMEDY", "RETRY_CAN_HELP", "HTTP_STATUS", "CODE", "ATTEMPTS", "PHONE_COLUMN", "NUMBER_ID")
SELECT DATE '2026-03-02', n.* FROM "BATCH_SCREEN"."NEW_ERRORS" AS n;
DELETE FROM "BATCH_SCREEN"."CHANGES" WHERE "RUN_ID" = '20260302-0123456789';
INSERT INTO "BATCH_SCREEN"."CHANGES" ("RUN_DATE", "RUN_ID", "SINCE_RUN_ID", "E164", "ENDPOINT", "CHANGE", "BEFORE_OUTCOME", "AFTER_OUTCOME", "BEFORE_SWAPPED", "AFTER_SWAPPED", "BEFORE_ACTIVE", "AFTER_ACTIVE", "BEFORE_LATEST_CHANGE_AT", "AFTER_LATEST_CHANGE_AT", "BEFORE_RESPONDED_AT", "AFTER_RESPONDED_AT", "COHORT", "LIKELY_MIGRATION", "NUMBER_ID")
SELECT DATE '2026-03-02', n.* FROM "BATCH_SCREEN"."NEW_CHANGES" AS n;
IF (EXISTS (
    SELECT 1 FROM (SELECT count(*) FROM "BATCH_SCREEN"."RESULTS" WHERE "RUN_ID" = '20260302-0123456789') AS found (n) WHERE n <> 4 UNION ALL
    SELECT 1 FROM (SELECT count(*) FROM "BATCH_SCREEN"."LOOKUPS" WHERE "RUN_ID" = '20260302-0123456789') AS found (n) WHERE n <> 4 UNION ALL
    SELECT 1 FROM (SELECT count(*) FROM "BATCH_SCREEN"."ERRORS" WHERE "RUN_ID" = '20260302-0123456789') AS found (n) WHERE n <> 4 UNION ALL
    SELECT 1 FROM (SELECT count(*) FROM "BATCH_SCREEN"."CHANGES" WHERE "RUN_ID" = '20260302-0123456789') AS found (n) WHERE n <> 4
)) THEN
    RAISE rows_differ;
END IF;
INSERT INTO "BATCH_SCREEN"."RUNS" ("RUN_ID", "RUN_DATE", "STARTED_AT", "COMPLETED_AT", "LOADED_AT", "SCHEMA_VERSION", "VERSION", "SANDBOX", "API", "MANIFEST_SHA256", "SINCE_RUN_ID", "INPUTS", "ROWS_READ", "ROWS_ACCEPTED", "ROWS_REJECTED", "LOOKUPS", "FAILED", "ERASED_ROWS", "SUPERSEDES", "LOADED_TABLES")
VALUES ('20260302-0123456789', DATE '2026-03-02', CAST('2026-03-02 02:31:07.000005+00:00' AS timestamp_ltz), CAST('2026-03-02 02:31:07.000005+00:00' AS timestamp_ltz), CURRENT_TIMESTAMP, 5, '0.1.0', FALSE, 'api.example v1', '0000000000000000000000000000000000000000000000000000000000000000', NULL, '1111111111111111111111111111111111111111111111111111111111111111', NULL, NULL, NULL, NULL, NULL, NULL, '', NULL);
COMMIT;
EXCEPTION
    WHEN OTHER THEN
        ROLLBACK;
        RAISE;
END;
$$;

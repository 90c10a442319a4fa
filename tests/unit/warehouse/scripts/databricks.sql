-- batch-screen 0.1.0, databricks: run 20260302-0123456789
-- For a SQL warehouse or a runtime of 16.1 or newer, with Unity Catalog, which does not enforce keys.
-- There is no transaction over several tables: a run that is not in runs is not there.
SET TIME ZONE 'UTC';

-- What is missing is made. Nothing is dropped or retyped.
CREATE SCHEMA IF NOT EXISTS `batch_screen`;
CREATE TABLE IF NOT EXISTS `batch_screen`.`runs` (
    `run_id` string NOT NULL COMMENT 'the run',
    `run_date` date NOT NULL COMMENT 'its logical date',
    `started_at` timestamp COMMENT 'when it was begun',
    `completed_at` timestamp COMMENT 'when its files were complete',
    `loaded_at` timestamp NOT NULL COMMENT 'when it was loaded here',
    `schema_version` int NOT NULL COMMENT 'version of the columns it was written with',
    `version` string COMMENT 'version of batch-screen that wrote it',
    `sandbox` boolean NOT NULL COMMENT 'whether its answers are made up by the sandbox',
    `api` string COMMENT 'host and contract of the server that was asked',
    `manifest_sha256` string NOT NULL COMMENT 'SHA-256 of its manifest.json, as _SUCCESS has it',
    `since_run_id` string COMMENT 'the run that its changes are counted from',
    `inputs` string NOT NULL COMMENT 'digest of its lists, limit and api: the same for the same',
    `rows_read` bigint COMMENT 'rows of the list',
    `rows_accepted` bigint COMMENT 'rows among them with a number that was asked about',
    `rows_rejected` bigint COMMENT 'rows among them that were never asked about',
    `lookups` bigint COMMENT 'numbers by endpoints',
    `failed` bigint COMMENT 'lookups among them without an answer',
    `erased_rows` bigint COMMENT 'rows that were erased from it on a person\'s request',
    `supersedes` string COMMENT 'runs it replaces as a retry, with blanks between',
    `loaded_tables` string COMMENT 'its tables that are here, with blanks between',
    PRIMARY KEY (`run_id`)
) CLUSTER BY (`run_date`) COMMENT 'batch-screen: the runs that are loaded whole; rows of any other run do not count';
CREATE TABLE IF NOT EXISTS `batch_screen`.`results` (
    `run_date` date NOT NULL COMMENT 'the logical date of the run',
    `run_id` string NOT NULL COMMENT 'the run that wrote the row',
    `row_index` bigint NOT NULL COMMENT 'position of the row over the whole input, from 0; of several phone columns each cell is a row',
    `source_file` string NOT NULL COMMENT 'the input file\'s name',
    `source_row` bigint NOT NULL COMMENT 'the row\'s number in that file, from 1, header not counted',
    `e164` string NOT NULL COMMENT 'the number asked about, E.164',
    `region` string COMMENT 'ISO 3166-1 alpha-2 region of the number',
    `number_type` string COMMENT 'libphonenumber\'s type: mobile, fixed_line, …',
    `rule` string NOT NULL COMMENT 'the rule by which the raw number was accepted',
    `sim_swap_check_outcome` string COMMENT 'success, or why there is no value; null only if the endpoint was not asked',
    `sim_swap_check_swapped` boolean COMMENT 'true, false, or null: unknown',
    `sim_swap_check_max_age_minutes` int COMMENT 'the window sent or derived, in minutes; null where none is taken',
    `sim_swap_check_responded_at` timestamp COMMENT 'when the answer arrived',
    `sim_swap_date_outcome` string COMMENT 'success, or why there is no value; null only if the endpoint was not asked',
    `sim_swap_date_latest_change` string COMMENT 'reported, none_reported (not: never), or null: unknown',
    `sim_swap_date_latest_change_at` timestamp COMMENT 'latest change, truncated to microseconds',
    `sim_swap_date_responded_at` timestamp COMMENT 'when the answer arrived',
    `device_swap_check_outcome` string COMMENT 'success, or why there is no value; null only if the endpoint was not asked',
    `device_swap_check_swapped` boolean COMMENT 'true, false, or null: unknown',
    `device_swap_check_max_age_minutes` int COMMENT 'the window sent or derived, in minutes; null where none is taken',
    `device_swap_check_responded_at` timestamp COMMENT 'when the answer arrived',
    `device_swap_date_outcome` string COMMENT 'success, or why there is no value; null only if the endpoint was not asked',
    `device_swap_date_latest_change` string COMMENT 'reported, none_reported (not: never), or null: unknown',
    `device_swap_date_latest_change_at` timestamp COMMENT 'latest change, truncated to microseconds',
    `device_swap_date_responded_at` timestamp COMMENT 'when the answer arrived',
    `call_forwarding_check_outcome` string COMMENT 'success, or why there is no value; null only if the endpoint was not asked',
    `call_forwarding_check_active` boolean COMMENT 'unconditional forwarding: true, false, or null: unknown',
    `call_forwarding_check_responded_at` timestamp COMMENT 'when the answer arrived',
    `sim_swap_check_source` string COMMENT 'asked, derived (from the date), reused, carried (from a superseded run), or null: skipped',
    `sim_swap_check_window_start` timestamp COMMENT 'from when on the value would show a change',
    `sim_swap_check_window_end` timestamp COMMENT 'until when it would: when the answer arrived',
    `sim_swap_check_gap_minutes` int COMMENT 'minutes between the last observation and window_start, 0: none; null: no earlier one',
    `sim_swap_date_source` string COMMENT 'asked, derived (from the date), reused, carried (from a superseded run), or null: skipped',
    `device_swap_check_source` string COMMENT 'asked, derived (from the date), reused, carried (from a superseded run), or null: skipped',
    `device_swap_check_window_start` timestamp COMMENT 'from when on the value would show a change',
    `device_swap_check_window_end` timestamp COMMENT 'until when it would: when the answer arrived',
    `device_swap_check_gap_minutes` int COMMENT 'minutes between the last observation and window_start, 0: none; null: no earlier one',
    `device_swap_date_source` string COMMENT 'asked, derived (from the date), reused, carried (from a superseded run), or null: skipped',
    `call_forwarding_check_source` string COMMENT 'asked, derived (from the date), reused, carried (from a superseded run), or null: skipped',
    `sim_swap_contradiction` boolean COMMENT 'whether check and date, both asked, cannot both be true; null where nobody can tell',
    `device_swap_contradiction` boolean COMMENT 'whether check and date, both asked, cannot both be true; null where nobody can tell',
    `sim_change_age_hours` double COMMENT 'age of the latest SIM change when its date was answered',
    `sim_change_age_band` string COMMENT 'that age\'s band, from <4h to 3y+',
    `device_change_age_hours` double COMMENT 'age of the latest device change when its date was answered',
    `device_change_age_band` string COMMENT 'that age\'s band, from <4h to 3y+',
    `risk_sim_and_device_recent` boolean COMMENT 'whether both changed lately: true, false, or null: unknown',
    `risk_sim_recent` boolean COMMENT 'whether the SIM changed lately: true, false, or null: unknown',
    `risk_device_recent` boolean COMMENT 'whether the device changed lately: true, false, or null: unknown',
    `risk_forwarding_active` boolean COMMENT 'whether all calls are forwarded: true, false, or null: unknown',
    `risk_version` int NOT NULL COMMENT 'the version of the rules for the age and risk columns',
    `phone_column` string NOT NULL COMMENT 'the column that held the number, named as in the file',
    `number_id` string COMMENT 'the number\'s keyed id; null where e164 is plain',
    `in_customer_id` string COMMENT 'kept from the input: customer_id',
    `in_kunden_nr` bigint COMMENT 'kept from the input: Kunden Nr.',
    `in_drop_table_runs` string COMMENT 'kept from the input: \'; DROP TABLE runs; --',
    `in_ad0644ff` string COMMENT 'kept from the input: "`\\',
    `in_x_y_z_line` date COMMENT 'kept from the input: \u0024\u0024 \u0024\u007bx} \u0026y \u007b\u007bz}}\u000aline',
    PRIMARY KEY (`run_id`, `row_index`)
) CLUSTER BY (`run_date`) COMMENT 'batch-screen: an accepted row of the list, with all answers to its number';
CREATE TABLE IF NOT EXISTS `batch_screen`.`lookups` (
    `run_date` date NOT NULL COMMENT 'the logical date of the run',
    `run_id` string NOT NULL COMMENT 'the run that wrote the row',
    `e164` string NOT NULL COMMENT 'the number asked about, E.164',
    `endpoint` string NOT NULL COMMENT 'the endpoint asked',
    `max_age_minutes` int COMMENT 'the window sent or derived, in minutes; null where none is taken',
    `outcome` string NOT NULL COMMENT 'success, or why there is no value',
    `reason` string COMMENT 'a closer word on the outcome',
    `swapped` boolean COMMENT 'true, false, or null: unknown',
    `active` boolean COMMENT 'unconditional forwarding: true, false, or null: unknown',
    `latest_change` string COMMENT 'reported, none_reported (not: never), or null: unknown',
    `latest_change_at` timestamp COMMENT 'latest change, truncated to microseconds',
    `latest_change_raw` string COMMENT 'the date exactly as answered',
    `http_status` int COMMENT 'the last answer\'s HTTP status',
    `code` string COMMENT 'the API\'s error code, as answered',
    `message` string COMMENT 'the API\'s error message, masked and shortened',
    `attempts` int NOT NULL COMMENT 'HTTP requests made',
    `refusals` int NOT NULL COMMENT 'requests among them refused for the rate',
    `latency_ms` double COMMENT 'time to the last answer',
    `responded_at` timestamp COMMENT 'when the last answer arrived',
    `correlator` string COMMENT 'the x-correlator sent with the last attempt',
    `unanswered` int NOT NULL COMMENT 'requests beside attempts that a crash left without a saved answer; may have been billed',
    `source` string COMMENT 'asked, derived (from the date), reused, carried (from a superseded run), or null: skipped',
    `source_run_id` string COMMENT 'reused, carried: the earlier run in which it was asked',
    `last_observed_at` timestamp COMMENT 'until when earlier runs had observed the number; null: none had, or none was looked at',
    `window_start` timestamp COMMENT 'from when on the value would show a change',
    `window_end` timestamp COMMENT 'until when it would: when the answer arrived',
    `gap_minutes` int COMMENT 'minutes between the last observation and window_start, 0: none; null: no earlier one',
    `contradiction` boolean COMMENT 'whether check and date, both asked, cannot both be true; null where nobody can tell',
    `number_id` string COMMENT 'the number\'s keyed id; null where e164 is plain',
    PRIMARY KEY (`run_id`, `e164`, `endpoint`)
) CLUSTER BY (`run_date`) COMMENT 'batch-screen: one number at one endpoint, with all that is known of the answer';
CREATE TABLE IF NOT EXISTS `batch_screen`.`errors` (
    `run_date` date NOT NULL COMMENT 'the logical date of the run',
    `run_id` string NOT NULL COMMENT 'the run that wrote the row',
    `kind` string NOT NULL COMMENT 'reject (a row) or failure (a lookup)',
    `row_index` bigint COMMENT 'rejects: position of the row over the whole input, from 0',
    `source_file` string COMMENT 'rejects: the input file\'s name',
    `source_row` bigint COMMENT 'rejects: the row\'s number in that file, from 1',
    `raw_masked` string COMMENT 'rejects: the cell\'s shape, masked',
    `raw_region` string COMMENT 'rejects: the row\'s own region, as written',
    `e164` string COMMENT 'failures: the number asked about',
    `endpoint` string COMMENT 'failures: the endpoint asked',
    `reason` string NOT NULL COMMENT 'the reject\'s reason or the failure\'s outcome',
    `detail` string COMMENT 'what was seen, masked',
    `remedy` string NOT NULL COMMENT 'what to do about it',
    `retry_can_help` boolean NOT NULL COMMENT 'whether asking again may bring an answer',
    `http_status` int COMMENT 'failures: the last answer\'s HTTP status',
    `code` string COMMENT 'failures: the API\'s error code',
    `attempts` int COMMENT 'failures: HTTP requests made',
    `phone_column` string COMMENT 'rejects: the column that held the cell, as in the file',
    `number_id` string COMMENT 'the number\'s keyed id; null where e164 is plain'
) CLUSTER BY (`run_date`) COMMENT 'batch-screen: a rejected row of the list, or a lookup without success';
CREATE TABLE IF NOT EXISTS `batch_screen`.`changes` (
    `run_date` date NOT NULL COMMENT 'the logical date of the run',
    `run_id` string NOT NULL COMMENT 'the run that wrote the row',
    `since_run_id` string NOT NULL COMMENT 'the earlier run it is compared with',
    `e164` string NOT NULL COMMENT 'the number asked about, E.164',
    `endpoint` string NOT NULL COMMENT 'the endpoint asked',
    `change` string NOT NULL COMMENT 'what is different since the earlier run',
    `before_outcome` string NOT NULL COMMENT 'outcome in the earlier run',
    `after_outcome` string NOT NULL COMMENT 'outcome in this run',
    `before_swapped` boolean COMMENT 'swapped in the earlier run',
    `after_swapped` boolean COMMENT 'swapped in this run',
    `before_active` boolean COMMENT 'active in the earlier run',
    `after_active` boolean COMMENT 'active in this run',
    `before_latest_change_at` timestamp COMMENT 'latest_change_at in the earlier run',
    `after_latest_change_at` timestamp COMMENT 'latest_change_at in this run',
    `before_responded_at` timestamp COMMENT 'responded_at in the earlier run',
    `after_responded_at` timestamp COMMENT 'responded_at in this run',
    `cohort` string COMMENT 'the marked block or country the number lies in, or null',
    `likely_migration` boolean NOT NULL COMMENT 'whether the change is part of that cohort\'s sudden rise',
    `number_id` string COMMENT 'the number\'s keyed id; null where e164 is plain',
    PRIMARY KEY (`run_id`, `e164`, `endpoint`)
) CLUSTER BY (`run_date`) COMMENT 'batch-screen: a number that answers otherwise than in the run before; an alert feed';
CREATE OR REPLACE VIEW `batch_screen`.`current_runs` COMMENT 'batch-screen: of each run date and list, the run completed last, no retried one' AS
SELECT `run_id`, `run_date`, `started_at`, `completed_at`, `loaded_at`, `schema_version`, `version`, `sandbox`, `api`, `manifest_sha256`, `since_run_id`, `inputs`, `rows_read`, `rows_accepted`, `rows_rejected`, `lookups`, `failed`, `erased_rows`, `supersedes`, `loaded_tables`
FROM `batch_screen`.`runs`
WHERE `run_id` NOT IN (SELECT explode(split(`supersedes`, ' ')) FROM `batch_screen`.`runs`)
QUALIFY row_number() OVER (
    PARTITION BY `run_date`, `inputs`
    ORDER BY `completed_at` DESC NULLS LAST, `run_id` DESC
) = 1;
CREATE OR REPLACE VIEW `batch_screen`.`current_results` COMMENT 'batch-screen: results of current_runs: each customer once a night' AS
SELECT * FROM `batch_screen`.`results`
WHERE `run_id` IN (SELECT `run_id` FROM `batch_screen`.`current_runs`);
CREATE OR REPLACE VIEW `batch_screen`.`signals` COMMENT 'batch-screen: the newest known answer for each number and endpoint; null is unknown' AS
SELECT
    l.`e164`,
    l.`number_id`,
    l.`endpoint`,
    l.`outcome`,
    l.`reason`,
    l.`swapped`,
    l.`active`,
    l.`latest_change`,
    l.`latest_change_at`,
    l.`max_age_minutes`,
    l.`window_start`,
    l.`window_end`,
    l.`responded_at`,
    l.`run_id`,
    l.`run_date`
FROM `batch_screen`.`lookups` AS l
JOIN `batch_screen`.`runs` AS r ON r.`run_id` = l.`run_id`
WHERE TRUE
QUALIFY row_number() OVER (
    PARTITION BY coalesce(l.`number_id`, l.`e164`), l.`endpoint`
    ORDER BY CASE WHEN l.`outcome` = 'success' THEN 0 ELSE 1 END,
        l.`responded_at` DESC NULLS LAST,
        r.`completed_at` DESC NULLS LAST, l.`run_id` DESC
) = 1;

-- The files that the manifest names, into tables with just their columns, in their order.
CREATE OR REPLACE TABLE `batch_screen`.`new_results_20260302_0123456789` (
    `run_id` string,
    `row_index` bigint,
    `source_file` string,
    `source_row` bigint,
    `e164` string,
    `region` string,
    `number_type` string,
    `rule` string,
    `sim_swap_check_outcome` string,
    `sim_swap_check_swapped` boolean,
    `sim_swap_check_max_age_minutes` int,
    `sim_swap_check_responded_at` timestamp,
    `sim_swap_date_outcome` string,
    `sim_swap_date_latest_change` string,
    `sim_swap_date_latest_change_at` timestamp,
    `sim_swap_date_responded_at` timestamp,
    `device_swap_check_outcome` string,
    `device_swap_check_swapped` boolean,
    `device_swap_check_max_age_minutes` int,
    `device_swap_check_responded_at` timestamp,
    `device_swap_date_outcome` string,
    `device_swap_date_latest_change` string,
    `device_swap_date_latest_change_at` timestamp,
    `device_swap_date_responded_at` timestamp,
    `call_forwarding_check_outcome` string,
    `call_forwarding_check_active` boolean,
    `call_forwarding_check_responded_at` timestamp,
    `sim_swap_check_source` string,
    `sim_swap_check_window_start` timestamp,
    `sim_swap_check_window_end` timestamp,
    `sim_swap_check_gap_minutes` int,
    `sim_swap_date_source` string,
    `device_swap_check_source` string,
    `device_swap_check_window_start` timestamp,
    `device_swap_check_window_end` timestamp,
    `device_swap_check_gap_minutes` int,
    `device_swap_date_source` string,
    `call_forwarding_check_source` string,
    `sim_swap_contradiction` boolean,
    `device_swap_contradiction` boolean,
    `sim_change_age_hours` double,
    `sim_change_age_band` string,
    `device_change_age_hours` double,
    `device_change_age_band` string,
    `risk_sim_and_device_recent` boolean,
    `risk_sim_recent` boolean,
    `risk_device_recent` boolean,
    `risk_forwarding_active` boolean,
    `risk_version` int,
    `phone_column` string,
    `number_id` string,
    `in_customer_id` string,
    `in_kunden_nr` bigint,
    `in_drop_table_runs` string,
    `in_ad0644ff` string,
    `in_x_y_z_line` date
);
COPY INTO `batch_screen`.`new_results_20260302_0123456789` FROM (
    SELECT `run_id` AS `run_id`, `row_index` AS `row_index`, `source_file` AS `source_file`, `source_row` AS `source_row`, `e164` AS `e164`, `region` AS `region`, `number_type` AS `number_type`, `rule` AS `rule`, `sim_swap_check_outcome` AS `sim_swap_check_outcome`, `sim_swap_check_swapped` AS `sim_swap_check_swapped`, `sim_swap_check_max_age_minutes` AS `sim_swap_check_max_age_minutes`, `sim_swap_check_responded_at` AS `sim_swap_check_responded_at`, `sim_swap_date_outcome` AS `sim_swap_date_outcome`, `sim_swap_date_latest_change` AS `sim_swap_date_latest_change`, `sim_swap_date_latest_change_at` AS `sim_swap_date_latest_change_at`, `sim_swap_date_responded_at` AS `sim_swap_date_responded_at`, `device_swap_check_outcome` AS `device_swap_check_outcome`, `device_swap_check_swapped` AS `device_swap_check_swapped`, `device_swap_check_max_age_minutes` AS `device_swap_check_max_age_minutes`, `device_swap_check_responded_at` AS `device_swap_check_responded_at`, `device_swap_date_outcome` AS `device_swap_date_outcome`, `device_swap_date_latest_change` AS `device_swap_date_latest_change`, `device_swap_date_latest_change_at` AS `device_swap_date_latest_change_at`, `device_swap_date_responded_at` AS `device_swap_date_responded_at`, `call_forwarding_check_outcome` AS `call_forwarding_check_outcome`, `call_forwarding_check_active` AS `call_forwarding_check_active`, `call_forwarding_check_responded_at` AS `call_forwarding_check_responded_at`, `sim_swap_check_source` AS `sim_swap_check_source`, `sim_swap_check_window_start` AS `sim_swap_check_window_start`, `sim_swap_check_window_end` AS `sim_swap_check_window_end`, `sim_swap_check_gap_minutes` AS `sim_swap_check_gap_minutes`, `sim_swap_date_source` AS `sim_swap_date_source`, `device_swap_check_source` AS `device_swap_check_source`, `device_swap_check_window_start` AS `device_swap_check_window_start`, `device_swap_check_window_end` AS `device_swap_check_window_end`, `device_swap_check_gap_minutes` AS `device_swap_check_gap_minutes`, `device_swap_date_source` AS `device_swap_date_source`, `call_forwarding_check_source` AS `call_forwarding_check_source`, `sim_swap_contradiction` AS `sim_swap_contradiction`, `device_swap_contradiction` AS `device_swap_contradiction`, `sim_change_age_hours` AS `sim_change_age_hours`, `sim_change_age_band` AS `sim_change_age_band`, `device_change_age_hours` AS `device_change_age_hours`, `device_change_age_band` AS `device_change_age_band`, `risk_sim_and_device_recent` AS `risk_sim_and_device_recent`, `risk_sim_recent` AS `risk_sim_recent`, `risk_device_recent` AS `risk_device_recent`, `risk_forwarding_active` AS `risk_forwarding_active`, `risk_version` AS `risk_version`, `phone_column` AS `phone_column`, `number_id` AS `number_id`, `in_customer_id` AS `in_customer_id`, `in_Kunden Nr.` AS `in_kunden_nr`, `in_'; DROP TABLE runs; --` AS `in_drop_table_runs`, `in_"``\` AS `in_ad0644ff`, `in_$$ ${x} &y {{z}}
line` AS `in_x_y_z_line`
    FROM 's3://bucket/nights/results/run_date=2026-03-02'
)
FILEFORMAT = PARQUET
FILES = (
    '20260302-0123456789-00000.parquet',
    '20260302-0123456789-00001.parquet'
)
COPY_OPTIONS ('force' = 'true');
SELECT assert_true((SELECT count(*) FROM `batch_screen`.`new_results_20260302_0123456789`) = 4, 'results: the rows are not as many as the manifest says');
CREATE OR REPLACE TABLE `batch_screen`.`new_lookups_20260302_0123456789` (
    `run_id` string,
    `e164` string,
    `endpoint` string,
    `max_age_minutes` int,
    `outcome` string,
    `reason` string,
    `swapped` boolean,
    `active` boolean,
    `latest_change` string,
    `latest_change_at` timestamp,
    `latest_change_raw` string,
    `http_status` int,
    `code` string,
    `message` string,
    `attempts` int,
    `refusals` int,
    `latency_ms` double,
    `responded_at` timestamp,
    `correlator` string,
    `unanswered` int,
    `source` string,
    `source_run_id` string,
    `last_observed_at` timestamp,
    `window_start` timestamp,
    `window_end` timestamp,
    `gap_minutes` int,
    `contradiction` boolean,
    `number_id` string
);
COPY INTO `batch_screen`.`new_lookups_20260302_0123456789` FROM (
    SELECT `run_id` AS `run_id`, `e164` AS `e164`, `endpoint` AS `endpoint`, `max_age_minutes` AS `max_age_minutes`, `outcome` AS `outcome`, `reason` AS `reason`, `swapped` AS `swapped`, `active` AS `active`, `latest_change` AS `latest_change`, `latest_change_at` AS `latest_change_at`, `latest_change_raw` AS `latest_change_raw`, `http_status` AS `http_status`, `code` AS `code`, `message` AS `message`, `attempts` AS `attempts`, `refusals` AS `refusals`, `latency_ms` AS `latency_ms`, `responded_at` AS `responded_at`, `correlator` AS `correlator`, `unanswered` AS `unanswered`, `source` AS `source`, `source_run_id` AS `source_run_id`, `last_observed_at` AS `last_observed_at`, `window_start` AS `window_start`, `window_end` AS `window_end`, `gap_minutes` AS `gap_minutes`, `contradiction` AS `contradiction`, `number_id` AS `number_id`
    FROM 's3://bucket/nights/lookups/run_date=2026-03-02'
)
FILEFORMAT = PARQUET
FILES = (
    '20260302-0123456789-00000.parquet',
    '20260302-0123456789-00001.parquet'
)
COPY_OPTIONS ('force' = 'true');
SELECT assert_true((SELECT count(*) FROM `batch_screen`.`new_lookups_20260302_0123456789`) = 4, 'lookups: the rows are not as many as the manifest says');
CREATE OR REPLACE TABLE `batch_screen`.`new_errors_20260302_0123456789` (
    `run_id` string,
    `kind` string,
    `row_index` bigint,
    `source_file` string,
    `source_row` bigint,
    `raw_masked` string,
    `raw_region` string,
    `e164` string,
    `endpoint` string,
    `reason` string,
    `detail` string,
    `remedy` string,
    `retry_can_help` boolean,
    `http_status` int,
    `code` string,
    `attempts` int,
    `phone_column` string,
    `number_id` string
);
COPY INTO `batch_screen`.`new_errors_20260302_0123456789` FROM (
    SELECT `run_id` AS `run_id`, `kind` AS `kind`, `row_index` AS `row_index`, `source_file` AS `source_file`, `source_row` AS `source_row`, `raw_masked` AS `raw_masked`, `raw_region` AS `raw_region`, `e164` AS `e164`, `endpoint` AS `endpoint`, `reason` AS `reason`, `detail` AS `detail`, `remedy` AS `remedy`, `retry_can_help` AS `retry_can_help`, `http_status` AS `http_status`, `code` AS `code`, `attempts` AS `attempts`, `phone_column` AS `phone_column`, `number_id` AS `number_id`
    FROM 's3://bucket/nights/errors/run_date=2026-03-02'
)
FILEFORMAT = PARQUET
FILES = (
    '20260302-0123456789-00000.parquet',
    '20260302-0123456789-00001.parquet'
)
COPY_OPTIONS ('force' = 'true');
SELECT assert_true((SELECT count(*) FROM `batch_screen`.`new_errors_20260302_0123456789`) = 4, 'errors: the rows are not as many as the manifest says');
CREATE OR REPLACE TABLE `batch_screen`.`new_changes_20260302_0123456789` (
    `run_id` string,
    `since_run_id` string,
    `e164` string,
    `endpoint` string,
    `change` string,
    `before_outcome` string,
    `after_outcome` string,
    `before_swapped` boolean,
    `after_swapped` boolean,
    `before_active` boolean,
    `after_active` boolean,
    `before_latest_change_at` timestamp,
    `after_latest_change_at` timestamp,
    `before_responded_at` timestamp,
    `after_responded_at` timestamp,
    `cohort` string,
    `likely_migration` boolean,
    `number_id` string
);
COPY INTO `batch_screen`.`new_changes_20260302_0123456789` FROM (
    SELECT `run_id` AS `run_id`, `since_run_id` AS `since_run_id`, `e164` AS `e164`, `endpoint` AS `endpoint`, `change` AS `change`, `before_outcome` AS `before_outcome`, `after_outcome` AS `after_outcome`, `before_swapped` AS `before_swapped`, `after_swapped` AS `after_swapped`, `before_active` AS `before_active`, `after_active` AS `after_active`, `before_latest_change_at` AS `before_latest_change_at`, `after_latest_change_at` AS `after_latest_change_at`, `before_responded_at` AS `before_responded_at`, `after_responded_at` AS `after_responded_at`, `cohort` AS `cohort`, `likely_migration` AS `likely_migration`, `number_id` AS `number_id`
    FROM 's3://bucket/nights/changes/run_date=2026-03-02'
)
FILEFORMAT = PARQUET
FILES = (
    '20260302-0123456789-00000.parquet',
    '20260302-0123456789-00001.parquet'
)
COPY_OPTIONS ('force' = 'true');
SELECT assert_true((SELECT count(*) FROM `batch_screen`.`new_changes_20260302_0123456789`) = 4, 'changes: the rows are not as many as the manifest says');

-- The run, whole or not at all. What is there of it is replaced.
DELETE FROM `batch_screen`.`runs` WHERE `run_id` = '20260302-0123456789';
INSERT WITH SCHEMA EVOLUTION INTO `batch_screen`.`results` BY NAME
REPLACE WHERE `run_id` = '20260302-0123456789'
SELECT DATE '2026-03-02' AS `run_date`, n.* FROM `batch_screen`.`new_results_20260302_0123456789` AS n;
INSERT WITH SCHEMA EVOLUTION INTO `batch_screen`.`lookups` BY NAME
REPLACE WHERE `run_id` = '20260302-0123456789'
SELECT DATE '2026-03-02' AS `run_date`, n.* FROM `batch_screen`.`new_lookups_20260302_0123456789` AS n;
INSERT WITH SCHEMA EVOLUTION INTO `batch_screen`.`errors` BY NAME
REPLACE WHERE `run_id` = '20260302-0123456789'
SELECT DATE '2026-03-02' AS `run_date`, n.* FROM `batch_screen`.`new_errors_20260302_0123456789` AS n;
INSERT WITH SCHEMA EVOLUTION INTO `batch_screen`.`changes` BY NAME
REPLACE WHERE `run_id` = '20260302-0123456789'
SELECT DATE '2026-03-02' AS `run_date`, n.* FROM `batch_screen`.`new_changes_20260302_0123456789` AS n;
SELECT assert_true((SELECT count(*) FROM `batch_screen`.`results` WHERE `run_id` = '20260302-0123456789') = 4, 'results: the rows are not as many as the manifest says');
SELECT assert_true((SELECT count(*) FROM `batch_screen`.`lookups` WHERE `run_id` = '20260302-0123456789') = 4, 'lookups: the rows are not as many as the manifest says');
SELECT assert_true((SELECT count(*) FROM `batch_screen`.`errors` WHERE `run_id` = '20260302-0123456789') = 4, 'errors: the rows are not as many as the manifest says');
SELECT assert_true((SELECT count(*) FROM `batch_screen`.`changes` WHERE `run_id` = '20260302-0123456789') = 4, 'changes: the rows are not as many as the manifest says');
INSERT INTO `batch_screen`.`runs` (`run_id`, `run_date`, `started_at`, `completed_at`, `loaded_at`, `schema_version`, `version`, `sandbox`, `api`, `manifest_sha256`, `since_run_id`, `inputs`, `rows_read`, `rows_accepted`, `rows_rejected`, `lookups`, `failed`, `erased_rows`, `supersedes`, `loaded_tables`)
VALUES ('20260302-0123456789', DATE '2026-03-02', CAST('2026-03-02 02:31:07.000005+00:00' AS timestamp), CAST('2026-03-02 02:31:07.000005+00:00' AS timestamp), current_timestamp(), 5, '0.1.0', FALSE, 'api.example v1', '0000000000000000000000000000000000000000000000000000000000000000', NULL, '1111111111111111111111111111111111111111111111111111111111111111', NULL, NULL, NULL, NULL, NULL, NULL, '', NULL);
DROP TABLE `batch_screen`.`new_results_20260302_0123456789`;
DROP TABLE `batch_screen`.`new_lookups_20260302_0123456789`;
DROP TABLE `batch_screen`.`new_errors_20260302_0123456789`;
DROP TABLE `batch_screen`.`new_changes_20260302_0123456789`;

-- batch-screen 0.1.0, bigquery: run 20260302-0123456789
-- For bq query --use_legacy_sql=false < FILE, as one script. Make the dataset first, in the bucket's
-- region. BigQuery does not enforce keys.

-- What is missing is made. Nothing is dropped or retyped.
CREATE TABLE IF NOT EXISTS `batch_screen`.`runs` (
    `run_id` string NOT NULL OPTIONS (description = 'the run'),
    `run_date` date NOT NULL OPTIONS (description = 'its logical date'),
    `started_at` timestamp OPTIONS (description = 'when it was begun'),
    `completed_at` timestamp OPTIONS (description = 'when its files were complete'),
    `loaded_at` timestamp NOT NULL OPTIONS (description = 'when it was loaded here'),
    `schema_version` int64 NOT NULL OPTIONS (description = 'version of the columns it was written with'),
    `version` string OPTIONS (description = 'version of batch-screen that wrote it'),
    `sandbox` bool NOT NULL OPTIONS (description = 'whether its answers are made up by the sandbox'),
    `api` string OPTIONS (description = 'host and contract of the server that was asked'),
    `manifest_sha256` string NOT NULL OPTIONS (description = 'SHA-256 of its manifest.json, as _SUCCESS has it'),
    `since_run_id` string OPTIONS (description = 'the run that its changes are counted from'),
    `inputs` string NOT NULL OPTIONS (description = 'digest of its lists, limit and api: the same for the same'),
    `rows_read` int64 OPTIONS (description = 'rows of the list'),
    `rows_accepted` int64 OPTIONS (description = 'rows among them with a number that was asked about'),
    `rows_rejected` int64 OPTIONS (description = 'rows among them that were never asked about'),
    `lookups` int64 OPTIONS (description = 'numbers by endpoints'),
    `failed` int64 OPTIONS (description = 'lookups among them without an answer'),
    `erased_rows` int64 OPTIONS (description = 'rows that were erased from it on a person\'s request'),
    `supersedes` string OPTIONS (description = 'runs it replaces as a retry, with blanks between'),
    `loaded_tables` string OPTIONS (description = 'its tables that are here, with blanks between'),
    PRIMARY KEY (`run_id`) NOT ENFORCED
) OPTIONS (description = 'batch-screen: the runs that are loaded whole; rows of any other run do not count');
CREATE TABLE IF NOT EXISTS `batch_screen`.`results` (
    `run_date` date NOT NULL OPTIONS (description = 'the logical date of the run'),
    `run_id` string NOT NULL OPTIONS (description = 'the run that wrote the row'),
    `row_index` int64 NOT NULL OPTIONS (description = 'position of the row over the whole input, from 0; of several phone columns each cell is a row'),
    `source_file` string NOT NULL OPTIONS (description = 'the input file\'s name'),
    `source_row` int64 NOT NULL OPTIONS (description = 'the row\'s number in that file, from 1, header not counted'),
    `e164` string NOT NULL OPTIONS (description = 'the number asked about, E.164'),
    `region` string OPTIONS (description = 'ISO 3166-1 alpha-2 region of the number'),
    `number_type` string OPTIONS (description = 'libphonenumber\'s type: mobile, fixed_line, …'),
    `rule` string NOT NULL OPTIONS (description = 'the rule by which the raw number was accepted'),
    `sim_swap_check_outcome` string OPTIONS (description = 'success, or why there is no value; null only if the endpoint was not asked'),
    `sim_swap_check_swapped` bool OPTIONS (description = 'true, false, or null: unknown'),
    `sim_swap_check_max_age_minutes` int64 OPTIONS (description = 'the window sent or derived, in minutes; null where none is taken'),
    `sim_swap_check_responded_at` timestamp OPTIONS (description = 'when the answer arrived'),
    `sim_swap_date_outcome` string OPTIONS (description = 'success, or why there is no value; null only if the endpoint was not asked'),
    `sim_swap_date_latest_change` string OPTIONS (description = 'reported, none_reported (not: never), or null: unknown'),
    `sim_swap_date_latest_change_at` timestamp OPTIONS (description = 'latest change, truncated to microseconds'),
    `sim_swap_date_responded_at` timestamp OPTIONS (description = 'when the answer arrived'),
    `device_swap_check_outcome` string OPTIONS (description = 'success, or why there is no value; null only if the endpoint was not asked'),
    `device_swap_check_swapped` bool OPTIONS (description = 'true, false, or null: unknown'),
    `device_swap_check_max_age_minutes` int64 OPTIONS (description = 'the window sent or derived, in minutes; null where none is taken'),
    `device_swap_check_responded_at` timestamp OPTIONS (description = 'when the answer arrived'),
    `device_swap_date_outcome` string OPTIONS (description = 'success, or why there is no value; null only if the endpoint was not asked'),
    `device_swap_date_latest_change` string OPTIONS (description = 'reported, none_reported (not: never), or null: unknown'),
    `device_swap_date_latest_change_at` timestamp OPTIONS (description = 'latest change, truncated to microseconds'),
    `device_swap_date_responded_at` timestamp OPTIONS (description = 'when the answer arrived'),
    `call_forwarding_check_outcome` string OPTIONS (description = 'success, or why there is no value; null only if the endpoint was not asked'),
    `call_forwarding_check_active` bool OPTIONS (description = 'unconditional forwarding: true, false, or null: unknown'),
    `call_forwarding_check_responded_at` timestamp OPTIONS (description = 'when the answer arrived'),
    `sim_swap_check_source` string OPTIONS (description = 'asked, derived (from the date), reused, carried (from a superseded run), or null: skipped'),
    `sim_swap_check_window_start` timestamp OPTIONS (description = 'from when on the value would show a change'),
    `sim_swap_check_window_end` timestamp OPTIONS (description = 'until when it would: when the answer arrived'),
    `sim_swap_check_gap_minutes` int64 OPTIONS (description = 'minutes between the last observation and window_start, 0: none; null: no earlier one'),
    `sim_swap_date_source` string OPTIONS (description = 'asked, derived (from the date), reused, carried (from a superseded run), or null: skipped'),
    `device_swap_check_source` string OPTIONS (description = 'asked, derived (from the date), reused, carried (from a superseded run), or null: skipped'),
    `device_swap_check_window_start` timestamp OPTIONS (description = 'from when on the value would show a change'),
    `device_swap_check_window_end` timestamp OPTIONS (description = 'until when it would: when the answer arrived'),
    `device_swap_check_gap_minutes` int64 OPTIONS (description = 'minutes between the last observation and window_start, 0: none; null: no earlier one'),
    `device_swap_date_source` string OPTIONS (description = 'asked, derived (from the date), reused, carried (from a superseded run), or null: skipped'),
    `call_forwarding_check_source` string OPTIONS (description = 'asked, derived (from the date), reused, carried (from a superseded run), or null: skipped'),
    `sim_swap_contradiction` bool OPTIONS (description = 'whether check and date, both asked, cannot both be true; null where nobody can tell'),
    `device_swap_contradiction` bool OPTIONS (description = 'whether check and date, both asked, cannot both be true; null where nobody can tell'),
    `sim_change_age_hours` float64 OPTIONS (description = 'age of the latest SIM change when its date was answered'),
    `sim_change_age_band` string OPTIONS (description = 'that age\'s band, from <4h to 3y+'),
    `device_change_age_hours` float64 OPTIONS (description = 'age of the latest device change when its date was answered'),
    `device_change_age_band` string OPTIONS (description = 'that age\'s band, from <4h to 3y+'),
    `risk_sim_and_device_recent` bool OPTIONS (description = 'whether both changed lately: true, false, or null: unknown'),
    `risk_sim_recent` bool OPTIONS (description = 'whether the SIM changed lately: true, false, or null: unknown'),
    `risk_device_recent` bool OPTIONS (description = 'whether the device changed lately: true, false, or null: unknown'),
    `risk_forwarding_active` bool OPTIONS (description = 'whether all calls are forwarded: true, false, or null: unknown'),
    `risk_version` int64 NOT NULL OPTIONS (description = 'the version of the rules for the age and risk columns'),
    `phone_column` string NOT NULL OPTIONS (description = 'the column that held the number, named as in the file'),
    `number_id` string OPTIONS (description = 'the number\'s keyed id; null where e164 is plain'),
    `in_customer_id` string OPTIONS (description = 'kept from the input: customer_id'),
    `in_kunden_nr` int64 OPTIONS (description = 'kept from the input: Kunden Nr.'),
    `in_drop_table_runs` string OPTIONS (description = 'kept from the input: \'; DROP TABLE runs; --'),
    `in_ad0644ff` string OPTIONS (description = 'kept from the input: "`\\'),
    `in_x_y_z_line` date OPTIONS (description = 'kept from the input: \u0024\u0024 \u0024\u007bx} \u0026y \u007b\u007bz}}\u000aline'),
    PRIMARY KEY (`run_id`, `row_index`) NOT ENFORCED
) PARTITION BY `run_date` OPTIONS (description = 'batch-screen: an accepted row of the list, with all answers to its number');
ALTER TABLE `batch_screen`.`results` ADD COLUMN IF NOT EXISTS `number_id` string OPTIONS (description = 'the number\'s keyed id; null where e164 is plain');
ALTER TABLE `batch_screen`.`results` ADD COLUMN IF NOT EXISTS `in_customer_id` string OPTIONS (description = 'kept from the input: customer_id');
ALTER TABLE `batch_screen`.`results` ADD COLUMN IF NOT EXISTS `in_kunden_nr` int64 OPTIONS (description = 'kept from the input: Kunden Nr.');
ALTER TABLE `batch_screen`.`results` ADD COLUMN IF NOT EXISTS `in_drop_table_runs` string OPTIONS (description = 'kept from the input: \'; DROP TABLE runs; --');
ALTER TABLE `batch_screen`.`results` ADD COLUMN IF NOT EXISTS `in_ad0644ff` string OPTIONS (description = 'kept from the input: "`\\');
ALTER TABLE `batch_screen`.`results` ADD COLUMN IF NOT EXISTS `in_x_y_z_line` date OPTIONS (description = 'kept from the input: \u0024\u0024 \u0024\u007bx} \u0026y \u007b\u007bz}}\u000aline');
CREATE TABLE IF NOT EXISTS `batch_screen`.`lookups` (
    `run_date` date NOT NULL OPTIONS (description = 'the logical date of the run'),
    `run_id` string NOT NULL OPTIONS (description = 'the run that wrote the row'),
    `e164` string NOT NULL OPTIONS (description = 'the number asked about, E.164'),
    `endpoint` string NOT NULL OPTIONS (description = 'the endpoint asked'),
    `max_age_minutes` int64 OPTIONS (description = 'the window sent or derived, in minutes; null where none is taken'),
    `outcome` string NOT NULL OPTIONS (description = 'success, or why there is no value'),
    `reason` string OPTIONS (description = 'a closer word on the outcome'),
    `swapped` bool OPTIONS (description = 'true, false, or null: unknown'),
    `active` bool OPTIONS (description = 'unconditional forwarding: true, false, or null: unknown'),
    `latest_change` string OPTIONS (description = 'reported, none_reported (not: never), or null: unknown'),
    `latest_change_at` timestamp OPTIONS (description = 'latest change, truncated to microseconds'),
    `latest_change_raw` string OPTIONS (description = 'the date exactly as answered'),
    `http_status` int64 OPTIONS (description = 'the last answer\'s HTTP status'),
    `code` string OPTIONS (description = 'the API\'s error code, as answered'),
    `message` string OPTIONS (description = 'the API\'s error message, masked and shortened'),
    `attempts` int64 NOT NULL OPTIONS (description = 'HTTP requests made'),
    `refusals` int64 NOT NULL OPTIONS (description = 'requests among them refused for the rate'),
    `latency_ms` float64 OPTIONS (description = 'time to the last answer'),
    `responded_at` timestamp OPTIONS (description = 'when the last answer arrived'),
    `correlator` string OPTIONS (description = 'the x-correlator sent with the last attempt'),
    `unanswered` int64 NOT NULL OPTIONS (description = 'requests beside attempts that a crash left without a saved answer; may have been billed'),
    `source` string OPTIONS (description = 'asked, derived (from the date), reused, carried (from a superseded run), or null: skipped'),
    `source_run_id` string OPTIONS (description = 'reused, carried: the earlier run in which it was asked'),
    `last_observed_at` timestamp OPTIONS (description = 'until when earlier runs had observed the number; null: none had, or none was looked at'),
    `window_start` timestamp OPTIONS (description = 'from when on the value would show a change'),
    `window_end` timestamp OPTIONS (description = 'until when it would: when the answer arrived'),
    `gap_minutes` int64 OPTIONS (description = 'minutes between the last observation and window_start, 0: none; null: no earlier one'),
    `contradiction` bool OPTIONS (description = 'whether check and date, both asked, cannot both be true; null where nobody can tell'),
    `number_id` string OPTIONS (description = 'the number\'s keyed id; null where e164 is plain'),
    PRIMARY KEY (`run_id`, `e164`, `endpoint`) NOT ENFORCED
) PARTITION BY `run_date` OPTIONS (description = 'batch-screen: one number at one endpoint, with all that is known of the answer');
ALTER TABLE `batch_screen`.`lookups` ADD COLUMN IF NOT EXISTS `number_id` string OPTIONS (description = 'the number\'s keyed id; null where e164 is plain');
CREATE TABLE IF NOT EXISTS `batch_screen`.`errors` (
    `run_date` date NOT NULL OPTIONS (description = 'the logical date of the run'),
    `run_id` string NOT NULL OPTIONS (description = 'the run that wrote the row'),
    `kind` string NOT NULL OPTIONS (description = 'reject (a row) or failure (a lookup)'),
    `row_index` int64 OPTIONS (description = 'rejects: position of the row over the whole input, from 0'),
    `source_file` string OPTIONS (description = 'rejects: the input file\'s name'),
    `source_row` int64 OPTIONS (description = 'rejects: the row\'s number in that file, from 1'),
    `raw_masked` string OPTIONS (description = 'rejects: the cell\'s shape, masked'),
    `raw_region` string OPTIONS (description = 'rejects: the row\'s own region, as written'),
    `e164` string OPTIONS (description = 'failures: the number asked about'),
    `endpoint` string OPTIONS (description = 'failures: the endpoint asked'),
    `reason` string NOT NULL OPTIONS (description = 'the reject\'s reason or the failure\'s outcome'),
    `detail` string OPTIONS (description = 'what was seen, masked'),
    `remedy` string NOT NULL OPTIONS (description = 'what to do about it'),
    `retry_can_help` bool NOT NULL OPTIONS (description = 'whether asking again may bring an answer'),
    `http_status` int64 OPTIONS (description = 'failures: the last answer\'s HTTP status'),
    `code` string OPTIONS (description = 'failures: the API\'s error code'),
    `attempts` int64 OPTIONS (description = 'failures: HTTP requests made'),
    `phone_column` string OPTIONS (description = 'rejects: the column that held the cell, as in the file'),
    `number_id` string OPTIONS (description = 'the number\'s keyed id; null where e164 is plain')
) PARTITION BY `run_date` OPTIONS (description = 'batch-screen: a rejected row of the list, or a lookup without success');
ALTER TABLE `batch_screen`.`errors` ADD COLUMN IF NOT EXISTS `number_id` string OPTIONS (description = 'the number\'s keyed id; null where e164 is plain');
CREATE TABLE IF NOT EXISTS `batch_screen`.`changes` (
    `run_date` date NOT NULL OPTIONS (description = 'the logical date of the run'),
    `run_id` string NOT NULL OPTIONS (description = 'the run that wrote the row'),
    `since_run_id` string NOT NULL OPTIONS (description = 'the earlier run it is compared with'),
    `e164` string NOT NULL OPTIONS (description = 'the number asked about, E.164'),
    `endpoint` string NOT NULL OPTIONS (description = 'the endpoint asked'),
    `change` string NOT NULL OPTIONS (description = 'what is different since the earlier run'),
    `before_outcome` string NOT NULL OPTIONS (description = 'outcome in the earlier run'),
    `after_outcome` string NOT NULL OPTIONS (description = 'outcome in this run'),
    `before_swapped` bool OPTIONS (description = 'swapped in the earlier run'),
    `after_swapped` bool OPTIONS (description = 'swapped in this run'),
    `before_active` bool OPTIONS (description = 'active in the earlier run'),
    `after_active` bool OPTIONS (description = 'active in this run'),
    `before_latest_change_at` timestamp OPTIONS (description = 'latest_change_at in the earlier run'),
    `after_latest_change_at` timestamp OPTIONS (description = 'latest_change_at in this run'),
    `before_responded_at` timestamp OPTIONS (description = 'responded_at in the earlier run'),
    `after_responded_at` timestamp OPTIONS (description = 'responded_at in this run'),
    `cohort` string OPTIONS (description = 'the marked block or country the number lies in, or null'),
    `likely_migration` bool NOT NULL OPTIONS (description = 'whether the change is part of that cohort\'s sudden rise'),
    `number_id` string OPTIONS (description = 'the number\'s keyed id; null where e164 is plain'),
    PRIMARY KEY (`run_id`, `e164`, `endpoint`) NOT ENFORCED
) PARTITION BY `run_date` OPTIONS (description = 'batch-screen: a number that answers otherwise than in the run before; an alert feed');
ALTER TABLE `batch_screen`.`changes` ADD COLUMN IF NOT EXISTS `number_id` string OPTIONS (description = 'the number\'s keyed id; null where e164 is plain');
CREATE OR REPLACE VIEW `batch_screen`.`current_runs` OPTIONS (description = 'batch-screen: of each run date and list, the run completed last, no retried one') AS
SELECT `run_id`, `run_date`, `started_at`, `completed_at`, `loaded_at`, `schema_version`, `version`, `sandbox`, `api`, `manifest_sha256`, `since_run_id`, `inputs`, `rows_read`, `rows_accepted`, `rows_rejected`, `lookups`, `failed`, `erased_rows`, `supersedes`, `loaded_tables`
FROM `batch_screen`.`runs`
WHERE `run_id` NOT IN (SELECT each FROM `batch_screen`.`runs`, UNNEST(SPLIT(`supersedes`, ' ')) AS each)
QUALIFY row_number() OVER (
    PARTITION BY `run_date`, `inputs`
    ORDER BY `completed_at` DESC NULLS LAST, `run_id` DESC
) = 1;
CREATE OR REPLACE VIEW `batch_screen`.`current_results` OPTIONS (description = 'batch-screen: results of current_runs: each customer once a night') AS
SELECT * FROM `batch_screen`.`results`
WHERE `run_id` IN (SELECT `run_id` FROM `batch_screen`.`current_runs`);
CREATE OR REPLACE VIEW `batch_screen`.`signals` OPTIONS (description = 'batch-screen: the newest known answer for each number and endpoint; null is unknown') AS
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
CREATE OR REPLACE TEMP TABLE `new_results` (
    `run_id` string,
    `row_index` int64,
    `source_file` string,
    `source_row` int64,
    `e164` string,
    `region` string,
    `number_type` string,
    `rule` string,
    `sim_swap_check_outcome` string,
    `sim_swap_check_swapped` bool,
    `sim_swap_check_max_age_minutes` int64,
    `sim_swap_check_responded_at` timestamp,
    `sim_swap_date_outcome` string,
    `sim_swap_date_latest_change` string,
    `sim_swap_date_latest_change_at` timestamp,
    `sim_swap_date_responded_at` timestamp,
    `device_swap_check_outcome` string,
    `device_swap_check_swapped` bool,
    `device_swap_check_max_age_minutes` int64,
    `device_swap_check_responded_at` timestamp,
    `device_swap_date_outcome` string,
    `device_swap_date_latest_change` string,
    `device_swap_date_latest_change_at` timestamp,
    `device_swap_date_responded_at` timestamp,
    `call_forwarding_check_outcome` string,
    `call_forwarding_check_active` bool,
    `call_forwarding_check_responded_at` timestamp,
    `sim_swap_check_source` string,
    `sim_swap_check_window_start` timestamp,
    `sim_swap_check_window_end` timestamp,
    `sim_swap_check_gap_minutes` int64,
    `sim_swap_date_source` string,
    `device_swap_check_source` string,
    `device_swap_check_window_start` timestamp,
    `device_swap_check_window_end` timestamp,
    `device_swap_check_gap_minutes` int64,
    `device_swap_date_source` string,
    `call_forwarding_check_source` string,
    `sim_swap_contradiction` bool,
    `device_swap_contradiction` bool,
    `sim_change_age_hours` float64,
    `sim_change_age_band` string,
    `device_change_age_hours` float64,
    `device_change_age_band` string,
    `risk_sim_and_device_recent` bool,
    `risk_sim_recent` bool,
    `risk_device_recent` bool,
    `risk_forwarding_active` bool,
    `risk_version` int64,
    `phone_column` string,
    `number_id` string,
    `in_customer_id` string,
    `in_Kunden_Nr_` int64,
    `in____DROP_TABLE_runs____` string,
    `in____` string,
    `in______x___y___z___line` date
);
LOAD DATA INTO TEMP TABLE `new_results` FROM FILES (
    format = 'PARQUET',
    column_name_character_map = 'V1',
    uris = [
        'gs://bucket/nights/results/run_date=2026-03-02/20260302-0123456789-00000.parquet',
        'gs://bucket/nights/results/run_date=2026-03-02/20260302-0123456789-00001.parquet'
    ]
);
CREATE OR REPLACE TEMP TABLE `new_lookups` (
    `run_id` string,
    `e164` string,
    `endpoint` string,
    `max_age_minutes` int64,
    `outcome` string,
    `reason` string,
    `swapped` bool,
    `active` bool,
    `latest_change` string,
    `latest_change_at` timestamp,
    `latest_change_raw` string,
    `http_status` int64,
    `code` string,
    `message` string,
    `attempts` int64,
    `refusals` int64,
    `latency_ms` float64,
    `responded_at` timestamp,
    `correlator` string,
    `unanswered` int64,
    `source` string,
    `source_run_id` string,
    `last_observed_at` timestamp,
    `window_start` timestamp,
    `window_end` timestamp,
    `gap_minutes` int64,
    `contradiction` bool,
    `number_id` string
);
LOAD DATA INTO TEMP TABLE `new_lookups` FROM FILES (
    format = 'PARQUET',
    uris = [
        'gs://bucket/nights/lookups/run_date=2026-03-02/20260302-0123456789-00000.parquet',
        'gs://bucket/nights/lookups/run_date=2026-03-02/20260302-0123456789-00001.parquet'
    ]
);
CREATE OR REPLACE TEMP TABLE `new_errors` (
    `run_id` string,
    `kind` string,
    `row_index` int64,
    `source_file` string,
    `source_row` int64,
    `raw_masked` string,
    `raw_region` string,
    `e164` string,
    `endpoint` string,
    `reason` string,
    `detail` string,
    `remedy` string,
    `retry_can_help` bool,
    `http_status` int64,
    `code` string,
    `attempts` int64,
    `phone_column` string,
    `number_id` string
);
LOAD DATA INTO TEMP TABLE `new_errors` FROM FILES (
    format = 'PARQUET',
    uris = [
        'gs://bucket/nights/errors/run_date=2026-03-02/20260302-0123456789-00000.parquet',
        'gs://bucket/nights/errors/run_date=2026-03-02/20260302-0123456789-00001.parquet'
    ]
);
CREATE OR REPLACE TEMP TABLE `new_changes` (
    `run_id` string,
    `since_run_id` string,
    `e164` string,
    `endpoint` string,
    `change` string,
    `before_outcome` string,
    `after_outcome` string,
    `before_swapped` bool,
    `after_swapped` bool,
    `before_active` bool,
    `after_active` bool,
    `before_latest_change_at` timestamp,
    `after_latest_change_at` timestamp,
    `before_responded_at` timestamp,
    `after_responded_at` timestamp,
    `cohort` string,
    `likely_migration` bool,
    `number_id` string
);
LOAD DATA INTO TEMP TABLE `new_changes` FROM FILES (
    format = 'PARQUET',
    uris = [
        'gs://bucket/nights/changes/run_date=2026-03-02/20260302-0123456789-00000.parquet',
        'gs://bucket/nights/changes/run_date=2026-03-02/20260302-0123456789-00001.parquet'
    ]
);

-- The run, whole or not at all. What is there of it is replaced.
BEGIN TRANSACTION;
DELETE FROM `batch_screen`.`runs` WHERE `run_id` = '20260302-0123456789';
DELETE FROM `batch_screen`.`results` WHERE `run_id` = '20260302-0123456789';
INSERT INTO `batch_screen`.`results` (`run_date`, `run_id`, `row_index`, `source_file`, `source_row`, `e164`, `region`, `number_type`, `rule`, `sim_swap_check_outcome`, `sim_swap_check_swapped`, `sim_swap_check_max_age_minutes`, `sim_swap_check_responded_at`, `sim_swap_date_outcome`, `sim_swap_date_latest_change`, `sim_swap_date_latest_change_at`, `sim_swap_date_responded_at`, `device_swap_check_outcome`, `device_swap_check_swapped`, `device_swap_check_max_age_minutes`, `device_swap_check_responded_at`, `device_swap_date_outcome`, `device_swap_date_latest_change`, `device_swap_date_latest_change_at`, `device_swap_date_responded_at`, `call_forwarding_check_outcome`, `call_forwarding_check_active`, `call_forwarding_check_responded_at`, `sim_swap_check_source`, `sim_swap_check_window_start`, `sim_swap_check_window_end`, `sim_swap_check_gap_minutes`, `sim_swap_date_source`, `device_swap_check_source`, `device_swap_check_window_start`, `device_swap_check_window_end`, `device_swap_check_gap_minutes`, `device_swap_date_source`, `call_forwarding_check_source`, `sim_swap_contradiction`, `device_swap_contradiction`, `sim_change_age_hours`, `sim_change_age_band`, `device_change_age_hours`, `device_change_age_band`, `risk_sim_and_device_recent`, `risk_sim_recent`, `risk_device_recent`, `risk_forwarding_active`, `risk_version`, `phone_column`, `number_id`, `in_customer_id`, `in_kunden_nr`, `in_drop_table_runs`, `in_ad0644ff`, `in_x_y_z_line`)
SELECT DATE '2026-03-02', n.* FROM `new_results` AS n;
SELECT IF(count(*) = 4, 4, ERROR('results: the rows are not as many as the manifest says')) AS results
FROM `batch_screen`.`results` WHERE `run_id` = '20260302-0123456789';
DELETE FROM `batch_screen`.`lookups` WHERE `run_id` = '20260302-0123456789';
INSERT INTO `batch_screen`.`lookups` (`run_date`, `run_id`, `e164`, `endpoint`, `max_age_minutes`, `outcome`, `reason`, `swapped`, `active`, `latest_change`, `latest_change_at`, `latest_change_raw`, `http_status`, `code`, `message`, `attempts`, `refusals`, `latency_ms`, `responded_at`, `correlator`, `unanswered`, `source`, `source_run_id`, `last_observed_at`, `window_start`, `window_end`, `gap_minutes`, `contradiction`, `number_id`)
SELECT DATE '2026-03-02', n.* FROM `new_lookups` AS n;
SELECT IF(count(*) = 4, 4, ERROR('lookups: the rows are not as many as the manifest says')) AS lookups
FROM `batch_screen`.`lookups` WHERE `run_id` = '20260302-0123456789';
DELETE FROM `batch_screen`.`errors` WHERE `run_id` = '20260302-0123456789';
INSERT INTO `batch_screen`.`errors` (`run_date`, `run_id`, `kind`, `row_index`, `source_file`, `source_row`, `raw_masked`, `raw_region`, `e164`, `endpoint`, `reason`, `detail`, `remedy`, `retry_can_help`, `http_status`, `code`, `attempts`, `phone_column`, `number_id`)
SELECT DATE '2026-03-02', n.* FROM `new_errors` AS n;
SELECT IF(count(*) = 4, 4, ERROR('errors: the rows are not as many as the manifest says')) AS errors
FROM `batch_screen`.`errors` WHERE `run_id` = '20260302-0123456789';
DELETE FROM `batch_screen`.`changes` WHERE `run_id` = '20260302-0123456789';
INSERT INTO `batch_screen`.`changes` (`run_date`, `run_id`, `since_run_id`, `e164`, `endpoint`, `change`, `before_outcome`, `after_outcome`, `before_swapped`, `after_swapped`, `before_active`, `after_active`, `before_latest_change_at`, `after_latest_change_at`, `before_responded_at`, `after_responded_at`, `cohort`, `likely_migration`, `number_id`)
SELECT DATE '2026-03-02', n.* FROM `new_changes` AS n;
SELECT IF(count(*) = 4, 4, ERROR('changes: the rows are not as many as the manifest says')) AS changes
FROM `batch_screen`.`changes` WHERE `run_id` = '20260302-0123456789';
INSERT INTO `batch_screen`.`runs` (`run_id`, `run_date`, `started_at`, `completed_at`, `loaded_at`, `schema_version`, `version`, `sandbox`, `api`, `manifest_sha256`, `since_run_id`, `inputs`, `rows_read`, `rows_accepted`, `rows_rejected`, `lookups`, `failed`, `erased_rows`, `supersedes`, `loaded_tables`)
VALUES ('20260302-0123456789', DATE '2026-03-02', CAST('2026-03-02 02:31:07.000005+00:00' AS timestamp), CAST('2026-03-02 02:31:07.000005+00:00' AS timestamp), CURRENT_TIMESTAMP(), 5, '0.1.0', FALSE, 'api.example v1', '0000000000000000000000000000000000000000000000000000000000000000', NULL, '1111111111111111111111111111111111111111111111111111111111111111', NULL, NULL, NULL, NULL, NULL, NULL, '', NULL);
COMMIT TRANSACTION;

-- A flag of the risk view is false only where an answer rules the claim out: a date for a recent
-- change (a check looks back 40 hours at most), the check for forwarded calls.
select run_id, row_index
from {{ ref('stg_results') }}
where
    (risk_sim_recent is false and coalesce(sim_swap_date_outcome, '') <> 'success')
    or (risk_device_recent is false and coalesce(device_swap_date_outcome, '') <> 'success')
    or (
        risk_forwarding_active is false
        and coalesce(call_forwarding_check_outcome, '') <> 'success'
    )
    or (
        risk_sim_and_device_recent is false
        and risk_sim_recent is not false
        and risk_device_recent is not false
    )

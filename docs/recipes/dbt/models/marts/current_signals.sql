-- Of each number and endpoint the newest known answer of any run. Where no run ever knew one, the
-- newest unknown: answer says so.
with ranked as (
    select
        l.*,
        row_number() over (
            partition by l.number_key, l.endpoint
            order by
                case when l.outcome = 'success' then 0 else 1 end,
                l.responded_at desc nulls last,
                r.completed_at desc nulls last,
                l.run_id desc
        ) as place
    from {{ ref('stg_lookups') }} as l
    inner join {{ ref('stg_runs') }} as r on l.run_id = r.run_id
)

select
    number_key,
    e164,
    number_id,
    endpoint,
    answer,
    outcome,
    reason,
    swapped,
    active,
    latest_change,
    latest_change_at,
    max_age_minutes,
    window_start,
    window_end,
    responded_at,
    run_id,
    run_date
from ranked
where place = 1

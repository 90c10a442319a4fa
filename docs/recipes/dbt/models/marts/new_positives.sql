-- Numbers that turned positive, once for each date and endpoint, without likely migrations (a
-- whole block that moved at once). All runs of a date count: a second run of it is compared with
-- the first, so the change stands in the first alone. One that said later on the same date that
-- the number is negative takes it back; one that did not know does not.
with changes as (
    select c.*, r.completed_at
    from {{ ref('stg_changes') }} as c
    inner join {{ ref('stg_runs') }} as r on c.run_id = r.run_id
),

ranked as (
    select
        c.*,
        row_number() over (
            partition by c.run_date, c.number_key, c.endpoint
            order by c.completed_at desc nulls last, c.run_id desc
        ) as place
    from changes as c
    where
        c.change = 'newly_positive'
        and c.likely_migration is false
        and not exists (
            select 1
            from changes as later
            where
                later.run_date = c.run_date
                and later.number_key = c.number_key
                and later.endpoint = c.endpoint
                and later.completed_at > c.completed_at
                and later.change = 'newly_negative'
        )
)

select
    run_date,
    number_key,
    e164,
    number_id,
    endpoint,
    run_id,
    since_run_id,
    before_outcome,
    after_outcome,
    after_latest_change_at,
    after_responded_at,
    cohort
from ranked
where place = 1

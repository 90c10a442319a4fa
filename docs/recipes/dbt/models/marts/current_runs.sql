-- Of each date and list the run that was completed last; never one that a retry replaced.
with ranked as (
    select
        r.run_id,
        row_number() over (
            partition by r.run_date, r.inputs
            order by r.completed_at desc nulls last, r.run_id desc
        ) as place
    from {{ ref('stg_runs') }} as r
    where not exists (
        select 1
        from {{ ref('stg_runs') }} as later
        where ' ' || coalesce(later.supersedes, '') || ' ' like '% ' || r.run_id || ' %'
    )
)

select r.*
from {{ ref('stg_runs') }} as r
where r.run_id in (select ranked.run_id from ranked where ranked.place = 1)

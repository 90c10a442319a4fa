-- answer has a word for unknown: what nobody knows is never taken for a no.
select
    t.*,
    {{ number_key('t') }} as number_key,
    case
        when t.outcome <> 'success' then 'unknown'
        when t.swapped is true or t.active is true then 'yes'
        when t.swapped is false or t.active is false then 'no'
        else coalesce(t.latest_change, 'unknown')
    end as answer
from {{ source('batch_screen', 'lookups') }} as t
where t.run_id in (select r.run_id from {{ ref('stg_runs') }} as r)

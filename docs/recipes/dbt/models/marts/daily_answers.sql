-- How many numbers had which answer at each endpoint. Shares are of the known ones: unknown is a
-- row of its own, not a no.
select
    l.run_date,
    l.endpoint,
    l.answer,
    count(*) as numbers
from {{ ref('stg_lookups') }} as l
where l.run_id in (select c.run_id from {{ ref('current_runs') }} as c)
group by l.run_date, l.endpoint, l.answer

-- Each row of the list once a night.
select r.*
from {{ ref('stg_results') }} as r
where r.run_id in (select c.run_id from {{ ref('current_runs') }} as c)

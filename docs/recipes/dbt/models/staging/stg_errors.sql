-- Rejected rows have no number, so number_key is null there.
select t.*, {{ number_key('t') }} as number_key
from {{ source('batch_screen', 'errors') }} as t
where t.run_id in (select r.run_id from {{ ref('stg_runs') }} as r)

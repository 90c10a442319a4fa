select t.*, {{ number_key('t') }} as number_key
from {{ source('batch_screen', 'changes') }} as t
where t.run_id in (select r.run_id from {{ ref('stg_runs') }} as r)

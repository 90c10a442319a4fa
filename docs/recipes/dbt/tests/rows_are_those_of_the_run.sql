-- A run has as many rows as it says; none twice. Runs with erased rows have fewer, and a table
-- that load left out (--tables) has none.
with counted as (
    select
        r.run_id,
        r.rows_accepted,
        r.lookups,
        (select count(*) from {{ ref('stg_results') }} as t where t.run_id = r.run_id) as rows_there,
        (select count(*) from {{ ref('stg_lookups') }} as t where t.run_id = r.run_id)
            as lookups_there
    from {{ ref('stg_runs') }} as r
    where coalesce(r.erased_rows, 0) = 0
)

select *
from counted
where
    (rows_there <> 0 and rows_there <> rows_accepted)
    or (lookups_there <> 0 and lookups_there <> lookups)

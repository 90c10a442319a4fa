-- The counts of a date are those of the columns themselves: a no is a false that was answered, and
-- what nobody answered is unknown.
with counted as (
    select
        l.run_date,
        l.endpoint,
        count(*) as lookups,
        sum(case when l.swapped is false or l.active is false then 1 else 0 end) as no,
        sum(case when l.outcome <> 'success' then 1 else 0 end) as unknown
    from {{ ref('stg_lookups') }} as l
    where l.run_id in (select c.run_id from {{ ref('current_runs') }} as c)
    group by l.run_date, l.endpoint
),

shown as (
    select
        run_date,
        endpoint,
        sum(numbers) as lookups,
        sum(case when answer = 'no' then numbers else 0 end) as no,
        sum(case when answer = 'unknown' then numbers else 0 end) as unknown
    from {{ ref('daily_answers') }}
    group by run_date, endpoint
)

select counted.run_date, counted.endpoint
from counted
left join shown on counted.run_date = shown.run_date and counted.endpoint = shown.endpoint
where
    counted.lookups <> coalesce(shown.lookups, 0)
    or counted.no <> coalesce(shown.no, 0)
    or counted.unknown <> coalesce(shown.unknown, 0)

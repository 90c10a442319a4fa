{# A test: a value stands only where the endpoint answered; everywhere else it is null. #}
{% test unknown_is_never_false(model, column_name, outcome) %}
select *
from {{ model }}
where {{ column_name }} is not null and coalesce({{ outcome }}, 'not asked') <> 'success'
{% endtest %}

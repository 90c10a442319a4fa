{# The number's key: its id where runs are pseudonymous, else the number itself. #}
{% macro number_key(table) %}coalesce({{ table }}.number_id, {{ table }}.e164){% endmacro %}

-- The runs that are loaded whole. Answers of the sandbox are made up: they stay out unless the
-- variable include_sandbox is true.
select r.*
from {{ source('batch_screen', 'runs') }} as r
{% if not var('include_sandbox') %}where r.sandbox is false{% endif %}

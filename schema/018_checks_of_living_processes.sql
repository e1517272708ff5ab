-- A process that was fenced, or has ended, says nothing of what runs now.
create or replace view tidemark.checks as
select process.id as process, process.name as process_name, checked.name, checked.state ->> 'status' as status,
    (checked.state ->> 'since')::timestamptz as since, checked.state ->> 'reason' as reason,
    checked.state ->> 'remedy' as remedy
from tidemark_internal.processes as process
join tidemark.processes as shown on shown.process = process.id
cross join lateral jsonb_each(process.checks) as checked (name, state)
where shown.status in ('running', 'silent');
comment on view tidemark.checks is 'What does not run as it should, by running process: the source or projection, since when, why, and what to do.';

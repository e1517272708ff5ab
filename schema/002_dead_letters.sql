-- Where a dead letter was first read, so that it can be worked by hand: `$received` orders by that place, and a retry
-- stands where the first reading stood.

alter table tidemark_internal.dead_letters
    -- Unknown, all four, for what was set aside before there were these columns.
    add column file_id bigint,
    add column "offset" bigint,
    add column line bigint,
    -- The source's number in the replay that read it.
    add column source_number integer,
    -- The whole message was set aside, not one row of it.
    add column is_whole boolean not null default false;

update tidemark_internal.dead_letters
set is_whole = true
where projection = '' and reason in ('malformed_json', 'unknown_format', 'too_large');

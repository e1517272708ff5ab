-- A base may lack columns (`open`, and `open_state` for the state): placeholders of an image that is complete but for them,
-- and columns that were configured after it had been seen.
create or replace function tidemark_internal.marks_above(marks jsonb, lowest text) returns jsonb
language sql immutable as $$
    select jsonb_strip_nulls(
        jsonb_build_object(
            'deleted', greatest((marks ->> 'deleted') collate "C", lowest),
            'base', case when (marks ->> 'base') collate "C" > lowest then marks ->> 'base' end,
            'open', case when (marks ->> 'base') collate "C" > lowest then marks -> 'open' end,
            'open_state', case when (marks ->> 'base') collate "C" > lowest then marks -> 'open_state' end,
            'seen', case when (marks ->> 'seen') collate "C" > lowest then marks ->> 'seen' end,
            'state', case when (marks ->> 'state') collate "C" > lowest then marks ->> 'state' end,
            'columns', (
                select jsonb_agg(mark order by place)
                from jsonb_array_elements(marks -> 'columns') with ordinality as marked(mark, place)
                where (mark ->> 1) collate "C" > lowest
            ),
            'named', (
                select jsonb_agg(mark order by place)
                from jsonb_array_elements(marks -> 'named') with ordinality as marked(mark, place)
                where (mark ->> 1) collate "C" > lowest
            ),
            'tables', marks -> 'tables'
        )
    )
$$;

create or replace function tidemark_internal.marks_carry(marks jsonb, name text) returns boolean
language sql immutable as $$
    select marks ? 'base' and not coalesce(marks -> 'open' ? name, false)
        or exists (select from jsonb_array_elements(marks -> 'columns') as mark where mark ->> 0 = name)
$$;

create function tidemark_internal.json_column(value jsonb) returns jsonb
language sql immutable as $$
    select case
        -- Not with others: no value begins with this name.
        when jsonb_typeof(value) = 'object' and value ? '$json' and value - '$json' = '{}' then value -> '$json'
        when value <> 'null' then value
    end
$$;
comment on function tidemark_internal.json_column is 'A jsonb column as an image has it: null is SQL''s, {"$json":null} is JSON''s.';

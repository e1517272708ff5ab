-- A value as the image of an event has it, in Tidemark's canonical text. The session's time zone and styles change nothing;
-- floats have as many digits as the session shows (extra_float_digits). The types that
-- are not here have that form by to_jsonb. They are stable, as to_jsonb is, so that the planner expands them in place.
create function tidemark_internal.image_value(value timestamptz) returns jsonb
language sql stable
begin atomic
    select case
        when not isfinite(value) then to_jsonb(value at time zone 'UTC')
        when value < timestamptz '0001-01-01 00:00:00+00' then
            to_jsonb(regexp_replace(to_jsonb(value at time zone 'UTC') #>> '{}', ' BC$', '+00:00 BC'))
        else to_jsonb((to_jsonb(value at time zone 'UTC') #>> '{}') || '+00:00')
    end;
end;

-- jsonb takes the sign from a zero.
create function tidemark_internal.image_value(value double precision) returns jsonb
language sql stable
begin atomic
    select case when value = 0 and value::text = '-0' then '"-0"'::jsonb else to_jsonb(value) end;
end;

create function tidemark_internal.image_value(value real) returns jsonb
language sql stable
begin atomic
    select case when value = 0 and value::text = '-0' then '"-0"'::jsonb else to_jsonb(value) end;
end;

create function tidemark_internal.image_value(value bytea) returns jsonb
language sql stable
begin atomic
    select to_jsonb('\x' || encode(value, 'hex'));
end;

-- JSON null, which is another value than null, and what reads like it.
create function tidemark_internal.image_value(value jsonb) returns jsonb
language sql stable
begin atomic
    select case
        when value = 'null' then '{"$json": null}'::jsonb
        when jsonb_typeof(value) = 'object' and value ? '$json' and (select name from jsonb_object_keys(value) as name limit 1) = '$json' then
            jsonb_build_object('$json', value)
        else value
    end;
end;

-- Where the events of timelines come from: a source, and what their positions begin with. A row of a timeline has the
-- number, and of its position the digits and marks behind the prefix, at half a byte each.
create table tidemark_internal.origins (
    id integer generated always as identity primary key,
    source text not null,
    prefix text not null,
    unique (source, prefix)
);
comment on table tidemark_internal.origins is 'Where the events of timelines come from: sources, and what positions begin with.';

-- The number of an origin; null where a source has so many prefixes that its positions are kept whole.
create function tidemark_internal.origin(source text, prefix text) returns integer
language plpgsql as $$
declare
    found integer;
begin
    select known.id into found
    from tidemark_internal.origins as known
    where known.source = $1 and known.prefix = $2;
    if found is null
        and ($2 = '' or (select count(*) from tidemark_internal.origins as known where known.source = $1) < 1000)
    then
        insert into tidemark_internal.origins (source, prefix) values ($1, $2)
        on conflict do nothing
        returning id into found;
        if found is null then
            -- Another session has committed it meanwhile.
            select known.id into found
            from tidemark_internal.origins as known
            where known.source = $1 and known.prefix = $2;
        end if;
    end if;
    return found;
end;
$$;

-- What a position begins with that is not packed; null where the position is kept whole. Packed are the characters from
-- comma to colon, digits among them; a prefix has none of the marks that separate numbers.
create function tidemark_internal.position_prefix(position_text text) returns text
language sql immutable
begin atomic
    select case when octet_length(prefix) <= 64 and prefix !~ '[,/:]' then prefix end
    from (select coalesce(substring($1 from '^.*[^,./0-9:-]'), '') as prefix) as split;
end;

-- The half bytes of a position behind its prefix.
create function tidemark_internal.pack_position(rest text) returns bytea
language sql immutable
begin atomic
    select decode(
        translate($1, ',-./0123456789:', '0123456789abcde') || case when length($1) % 2 = 1 then 'f' else '' end, 'hex'
    );
end;

-- What the half bytes stand for.
create function tidemark_internal.unpack_position(packed bytea) returns text
language sql immutable
begin atomic
    select translate(encode($1, 'hex'), '0123456789abcdef', ',-./0123456789:');
end;

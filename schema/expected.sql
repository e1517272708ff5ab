CREATE SCHEMA tidemark;
COMMENT ON SCHEMA tidemark IS 'Tidemark: deliveries, dead letters, checkpoints and counters, to be queried.';
CREATE SCHEMA tidemark_internal;
COMMENT ON SCHEMA tidemark_internal IS 'Tidemark''s storage. Query the views in schema tidemark instead: these tables may change with any version.';
CREATE FUNCTION public.orders_as_of(moment timestamp with time zone) RETURNS TABLE(id bigint, status text, amount numeric, version integer, _sequence text, _event_time timestamp with time zone, _incomplete text[])
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $_$select version."id", version."status", version."amount", version."version", version."_sequence", version."_event_time", version."_incomplete"
from "public"."orders_history" as version
where version.valid_from <= $1 and (version.valid_to is null or version.valid_to > $1)$_$;
COMMENT ON FUNCTION public.orders_as_of(moment timestamp with time zone) IS 'Tidemark projection orders: the live entities at a moment, by the producers'' timestamps.';
CREATE FUNCTION public.orders_known_at(moment timestamp with time zone) RETURNS TABLE(id bigint, status text, amount numeric, version integer, _sequence text, _event_time timestamp with time zone, _incomplete text[])
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $_$select "id", ".status" as "status", ".amount" as "amount", ".version" as "version", sequence as _sequence, event_time as _event_time, incomplete as _incomplete
from (
    select "id", order_key, coalesce(event.sequence, event.".version"::text) as sequence, op, event_time,
    case when merged is null then coalesce(event.".status", event.state) else merged ->> 'state' end as state,
    case when merged is null then case
    -- An outer join finds no event.
    when event.op is null or event.op = 'd' or (coalesce(event._remarks, 0) & 4 <> 0) then null
    when event.missing is null then jsonb_build_object('id', to_jsonb(event."id"), 'amount', to_jsonb(event.".amount"), 'status', to_jsonb(event.".status"), 'version', to_jsonb(event.".version"))
    else (jsonb_build_object('id', to_jsonb(event."id"), 'amount', to_jsonb(event.".amount"), 'status', to_jsonb(event.".status"), 'version', to_jsonb(event.".version"))) - event.missing
end else merged -> 'image' end as image,
    case
        when merged is null then '{}'
        else array(select jsonb_array_elements_text(merged -> 'incomplete'))
    end as incomplete,
    case when merged is null then event.".amount" else (merged -> 'image' ->> 'amount')::numeric(12,2) end as ".amount",
    case when merged is null then event.".status" else (merged -> 'image' ->> 'status')::text end as ".status",
    case when merged is null then event.".version" else (merged -> 'image' ->> 'version')::integer end as ".version"
from (
    select distinct on (seen."id") seen.*
    from "tidemark_internal"."orders_events" as seen
    where seen.received_at <= $1
    order by seen."id" desc, seen.order_key desc
) as event
cross join lateral (
    select case
        when not (event.missing is null)
        then "tidemark_internal"."orders_gathered"(event."id", event.order_key, $1)
    end as merged
    offset 0
) as completed
) as version
where op <> 'd'$_$;
COMMENT ON FUNCTION public.orders_known_at(moment timestamp with time zone) IS 'Tidemark projection orders: the live entities as what had been received by a moment left them.';
CREATE FUNCTION tidemark_internal.deliveries_are_removed() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    delete from tidemark_internal.attempts as attempt
    using removed
    where attempt.seq = removed.seq;
    return null;
end
$$;
COMMENT ON FUNCTION tidemark_internal.deliveries_are_removed() IS 'Removes the attempts of deliveries that are removed.';
CREATE FUNCTION tidemark_internal.delivery_is_released() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    new.next_attempt_at := least(new.next_attempt_at, now());
    return new;
end
$$;
COMMENT ON FUNCTION tidemark_internal.delivery_is_released() IS 'Makes a delivery that was held due at once.';
CREATE FUNCTION tidemark_internal.delivery_leaves_due() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    update tidemark_internal.deliveries as follower
    set next_attempt_at = now()
    where follower.seq = (
            select d.seq
            from tidemark_internal.deliveries as d
            where d.projection = old.projection and d.key = old.key and d.notifier = old.notifier
                and d.status = 'due'
            order by d.seq
            limit 1
        )
        and follower.status = 'due' and follower.lease_token is null and follower.next_attempt_at > now();
    return null;
end
$$;
COMMENT ON FUNCTION tidemark_internal.delivery_leaves_due() IS 'Makes the next delivery of the entity due at once.';
CREATE FUNCTION tidemark_internal.differ(one text, other text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT (EXISTS ( SELECT
            FROM (jsonb_each((differ.one)::jsonb) left_image(key, value)
              JOIN jsonb_each((differ.other)::jsonb) right_image(key, value) USING (key))
           WHERE (left_image.value <> right_image.value))) AS "exists";
END;
COMMENT ON FUNCTION tidemark_internal.differ(one text, other text) IS 'Whether two images, as JSON, differ in a column that both carry.';
CREATE FUNCTION tidemark_internal.expect(actual bigint, expected bigint, what text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if actual <> expected then
        raise exception 'tidemark: % rows of % instead of %', actual, what, expected using errcode = 'TM001';
    end if;
end
$$;
COMMENT ON FUNCTION tidemark_internal.expect(actual bigint, expected bigint, what text) IS 'Raises TM001 unless actual equals expected.';
CREATE FUNCTION tidemark_internal.fold_counters(pass bigint, process integer) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    with ended as (
        delete from tidemark_internal.counters where pass_id = pass and process_id = process returning *
    )
    insert into tidemark_internal.counters as total (
        pass_id, lane, projection, messages, control, filtered, dead_letters, applied, late, duplicate, conflicts, entities
    )
    select pass_id, lane, projection, messages, control, filtered, dead_letters, applied, late, duplicate, conflicts, entities
    from ended
    order by lane, projection
    on conflict (pass_id, process_id, lane, projection) do update
    set messages = total.messages + excluded.messages, control = total.control + excluded.control,
        filtered = total.filtered + excluded.filtered, dead_letters = total.dead_letters + excluded.dead_letters,
        applied = total.applied + excluded.applied, late = total.late + excluded.late,
        duplicate = total.duplicate + excluded.duplicate, conflicts = total.conflicts + excluded.conflicts,
        entities = total.entities + excluded.entities;
    with ended as (
        delete from tidemark_internal.milestone_counters where pass_id = pass and process_id = process returning *
    )
    insert into tidemark_internal.milestone_counters as total (pass_id, lane, projection, milestone, reached)
    select pass_id, lane, projection, milestone, reached
    from ended
    order by lane, projection, milestone
    on conflict (pass_id, process_id, lane, projection, milestone) do update
    set reached = total.reached + excluded.reached;
end
$$;
CREATE FUNCTION tidemark_internal.hold_revisions(names text[], revisions bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    changed text;
begin
    perform pg_advisory_xact_lock_shared(1953063022, hashtext(name)) from unnest(names) as name;
    -- A statement of its own: its snapshot is taken once the locks are held.
    select held.name into changed
    from unnest(names, revisions) as held (name, revision)
    left join tidemark_internal.projections as projection on projection.name = held.name
    where projection.revision is distinct from held.revision
    limit 1;
    if found then
        raise exception using errcode = 'TM002', message = format('projection %s has another revision', changed);
    end if;
end
$$;
CREATE FUNCTION tidemark_internal.image_value(value bytea) RETURNS jsonb
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT to_jsonb(('\x'::text || encode(value, 'hex'::text))) AS to_jsonb;
END;
CREATE FUNCTION tidemark_internal.image_value(value real) RETURNS jsonb
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN ((value = (0)::double precision) AND ((value)::text = '-0'::text)) THEN '"-0"'::jsonb
             ELSE to_jsonb(value)
         END AS to_jsonb;
END;
CREATE FUNCTION tidemark_internal.image_value(value double precision) RETURNS jsonb
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN ((value = (0)::double precision) AND ((value)::text = '-0'::text)) THEN '"-0"'::jsonb
             ELSE to_jsonb(value)
         END AS to_jsonb;
END;
CREATE FUNCTION tidemark_internal.image_value(value jsonb) RETURNS jsonb
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (value = 'null'::jsonb) THEN '{"$json": null}'::jsonb
             WHEN ((jsonb_typeof(value) = 'object'::text) AND (value ? '$json'::text) AND (( SELECT name.name
                FROM jsonb_object_keys(image_value.value) name(name)
              LIMIT 1) = '$json'::text)) THEN jsonb_build_object('$json', value)
             ELSE value
         END AS value;
END;
CREATE FUNCTION tidemark_internal.image_value(value timestamp with time zone) RETURNS jsonb
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (NOT isfinite(value)) THEN to_jsonb((value AT TIME ZONE 'UTC'::text))
             WHEN (value < '0001-01-01 00:00:00+00'::timestamp with time zone) THEN to_jsonb(regexp_replace((to_jsonb((value AT TIME ZONE 'UTC'::text)) #>> '{}'::text[]), ' BC$'::text, '+00:00 BC'::text))
             ELSE to_jsonb(((to_jsonb((value AT TIME ZONE 'UTC'::text)) #>> '{}'::text[]) || '+00:00'::text))
         END AS to_jsonb;
END;
CREATE FUNCTION tidemark_internal.json_column(value jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN ((jsonb_typeof(value) = 'object'::text) AND (value ? '$json'::text) AND ((value - '$json'::text) = '{}'::jsonb)) THEN (value -> '$json'::text)
             WHEN (value <> 'null'::jsonb) THEN value
             ELSE NULL::jsonb
         END AS "case";
END;
COMMENT ON FUNCTION tidemark_internal.json_column(value jsonb) IS 'A jsonb column as an image has it: null is SQL''s, {"$json":null} is JSON''s.';
CREATE FUNCTION tidemark_internal.marks_above(marks jsonb, lowest text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT jsonb_strip_nulls(jsonb_build_object('deleted', GREATEST(((marks ->> 'deleted'::text) COLLATE "C"), lowest), 'base',
         CASE
             WHEN (((marks ->> 'base'::text) COLLATE "C") > lowest) THEN (marks ->> 'base'::text)
             ELSE NULL::text
         END, 'open',
         CASE
             WHEN (((marks ->> 'base'::text) COLLATE "C") > lowest) THEN (marks -> 'open'::text)
             ELSE NULL::jsonb
         END, 'open_state',
         CASE
             WHEN (((marks ->> 'base'::text) COLLATE "C") > lowest) THEN (marks -> 'open_state'::text)
             ELSE NULL::jsonb
         END, 'seen',
         CASE
             WHEN (((marks ->> 'seen'::text) COLLATE "C") > lowest) THEN (marks ->> 'seen'::text)
             ELSE NULL::text
         END, 'state',
         CASE
             WHEN (((marks ->> 'state'::text) COLLATE "C") > lowest) THEN (marks ->> 'state'::text)
             ELSE NULL::text
         END, 'columns', ( SELECT jsonb_agg(marked.mark ORDER BY marked.place) AS jsonb_agg
            FROM jsonb_array_elements((marks_above.marks -> 'columns'::text)) WITH ORDINALITY marked(mark, place)
           WHERE (((marked.mark ->> 1) COLLATE "C") > marks_above.lowest)), 'named', ( SELECT jsonb_agg(marked.mark ORDER BY marked.place) AS jsonb_agg
            FROM jsonb_array_elements((marks_above.marks -> 'named'::text)) WITH ORDINALITY marked(mark, place)
           WHERE (((marked.mark ->> 1) COLLATE "C") > marks_above.lowest)), 'tables', (marks -> 'tables'::text))) AS jsonb_strip_nulls;
END;
COMMENT ON FUNCTION tidemark_internal.marks_above(marks jsonb, lowest text) IS 'What is left of the marks above an order key.';
CREATE FUNCTION tidemark_internal.marks_carry(marks jsonb, name text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT (((marks ? 'base'::text) AND (NOT COALESCE(((marks -> 'open'::text) ? name), false))) OR (EXISTS ( SELECT
            FROM jsonb_array_elements((marks_carry.marks -> 'columns'::text)) mark(value)
           WHERE ((mark.value ->> 0) = marks_carry.name))));
END;
COMMENT ON FUNCTION tidemark_internal.marks_carry(marks jsonb, name text) IS 'Whether any event that counts has carried the column.';
CREATE FUNCTION tidemark_internal.offset_major("offset" bytea) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT ((('x'::text || encode(SUBSTRING("offset" FROM 1 FOR 8), 'hex'::text)))::bit(64))::bigint AS int8;
END;
COMMENT ON FUNCTION tidemark_internal.offset_major("offset" bytea) IS 'The first number of an offset: of a file, a byte of what it decompresses to.';
CREATE FUNCTION tidemark_internal.offset_row("offset" bytea) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT ((('x'::text || encode(SUBSTRING("offset" FROM 17 FOR 4), 'hex'::text)))::bit(32))::integer AS int4;
END;
COMMENT ON FUNCTION tidemark_internal.offset_row("offset" bytea) IS 'The row within the message at an offset.';
CREATE TABLE tidemark_internal.orders_events (
    id bigint NOT NULL,
    event_time timestamp with time zone,
    received_at timestamp with time zone DEFAULT now() NOT NULL,
    ".version" integer,
    _origin integer NOT NULL,
    _remarks smallint,
    op "char" NOT NULL,
    late boolean NOT NULL,
    order_key bytea NOT NULL,
    sequence text,
    state text,
    "position" bytea,
    _position text,
    ".amount" numeric(12,2),
    ".status" text,
    missing text[]
);
COMMENT ON TABLE tidemark_internal.orders_events IS 'Tidemark projection orders: storage of the timeline.';
CREATE FUNCTION tidemark_internal.orders_gathered(bigint, bytea, timestamp with time zone) RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE
    BEGIN ATOMIC
 SELECT jsonb_build_object('image', (((
         CASE
             WHEN bool_or((NOT ((COALESCE((below._remarks)::integer, 0) & 4) <> 0))) THEN jsonb_build_object('id', to_jsonb($1))
             ELSE '{}'::jsonb
         END ||
         CASE
             WHEN (array_agg(below.".amount") FILTER (WHERE ((NOT ((COALESCE((below._remarks)::integer, 0) & 4) <> 0)) AND ((below.missing IS NULL) OR ('amount'::text <> ALL (below.missing))))) IS NULL) THEN '{}'::jsonb
             ELSE jsonb_build_object('amount', to_jsonb((array_agg(below.".amount") FILTER (WHERE ((NOT ((COALESCE((below._remarks)::integer, 0) & 4) <> 0)) AND ((below.missing IS NULL) OR ('amount'::text <> ALL (below.missing))))))[1]))
         END) ||
         CASE
             WHEN (array_agg(below.".status") FILTER (WHERE ((NOT ((COALESCE((below._remarks)::integer, 0) & 4) <> 0)) AND ((below.missing IS NULL) OR ('status'::text <> ALL (below.missing))))) IS NULL) THEN '{}'::jsonb
             ELSE jsonb_build_object('status', to_jsonb((array_agg(below.".status") FILTER (WHERE ((NOT ((COALESCE((below._remarks)::integer, 0) & 4) <> 0)) AND ((below.missing IS NULL) OR ('status'::text <> ALL (below.missing))))))[1]))
         END) ||
         CASE
             WHEN (array_agg(below.".version") FILTER (WHERE ((NOT ((COALESCE((below._remarks)::integer, 0) & 4) <> 0)) AND ((below.missing IS NULL) OR ('version'::text <> ALL (below.missing))))) IS NULL) THEN '{}'::jsonb
             ELSE jsonb_build_object('version', to_jsonb((array_agg(below.".version") FILTER (WHERE ((NOT ((COALESCE((below._remarks)::integer, 0) & 4) <> 0)) AND ((below.missing IS NULL) OR ('version'::text <> ALL (below.missing))))))[1]))
         END), 'state', (array_agg(COALESCE(below.".status", below.state)) FILTER (WHERE (array_position(below.missing, 'status'::text) IS NULL)))[1], 'incomplete',
         CASE
             WHEN bool_or(((below.missing IS NULL) AND ((COALESCE((below._remarks)::integer, 0) & 4) <> 0))) THEN '[]'::jsonb
             ELSE to_jsonb(array_remove(ARRAY[
             CASE
                 WHEN (array_agg(below.".amount") FILTER (WHERE ((NOT ((COALESCE((below._remarks)::integer, 0) & 4) <> 0)) AND ((below.missing IS NULL) OR ('amount'::text <> ALL (below.missing))))) IS NULL) THEN 'amount'::text
                 ELSE NULL::text
             END,
             CASE
                 WHEN (array_agg(below.".status") FILTER (WHERE ((NOT ((COALESCE((below._remarks)::integer, 0) & 4) <> 0)) AND ((below.missing IS NULL) OR ('status'::text <> ALL (below.missing))))) IS NULL) THEN 'status'::text
                 ELSE NULL::text
             END,
             CASE
                 WHEN (array_agg(below.".version") FILTER (WHERE ((NOT ((COALESCE((below._remarks)::integer, 0) & 4) <> 0)) AND ((below.missing IS NULL) OR ('version'::text <> ALL (below.missing))))) IS NULL) THEN 'version'::text
                 ELSE NULL::text
             END], NULL::text))
         END) AS jsonb_build_object
    FROM ( SELECT below_1.id,
             below_1.event_time,
             below_1.received_at,
             below_1.".version",
             below_1._origin,
             below_1._remarks,
             below_1.op,
             below_1.late,
             below_1.order_key,
             below_1.sequence,
             below_1.state,
             below_1."position",
             below_1._position,
             below_1.".amount",
             below_1.".status",
             below_1.missing
            FROM tidemark_internal.orders_events below_1
           WHERE ((below_1.id = $1) AND (below_1.order_key <= $2) AND (below_1.order_key >= COALESCE(( SELECT below_2.order_key
                    FROM tidemark_internal.orders_events below_2
                   WHERE ((below_2.id = $1) AND (below_2.order_key <= $2) AND ((below_2.op = 'd'::"char") OR (below_2.missing IS NULL)) AND (($3 IS NULL) OR (below_2.received_at <= $3)))
                   ORDER BY below_2.order_key DESC
                  LIMIT 1), '\x'::bytea)) AND (below_1.op <> 'd'::"char") AND (($3 IS NULL) OR (below_1.received_at <= $3)))
           ORDER BY below_1.order_key DESC) below;
END;
CREATE FUNCTION tidemark_internal.origin(source text, prefix text) RETURNS integer
    LANGUAGE plpgsql
    AS $_$
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
$_$;
CREATE FUNCTION tidemark_internal.pack_position(rest text) RETURNS bytea
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT decode((translate(rest, ',-./0123456789:'::text, '0123456789abcde'::text) ||
         CASE
             WHEN ((length(rest) % 2) = 1) THEN 'f'::text
             ELSE ''::text
         END), 'hex'::text) AS decode;
END;
CREATE FUNCTION tidemark_internal.position_prefix(position_text text) RETURNS text
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN ((octet_length(split.prefix) <= 64) AND (split.prefix !~ '[,/:]'::text)) THEN split.prefix
             ELSE NULL::text
         END AS "case"
    FROM ( SELECT COALESCE("substring"(position_prefix.position_text, '^.*[^,./0-9:-]'::text), ''::text) AS prefix) split;
END;
CREATE FUNCTION tidemark_internal.refuse_write() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    raise exception using errcode = 'object_not_in_prerequisite_state',
        message = format('cannot write to view %I.%I', tg_table_schema, tg_table_name),
        detail = 'Tidemark makes its rows from events.',
        hint = 'Change the row at its source. Commands such as tidemark forget, prune and deadletters remove rows.';
end
$$;
COMMENT ON FUNCTION tidemark_internal.refuse_write() IS 'Refuses a write to a view that users query.';
CREATE FUNCTION tidemark_internal.row_matches(conditions jsonb, "row" jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT (NOT (EXISTS ( SELECT
            FROM jsonb_each(row_matches.conditions) condition(name, accepted)
           WHERE (NOT (condition.accepted @> jsonb_build_array((row_matches."row" -> condition.name)))))));
END;
COMMENT ON FUNCTION tidemark_internal.row_matches(conditions jsonb, "row" jsonb) IS 'Whether each column that the conditions name has one of its values.';
CREATE FUNCTION tidemark_internal.stream_offset(major bigint, minor bigint, "row" integer) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT ((int8send(major) || int8send(minor)) || int4send("row"));
END;
COMMENT ON FUNCTION tidemark_internal.stream_offset(major bigint, minor bigint, "row" integer) IS 'An offset in a stream: major, minor, row.';
CREATE FUNCTION tidemark_internal.unpack_position(packed bytea) RETURNS text
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT translate(encode(packed, 'hex'::text), '0123456789abcdef'::text, ',-./0123456789:'::text) AS translate;
END;
CREATE TABLE tidemark_internal.orders_entities (
    id bigint NOT NULL,
    _last_pass_id bigint NOT NULL,
    _event_time timestamp with time zone,
    _deleted boolean NOT NULL,
    _order_key bytea NOT NULL,
    _sequence text NOT NULL,
    _state text,
    _column_keys jsonb,
    _incomplete text[],
    version integer,
    amount numeric(12,2),
    status text
)
WITH (fillfactor='50');
COMMENT ON TABLE tidemark_internal.orders_entities IS 'Tidemark projection orders: storage of every entity, deleted ones included.';
CREATE VIEW public.orders AS
 SELECT entity.id,
    entity.status,
    entity.amount,
    entity.version,
    entity._sequence,
    entity._event_time,
    COALESCE(entity._incomplete, '{}'::text[]) AS _incomplete
   FROM tidemark_internal.orders_entities entity
  WHERE (NOT entity._deleted);
COMMENT ON VIEW public.orders IS 'Tidemark projection orders: the live entities, each as its greatest event left it.';
COMMENT ON COLUMN public.orders._sequence IS 'The sequence of the event that the row shows.';
COMMENT ON COLUMN public.orders._event_time IS 'The producer''s timestamp of that event.';
COMMENT ON COLUMN public.orders._incomplete IS 'Columns that no event has carried yet.';
CREATE VIEW tidemark_internal.orders_versions AS
 SELECT event.id,
    event.order_key,
    COALESCE(event.sequence, (event.".version")::text) AS sequence,
    event.op,
    event.event_time,
        CASE
            WHEN (completed.merged IS NULL) THEN COALESCE(event.".status", event.state)
            ELSE (completed.merged ->> 'state'::text)
        END AS state,
        CASE
            WHEN (completed.merged IS NULL) THEN
            CASE
                WHEN ((event.op IS NULL) OR (event.op = 'd'::"char") OR ((COALESCE((event._remarks)::integer, 0) & 4) <> 0)) THEN NULL::jsonb
                WHEN (event.missing IS NULL) THEN jsonb_build_object('id', to_jsonb(event.id), 'amount', to_jsonb(event.".amount"), 'status', to_jsonb(event.".status"), 'version', to_jsonb(event.".version"))
                ELSE (jsonb_build_object('id', to_jsonb(event.id), 'amount', to_jsonb(event.".amount"), 'status', to_jsonb(event.".status"), 'version', to_jsonb(event.".version")) - event.missing)
            END
            ELSE (completed.merged -> 'image'::text)
        END AS image,
        CASE
            WHEN (completed.merged IS NULL) THEN '{}'::text[]
            ELSE ARRAY( SELECT jsonb_array_elements_text((completed.merged -> 'incomplete'::text)) AS jsonb_array_elements_text)
        END AS incomplete,
        CASE
            WHEN (completed.merged IS NULL) THEN event.".amount"
            ELSE (((completed.merged -> 'image'::text) ->> 'amount'::text))::numeric(12,2)
        END AS ".amount",
        CASE
            WHEN (completed.merged IS NULL) THEN event.".status"
            ELSE ((completed.merged -> 'image'::text) ->> 'status'::text)
        END AS ".status",
        CASE
            WHEN (completed.merged IS NULL) THEN event.".version"
            ELSE (((completed.merged -> 'image'::text) ->> 'version'::text))::integer
        END AS ".version"
   FROM (tidemark_internal.orders_events event
     CROSS JOIN LATERAL ( SELECT
                CASE
                    WHEN (NOT (event.missing IS NULL)) THEN tidemark_internal.orders_gathered(event.id, event.order_key, NULL::timestamp with time zone)
                    ELSE NULL::jsonb
                END AS merged
         OFFSET 0) completed);
COMMENT ON VIEW tidemark_internal.orders_versions IS 'Tidemark projection orders: each event with the columns that its entity had behind it.';
CREATE VIEW public.orders_history AS
 SELECT versions.id,
    versions.".status" AS status,
    versions.".amount" AS amount,
    versions.".version" AS version,
    versions.sequence AS _sequence,
    versions.event_time AS _event_time,
    versions.incomplete AS _incomplete,
    versions.valid_from,
    versions.valid_to
   FROM ( SELECT dated.id,
            dated.order_key,
            dated.sequence,
            dated.op,
            dated.event_time,
            dated.state,
            dated.image,
            dated.incomplete,
            dated.".amount",
            dated.".status",
            dated.".version",
            dated.valid_from,
            lead(dated.valid_from) OVER (PARTITION BY dated.id ORDER BY dated.order_key) AS valid_to
           FROM ( SELECT version.id,
                    version.order_key,
                    version.sequence,
                    version.op,
                    version.event_time,
                    version.state,
                    version.image,
                    version.incomplete,
                    version.".amount",
                    version.".status",
                    version.".version",
                    max(version.event_time) OVER (PARTITION BY version.id ORDER BY version.order_key) AS valid_from
                   FROM tidemark_internal.orders_versions version) dated) versions
  WHERE (versions.op <> 'd'::"char");
COMMENT ON VIEW public.orders_history IS 'Tidemark projection orders: the versions of each entity in order-key order, each with the time it was valid.';
CREATE TABLE tidemark_internal.orders_milestones (
    id bigint NOT NULL,
    milestone text NOT NULL,
    state text,
    sequence text NOT NULL,
    order_key bytea NOT NULL,
    reached_at timestamp with time zone DEFAULT now() NOT NULL,
    muted boolean NOT NULL
);
COMMENT ON TABLE tidemark_internal.orders_milestones IS 'Tidemark projection orders: storage of milestones.';
CREATE VIEW public.orders_milestones AS
 SELECT orders_milestones.id,
    orders_milestones.milestone,
    orders_milestones.state,
    orders_milestones.sequence,
    orders_milestones.reached_at,
    orders_milestones.muted
   FROM tidemark_internal.orders_milestones;
COMMENT ON VIEW public.orders_milestones IS 'Tidemark projection orders: milestones reached, each once and for ever; sequence is that of the least event known to imply it.';
CREATE TABLE tidemark_internal.origins (
    id integer NOT NULL,
    source text NOT NULL,
    prefix text NOT NULL
);
COMMENT ON TABLE tidemark_internal.origins IS 'Where the events of timelines come from: sources, and what positions begin with.';
CREATE VIEW public.orders_timeline AS
 SELECT event.id,
    COALESCE(event.sequence, (event.".version")::text) AS sequence,
    event.order_key,
        CASE event.op
            WHEN 'd'::"char" THEN 'delete'::text
            WHEN 'i'::"char" THEN 'insert'::text
            WHEN 's'::"char" THEN 'snapshot'::text
            ELSE 'update'::text
        END AS op,
    COALESCE(event.".status", event.state) AS state,
    event.event_time,
    event.received_at,
    event.late,
    ( SELECT origin.source
           FROM tidemark_internal.origins origin
          WHERE (origin.id = event._origin)) AS source,
    COALESCE(event._position, (( SELECT origin.prefix
           FROM tidemark_internal.origins origin
          WHERE ((origin.id = event._origin) AND (event."position" IS NOT NULL))) || tidemark_internal.unpack_position(event."position"))) AS "position",
        CASE
            WHEN ((event.op IS NULL) OR (event.op = 'd'::"char") OR ((COALESCE((event._remarks)::integer, 0) & 4) <> 0)) THEN NULL::jsonb
            WHEN (event.missing IS NULL) THEN jsonb_build_object('id', to_jsonb(event.id), 'amount', to_jsonb(event.".amount"), 'status', to_jsonb(event.".status"), 'version', to_jsonb(event.".version"))
            ELSE (jsonb_build_object('id', to_jsonb(event.id), 'amount', to_jsonb(event.".amount"), 'status', to_jsonb(event.".status"), 'version', to_jsonb(event.".version")) - event.missing)
        END AS image
   FROM tidemark_internal.orders_events event;
COMMENT ON VIEW public.orders_timeline IS 'Tidemark projection orders: every distinct event seen. Order by the key and order_key for the order that counts, by received_at for the order of arrival.';
CREATE VIEW tidemark_internal.orders_anomalies AS
 SELECT 'orders'::text AS projection,
    jsonb_build_array((to_jsonb(event.id) #>> '{}'::text[])) AS key,
    'conflict'::text AS kind,
    min(COALESCE(event.sequence, (event.".version")::text)) AS sequence,
    'events at this sequence differ; the one with the greatest order key counts'::text AS detail
   FROM (tidemark_internal.orders_events event
     JOIN tidemark_internal.orders_events other ON (((other.id = event.id) AND (other.order_key > event.order_key) AND (other.order_key < (SUBSTRING(event.order_key FROM 1 FOR GREATEST((octet_length(event.order_key) - 19), 0)) || '\x01'::bytea)))))
  WHERE ((event.op <> 'd'::"char") AND (other.op <> 'd'::"char") AND ((NOT ((COALESCE((event._remarks)::integer, 0) & 4) <> 0)) AND (NOT ((COALESCE((other._remarks)::integer, 0) & 4) <> 0)) AND (((event.missing IS NULL) AND (other.missing IS NULL)) OR ((event.".amount" IS DISTINCT FROM other.".amount") AND ((event.missing IS NULL) OR ('amount'::text <> ALL (event.missing))) AND ((other.missing IS NULL) OR ('amount'::text <> ALL (other.missing)))) OR ((event.".status" IS DISTINCT FROM other.".status") AND ((event.missing IS NULL) OR ('status'::text <> ALL (event.missing))) AND ((other.missing IS NULL) OR ('status'::text <> ALL (other.missing)))) OR ((event.".version" IS DISTINCT FROM other.".version") AND ((event.missing IS NULL) OR ('version'::text <> ALL (event.missing))) AND ((other.missing IS NULL) OR ('version'::text <> ALL (other.missing)))))))
  GROUP BY event.id, (SUBSTRING(event.order_key FROM 1 FOR GREATEST((octet_length(event.order_key) - 19), 0)))
UNION ALL
 SELECT 'orders'::text AS projection,
    jsonb_build_array((to_jsonb(event.id) #>> '{}'::text[])) AS key,
    'doubtful_delete'::text AS kind,
    COALESCE(event.sequence, (event.".version")::text) AS sequence,
    'the delete is below a newer event, and every column beside its key is null or a default, as PostgreSQL writes it unless REPLICA IDENTITY is FULL: where the table has another identity, say replica_identity: { default: full, shop.orders: default } and rebuild from the files'::text AS detail
   FROM tidemark_internal.orders_events event
  WHERE ((event.op = 'd'::"char") AND (((event._remarks)::integer & 1) <> 0) AND (EXISTS ( SELECT
           FROM tidemark_internal.orders_events above
          WHERE ((above.id = event.id) AND (above.order_key > event.order_key)))))
UNION ALL
 SELECT 'orders'::text AS projection,
    jsonb_build_array((to_jsonb(event.id) #>> '{}'::text[])) AS key,
    'unknown_state'::text AS kind,
    COALESCE(event.sequence, (event.".version")::text) AS sequence,
    (('state '::text || COALESCE(event.".status", event.state)) || ' is not in the lifecycle'::text) AS detail
   FROM tidemark_internal.orders_events event
  WHERE (COALESCE(event.".status", event.state) <> ALL (ARRAY['created'::text, 'shipped'::text]));
CREATE TABLE tidemark_internal.truncates (
    projection text NOT NULL,
    source_table text NOT NULL,
    "position" text NOT NULL,
    event_time timestamp with time zone,
    order_key bytea,
    pass_id bigint,
    stream_id bigint,
    "offset" bytea,
    position_key bytea NOT NULL,
    received_at timestamp with time zone DEFAULT now()
);
COMMENT ON TABLE tidemark_internal.truncates IS 'Truncates of source tables that were seen.';
COMMENT ON COLUMN tidemark_internal.truncates."position" IS 'The position as people read it.';
COMMENT ON COLUMN tidemark_internal.truncates.event_time IS 'The least of those that the truncate was told with.';
CREATE VIEW tidemark.anomalies AS
 SELECT truncates.projection,
    NULL::jsonb AS key,
    'truncate'::text AS kind,
    truncates."position" AS sequence,
    (('truncate of '::text || truncates.source_table) ||
        CASE
            WHEN (truncates.order_key IS NULL) THEN '; the rows stay'::text
            ELSE '; its rows are deleted'::text
        END) AS detail
   FROM tidemark_internal.truncates
  WHERE (truncates.projection !~~ '%.next'::text)
UNION ALL
 SELECT orders_anomalies.projection,
    orders_anomalies.key,
    orders_anomalies.kind,
    orders_anomalies.sequence,
    orders_anomalies.detail
   FROM tidemark_internal.orders_anomalies;
COMMENT ON VIEW tidemark.anomalies IS 'What is odd in the events kept: conflict, unknown_state, illegal_step, truncate, snapshot_ignored, doubtful_delete, moved_partition.';
CREATE TABLE tidemark_internal.attempts (
    seq bigint NOT NULL,
    attempt integer NOT NULL,
    started_at timestamp with time zone NOT NULL,
    duration interval NOT NULL,
    outcome text NOT NULL,
    status integer,
    error text,
    excerpt text,
    CONSTRAINT attempts_outcome_check CHECK ((outcome = ANY (ARRAY['delivered'::text, 'failed'::text, 'dead'::text, 'gone'::text])))
);
COMMENT ON TABLE tidemark_internal.attempts IS 'Every attempt at every delivery, written with its result.';
CREATE TABLE tidemark_internal.deliveries (
    seq bigint NOT NULL,
    id uuid NOT NULL,
    projection text NOT NULL,
    key jsonb NOT NULL,
    milestone text NOT NULL,
    notifier text NOT NULL,
    status text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    next_attempt_at timestamp with time zone,
    lease_token uuid,
    last_error text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    delivered_at timestamp with time zone,
    body text NOT NULL,
    schedule_start integer DEFAULT 0 NOT NULL,
    is_cancelled boolean DEFAULT false NOT NULL,
    CONSTRAINT deliveries_status_check CHECK ((status = ANY (ARRAY['due'::text, 'held'::text, 'delivered'::text, 'dead'::text, 'muted'::text])))
);
ALTER TABLE ONLY tidemark_internal.deliveries ALTER COLUMN status SET STATISTICS 0;
COMMENT ON TABLE tidemark_internal.deliveries IS 'The outbox: one row for each milestone and notifier, written in the transaction that reached it.';
CREATE VIEW tidemark.attempts AS
 SELECT d.id,
    d.projection,
    d.key,
    d.milestone,
    d.notifier,
    a.attempt,
    a.started_at,
    a.duration,
    a.outcome,
    a.status,
    a.error,
    a.excerpt
   FROM (tidemark_internal.attempts a
     JOIN tidemark_internal.deliveries d ON ((d.seq = a.seq)));
COMMENT ON VIEW tidemark.attempts IS 'Every attempt at every delivery: how it ended, what the receiver said, how long it took.';
CREATE TABLE tidemark_internal.audit (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    role text DEFAULT SESSION_USER NOT NULL,
    client text DEFAULT current_setting('application_name'::text) NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    detail jsonb DEFAULT '{}'::jsonb NOT NULL
);
COMMENT ON TABLE tidemark_internal.audit IS 'What operators did to the service: pause, resume, backfill, seek.';
CREATE VIEW tidemark.audit AS
 SELECT audit.id,
    audit.at,
    audit.role,
    audit.client,
    audit.action,
    audit.subject,
    audit.detail
   FROM tidemark_internal.audit;
COMMENT ON VIEW tidemark.audit IS 'What operators did to the service, when, and by which role and command.';
CREATE TABLE tidemark_internal.leases (
    pass_id bigint NOT NULL,
    stream_id bigint NOT NULL,
    input_order integer NOT NULL,
    "offset" bytea DEFAULT tidemark_internal.stream_offset((0)::bigint, (0)::bigint, 0) NOT NULL,
    message_ordinal bigint DEFAULT 1 NOT NULL,
    resume bytea DEFAULT '\x'::bytea NOT NULL,
    is_at_end boolean DEFAULT false NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    projection text DEFAULT ''::text NOT NULL,
    joined_at bytea,
    process_id integer,
    generation bigint DEFAULT 0 NOT NULL,
    taken_at timestamp with time zone,
    behind bigint,
    CONSTRAINT leases_joined_at_check CHECK ((length(joined_at) = 20)),
    CONSTRAINT leases_offset_check CHECK ((length("offset") = 20))
);
COMMENT ON TABLE tidemark_internal.leases IS 'The level of each stream of each pass: everything before it is committed by all lanes. A projection that joined a pass later, or left it, has levels of its own.';
CREATE TABLE tidemark_internal.passes (
    id bigint NOT NULL,
    projections text[] NOT NULL,
    lanes integer NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    elapsed_seconds double precision DEFAULT 0 NOT NULL,
    run_started_at timestamp with time zone DEFAULT now(),
    runs integer DEFAULT 1 NOT NULL,
    lane_rule smallint DEFAULT 2 NOT NULL,
    is_service boolean DEFAULT false NOT NULL,
    revision bigint DEFAULT 1 NOT NULL,
    CONSTRAINT passes_lanes_check CHECK ((lanes > 0))
);
COMMENT ON TABLE tidemark_internal.passes IS 'Readings of streams into projections: each replay, rebuild and retry. An unfinished one is resumed.';
CREATE TABLE tidemark_internal.progress (
    pass_id bigint NOT NULL,
    projection text DEFAULT ''::text NOT NULL,
    stream_id bigint NOT NULL,
    lanes integer NOT NULL,
    lane integer NOT NULL,
    "offset" bytea NOT NULL,
    message_ordinal bigint NOT NULL,
    resume bytea DEFAULT '\x'::bytea NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT progress_offset_check CHECK ((length("offset") = 20))
);
COMMENT ON TABLE tidemark_internal.progress IS 'How far a lane is beyond a stream''s level; moved only by compare-and-set, in the transaction that holds the rows.';
CREATE TABLE tidemark_internal.streams (
    id bigint NOT NULL,
    source_id bigint,
    name text NOT NULL,
    incarnation text NOT NULL,
    hint text,
    first_seen timestamp with time zone DEFAULT now() NOT NULL
);
COMMENT ON TABLE tidemark_internal.streams IS 'Ordered, resumable sequences of messages: files, topic partitions, slots.';
CREATE VIEW tidemark.progress AS
 SELECT l.pass_id AS pass,
    s.name AS stream,
    numbered.lane,
    tidemark_internal.offset_major(reached."offset") AS "offset",
    tidemark_internal.offset_row(reached."offset") AS "row",
    reached.message_ordinal,
    l.is_at_end,
    reached.updated_at,
    NULLIF(l.projection, ''::text) AS projection
   FROM (((((tidemark_internal.leases l
     JOIN tidemark_internal.passes p ON ((p.id = l.pass_id)))
     JOIN tidemark_internal.streams s ON ((s.id = l.stream_id)))
     CROSS JOIN LATERAL generate_series(0, (p.lanes - 1)) numbered(lane))
     LEFT JOIN tidemark_internal.progress own ON (((own.pass_id = l.pass_id) AND (own.projection = l.projection) AND (own.stream_id = l.stream_id) AND (own.lanes = p.lanes) AND (own.lane = numbered.lane) AND (own."offset" > l."offset"))))
     CROSS JOIN LATERAL ( SELECT COALESCE(own."offset", l."offset") AS "offset",
            COALESCE(own.message_ordinal, l.message_ordinal) AS message_ordinal,
            GREATEST(own.updated_at, l.updated_at) AS updated_at) reached);
COMMENT ON VIEW tidemark.progress IS 'How far each lane is in each stream: everything before (offset, row) is committed. Rows with a projection are of one that is read by itself.';
CREATE VIEW tidemark.checkpoints AS
 SELECT progress.pass AS replay,
    progress.stream AS file,
    progress.lane,
    progress."offset",
    progress."row",
    progress.message_ordinal AS line,
    progress.is_at_end AS finished,
    progress.updated_at
   FROM tidemark.progress
  WHERE (progress.projection IS NULL);
COMMENT ON VIEW tidemark.checkpoints IS 'tidemark.progress under the names that earlier versions had. Offsets count decompressed bytes.';
CREATE TABLE tidemark_internal.processes (
    id integer NOT NULL,
    name text NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    seen_at timestamp with time zone DEFAULT now() NOT NULL,
    lease_ttl interval NOT NULL,
    fenced_at timestamp with time zone,
    pass_id bigint,
    wants bigint[] DEFAULT '{}'::bigint[] NOT NULL,
    checks jsonb DEFAULT '{}'::jsonb NOT NULL
);
COMMENT ON TABLE tidemark_internal.processes IS 'The processes that write. Each of its sessions holds the shared session lock (1953063023, id).';
CREATE TABLE tidemark_internal.projections (
    name text NOT NULL,
    definition jsonb NOT NULL,
    position_kind text,
    pruned_before timestamp with time zone,
    revived bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    units jsonb DEFAULT '{}'::jsonb NOT NULL,
    sources jsonb DEFAULT '{}'::jsonb NOT NULL,
    revision bigint DEFAULT 1 NOT NULL,
    paused_at timestamp with time zone
);
COMMENT ON TABLE tidemark_internal.projections IS 'Each projection as it was configured when it was last started.';
COMMENT ON COLUMN tidemark_internal.projections.definition IS 'What the rows were made by. "numbers": "short" where numbers of order keys have sign and power of ten in one byte; absent where they take four.';
CREATE VIEW tidemark_internal.writing_sessions AS
 SELECT process.id AS process_id,
    own.pid,
    projection.name AS projection
   FROM (((tidemark_internal.processes process
     JOIN pg_locks own ON (((own.locktype = 'advisory'::text) AND (own.classid = (1953063023)::oid) AND (own.objid = (process.id)::oid) AND own.granted AND (own.database = ( SELECT pg_database.oid
           FROM pg_database
          WHERE (pg_database.datname = current_database()))))))
     LEFT JOIN pg_locks written ON (((written.pid = own.pid) AND (written.locktype = 'advisory'::text) AND (written.classid = (1953063021)::oid) AND written.granted AND (written.database = own.database))))
     LEFT JOIN tidemark_internal.projections projection ON ((written.objid = (((hashtext(projection.name))::bigint & '4294967295'::bigint))::oid)));
COMMENT ON VIEW tidemark_internal.writing_sessions IS 'The sessions of processes that write, and the projections that each may write.';
CREATE VIEW tidemark.processes AS
 SELECT process.id AS process,
    process.name,
    process.started_at,
    process.seen_at,
        CASE
            WHEN (process.fenced_at IS NOT NULL) THEN 'fenced'::text
            WHEN (session.sessions IS NULL) THEN 'gone'::text
            WHEN (process.seen_at < (now() - process.lease_ttl)) THEN 'silent'::text
            ELSE 'running'::text
        END AS status,
    COALESCE(session.sessions, (0)::bigint) AS sessions,
    COALESCE(session.projections, '{}'::text[]) AS projections,
    COALESCE(lease.streams, (0)::bigint) AS streams,
    COALESCE(waiting.waits_for, '{}'::text[]) AS waits_for
   FROM (((tidemark_internal.processes process
     LEFT JOIN LATERAL ( SELECT count(DISTINCT s.pid) AS sessions,
            array_agg(DISTINCT s.projection) FILTER (WHERE (s.projection IS NOT NULL)) AS projections
           FROM tidemark_internal.writing_sessions s
          WHERE (s.process_id = process.id)
         HAVING (count(*) > 0)) session ON (true))
     LEFT JOIN LATERAL ( SELECT count(*) AS streams
           FROM tidemark_internal.leases l
          WHERE (l.process_id = process.id)) lease ON (true))
     LEFT JOIN LATERAL ( SELECT array_agg(DISTINCT COALESCE(NULLIF(a.application_name, ''::text), ('server process '::text || blocking.pid))) AS waits_for
           FROM ((tidemark_internal.writing_sessions s
             CROSS JOIN LATERAL unnest(pg_blocking_pids(s.pid)) blocking(pid))
             LEFT JOIN pg_stat_activity a ON ((a.pid = blocking.pid)))
          WHERE ((s.process_id = process.id) AND (NOT (blocking.pid IN ( SELECT other.pid
                   FROM tidemark_internal.writing_sessions other
                  WHERE (other.process_id = process.id)))))) waiting ON (true));
COMMENT ON VIEW tidemark.processes IS 'The processes that write: since when, their projections, streams and sessions, and which other sessions they wait for.';
CREATE VIEW tidemark.checks AS
 SELECT process.id AS process,
    process.name AS process_name,
    checked.name,
    (checked.state ->> 'status'::text) AS status,
    ((checked.state ->> 'since'::text))::timestamp with time zone AS since,
    (checked.state ->> 'reason'::text) AS reason,
    (checked.state ->> 'remedy'::text) AS remedy
   FROM ((tidemark_internal.processes process
     JOIN tidemark.processes shown ON ((shown.process = process.id)))
     CROSS JOIN LATERAL jsonb_each(process.checks) checked(name, state))
  WHERE (shown.status = ANY (ARRAY['running'::text, 'silent'::text]));
COMMENT ON VIEW tidemark.checks IS 'What does not run as it should, by running process: the source or projection, since when, why, and what to do.';
CREATE TABLE tidemark_internal.counters (
    pass_id bigint NOT NULL,
    lane integer NOT NULL,
    projection text NOT NULL,
    messages bigint DEFAULT 0 NOT NULL,
    control bigint DEFAULT 0 NOT NULL,
    filtered bigint DEFAULT 0 NOT NULL,
    dead_letters bigint DEFAULT 0 NOT NULL,
    applied bigint DEFAULT 0 NOT NULL,
    late bigint DEFAULT 0 NOT NULL,
    duplicate bigint DEFAULT 0 NOT NULL,
    conflicts bigint DEFAULT 0 NOT NULL,
    entities bigint DEFAULT 0 NOT NULL,
    process_id integer DEFAULT 0 NOT NULL
);
COMMENT ON TABLE tidemark_internal.counters IS 'What each lane of each replay has counted.';
CREATE VIEW tidemark.counters AS
 SELECT counters.pass_id AS replay,
    counters.lane,
    NULLIF(counters.projection, ''::text) AS projection,
    (sum(counters.messages))::bigint AS messages,
    (sum(counters.control))::bigint AS control,
    (sum(counters.filtered))::bigint AS filtered,
    (sum(counters.dead_letters))::bigint AS dead_letters,
    (sum(counters.applied))::bigint AS applied,
    (sum(counters.late))::bigint AS late,
    (sum(counters.duplicate))::bigint AS duplicate,
    (sum(counters.conflicts))::bigint AS conflicts,
    (sum(counters.entities))::bigint AS entities
   FROM tidemark_internal.counters
  GROUP BY counters.pass_id, counters.lane, counters.projection;
COMMENT ON VIEW tidemark.counters IS 'What each lane of each pass has counted; rows without a projection count messages.';
CREATE TABLE tidemark_internal.dead_letter_messages (
    digest bytea NOT NULL,
    raw bytea NOT NULL,
    record bytea
);
COMMENT ON TABLE tidemark_internal.dead_letter_messages IS 'The messages of dead letters, to 1 MiB each.';
CREATE TABLE tidemark_internal.dead_letters (
    id bigint NOT NULL,
    projection text NOT NULL,
    source text NOT NULL,
    "position" text NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    digest bytea NOT NULL,
    "row" integer NOT NULL,
    count bigint DEFAULT 1 NOT NULL,
    first_seen timestamp with time zone DEFAULT now() NOT NULL,
    last_seen timestamp with time zone DEFAULT now() NOT NULL,
    stream_id bigint,
    "offset" bytea,
    message_ordinal bigint,
    is_whole_message boolean DEFAULT false NOT NULL
);
COMMENT ON TABLE tidemark_internal.dead_letters IS 'Messages, and rows of messages, that were set aside.';
CREATE VIEW tidemark.dead_letters AS
 SELECT letter.id,
    NULLIF(letter.projection, ''::text) AS projection,
    letter.source,
    letter."position",
    letter.reason,
    letter.detail,
    message.raw,
    letter."row",
    letter.count,
    letter.first_seen,
    letter.last_seen
   FROM (tidemark_internal.dead_letters letter
     LEFT JOIN tidemark_internal.dead_letter_messages message ON ((message.digest = letter.digest)));
COMMENT ON VIEW tidemark.dead_letters IS 'Messages, and rows of messages, that were set aside, each with its reason. Without a projection: the message belongs to no one of them.';
CREATE VIEW tidemark.deliveries AS
 SELECT deliveries.id,
    deliveries.projection,
    deliveries.key,
    deliveries.milestone,
    deliveries.notifier,
    deliveries.status,
    deliveries.attempts,
    deliveries.next_attempt_at,
    deliveries.last_error,
    deliveries.created_at,
    deliveries.delivered_at
   FROM tidemark_internal.deliveries;
COMMENT ON VIEW tidemark.deliveries IS 'The outbox: due, held (an `unless` state), delivered, dead (given up, kept) or muted (reached without delivery).';
CREATE TABLE tidemark_internal.disabled_notifiers (
    notifier text NOT NULL,
    disabled_at timestamp with time zone DEFAULT now() NOT NULL,
    reason text NOT NULL
);
COMMENT ON TABLE tidemark_internal.disabled_notifiers IS 'Notifiers that nothing is delivered to until they are enabled by hand.';
CREATE VIEW tidemark.disabled_notifiers AS
 SELECT disabled_notifiers.notifier,
    disabled_notifiers.disabled_at,
    disabled_notifiers.reason
   FROM tidemark_internal.disabled_notifiers;
COMMENT ON VIEW tidemark.disabled_notifiers IS 'Notifiers that nothing is delivered to until `tidemark notify enable NAME`: their receiver answered 410, or somebody disabled them.';
CREATE TABLE tidemark_internal.sources (
    id bigint NOT NULL,
    name text NOT NULL,
    paused_at timestamp with time zone
);
COMMENT ON TABLE tidemark_internal.sources IS 'Sources by name, numbered once, in the order in which they were first read: $received compares the numbers.';
CREATE VIEW tidemark.leases AS
 SELECT l.pass_id AS pass,
    source.name AS source,
    stream.name AS stream,
    NULLIF(l.projection, ''::text) AS projection,
    l.process_id AS process,
    process.name AS process_name,
    l.taken_at,
    l.generation,
    tidemark_internal.offset_major(l."offset") AS "offset",
    l.message_ordinal,
    l.behind,
    l.is_at_end,
    l.updated_at
   FROM ((((tidemark_internal.leases l
     JOIN tidemark_internal.passes pass ON ((pass.id = l.pass_id)))
     JOIN tidemark_internal.streams stream ON ((stream.id = l.stream_id)))
     LEFT JOIN tidemark_internal.sources source ON ((source.id = stream.source_id)))
     LEFT JOIN tidemark_internal.processes process ON ((process.id = l.process_id)))
  WHERE (pass.finished_at IS NULL);
COMMENT ON VIEW tidemark.leases IS 'The streams of unfinished passes: which process reads each, since when, how far it is committed, and how much of it was not when the level was stored last.';
CREATE VIEW tidemark.passes AS
 SELECT passes.id,
    passes.projections,
    passes.lanes,
    passes.runs,
    passes.started_at,
    passes.finished_at,
    passes.elapsed_seconds,
    passes.is_service
   FROM tidemark_internal.passes;
COMMENT ON VIEW tidemark.passes IS 'Readings of streams into projections: each replay, rebuild and retry. One without finished_at is resumed.';
CREATE VIEW tidemark.projections AS
 SELECT projections.name,
    projections.definition,
    projections.position_kind,
    projections.pruned_before,
    projections.revived,
    projections.created_at,
    projections.updated_at,
    projections.units,
    projections.sources
   FROM tidemark_internal.projections
  WHERE (projections.name !~~ '%.next'::text);
COMMENT ON VIEW tidemark.projections IS 'Projections as they were configured when last started.';
CREATE TABLE tidemark_internal.rebuilds (
    projection text NOT NULL,
    source text NOT NULL,
    input text NOT NULL,
    is_built boolean DEFAULT false NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    built_at timestamp with time zone,
    since timestamp with time zone,
    snapshot pg_snapshot,
    CONSTRAINT rebuilds_source_check CHECK ((source = ANY (ARRAY['timeline'::text, 'files'::text])))
);
COMMENT ON TABLE tidemark_internal.rebuilds IS 'Versions of projections that are being built, or wait to be swapped in.';
CREATE VIEW tidemark.rebuilds AS
 SELECT rebuilds.projection,
    rebuilds.source,
    rebuilds.is_built AS built,
    rebuilds.started_at,
    rebuilds.built_at
   FROM tidemark_internal.rebuilds;
COMMENT ON VIEW tidemark.rebuilds IS 'Versions of projections that are being built beside the live ones, or wait to be swapped in.';
CREATE TABLE tidemark_internal.relations (
    schema_name text NOT NULL,
    relation_name text NOT NULL,
    kind text NOT NULL,
    projection text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);
COMMENT ON TABLE tidemark_internal.relations IS 'Every relation that Tidemark created: no other is ever altered, written or dropped.';
CREATE VIEW tidemark.relations AS
 SELECT relations.schema_name,
    relations.relation_name,
    relations.kind,
    relations.projection,
    relations.created_at
   FROM tidemark_internal.relations;
COMMENT ON VIEW tidemark.relations IS 'Every relation that Tidemark created.';
CREATE VIEW tidemark.sources AS
 SELECT sources.id,
    sources.name,
    sources.paused_at
   FROM tidemark_internal.sources;
COMMENT ON VIEW tidemark.sources IS 'The sources that were ever read, and since when an operator has paused one.';
CREATE VIEW tidemark.streams AS
 SELECT s.id,
    source.name AS source,
    s.name,
    s.first_seen
   FROM (tidemark_internal.streams s
     LEFT JOIN tidemark_internal.sources source ON ((source.id = s.source_id)));
COMMENT ON VIEW tidemark.streams IS 'Ordered, resumable sequences of messages that were read: files, topic partitions, slots.';
ALTER TABLE tidemark_internal.audit ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME tidemark_internal.audit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
ALTER TABLE tidemark_internal.dead_letters ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME tidemark_internal.dead_letters_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
ALTER TABLE tidemark_internal.deliveries ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME tidemark_internal.deliveries_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE tidemark_internal.http_requests (
    source text NOT NULL,
    key text NOT NULL,
    digest bytea NOT NULL,
    process_id integer NOT NULL,
    received_at timestamp with time zone DEFAULT now() NOT NULL,
    answer text
);
COMMENT ON TABLE tidemark_internal.http_requests IS 'Requests to HTTP sources that carry an Idempotency-Key, and their answers, for a day.';
CREATE TABLE tidemark_internal.migrations (
    version integer NOT NULL,
    name text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);
COMMENT ON TABLE tidemark_internal.migrations IS 'Schema versions that this database has.';
CREATE TABLE tidemark_internal.milestone_counters (
    pass_id bigint NOT NULL,
    lane integer NOT NULL,
    projection text NOT NULL,
    milestone text NOT NULL,
    reached bigint NOT NULL,
    process_id integer DEFAULT 0 NOT NULL
);
COMMENT ON TABLE tidemark_internal.milestone_counters IS 'Milestones that each lane of each replay was the first to reach.';
ALTER TABLE tidemark_internal.origins ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME tidemark_internal.origins_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
ALTER TABLE tidemark_internal.processes ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME tidemark_internal.processes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE tidemark_internal.published_sequences (
    publication text NOT NULL,
    key bytea NOT NULL,
    last bigint NOT NULL
);
COMMENT ON TABLE tidemark_internal.published_sequences IS 'The last number stamped on the messages of each entity that is published with --sequence.';
CREATE TABLE tidemark_internal.published_streams (
    id bigint NOT NULL,
    publication text NOT NULL,
    stream text NOT NULL,
    incarnation text NOT NULL,
    hint text,
    "offset" bytea NOT NULL,
    message_ordinal bigint NOT NULL,
    resume bytea NOT NULL,
    is_at_end boolean NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);
COMMENT ON TABLE tidemark_internal.published_streams IS 'How far each stream of a source is published to a topic.';
ALTER TABLE tidemark_internal.published_streams ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME tidemark_internal.published_streams_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
ALTER TABLE tidemark_internal.passes ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME tidemark_internal.replays_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
ALTER TABLE tidemark_internal.sources ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME tidemark_internal.sources_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
ALTER TABLE tidemark_internal.streams ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME tidemark_internal.streams_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
ALTER TABLE ONLY tidemark_internal.attempts
    ADD CONSTRAINT attempts_pkey PRIMARY KEY (seq, attempt);
ALTER TABLE ONLY tidemark_internal.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (id);
ALTER TABLE ONLY tidemark_internal.counters
    ADD CONSTRAINT counters_pkey PRIMARY KEY (pass_id, process_id, lane, projection);
ALTER TABLE ONLY tidemark_internal.dead_letter_messages
    ADD CONSTRAINT dead_letter_messages_pkey PRIMARY KEY (digest);
ALTER TABLE ONLY tidemark_internal.dead_letters
    ADD CONSTRAINT dead_letters_pkey PRIMARY KEY (id);
ALTER TABLE ONLY tidemark_internal.dead_letters
    ADD CONSTRAINT dead_letters_projection_digest_row_key UNIQUE (projection, digest, "row");
ALTER TABLE ONLY tidemark_internal.deliveries
    ADD CONSTRAINT deliveries_id_notifier_key UNIQUE (id, notifier);
ALTER TABLE ONLY tidemark_internal.deliveries
    ADD CONSTRAINT deliveries_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY tidemark_internal.disabled_notifiers
    ADD CONSTRAINT disabled_notifiers_pkey PRIMARY KEY (notifier);
ALTER TABLE ONLY tidemark_internal.http_requests
    ADD CONSTRAINT http_requests_pkey PRIMARY KEY (source, key);
ALTER TABLE ONLY tidemark_internal.leases
    ADD CONSTRAINT leases_pkey PRIMARY KEY (pass_id, projection, stream_id);
ALTER TABLE ONLY tidemark_internal.migrations
    ADD CONSTRAINT migrations_pkey PRIMARY KEY (version);
ALTER TABLE ONLY tidemark_internal.milestone_counters
    ADD CONSTRAINT milestone_counters_pkey PRIMARY KEY (pass_id, process_id, lane, projection, milestone);
ALTER TABLE ONLY tidemark_internal.orders_entities
    ADD CONSTRAINT orders_entities_pkey PRIMARY KEY (id);
ALTER TABLE ONLY tidemark_internal.orders_events
    ADD CONSTRAINT orders_events_pkey PRIMARY KEY (id, order_key);
ALTER TABLE ONLY tidemark_internal.orders_milestones
    ADD CONSTRAINT orders_milestones_pkey PRIMARY KEY (id, milestone);
ALTER TABLE ONLY tidemark_internal.origins
    ADD CONSTRAINT origins_pkey PRIMARY KEY (id);
ALTER TABLE ONLY tidemark_internal.origins
    ADD CONSTRAINT origins_source_prefix_key UNIQUE (source, prefix);
ALTER TABLE ONLY tidemark_internal.passes
    ADD CONSTRAINT passes_pkey PRIMARY KEY (id);
ALTER TABLE ONLY tidemark_internal.processes
    ADD CONSTRAINT processes_pkey PRIMARY KEY (id);
ALTER TABLE ONLY tidemark_internal.progress
    ADD CONSTRAINT progress_pkey PRIMARY KEY (pass_id, projection, stream_id, lanes, lane);
ALTER TABLE ONLY tidemark_internal.projections
    ADD CONSTRAINT projections_pkey PRIMARY KEY (name);
ALTER TABLE ONLY tidemark_internal.published_sequences
    ADD CONSTRAINT published_sequences_pkey PRIMARY KEY (publication, key);
ALTER TABLE ONLY tidemark_internal.published_streams
    ADD CONSTRAINT published_streams_pkey PRIMARY KEY (id);
ALTER TABLE ONLY tidemark_internal.rebuilds
    ADD CONSTRAINT rebuilds_pkey PRIMARY KEY (projection);
ALTER TABLE ONLY tidemark_internal.relations
    ADD CONSTRAINT relations_pkey PRIMARY KEY (schema_name, relation_name);
ALTER TABLE ONLY tidemark_internal.sources
    ADD CONSTRAINT sources_name_key UNIQUE (name);
ALTER TABLE ONLY tidemark_internal.sources
    ADD CONSTRAINT sources_pkey PRIMARY KEY (id);
ALTER TABLE ONLY tidemark_internal.streams
    ADD CONSTRAINT streams_pkey PRIMARY KEY (id);
ALTER TABLE ONLY tidemark_internal.truncates
    ADD CONSTRAINT truncates_pkey PRIMARY KEY (projection, source_table, position_key);
CREATE INDEX dead_letters_digest ON tidemark_internal.dead_letters USING btree (digest);
CREATE INDEX deliveries_due ON tidemark_internal.deliveries USING btree (notifier, next_attempt_at, seq) WHERE (status = 'due'::text);
CREATE INDEX deliveries_open ON tidemark_internal.deliveries USING btree (projection, key, notifier, seq) WHERE (status = ANY (ARRAY['due'::text, 'held'::text, 'dead'::text]));
CREATE INDEX http_requests_received ON tidemark_internal.http_requests USING btree (received_at);
CREATE INDEX leases_open ON tidemark_internal.leases USING btree (pass_id, stream_id) WHERE (NOT is_at_end);
CREATE INDEX passes_service ON tidemark_internal.passes USING btree (id) WHERE (is_service AND (finished_at IS NULL));
CREATE INDEX published_streams_publication ON tidemark_internal.published_streams USING btree (publication);
CREATE INDEX streams_hint ON tidemark_internal.streams USING btree (hint);
CREATE INDEX streams_incarnation ON tidemark_internal.streams USING btree (incarnation);
CREATE UNIQUE INDEX streams_name ON tidemark_internal.streams USING btree (name, incarnation, COALESCE(source_id, (0)::bigint));
CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON public.orders FOR EACH ROW EXECUTE FUNCTION tidemark_internal.refuse_write();
CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON public.orders_history FOR EACH ROW EXECUTE FUNCTION tidemark_internal.refuse_write();
CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON public.orders_milestones FOR EACH ROW EXECUTE FUNCTION tidemark_internal.refuse_write();
CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON public.orders_timeline FOR EACH ROW EXECUTE FUNCTION tidemark_internal.refuse_write();
CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON tidemark.anomalies FOR EACH ROW EXECUTE FUNCTION tidemark_internal.refuse_write();
CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON tidemark.attempts FOR EACH ROW EXECUTE FUNCTION tidemark_internal.refuse_write();
CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON tidemark.audit FOR EACH ROW EXECUTE FUNCTION tidemark_internal.refuse_write();
CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON tidemark.checkpoints FOR EACH ROW EXECUTE FUNCTION tidemark_internal.refuse_write();
CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON tidemark.checks FOR EACH ROW EXECUTE FUNCTION tidemark_internal.refuse_write();
CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON tidemark.counters FOR EACH ROW EXECUTE FUNCTION tidemark_internal.refuse_write();
CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON tidemark.dead_letters FOR EACH ROW EXECUTE FUNCTION tidemark_internal.refuse_write();
CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON tidemark.deliveries FOR EACH ROW EXECUTE FUNCTION tidemark_internal.refuse_write();
CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON tidemark.disabled_notifiers FOR EACH ROW EXECUTE FUNCTION tidemark_internal.refuse_write();
CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON tidemark.leases FOR EACH ROW EXECUTE FUNCTION tidemark_internal.refuse_write();
CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON tidemark.passes FOR EACH ROW EXECUTE FUNCTION tidemark_internal.refuse_write();
CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON tidemark.processes FOR EACH ROW EXECUTE FUNCTION tidemark_internal.refuse_write();
CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON tidemark.progress FOR EACH ROW EXECUTE FUNCTION tidemark_internal.refuse_write();
CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON tidemark.projections FOR EACH ROW EXECUTE FUNCTION tidemark_internal.refuse_write();
CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON tidemark.rebuilds FOR EACH ROW EXECUTE FUNCTION tidemark_internal.refuse_write();
CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON tidemark.relations FOR EACH ROW EXECUTE FUNCTION tidemark_internal.refuse_write();
CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON tidemark.sources FOR EACH ROW EXECUTE FUNCTION tidemark_internal.refuse_write();
CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON tidemark.streams FOR EACH ROW EXECUTE FUNCTION tidemark_internal.refuse_write();
CREATE TRIGGER dead_delivery_is_removed AFTER DELETE ON tidemark_internal.deliveries FOR EACH ROW WHEN ((old.status = 'dead'::text)) EXECUTE FUNCTION tidemark_internal.delivery_leaves_due();
CREATE TRIGGER deliveries_are_removed AFTER DELETE ON tidemark_internal.deliveries REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION tidemark_internal.deliveries_are_removed();
CREATE TRIGGER delivery_is_cancelled AFTER UPDATE OF is_cancelled ON tidemark_internal.deliveries FOR EACH ROW WHEN ((new.is_cancelled AND (NOT old.is_cancelled) AND (old.status = 'dead'::text))) EXECUTE FUNCTION tidemark_internal.delivery_leaves_due();
CREATE TRIGGER delivery_is_released BEFORE UPDATE OF status ON tidemark_internal.deliveries FOR EACH ROW WHEN (((old.status = 'held'::text) AND (new.status = 'due'::text) AND (new.lease_token IS NULL))) EXECUTE FUNCTION tidemark_internal.delivery_is_released();
CREATE TRIGGER delivery_is_removed AFTER DELETE ON tidemark_internal.deliveries FOR EACH ROW WHEN ((old.status = 'due'::text)) EXECUTE FUNCTION tidemark_internal.delivery_leaves_due();
CREATE TRIGGER delivery_leaves_due AFTER UPDATE OF status ON tidemark_internal.deliveries FOR EACH ROW WHEN (((old.status = 'due'::text) AND (new.status <> 'due'::text))) EXECUTE FUNCTION tidemark_internal.delivery_leaves_due();
ALTER TABLE ONLY tidemark_internal.counters
    ADD CONSTRAINT counters_replay_id_fkey FOREIGN KEY (pass_id) REFERENCES tidemark_internal.passes(id) ON DELETE CASCADE;
ALTER TABLE ONLY tidemark_internal.leases
    ADD CONSTRAINT leases_pass_id_fkey FOREIGN KEY (pass_id) REFERENCES tidemark_internal.passes(id) ON DELETE CASCADE;
ALTER TABLE ONLY tidemark_internal.leases
    ADD CONSTRAINT leases_process_id_fkey FOREIGN KEY (process_id) REFERENCES tidemark_internal.processes(id) ON DELETE SET NULL;
ALTER TABLE ONLY tidemark_internal.leases
    ADD CONSTRAINT leases_stream_id_fkey FOREIGN KEY (stream_id) REFERENCES tidemark_internal.streams(id);
ALTER TABLE ONLY tidemark_internal.milestone_counters
    ADD CONSTRAINT milestone_counters_replay_id_fkey FOREIGN KEY (pass_id) REFERENCES tidemark_internal.passes(id) ON DELETE CASCADE;
ALTER TABLE ONLY tidemark_internal.processes
    ADD CONSTRAINT processes_pass_id_fkey FOREIGN KEY (pass_id) REFERENCES tidemark_internal.passes(id) ON DELETE SET NULL;
ALTER TABLE ONLY tidemark_internal.progress
    ADD CONSTRAINT progress_pass_id_fkey FOREIGN KEY (pass_id) REFERENCES tidemark_internal.passes(id) ON DELETE CASCADE;
ALTER TABLE ONLY tidemark_internal.progress
    ADD CONSTRAINT progress_stream_id_fkey FOREIGN KEY (stream_id) REFERENCES tidemark_internal.streams(id);
ALTER TABLE ONLY tidemark_internal.streams
    ADD CONSTRAINT streams_source_id_fkey FOREIGN KEY (source_id) REFERENCES tidemark_internal.sources(id);

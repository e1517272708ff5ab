-- Requests to HTTP sources that carry an Idempotency-Key. A row is written before anything of the request is applied, and
-- has the answer once all of it is committed. It is kept for a day.
create table tidemark_internal.http_requests (
    source text not null,
    key text not null,
    -- SHA-256 of the body, decompressed.
    digest bytea not null,
    -- The process that works on it.
    process_id integer not null,
    received_at timestamptz not null default now(),
    -- Null until it is answered.
    answer text,
    primary key (source, key)
);
create index http_requests_received on tidemark_internal.http_requests (received_at);
comment on table tidemark_internal.http_requests is 'Requests to HTTP sources that carry an Idempotency-Key, and their answers, for a day.';

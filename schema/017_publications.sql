-- What `tidemark publish` has written to topics, so that it goes on behind it.
create table tidemark_internal.published_streams (
    id bigint generated always as identity primary key,
    -- The source and the topic, as in 'logs > shop.orders'.
    publication text not null,
    stream text not null,
    -- By which it is found again, as by a digest of a file's first bytes.
    incarnation text not null,
    -- Where it is looked for first, such as a file's device and inode.
    hint text,
    -- Everything before it is stored by the brokers.
    "offset" bytea not null,
    message_ordinal bigint not null,
    resume bytea not null,
    is_at_end boolean not null,
    updated_at timestamptz not null default now()
);
create index published_streams_publication on tidemark_internal.published_streams (publication);
comment on table tidemark_internal.published_streams is 'How far each stream of a source is published to a topic.';

-- The last number that was stamped on a message of an entity.
create table tidemark_internal.published_sequences (
    publication text not null,
    -- The key of the message.
    key bytea not null,
    last bigint not null,
    primary key (publication, key)
);
comment on table tidemark_internal.published_sequences is 'The last number stamped on the messages of each entity that is published with --sequence.';

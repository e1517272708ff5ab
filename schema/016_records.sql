-- What a broker keeps beside a message's value (its key, its headers, where it stood), so that a dead letter can be tried
-- again as it came.
alter table tidemark_internal.dead_letters add column record bytea;
comment on column tidemark_internal.dead_letters.record is 'Topic, partition, offset, key and headers of a message from a broker; null for one from elsewhere.';

-- Messages of dead letters, each once: a message of many bad rows is one letter for each of them.
create table tidemark_internal.dead_letter_messages (
    digest bytea primary key,
    raw bytea not null,
    -- Topic, partition, offset, key and headers of a message from a broker; null for one from elsewhere.
    record bytea
);
comment on table tidemark_internal.dead_letter_messages is 'The messages of dead letters, to 1 MiB each.';

-- Some letters of a message kept its beginning alone.
insert into tidemark_internal.dead_letter_messages (digest, raw)
select distinct on (digest) digest, raw from tidemark_internal.dead_letters order by digest, length(raw) desc;

create index dead_letters_digest on tidemark_internal.dead_letters (digest);

-- In place, so that what was granted on the view stays.
create or replace view tidemark.dead_letters as
select letter.id, nullif(letter.projection, '') as projection, letter.source, letter.position, letter.reason, letter.detail,
    message.raw, letter."row", letter.count, letter.first_seen, letter.last_seen
from tidemark_internal.dead_letters as letter
left join tidemark_internal.dead_letter_messages as message on message.digest = letter.digest;

alter table tidemark_internal.dead_letters drop column raw;

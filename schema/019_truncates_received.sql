-- When a truncate was received. Those that were seen before have none, because nothing tells when that was.
alter table tidemark_internal.truncates add column received_at timestamptz;
alter table tidemark_internal.truncates alter column received_at set default now();

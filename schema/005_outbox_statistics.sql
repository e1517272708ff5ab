-- How many deliveries are due changes faster than any ANALYZE sees. One that came while none was due would have the
-- planner take a partial index for empty, and read it whole, where it should look rows up. Without statistics it
-- reckons with a share that fits no moment and misleads in none.
alter table tidemark_internal.deliveries alter column status set statistics 0;

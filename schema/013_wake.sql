-- Who commits a batch wakes relays in other processes behind the commit. Notifications of a transaction take a lock of
-- the whole server until it has committed: with this trigger commits waited for each other, one write to disk at a time.
drop trigger deliveries_are_added on tidemark_internal.deliveries;
drop function tidemark_internal.deliveries_are_added();

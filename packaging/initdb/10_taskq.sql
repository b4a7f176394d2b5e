-- Run once, in the database of POSTGRES_DB, when the data directory is new.
create extension taskq;

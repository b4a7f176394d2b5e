-- bare.sql
--		What a submit has to write at least, without anything that thinks.
create sequence bare_id;
create table bare_task (like taskq_private.task including all excluding constraints);

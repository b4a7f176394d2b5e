-- Arguments of the functions that are written in SQL.  src/base/arg.c has the limits.

-- What is wrong with an interval, or NULL.  argument: its name, for the message.  range: the
-- kind of interval, see the table in arg.c.
create function taskq_private.interval_fault(value interval, argument text, range text) returns text
language c immutable parallel safe as 'MODULE_PATHNAME', 'taskq_interval_fault';

-- What is wrong with a name, or NULL.
create function taskq_private.name_fault(name text) returns text
language c immutable parallel safe as 'MODULE_PATHNAME', 'taskq_name_fault';

-- TQ004 for a bad name; what: the kind of object, for the message.
create function taskq_private.check_name(name text, what text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
	wrong constant text := taskq_private.name_fault(name);
begin
	if wrong is not null then
		raise exception using errcode = 'TQ004', message = format('name of a %s %s', what, wrong),
			detail = 'Names are 1 to 57 bytes long.', hint = 'Choose another name.';
	end if;
end
$$;

-- Returns the url with its host in ASCII.  TQ004 if a task may not have it.
create function taskq_private.check_url(url text) returns text
language c volatile as 'MODULE_PATHNAME', 'taskq_check_url';

-- Templates: tasks as values, to be submitted later.  See src/life/template.c.

-- Raises what submit_template() would raise for the current user, and submits nothing.
create function taskq_private.judge_template(task jsonb) returns void
language c volatile strict as 'MODULE_PATHNAME', 'taskq_judge_template';

create function taskq.submit_template(task jsonb) returns bigint
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_submit_template';
comment on function taskq.submit_template is
	E'Submits a task that is given as a template: a JSON object whose keys are the arguments of a submitting function, at most '
	'8192 bytes as text.\n'
	'task: has the key queue, for submit(), topic, for publish(), call, for submit_call(), or one of url and endpoint, for '
	'submit_http(). call is the function with the types of its parameters; in a follow-up without args, the outcome is its first '
	'argument. The other keys '
	'are the arguments of that function, except run_at: strings, whole numbers, and intervals as strings; payload is any JSON, '
	'headers an object, body a string, after an array of ids. on_duplicate is keep or replace. With topic only payload, kind, key, '
	'group_key and trace are possible.\n'
	'Returns the id of the task; NULL for a topic, which may have several tasks or none.\n'
	'Errors: those of submit(), publish(), submit_http() and submit_call(); TQ004 also for a key that does not belong there or has another '
	'type, and for no target or two.';

create function taskq.add_follow_up(id bigint, on_finish jsonb default null, on_dead jsonb default null) returns boolean
language c volatile parallel unsafe as 'MODULE_PATHNAME', 'taskq_add_follow_up';
comment on function taskq.add_follow_up is
	E'Gives follow-ups to a task that was submitted before, after those that it has. If it has ended in that way already, they '
	'are submitted now.\n'
	'id: the id of the task.\n'
	'on_finish, on_dead: as in submit(). A task has at most 8 of each.\n'
	'Returns false if the task has ended in another way, is not known, or is of a queue on which the caller has neither the '
	'privilege submit nor control.\n'
	'Errors: those of submit_template(); TQ004 also if both are missing or the task would have too many.';

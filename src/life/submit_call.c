/*
 * submit_call.c
 *		submit_call(), and templates for a call: make a task of a call of a function.
 *
 * A call is made as the role that submits it: the current user, so in a security definer function
 * its owner.  A template of a follow-up is submitted by whichever session ends the task, so it is
 * signed when it is given: it gets the name and the number of the role then, and the signature of
 * the function.  No role can write a stored template, and none can give one that is signed.
 *
 * The types of the arguments may have code of users, in input functions and in checks of domains.
 * taskq_owner and the executor must not run it.  So the arguments of a template are converted when
 * it is given; when it is submitted later they are stored as they stand in the template.
 */
#include "postgres.h"

#include "catalog/pg_proc.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"

#include "base/arg.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/jsonmake.h"
#include "life/call.h"
#include "life/submit.h"
#include "life/submit_call.h"
#include "tables/grant.h"
#include "tables/queue.h"
#include "tables/rows.h"

#define DEFAULT_QUEUE "call"

static const SubmitArguments submit_call_args = {
	.key = 4,
	.priority = 5,
	.run_at = 6,
	.delay = 7,
	.start_within = 8,
	.timeout = 9,
	.retry = 10,
	.max_attempts = 11,
	.kind = 12,
	.on_duplicate = 13,
	.on_finish = 14,
	.on_dead = 15,
	.group_key = 16,
	.unique_for = 17,
	.max_wait = 18,
	.trace = 19,
	.after = 20,
	.after_failure = 21,
};

#define ARG_FUNCTION  0 /* of a template: its text */
#define ARG_ARGS      1
#define ARG_KWARGS    2
#define ARG_QUEUE     3
#define ARG_ON_DEMAND 22
#define ARG_ROLE      23 /* this one and the next: of a stored template */
#define ARG_CALLER    24
#define NARGS         25

/* ---- arguments -------------------------------------------------------------------- */

static void
refuse_role(const char *name, const char *fault, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_NOT_POSSIBLE),
			 errmsg("no function can be called as role \"%s\": %s", name, fault),
			 errdetail("A call is made in a process of its own, which has the role that "
					   "submits it."),
			 errhint("%s", hint)));
}

static const char *
queue_fault(const Queue *queue)
{
	if (queue->call)
		return NULL;
	return psprintf("queue \"%s\" is a %s", queue->name, queue_mode_name(queue));
}

static text *
call_queue_name(FunctionCallInfo fcinfo)
{
	return PG_ARGISNULL(ARG_QUEUE) ? cstring_to_text(DEFAULT_QUEUE) : PG_GETARG_TEXT_PP(ARG_QUEUE);
}

static const Queue *
queue_for_calls(FunctionCallInfo fcinfo)
{
	text *name = arg_name(fcinfo, ARG_QUEUE, "queue");
	const Queue *queue = queue_by_name(name != NULL ? name : cstring_to_text(DEFAULT_QUEUE));

	queue_require(queue, PRIVILEGE_SUBMIT);
	if (queue_fault(queue) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_WRONG_MODE),
				 errmsg("%s", queue_fault(queue)),
				 errdetail("Its tasks are no calls of functions."),
				 errhint("Use the queue \"call\", or create one with "
						 "taskq.create_queue(..., mode => 'call').")));
	return queue;
}

static bool
arg_bool(FunctionCallInfo fcinfo, int n)
{
	return !PG_ARGISNULL(n) && PG_GETARG_BOOL(n);
}

static Jsonb *
arg_json(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : PG_GETARG_JSONB_P(n);
}

/* The arguments as they are given must not be larger than a payload. */
static void
check_arguments(FunctionCallInfo fcinfo)
{
	if (!PG_ARGISNULL(ARG_ARGS))
		check_json(PG_GETARG_DATUM(ARG_ARGS), "args");
	if (!PG_ARGISNULL(ARG_KWARGS))
		check_json(PG_GETARG_DATUM(ARG_KWARGS), "kwargs");
}

static void
require_execute(Oid function)
{
	if (!compat_may_execute(function, GetUserId()))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FUNCTION, get_func_name(function));
}

/* The function and its arguments, which the current user gives. */
static void
read_given(CallParts *parts, FunctionCallInfo fcinfo, Oid function)
{
	Callee callee;

	parts->on_demand = arg_bool(fcinfo, ARG_ON_DEMAND);
	call_look_up(&callee, function);
	require_execute(function);
	call_bind(&callee, arg_json(fcinfo, ARG_ARGS), arg_json(fcinfo, ARG_KWARGS), false);
	parts->function = call_signature(function);
	parts->args = call_args(&callee, arg_json(fcinfo, ARG_ARGS));
	parts->kwargs = call_kwargs(&callee, arg_json(fcinfo, ARG_KWARGS));
}

static void
sign_as_current_user(CallParts *parts)
{
	Oid role = GetUserId();
	const char *name = GetUserNameFromId(role, false);
	const char *hint;
	const char *fault = caller_fault(role, &hint);

	if (fault != NULL)
		refuse_role(name, fault, hint);
	parts->role = name;
	parts->caller = caller_number(role, name);
}

static void
init(Submission *s, FunctionCallInfo fcinfo)
{
	submission_init(s, fcinfo, &submit_call_args, queue_for_calls(fcinfo));
	check_arguments(fcinfo);
}

static void
set_call(Row *task, const CallParts *parts)
{
	row_set(task, TASK_CALL, call_make(parts));
}

/* ---- SQL -------------------------------------------------------------------------- */

PG_FUNCTION_INFO_V1(taskq_submit_call);
Datum
taskq_submit_call(PG_FUNCTION_ARGS)
{
	CallParts parts;
	Submission s;

	client_call("taskq.submit_call()");
	require_argument(fcinfo, ARG_FUNCTION, "function");
	init(&s, fcinfo);
	read_given(&parts, fcinfo, PG_GETARG_OID(ARG_FUNCTION));
	sign_as_current_user(&parts);
	set_call(&s.task, &parts);
	PG_RETURN_INT64(submission_place(&s));
}

/* ---- templates -------------------------------------------------------------------- */

/* The function that a template names. */
static Oid
function_of(FunctionCallInfo fcinfo)
{
	return call_find_function(text_to_cstring(PG_GETARG_TEXT_PP(ARG_FUNCTION)));
}

/* As a stored template has it. */
static void
read_stored(CallParts *parts, FunctionCallInfo fcinfo)
{
	parts->function = text_to_cstring(PG_GETARG_TEXT_PP(ARG_FUNCTION));
	parts->args = arg_json(fcinfo, ARG_ARGS);
	parts->kwargs = arg_json(fcinfo, ARG_KWARGS);
	parts->on_demand = arg_bool(fcinfo, ARG_ON_DEMAND);
	if (PG_ARGISNULL(ARG_ROLE) || PG_ARGISNULL(ARG_CALLER))
		refuse_role("", "the template is not signed", "Give the follow-up again.");
	parts->role = text_to_cstring(PG_GETARG_TEXT_PP(ARG_ROLE));
	parts->caller = PG_GETARG_INT32(ARG_CALLER);
}

/*
 * Of the template of a schedule, which the executor submits as the role that owns the schedule.
 * Its arguments were converted when it was declared.
 */
static void
read_unconverted(CallParts *parts, FunctionCallInfo fcinfo)
{
	Oid function = function_of(fcinfo);

	require_execute(function);
	parts->function = call_signature(function);
	parts->args = arg_json(fcinfo, ARG_ARGS);
	parts->kwargs = arg_json(fcinfo, ARG_KWARGS);
	parts->on_demand = arg_bool(fcinfo, ARG_ON_DEMAND);
	sign_as_current_user(parts);
}

static void
judge_call(FunctionCallInfo fcinfo)
{
	CallParts parts;
	Submission s;

	init(&s, fcinfo);
	if (template_is_stored(fcinfo))
		read_stored(&parts, fcinfo);
	else
	{
		read_given(&parts, fcinfo, function_of(fcinfo));
		sign_as_current_user(&parts);
	}
	submission_check(&s);
}

static int64
submit_one_call(FunctionCallInfo fcinfo, Datum origin)
{
	CallParts parts;
	Submission s;

	init(&s, fcinfo);
	submission_set_origin(&s, origin);
	if (template_is_stored(fcinfo))
		read_stored(&parts, fcinfo);
	else if (InSecurityRestrictedOperation())
		read_unconverted(&parts, fcinfo);
	else
	{
		read_given(&parts, fcinfo, function_of(fcinfo));
		sign_as_current_user(&parts);
	}
	set_call(&s.task, &parts);
	return submission_place(&s);
}

static const char *
call_fault(FunctionCallInfo fcinfo)
{
	const Queue *queue = queue_of_row(call_queue_name(fcinfo));

	if (queue == NULL)
		return psprintf("queue \"%s\" does not exist", text_to_cstring(call_queue_name(fcinfo)));
	if (queue_fault(queue) != NULL)
		return queue_fault(queue);
	return prerequisites_fault(fcinfo, submit_call_args.after);
}

static bool
takes_no_payload(FunctionCallInfo fcinfo)
{
	return false;
}

/* It becomes the first argument. */
static void
take_outcome(FunctionCallInfo fcinfo, Datum outcome)
{
	JsonbParseState *state = NULL;
	JsonbValue value = {.type = jbvBinary};
	Jsonb *json = DatumGetJsonbP(outcome);

	if (!PG_ARGISNULL(ARG_ARGS))
		return;
	value.val.binary.data = &json->root;
	value.val.binary.len = VARSIZE(json) - VARHDRSZ;
	(void) pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	(void) pushJsonbValue(&state, WJB_ELEM, &value);
	fcinfo->args[ARG_ARGS].value =
		JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL)));
	fcinfo->args[ARG_ARGS].isnull = false;
}

static void
fill_call(FunctionCallInfo fcinfo, Row *task)
{
	CallParts parts;

	read_stored(&parts, fcinfo);
	set_call(task, &parts);
}

static void
sign_call(FunctionCallInfo fcinfo, JsonbParseState **state)
{
	CallParts parts;

	sign_as_current_user(&parts);
	json_add_string(state, "call", call_signature(function_of(fcinfo)));
	json_add_string(state, "role", parts.role);
	json_add_number(state, "caller", parts.caller);
}

static const TemplateKey template_keys[] = {
	{"call", TEMPLATE_TEXT, ARG_FUNCTION, -1, NULL},
	{"args", TEMPLATE_JSON, ARG_ARGS, -1, NULL},
	{"kwargs", TEMPLATE_JSON, ARG_KWARGS, -1, NULL},
	{"queue", TEMPLATE_TEXT, ARG_QUEUE, -1, NULL},
	{"key", TEMPLATE_TEXT, 4, TASK_KEY, NULL},
	{"priority", TEMPLATE_INT, 5, TASK_PRIORITY, NULL},
	{"delay", TEMPLATE_INTERVAL, 7, -1, NULL},
	{"start_within", TEMPLATE_INTERVAL, 8, -1, NULL},
	{"timeout", TEMPLATE_INTERVAL, 9, TASK_TIMEOUT, NULL},
	{"retry", TEMPLATE_TEXT, 10, TASK_RETRY, NULL},
	{"max_attempts", TEMPLATE_INT, 11, TASK_MAX_ATTEMPTS, NULL},
	{"kind", TEMPLATE_TEXT, 12, TASK_KIND, NULL},
	{"on_duplicate", TEMPLATE_TEXT, 13, -1, NULL},
	{"on_finish", TEMPLATE_JSON, 14, TASK_ON_FINISH, NULL},
	{"on_dead", TEMPLATE_JSON, 15, TASK_ON_DEAD, NULL},
	{"group_key", TEMPLATE_TEXT, 16, TASK_GROUP_KEY, NULL},
	{"unique_for", TEMPLATE_INTERVAL, 17, -1, NULL},
	{"max_wait", TEMPLATE_INTERVAL, 18, -1, NULL},
	{"trace", TEMPLATE_TEXT, 19, -1, NULL},
	{"after", TEMPLATE_IDS, 20, -1, NULL},
	{"after_failure", TEMPLATE_TEXT, 21, -1, NULL},
	{"on_demand", TEMPLATE_BOOL, ARG_ON_DEMAND, -1, NULL},
	{"role", TEMPLATE_TEXT, ARG_ROLE, -1, NULL},
	{"caller", TEMPLATE_INT, ARG_CALLER, -1, NULL},
};

const TemplateTarget submit_to_call = {
	.name = "call",
	.keys = template_keys,
	.nkeys = lengthof(template_keys),
	.nstored = 2,
	.nargs = NARGS,
	.judge = judge_call,
	.submit = submit_one_call,
	.queue = call_queue_name,
	.fault = call_fault,
	.takes_payload = takes_no_payload,
	.take_outcome = take_outcome,
	.fill = fill_call,
	.sign = sign_call,
};

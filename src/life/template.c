/*
 * template.c
 *		Templates: tasks as values, to be submitted later.
 *
 * A template is a call of a submitting function whose arguments are the keys of a JSON object.  So
 * nothing is judged twice: the object becomes the arguments, and the function that serves it
 * judges them as it judges a call from SQL.  The submitting functions, some of which live above
 * this file, say here what they are.
 *
 * A template that is given now and submitted later is judged both times.  The first time decides
 * about the privileges of the role that gives it.
 */
#include "postgres.h"

#include <errno.h>

#include "common/string.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "base/arg.h"
#include "base/errors.h"
#include "base/jsontext.h"
#include "base/sql.h"
#include "life/template.h"
#include "tables/queue.h"

#define MAX_TARGETS 8

static const TemplateTarget *targets[MAX_TARGETS];
static int ntargets = 0;

/*
 * Stands in the context of the arguments of a stored template.  No caller of a function can pass
 * its address.
 */
static Node stored_mark = {T_String};

void
template_register(const TemplateTarget *target)
{
	if (ntargets == MAX_TARGETS)
		elog(ERROR, "too many targets of templates");
	targets[ntargets++] = target;
}

/* ---- errors -------------------------------------------------------------------------- */

static void
refuse(const char *wrong)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
			 errmsg("invalid template"),
			 errdetail("%s", wrong),
			 errhint("See the comment of taskq.submit_template().")));
}

static void
refuse_key(const char *name, const char *wrong)
{
	refuse(psprintf("The key \"%s\" %s.", name, wrong));
}

/* ---- values -------------------------------------------------------------------------- */

static text *
text_of(const JsonbValue *value)
{
	return cstring_to_text_with_len(value->val.string.val, value->val.string.len);
}

/* Only whole numbers that are written as such. */
static int32
int_of(const TemplateKey *key, const JsonbValue *value)
{
	char *digits =
		DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
	char *end;
	int number;

	errno = 0;
	number = strtoint(digits, &end, 10);
	if (errno != 0 || *end != '\0')
		refuse_key(key->name, "must be a whole number");
	return number;
}

/* The error of the input function, which is of another class, becomes one of ours. */
static Datum
interval_of(const TemplateKey *key, const JsonbValue *value)
{
	char *given = pnstrdup(value->val.string.val, value->val.string.len);
	MemoryContext context = CurrentMemoryContext;
	Datum interval = 0;

	PG_TRY();
	{
		interval = DirectFunctionCall3(interval_in, CStringGetDatum(given),
									   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	}
	PG_CATCH();
	{
		int sqlstate = geterrcode();

		if (ERRCODE_TO_CATEGORY(sqlstate) != ERRCODE_DATA_EXCEPTION)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		FlushErrorState();
		refuse_key(key->name, "is not an interval");
	}
	PG_END_TRY();
	return interval;
}

/* NaN and infinity are no numbers of JSON. */
static int64
id_of(const TemplateKey *key, const JsonbValue *value)
{
	Numeric number;
	Datum whole;

	if (value->type != jbvNumeric)
		refuse_key(key->name, "must be an array of ids");
	number = value->val.numeric;
	whole = DirectFunctionCall2(numeric_trunc, NumericGetDatum(number), Int32GetDatum(0));
	if (!DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(number), whole)) ||
		!DatumGetBool(DirectFunctionCall2(numeric_le, DirectFunctionCall1(numeric_abs, whole),
										  NumericGetDatum(int64_to_numeric(PG_INT64_MAX)))))
		refuse_key(key->name, "must be an array of ids");
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, whole));
}

static Datum
ids_of(const TemplateKey *key, JsonbValue *value)
{
	Jsonb *array = JsonbValueToJsonb(value);
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue element;
	int64 *ids;
	int count = 0;

	if (!JB_ROOT_IS_ARRAY(array) || JB_ROOT_IS_SCALAR(array))
		refuse_key(key->name, "must be an array of ids");
	ids = palloc_array(int64, JB_ROOT_COUNT(array) + 1);
	it = JsonbIteratorInit(&array->root);
	while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
	{
		if (token == WJB_ELEM)
			ids[count++] = id_of(key, &element);
	}
	return PointerGetDatum(array_of_ids(ids, count));
}

static void
require_type(const TemplateKey *key, const JsonbValue *value)
{
	if (key->type == TEMPLATE_IDS)
		return; /* ids_of() judges it */
	if (key->type == TEMPLATE_INT && value->type != jbvNumeric)
		refuse_key(key->name, "must be a number");
	if (key->type == TEMPLATE_BOOL && value->type != jbvBool)
		refuse_key(key->name, "must be true or false");
	if (key->type != TEMPLATE_INT && key->type != TEMPLATE_BOOL && key->type != TEMPLATE_JSON &&
		value->type != jbvString)
		refuse_key(key->name, "must be a string");
}

static Datum
argument_of(const TemplateKey *key, JsonbValue *value)
{
	require_type(key, value);
	switch (key->type)
	{
		case TEMPLATE_JSON:
			return JsonbPGetDatum(JsonbValueToJsonb(value));
		case TEMPLATE_INT:
			return Int32GetDatum(int_of(key, value));
		case TEMPLATE_BOOL:
			return BoolGetDatum(value->val.boolean);
		case TEMPLATE_INTERVAL:
			return interval_of(key, value);
		case TEMPLATE_IDS:
			return ids_of(key, value);
		case TEMPLATE_TEXT:
		case TEMPLATE_BYTEA:
			break;
	}
	/* A bytea has the form of a text. */
	return PointerGetDatum(text_of(value));
}

/* ---- reading ------------------------------------------------------------------------- */

static bool
is_key(const JsonbValue *value, const char *name)
{
	return value->val.string.len == (int) strlen(name) &&
		   memcmp(value->val.string.val, name, value->val.string.len) == 0;
}

static bool
has_key(Jsonb *json, const char *name)
{
	JsonbValue value;

	return getKeyJsonValueFromContainer(&json->root, name, strlen(name), &value) != NULL;
}

static const TemplateTarget *
target_of(Jsonb *json)
{
	const TemplateTarget *found = NULL;

	for (int i = 1; i < ntargets; i++)
	{
		if (!has_key(json, targets[i]->name))
			continue;
		if (found != NULL)
			refuse(psprintf("It has the keys \"%s\" and \"%s\", but it can have one target only.",
							found->name, targets[i]->name));
		found = targets[i];
	}
	if (found == NULL && has_key(json, targets[0]->name))
		found = targets[0];
	if (found == NULL)
		refuse("It has no target: one of the keys \"queue\", \"topic\", \"url\", \"endpoint\" and "
			   "\"call\".");
	return found;
}

static const TemplateKey *
find_key(const TemplateTarget *target, const char *name, int length)
{
	for (int i = 0; i < target->nkeys; i++)
	{
		if (strlen(target->keys[i].name) == (size_t) length &&
			strncmp(target->keys[i].name, name, length) == 0)
			return &target->keys[i];
	}
	return NULL;
}

static void
set_argument(Template *t, const TemplateKey *key, Datum value)
{
	t->fcinfo->args[key->argument].value = value;
	t->fcinfo->args[key->argument].isnull = false;
}

bool
template_is_stored(FunctionCallInfo fcinfo)
{
	return fcinfo->context == &stored_mark;
}

/* All arguments NULL, or as by default. */
static Template *
make_template(const TemplateTarget *target, Node *context)
{
	Template *t = palloc_object(Template);

	t->target = target;
	t->fcinfo = palloc0(SizeForFunctionCallInfo(target->nargs));
	InitFunctionCallInfoData(*t->fcinfo, NULL, target->nargs, InvalidOid, context, NULL);
	for (int i = 0; i < target->nargs; i++)
		t->fcinfo->args[i].isnull = true;
	for (int i = 0; i < target->nkeys; i++)
	{
		if (target->keys[i].fallback != NULL)
			set_argument(t, &target->keys[i], CStringGetTextDatum(target->keys[i].fallback));
	}
	return t;
}

static bool
may_have(const Template *t, const TemplateKey *key)
{
	const TemplateTarget *target = t->target;

	return template_is_stored(t->fcinfo) ||
		   key < target->keys + target->nkeys - target->nstored;
}

static void
read_keys(Template *t, Jsonb *json)
{
	JsonbIterator *it = JsonbIteratorInit(&json->root);
	JsonbIteratorToken token;
	JsonbValue name;
	JsonbValue value;

	while ((token = JsonbIteratorNext(&it, &name, true)) != WJB_DONE)
	{
		const TemplateKey *key;

		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		key = find_key(t->target, name.val.string.val, name.val.string.len);
		if (key != NULL && may_have(t, key))
			set_argument(t, key, argument_of(key, &value));
		else
			refuse_key(pnstrdup(name.val.string.val, name.val.string.len),
					   psprintf("does not go with \"%s\"", t->target->name));
	}
}

/* NULL: the target has no such key. */
static NullableDatum *
argument_named(const Template *t, const char *name)
{
	const TemplateKey *key = find_key(t->target, name, strlen(name));

	return key != NULL ? &t->fcinfo->args[key->argument] : NULL;
}

static void
check_duplicates(const Template *t)
{
	const NullableDatum *given = argument_named(t, "on_duplicate");

	if (given != NULL && !given->isnull && strcmp(TextDatumGetCString(given->value), "raise") == 0)
		refuse_key("on_duplicate", "must be keep or replace");
}

static Template *
read_template(Jsonb *json, Node *context)
{
	Template *t;
	Size size;

	check_stack_depth();
	if (!JB_ROOT_IS_OBJECT(json))
		refuse("It is not a JSON object.");
	/* A signature makes it longer. */
	if (context == NULL && jsonb_text_exceeds(JsonbPGetDatum(json), TASKQ_MAX_TEMPLATE, &size))
		refuse(psprintf("It has %zu bytes as text; at most %d are allowed.", size,
						TASKQ_MAX_TEMPLATE));
	t = make_template(target_of(json), context);
	read_keys(t, json);
	check_duplicates(t);
	return t;
}

Template *
template_read(Jsonb *json)
{
	return read_template(json, NULL);
}

Template *
template_read_stored(Jsonb *json)
{
	return read_template(json, &stored_mark);
}

NullableDatum *
template_payload(const Template *t)
{
	return t->target->takes_payload(t->fcinfo) ? argument_named(t, "payload") : NULL;
}

NullableDatum *
template_trace(const Template *t)
{
	return argument_named(t, "trace");
}

void
template_fill(const Template *t, Row *task)
{
	for (int i = 0; i < t->target->nkeys; i++)
	{
		const TemplateKey *key = &t->target->keys[i];
		const NullableDatum *given = &t->fcinfo->args[key->argument];

		if (key->column < 0 || given->isnull)
			continue;
		if (key->column == TASK_PRIORITY)
			row_set(task, TASK_PRIORITY, Int16GetDatum((int16) DatumGetInt32(given->value)));
		else
			row_set(task, key->column, given->value);
	}
}

/* ---- judging and submitting ------------------------------------------------------- */

void
template_judge(Jsonb *json)
{
	Template *t = template_read(json);

	t->target->judge(t->fcinfo);
}

int64
template_submit(Jsonb *json)
{
	Template *t = template_read(json);

	return t->target->submit(t->fcinfo, (Datum) 0);
}

/* The templates of a list; returns their number, which may be one more than is allowed. */
static int
split(Jsonb *list, Jsonb *templates[TASKQ_MAX_TEMPLATES + 1])
{
	JsonbIterator *it = JsonbIteratorInit(&list->root);
	JsonbIteratorToken token;
	JsonbValue value;
	int count = 0;

	while (count <= TASKQ_MAX_TEMPLATES &&
		   (token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_ELEM)
			templates[count++] = JsonbValueToJsonb(&value);
	}
	return count;
}

int
templates_of(Jsonb *list, Jsonb *templates[TASKQ_MAX_TEMPLATES])
{
	Jsonb *all[TASKQ_MAX_TEMPLATES + 1];
	int count = Min(split(list, all), TASKQ_MAX_TEMPLATES);

	memcpy(templates, all, count * sizeof(Jsonb *));
	return count;
}

static Jsonb *
array_of_one(Jsonb *json)
{
	JsonbParseState *state = NULL;
	JsonbValue value = {.type = jbvBinary};

	value.val.binary.data = &json->root;
	value.val.binary.len = VARSIZE(json) - VARHDRSZ;
	(void) pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	(void) pushJsonbValue(&state, WJB_ELEM, &value);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}

static void
too_many(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
			 errmsg("%s has too many templates", name),
			 errdetail("At most %d are allowed.", TASKQ_MAX_TEMPLATES),
			 errhint("Let one of these tasks submit the others.")));
}

/* ---- follow-ups ------------------------------------------------------------------- */

static Jsonb *sign_list(Jsonb *list);

static bool
is_list_of_follow_ups(const JsonbValue *key)
{
	return is_key(key, "on_finish") || is_key(key, "on_dead");
}

static void
push_binary(JsonbParseState **state, JsonbIteratorToken token, Jsonb *json)
{
	JsonbValue value = {.type = jbvBinary};

	value.val.binary.data = &json->root;
	value.val.binary.len = VARSIZE(json) - VARHDRSZ;
	(void) pushJsonbValue(state, token, &value);
}

/* Signs the follow-ups of the template as well. */
static Jsonb *
sign_template(const Template *t, Jsonb *json)
{
	JsonbParseState *state = NULL;
	JsonbIterator *it = JsonbIteratorInit(&json->root);
	JsonbIteratorToken token;
	JsonbValue name;
	JsonbValue value;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	while ((token = JsonbIteratorNext(&it, &name, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		(void) pushJsonbValue(&state, WJB_KEY, &name);
		if (is_list_of_follow_ups(&name))
			push_binary(&state, WJB_VALUE, sign_list(JsonbValueToJsonb(&value)));
		else
			(void) pushJsonbValue(&state, WJB_VALUE, &value);
	}
	/* A key that is there already gets this value. */
	if (t->target->sign != NULL)
		t->target->sign(t->fcinfo, &state);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* One template, or an array of templates; all of them were judged. */
static Jsonb *
sign_list(Jsonb *list)
{
	JsonbParseState *state = NULL;
	Jsonb *templates[TASKQ_MAX_TEMPLATES];
	int count = 1;

	templates[0] = list;
	if (!JB_ROOT_IS_OBJECT(list))
		count = templates_of(list, templates);
	(void) pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < count; i++)
		push_binary(&state, WJB_ELEM, sign_template(template_read(templates[i]), templates[i]));
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}

/* Whether one of the targets that are signed may be among the templates. */
static bool
may_need_signature(Jsonb *list)
{
	JsonbIterator *it = JsonbIteratorInit(&list->root);
	JsonbIteratorToken token;
	JsonbValue value;

	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
	{
		for (int i = 0; token == WJB_KEY && i < ntargets; i++)
		{
			if (targets[i]->sign != NULL && is_key(&value, targets[i]->name))
				return true;
		}
	}
	return false;
}

/* Judges a template that gets the outcome of a task. */
static void
judge_follow_up(Template *t)
{
	if (t->target->take_outcome != NULL)
		t->target->take_outcome(t->fcinfo, DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
	t->target->judge(t->fcinfo);
}

/* A template of a queue must not submit to that queue: its tasks would follow without end. */
static void
refuse_own_queue(const Template *t, const char *queue)
{
	if (queue != NULL && strcmp(text_to_cstring(t->target->queue(t->fcinfo)), queue) == 0)
		refuse(psprintf("It submits to queue \"%s\", whose tasks it is to follow.", queue));
}

/*
 * Judges a list and returns it as it is stored, 0 if it is empty.  queue: the one whose follow-ups
 * they are; NULL: they are those of a task.
 */
static Datum
judge_list(Jsonb *list, bool stored, const char *queue, const char *name)
{
	Jsonb *templates[TASKQ_MAX_TEMPLATES + 1];
	int count = 1;

	templates[0] = list;
	if (!JB_ROOT_IS_OBJECT(list))
		count = split(list, templates);
	if (count > TASKQ_MAX_TEMPLATES)
		too_many(name);
	for (int i = 0; i < count; i++)
	{
		Template *t = read_template(templates[i], stored ? &stored_mark : NULL);

		refuse_own_queue(t, queue);
		judge_follow_up(t);
	}
	if (count == 0)
		return (Datum) 0;
	if (!stored && may_need_signature(list))
		return JsonbPGetDatum(sign_list(list));
	return JsonbPGetDatum(JB_ROOT_IS_OBJECT(list) ? array_of_one(list) : list);
}

Datum
arg_templates(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		return (Datum) 0;
	return judge_list(PG_GETARG_JSONB_P(n), template_is_stored(fcinfo), NULL, name);
}

Datum
templates_join(Datum list, Datum more, const char *name)
{
	Datum joined = DirectFunctionCall2(jsonb_concat, list, more);

	if (JB_ROOT_COUNT(DatumGetJsonbP(joined)) > TASKQ_MAX_TEMPLATES)
		too_many(name);
	return joined;
}

/* ---- SQL -------------------------------------------------------------------------- */

PG_FUNCTION_INFO_V1(taskq_judge_template);
Datum
taskq_judge_template(PG_FUNCTION_ARGS)
{
	client_call("taskq_private.judge_template()");
	template_judge(PG_GETARG_JSONB_P(0));
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(taskq_submit_template);
Datum
taskq_submit_template(PG_FUNCTION_ARGS)
{
	int64 id;

	client_call("taskq.submit_template()");
	if (PG_ARGISNULL(0))
		refuse("It is NULL.");
	id = template_submit(PG_GETARG_JSONB_P(0));
	if (id == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(id);
}

/* Arguments: the name of a queue, the templates, that of their argument, the role that gives. */
PG_FUNCTION_INFO_V1(taskq_judge_follow_ups);
Datum
taskq_judge_follow_ups(PG_FUNCTION_ARGS)
{
	OwnerRights before;
	Datum list;

	client_call("taskq_private.judge_follow_ups()");
	if (PG_ARGISNULL(1))
		PG_RETURN_NULL();
	sql_begin_as(&before, PG_GETARG_OID(3),
				 SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	list = judge_list(PG_GETARG_JSONB_P(1), false, text_to_cstring(PG_GETARG_TEXT_PP(0)),
					  text_to_cstring(PG_GETARG_TEXT_PP(2)));
	sql_end_as(&before);
	if (list == 0)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(list);
}

/* A key of a template that is not shown: a secret, or part of the signature of a call. */
static bool
is_hidden(const JsonbValue *key)
{
	return is_key(key, "headers") || is_key(key, "role") || is_key(key, "caller");
}

/* Argument: templates.  Returns them without headers, also of their own follow-ups. */
PG_FUNCTION_INFO_V1(taskq_shown_templates);
Datum
taskq_shown_templates(PG_FUNCTION_ARGS)
{
	Jsonb *json = PG_GETARG_JSONB_P(0);
	JsonbParseState *state = NULL;
	JsonbIterator *it = JsonbIteratorInit(&json->root);
	JsonbIteratorToken token;
	JsonbValue value;
	JsonbValue *shown = NULL;
	bool whole = false;

	while ((token = JsonbIteratorNext(&it, &value, whole)) != WJB_DONE)
	{
		whole = token == WJB_KEY && (is_key(&value, "payload") || is_key(&value, "args") ||
									 is_key(&value, "kwargs"));
		if (token == WJB_KEY && is_hidden(&value))
			(void) JsonbIteratorNext(&it, &value, true);
		else
			shown = pushJsonbValue(&state, token, token < WJB_BEGIN_ARRAY ? &value : NULL);
	}
	PG_RETURN_JSONB_P(JsonbValueToJsonb(shown));
}

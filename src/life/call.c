/*
 * call.c
 *		Calls of functions as values: which function, with which arguments, as which role.
 *
 * Arguments come as JSON.  They are converted to the types of the parameters when the call is
 * submitted, so that what does not fit is the submitter's error.  They are stored as JSON again:
 * numbers, booleans and JSON as they are, everything else as its type writes it, under settings
 * that are always the same.  So the second conversion, before the call, yields the same values,
 * whatever the settings of the two sessions are.  In the second session types, casts and checks
 * of domains are run as the role that has submitted.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/errors.h"
#include "base/jsonmake.h"
#include "base/sql.h"
#include "life/call.h"

#define KEY_FUNCTION  "function"
#define KEY_ARGS      "args"
#define KEY_KWARGS    "kwargs"
#define KEY_ROLE      "role"
#define KEY_CALLER    "caller"
#define KEY_ON_DEMAND "on_demand"

static Statement select_number = {
	"select taskq_private.make_caller($1, $2)", 2, {TEXTOID, OIDOID}, NULL};
static Statement select_role = {
	"select c.role_oid from taskq_private.caller c where c.number = $1 and c.role = $2",
	2,
	{INT4OID, TEXTOID},
	NULL,
};

/* ---- settings ------------------------------------------------------------------------ */

/* Those on which the text of a value depends. */
static int
begin_formats(void)
{
	static const struct
	{
		const char *name;
		const char *value;
	} formats[] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"DateStyle", "ISO, YMD"},
		{"IntervalStyle", "postgres"},
		{"TimeZone", "UTC"},
		{"bytea_output", "hex"},
		{"extra_float_digits", "1"},
		{"lc_monetary", "C"},
		{"array_nulls", "on"},
		{"xmloption", "content"},
		{"quote_all_identifiers", "off"}};
	int level = NewGUCNestLevel();

	for (int i = 0; i < (int) lengthof(formats); i++)
		(void) set_config_option(formats[i].name, formats[i].value, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	return level;
}

static void
end_formats(int level)
{
	AtEOXact_GUC(true, level);
}

/* Types whose text depends on no setting. */
static bool
is_plain(Oid type)
{
	static const Oid plain[] = {INT2OID, INT4OID, INT8OID, NUMERICOID, BOOLOID, TEXTOID,
								VARCHAROID, UUIDOID, JSONOID, JSONBOID};

	for (int i = 0; i < (int) lengthof(plain); i++)
	{
		if (plain[i] == type)
			return true;
	}
	return false;
}

/* Whether an error is about what was given: a name, or a value that its type checks. */
static bool
is_of_value(int sqlstate)
{
	int category = ERRCODE_TO_CATEGORY(sqlstate);

	if (sqlstate == ERRCODE_INSUFFICIENT_PRIVILEGE)
		return false;
	return category == ERRCODE_DATA_EXCEPTION ||
		   category == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION ||
		   category == ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION ||
		   category == ERRCODE_PLPGSQL_ERROR || category == ERRCODE_FEATURE_NOT_SUPPORTED;
}

/* ---- functions -------------------------------------------------------------------- */

static void
refuse_no_function(const char *signature, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
			 errmsg("function \"%s\" does not exist", signature),
			 errdetail("%s", detail),
			 errhint("Write it like 'public.f(jsonb)', with its schema and the types of its "
					 "parameters.")));
}

/*
 * Raises an error or returns InvalidOid if there is none.  to_regprocedure() tells less since
 * PostgreSQL 16.
 */
static Oid
find_function(const char *signature)
{
	/* A number would be taken for an oid. */
	if (strchr(signature, '(') == NULL)
		return InvalidOid;
	return DatumGetObjectId(DirectFunctionCall1(regprocedurein, CStringGetDatum(signature)));
}

static bool
is_missing(int sqlstate)
{
	return sqlstate == ERRCODE_UNDEFINED_FUNCTION || sqlstate == ERRCODE_UNDEFINED_SCHEMA;
}

Oid
call_find_function(const char *signature)
{
	MemoryContext context = CurrentMemoryContext;
	volatile Oid function = InvalidOid;

	PG_TRY();
	{
		function = find_function(signature);
	}
	PG_CATCH();
	{
		ErrorData *failure;

		if (!is_of_value(geterrcode()))
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		failure = CopyErrorData();
		FlushErrorState();
		if (!is_missing(failure->sqlerrcode))
			refuse_no_function(signature,
							   psprintf("Its name is not valid here: %s.", failure->message));
	}
	PG_END_TRY();
	if (!OidIsValid(function))
		refuse_no_function(signature, "A call names a function with the types of its parameters.");
	return function;
}

char *
call_signature(Oid function)
{
	int level = begin_formats();
	char *signature = format_procedure(function);

	end_formats(level);
	return signature;
}

static void
refuse_function(Oid function, const char *wrong)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
			 errmsg("function %s cannot be called by a task", format_procedure(function)),
			 errdetail("%s", wrong),
			 errhint("Write a function that calls it.")));
}

static bool
is_passable(Oid type)
{
	return get_typtype(type) != TYPTYPE_PSEUDO;
}

static bool
is_returnable(Oid type)
{
	return type == VOIDOID || type == RECORDOID || is_passable(type);
}

static void
check_kind(const Form_pg_proc proc)
{
	if (proc->prokind == PROKIND_AGGREGATE || proc->prokind == PROKIND_WINDOW)
		refuse_function(proc->oid, "It is an aggregate or a window function.");
	if (!OidIsValid(proc->prorettype) || !is_returnable(proc->prorettype))
		refuse_function(proc->oid, "The type of its result is polymorphic, or no type of values.");
	for (int i = 0; i < proc->pronargs; i++)
	{
		if (!is_passable(proc->proargtypes.values[i]))
			refuse_function(proc->oid,
							"The type of a parameter is polymorphic, or no type of values.");
	}
}

static void
read_names(Callee *callee, HeapTuple tuple)
{
	bool no_names;
	bool no_modes;
	Datum names = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proargnames, &no_names);
	Datum modes = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proargmodes, &no_modes);
	char **found = NULL;
	int count = 0;

	if (!no_names)
		count = get_func_input_arg_names(names, no_modes ? (Datum) 0 : modes, &found);
	for (int i = 0; i < callee->nargs; i++)
		callee->names[i] = i < count && found[i] != NULL ? found[i] : "";
}

void
call_look_up(Callee *callee, Oid function)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc proc;
	Datum defaults;
	bool isnull;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("function with OID %u does not exist", function),
				 errdetail("It was dropped."),
				 errhint("Pass the name and the types of the parameters, such as "
						 "'public.f(jsonb)'.")));
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	check_kind(proc);
	memset(callee, 0, sizeof(*callee));
	callee->function = function;
	callee->procedure = proc->prokind == PROKIND_PROCEDURE;
	callee->set = proc->proretset;
	callee->variadic = OidIsValid(proc->provariadic);
	callee->result_type = proc->prorettype;
	callee->nargs = proc->pronargs;
	memcpy(callee->types, proc->proargtypes.values, proc->pronargs * sizeof(Oid));
	read_names(callee, tuple);
	defaults = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proargdefaults, &isnull);
	if (!isnull)
		callee->defaults = castNode(List, stringToNode(TextDatumGetCString(defaults)));
	ReleaseSysCache(tuple);
}

/* ---- arguments -------------------------------------------------------------------- */

static void
refuse_argument(const char *message, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
			 errmsg("%s", message),
			 errdetail("%s", detail),
			 errhint("args is an array of arguments by position, kwargs an object of arguments by "
					 "name.")));
}

/* Ours are "argument 2" and "argument \"name\"". */
static char *
argument_name(const Callee *callee, int n)
{
	return callee->names[n][0] != '\0' ? psprintf("\"%s\"", callee->names[n])
									   : psprintf("%d", n + 1);
}

/* {"value": value} */
static Jsonb *
wrap(JsonbValue *value)
{
	JsonbParseState *state = NULL;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	json_add(&state, "value", value);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/*
 * Converts as jsonb_populate_record() does: arrays and objects become arrays and composites, all
 * else goes through the input function of the type.
 */
static Datum
populate(Oid type, JsonbValue *value, bool *isnull)
{
	LOCAL_FCINFO(fcinfo, 2);
	FmgrInfo flinfo;
	TupleDesc desc = CreateTemplateTupleDesc(1);
	Datum none = (Datum) 0;
	bool null = true;
	HeapTupleData tuple = {0};
	Datum record;

	TupleDescInitEntry(desc, 1, "value", type, -1, 0);
	desc = BlessTupleDesc(desc);
	fmgr_info(F_JSONB_POPULATE_RECORD, &flinfo);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_JSONB_POPULATE_RECORD, RECORDOID,
											 list_make2(makeNullConst(RECORDOID, -1, InvalidOid),
														makeNullConst(JSONBOID, -1, InvalidOid)),
											 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL),
					   &flinfo);
	InitFunctionCallInfoData(*fcinfo, &flinfo, 2, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = HeapTupleGetDatum(heap_form_tuple(desc, &none, &null));
	fcinfo->args[0].isnull = false;
	fcinfo->args[1].value = JsonbPGetDatum(wrap(value));
	fcinfo->args[1].isnull = false;
	record = FunctionCallInvoke(fcinfo);
	tuple.t_data = DatumGetHeapTupleHeader(record);
	tuple.t_len = HeapTupleHeaderGetDatumLength(tuple.t_data);
	return heap_getattr(&tuple, 1, desc, isnull);
}

/* An error of the conversion becomes one of ours, with the same message; it is not caught. */
static void
bind_argument(Callee *callee, int n, JsonbValue *value)
{
	MemoryContext context = CurrentMemoryContext;

	callee->given[n] = true;
	PG_TRY();
	{
		callee->values[n] = populate(callee->types[n], value, &callee->nulls[n]);
	}
	PG_CATCH();
	{
		ErrorData *failure;

		if (!is_of_value(geterrcode()))
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		failure = CopyErrorData();
		FlushErrorState();
		refuse_argument(failure->message,
						psprintf("Argument %s has type %s.", argument_name(callee, n),
								 format_type_be(callee->types[n])));
	}
	PG_END_TRY();
}

static void
bind_by_position(Callee *callee, Jsonb *args)
{
	if (!JB_ROOT_IS_ARRAY(args) || JB_ROOT_IS_SCALAR(args))
		refuse_argument("args must be an array", "Its elements are arguments by position.");
	if ((int) JB_ROOT_COUNT(args) > callee->nargs)
		refuse_argument("too many arguments",
						psprintf("Function %s has %d parameters.",
								 format_procedure(callee->function), callee->nargs));
	for (int i = 0; i < (int) JB_ROOT_COUNT(args); i++)
		bind_argument(callee, i, getIthJsonbValueFromContainer(&args->root, i));
}

static int
parameter_named(const Callee *callee, const char *name)
{
	for (int i = 0; i < callee->nargs; i++)
	{
		if (name[0] != '\0' && strcmp(callee->names[i], name) == 0)
			return i;
	}
	refuse_argument(psprintf("there is no parameter \"%s\"", name),
					psprintf("It is none of function %s.", format_procedure(callee->function)));
	return -1; /* not reached */
}

static void
bind_by_name(Callee *callee, Jsonb *kwargs)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue name;
	JsonbValue value;

	if (!JB_ROOT_IS_OBJECT(kwargs))
		refuse_argument("kwargs must be an object", "Its keys are names of parameters.");
	it = JsonbIteratorInit(&kwargs->root);
	while ((token = JsonbIteratorNext(&it, &name, true)) != WJB_DONE)
	{
		int n;

		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		n = parameter_named(callee, pnstrdup(name.val.string.val, name.val.string.len));
		if (callee->given[n])
			refuse_argument(psprintf("argument \"%s\" is given twice", callee->names[n]),
							"It is in args as well.");
		bind_argument(callee, n, &value);
	}
}

static void
require_others(const Callee *callee)
{
	int required = callee->nargs - list_length(callee->defaults);

	for (int i = 0; i < required; i++)
	{
		if (!callee->given[i])
			refuse_argument(psprintf("argument %s is missing", argument_name(callee, i)),
							"The parameter has no default.");
	}
}

static bool
all_plain(const Callee *callee)
{
	for (int i = 0; i < callee->nargs; i++)
	{
		if (!is_plain(callee->types[i]))
			return false;
	}
	return true;
}

void
call_bind(Callee *callee, Jsonb *args, Jsonb *kwargs, bool stored)
{
	bool pinned = stored && !all_plain(callee);
	int level = pinned ? begin_formats() : 0;

	if (args != NULL)
		bind_by_position(callee, args);
	if (kwargs != NULL)
		bind_by_name(callee, kwargs);
	require_others(callee);
	if (pinned)
		end_formats(level);
}

/* ---- as they are stored ----------------------------------------------------------- */

/* Whether JSON of that kind means the same under all settings. */
static bool
is_kept(Oid type, const JsonbValue *value)
{
	return is_plain(type) || value->type == jbvNull || value->type == jbvNumeric ||
		   value->type == jbvBool;
}

static void
push_argument(JsonbParseState **state, JsonbIteratorToken token, const Callee *callee, int n,
			  JsonbValue *value)
{
	JsonbValue stored = {.type = jbvString};
	Oid output;
	bool varlena;

	if (is_kept(callee->types[n], value))
	{
		(void) pushJsonbValue(state, token, value);
		return;
	}
	getTypeOutputInfo(callee->types[n], &output, &varlena);
	stored.val.string.val = OidOutputFunctionCall(output, callee->values[n]);
	stored.val.string.len = strlen(stored.val.string.val);
	(void) pushJsonbValue(state, token, &stored);
}

Jsonb *
call_args(const Callee *callee, Jsonb *args)
{
	JsonbParseState *state = NULL;
	int level = begin_formats();

	(void) pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; args != NULL && i < (int) JB_ROOT_COUNT(args); i++)
		push_argument(&state, WJB_ELEM, callee, i, getIthJsonbValueFromContainer(&args->root, i));
	end_formats(level);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}

Jsonb *
call_kwargs(const Callee *callee, Jsonb *kwargs)
{
	JsonbParseState *state = NULL;
	int level = begin_formats();

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; kwargs != NULL && i < callee->nargs; i++)
	{
		JsonbValue *value = json_value_of(kwargs, callee->names[i]);
		JsonbValue key = {.type = jbvString};

		if (value == NULL)
			continue;
		key.val.string.val = unconstify(char *, callee->names[i]);
		key.val.string.len = strlen(callee->names[i]);
		(void) pushJsonbValue(&state, WJB_KEY, &key);
		push_argument(&state, WJB_VALUE, callee, i, value);
	}
	end_formats(level);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

Datum
call_make(const CallParts *parts)
{
	JsonbParseState *state = NULL;
	JsonbValue on_demand = {.type = jbvBool, .val.boolean = true};

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	json_add_string(&state, KEY_FUNCTION, parts->function);
	if (parts->args != NULL)
		json_add_json(&state, KEY_ARGS, JsonbPGetDatum(parts->args));
	if (parts->kwargs != NULL && JB_ROOT_COUNT(parts->kwargs) > 0)
		json_add_json(&state, KEY_KWARGS, JsonbPGetDatum(parts->kwargs));
	json_add_string(&state, KEY_ROLE, parts->role);
	json_add_number(&state, KEY_CALLER, parts->caller);
	if (parts->on_demand)
		json_add(&state, KEY_ON_DEMAND, &on_demand);
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

static const JsonbValue *
require_part(Jsonb *call, const char *key, enum jbvType type)
{
	const JsonbValue *value = JB_ROOT_IS_OBJECT(call) ? json_value_of(call, key) : NULL;

	if (value == NULL || value->type != type)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("invalid call"),
				 errdetail("It has no \"%s\".", key),
				 errhint("Submit a new task.")));
	return value;
}

static char *
string_part(Jsonb *call, const char *key)
{
	const JsonbValue *value = require_part(call, key, jbvString);

	return pnstrdup(value->val.string.val, value->val.string.len);
}

/* NULL: there is no such part. */
static Jsonb *
json_part(Jsonb *call, const char *key)
{
	JsonbValue *value = json_value_of(call, key);

	return value != NULL ? JsonbValueToJsonb(value) : NULL;
}

void
call_read(Datum call, CallParts *parts)
{
	Jsonb *json = DatumGetJsonbP(call);

	parts->function = string_part(json, KEY_FUNCTION);
	parts->args = json_part(json, KEY_ARGS);
	parts->kwargs = json_part(json, KEY_KWARGS);
	parts->role = string_part(json, KEY_ROLE);
	parts->caller = DatumGetInt32(DirectFunctionCall1(
		numeric_int4, NumericGetDatum(require_part(json, KEY_CALLER, jbvNumeric)->val.numeric)));
	parts->on_demand = json_value_of(json, KEY_ON_DEMAND) != NULL;
}

Datum
call_without_arguments(Datum call)
{
	if (!JB_ROOT_IS_OBJECT(DatumGetJsonbP(call)))
		return call;
	call = DirectFunctionCall2(jsonb_delete, call, CStringGetTextDatum(KEY_ARGS));
	return DirectFunctionCall2(jsonb_delete, call, CStringGetTextDatum(KEY_KWARGS));
}

Datum
call_result(Oid type, Datum value)
{
	LOCAL_FCINFO(fcinfo, 1);
	FmgrInfo flinfo;

	fmgr_info(F_TO_JSONB, &flinfo);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSONB, JSONBOID,
											 list_make1(makeNullConst(type, -1, InvalidOid)),
											 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL),
					   &flinfo);
	InitFunctionCallInfoData(*fcinfo, &flinfo, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = value;
	fcinfo->args[0].isnull = false;
	return FunctionCallInvoke(fcinfo);
}

/* ---- roles ------------------------------------------------------------------------ */

int32
caller_number(Oid role, const char *name)
{
	Datum arguments[2] = {CStringGetTextDatum(name), ObjectIdGetDatum(role)};
	Datum number;
	bool isnull;

	if (!sql_as_owner(&select_number, arguments, NULL, &number, &isnull, 1) || isnull)
		elog(ERROR, "role %u has no number", role);
	return DatumGetInt32(number);
}

Oid
caller_role(int32 number, const char *name)
{
	Datum arguments[2] = {Int32GetDatum(number), CStringGetTextDatum(name)};
	Datum role;
	bool isnull;

	if (!sql_as_owner(&select_role, arguments, NULL, &role, &isnull, 1) || isnull ||
		get_role_oid(name, true) != DatumGetObjectId(role))
		return InvalidOid;
	return DatumGetObjectId(role);
}

static bool
is_own_role(Oid role)
{
	return role == get_role_oid(TASKQ_OWNER_ROLE, true) ||
		   role == get_role_oid(TASKQ_BGW_ROLE, true);
}

static bool
may_log_in(Oid role)
{
	HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	bool may = false;

	if (HeapTupleIsValid(tuple))
	{
		may = ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;
		ReleaseSysCache(tuple);
	}
	return may;
}

const char *
caller_fault(Oid role, const char **hint)
{
	*hint = "SET ROLE to the role as which the function is to run, and submit as that role.";
	if (superuser_arg(role))
		return "it is a superuser";
	if (is_own_role(role))
		return "it is a role of taskq itself";
	*hint = "GRANT the role to one that may log in, and submit as that one.";
	if (!COMPAT_NOLOGIN_WORKERS && !may_log_in(role))
		return "it may not log in";
	*hint = "GRANT it CONNECT on this database.";
	if (!compat_may_connect(MyDatabaseId, role))
		return "it may not connect to this database";
	*hint = NULL;
	return NULL;
}

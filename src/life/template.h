/*
 * template.h
 *		Templates: tasks as values, to be submitted later.
 */
#ifndef TASKQ_TEMPLATE_H
#define TASKQ_TEMPLATE_H

#include "fmgr.h"
#include "tables/rows.h"
#include "utils/jsonb.h"

#define TASKQ_MAX_TEMPLATE  8192 /* bytes as text */
#define TASKQ_MAX_TEMPLATES 8    /* in one list */

typedef enum TemplateType
{
	TEMPLATE_TEXT,
	TEMPLATE_JSON,
	TEMPLATE_INT,
	TEMPLATE_BOOL,
	TEMPLATE_INTERVAL, /* given as text */
	TEMPLATE_IDS,      /* an array of whole numbers */
	TEMPLATE_BYTEA     /* given as text, and stored in the encoding of the database */
} TemplateType;

/* A key of a template, which is an argument of the submitting function. */
typedef struct TemplateKey
{
	const char *name;
	TemplateType type;
	int argument;         /* its number */
	int column;           /* of the task; -1: none that keeps it as it is */
	const char *fallback; /* of a text that is not given; NULL: the argument is NULL then */
} TemplateKey;

/*
 * A kind of templates: the function that submits them.  The functions here get its arguments as a
 * call from SQL would pass them, and run as the current user.
 */
typedef struct TemplateTarget
{
	const char *name; /* the key that chooses this target */
	const TemplateKey *keys;
	int nkeys;
	int nstored; /* of these, the last ones, which only a stored template has */
	int nargs;   /* of the function */

	/* Raises the errors that the submit would raise. */
	void (*judge)(FunctionCallInfo fcinfo);

	/*
	 * origin: jsonb, of a task that is not submitted by the session itself; or 0.  Returns the id
	 * of the task; 0 if the template stands for several tasks.
	 */
	int64 (*submit)(FunctionCallInfo fcinfo, Datum origin);

	/* The name of the queue to which it submits, as given. */
	text *(*queue)(FunctionCallInfo fcinfo);

	/*
	 * Of a template that may stand for several tasks, each in another queue; else NULL.  The ids
	 * of the queues, ascending; palloc'd.  submit_to() submits one of the tasks.
	 */
	int32 *(*queues)(FunctionCallInfo fcinfo, int *count);
	void (*submit_to)(FunctionCallInfo fcinfo, Datum origin, int32 queue_id);

	/* What keeps it from submitting to that queue, palloc'd; NULL: nothing that is easily seen. */
	const char *(*fault)(FunctionCallInfo fcinfo);

	/* Whether a payload may be added. */
	bool (*takes_payload)(FunctionCallInfo fcinfo);

	/* NULL but for a target that takes the outcome of a task in another way than as payload. */
	void (*take_outcome)(FunctionCallInfo fcinfo, Datum outcome);

	/* Sets the columns of a task that are no arguments as given; NULL: there are none. */
	void (*fill)(FunctionCallInfo fcinfo, Row *task);

	/*
	 * NULL but for a target whose template, once given, must name the role that has given
	 * it.  Adds to the template of a follow-up, which the current user gives, what a stored one
	 * has.
	 */
	void (*sign)(FunctionCallInfo fcinfo, JsonbParseState **state);
} TemplateTarget;

/* A template that was read. */
typedef struct Template
{
	const TemplateTarget *target;
	FunctionCallInfo fcinfo;
} Template;

/* Makes a target known.  Called once for each when the library is loaded; the first one is used
 * for templates that have the key of no other. */
extern void template_register(const TemplateTarget *target);

/*
 * Reads keys and types; TQ004.  The second one is for a template from a list that arg_templates()
 * has returned and that is stored where no role can write.
 */
extern Template *template_read(Jsonb *json);
extern Template *template_read_stored(Jsonb *json);

/* In a function of a target: whether the template was stored; its rights were judged before. */
extern bool template_is_stored(FunctionCallInfo fcinfo);

/* The argument of the payload; NULL: none may be added. */
extern NullableDatum *template_payload(const Template *t);

/* The argument of the trace. */
extern NullableDatum *template_trace(const Template *t);

/* Sets the columns of a task that are arguments as given.  Nothing is judged. */
extern void template_fill(const Template *t, Row *task);

/*
 * Raises the errors that a submit by the current user would raise, and TQ004 for a template that
 * is malformed.
 */
extern void template_judge(Jsonb *json);

/* Judges and submits; returns the id of the task, or 0 as above. */
extern int64 template_submit(Jsonb *json);

/*
 * Judges argument n, a list of follow-ups, given by the current user: one, or an array of at most
 * TASKQ_MAX_TEMPLATES.  name is that of the argument.  Returns the list as it is stored, an
 * array; 0 if the argument is NULL or empty.
 */
extern Datum arg_templates(FunctionCallInfo fcinfo, int n, const char *name);

/* A list followed by another; TQ004 if that is too long. */
extern Datum templates_join(Datum list, Datum more, const char *name);

/* The templates of a list; returns their number. */
extern int templates_of(Jsonb *list, Jsonb *templates[TASKQ_MAX_TEMPLATES]);

#endif

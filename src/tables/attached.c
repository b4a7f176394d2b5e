/*
 * attached.c
 *		What an administrator has attached to the tables that C code writes.
 *
 * A statement has the executor of PostgreSQL see to defaults, constraints, triggers and every
 * kind of index.  Code that writes a row directly passes by all of that.  So each table is looked
 * at when it is new to the session, and again after each change of it.  If it is as the extension
 * has created it, rows are written directly.  If it has further indexes, columns or checks,
 * extended.c does for each row what a statement would.  If it has something that only a statement
 * can do, writing is refused, because a trigger that does not run loses what it was made for
 * without an error.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xlog.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_publication.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/primnodes.h"
#include "rewrite/prs2lock.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

#include "base/catalog.h"
#include "base/errors.h"
#include "tables/attached.h"

/* ---- the tables as they are created ---------------------------------------------------- */

typedef struct Column
{
	Oid type; /* InvalidOid: one of the extension, which is not looked at */
	bool required;
} Column;

/* Columns as in sql/20_tables.sql. */
static const Column task_columns[] = {
	{INT8OID, true},
	{TIMESTAMPTZOID, true},
	{TIMESTAMPTZOID, true},
	{INT4OID, true},
	{INT4OID, true},
	{INT4OID, true},
	{INT2OID, true},
	{JSONBOID, false},
	{TIMESTAMPTZOID, false},
	{TIMESTAMPTZOID, false},
	{INTERVALOID, false},
	{TEXTOID, false},
	{TEXTOID, false},
	{TEXTOID, false},
	{TEXTOID, false},
	{TEXTOID, false},
	{JSONBOID, false},
	{BYTEAOID, false},
	{JSONBOID, false},
	{JSONBOID, false},
	{JSONBOID, false},
	{INT8OID, false},
	{TEXTOID, false},
	{TIMESTAMPTZOID, false},
	{INT4OID, false},
	{TEXTOID, false},
	{JSONBOID, false},
};

static const Column lease_columns[] = {
	{INT8OID, true},
	{INT8OID, true},
	{TIMESTAMPTZOID, true},
	{TIMESTAMPTZOID, true},
	{INT8OID, false},
	{TIMESTAMPTZOID, false},
	{INT4OID, true},
	{INT4OID, true},
	{BOOLOID, true},
	{TIMESTAMPTZOID, false},
	{FLOAT8OID, false},
	{TEXTOID, false},
	{TEXTOID, false},
	{TEXTOID, false},
	{JSONBOID, false},
	{JSONBOID, false},
	{INT8OID, false},
};

static const Column key_columns[] = {
	{INT4OID, true},
	{TEXTOID, true},
	{INT8OID, true},
	{TIMESTAMPTZOID, false},
	{TIMESTAMPTZOID, false},
	{TIMESTAMPTZOID, false},
};

static const Column start_limit_columns[] = {
	{TIMESTAMPTZOID, true},
	{INT8OID, true},
};

static const Column prerequisite_columns[] = {
	{INT8OID, true},
	{INT8OID, true},
	{InvalidOid, false},
};

static const Column waiting_columns[] = {
	{INT8OID, true},
	{TIMESTAMPTZOID, true},
	{TEXTOID, true},
	{INTERVALOID, false},
	{INTERVALOID, false},
};

static const Column attempt_columns[] = {
	{INT8OID, true},
	{INT4OID, true},
	{TIMESTAMPTZOID, true},
	{TIMESTAMPTZOID, true},
	{TEXTOID, false},
	{TEXTOID, false},
	{TEXTOID, false},
	{JSONBOID, false},
	{INT4OID, false},
	{JSONBOID, false},
	{BYTEAOID, false},
	{BOOLOID, false},
	{INTERVALOID, false},
	{JSONBOID, false},
};

static const Column history_columns[] = {
	{INT4OID, true},
	{INT8OID, true},
	{InvalidOid, true},
	{INT2OID, true},
	{BOOLOID, true},
	{INT4OID, true},
	{INT4OID, true},
	{TIMESTAMPTZOID, true},
	{TIMESTAMPTZOID, true},
	{TIMESTAMPTZOID, false},
	{TIMESTAMPTZOID, true},
	{TEXTOID, true},
	{TEXTOID, false},
	{TEXTOID, false},
	{TEXTOID, false},
	{INTERVALOID, false},
	{TEXTOID, false},
	{JSONBOID, false},
	{TEXTOID, false},
	{JSONBOID, false},
	{TEXTOID, false},
	{TEXTOID, false},
	{JSONBOID, false},
	{BYTEAOID, false},
	{INT4OID, false},
	{JSONBOID, false},
	{BYTEAOID, false},
	{BOOLOID, false},
	{INTERVALOID, false},
	{JSONBOID, false},
	{BOOLOID, false},
	{JSONBOID, false},
	{JSONBOID, false},
	{JSONBOID, false},
	{TEXTOID, false},
	{TEXTOID, false},
	{JSONBOID, false},
};

static const Column event_columns[] = {
	{INT8OID, true},
	{TIMESTAMPTZOID, true},
	{INT8OID, true},
	{XID8OID, false},
	{INT2OID, true},
	{TEXTOID, true},
	{JSONBOID, false},
	{INT4OID, false},
};

/* Columns that are missing here would have each row written as in an extended table. */
StaticAssertDecl(lengthof(task_columns) == TASK_COLUMNS, "all columns of task");
StaticAssertDecl(lengthof(lease_columns) == LEASE_COLUMNS, "all columns of lease");
StaticAssertDecl(lengthof(history_columns) == HISTORY_COLUMNS, "all columns of history");
StaticAssertDecl(lengthof(event_columns) == EVENT_COLUMNS, "all columns of events");

typedef struct Shape
{
	const char *name;
	const Column *columns;
	int ncolumns;
	int nindexes;      /* of tasks two of them are partial, see is_task_part() */
	const char *check; /* its only check constraint; NULL: it has none */
	bool appended;     /* C code inserts rows, and neither updates nor deletes them */
} Shape;

#define COLUMNS(columns) columns, lengthof(columns)

static const Shape shapes[] = {
	[TABLE_TASK] = {"task", COLUMNS(task_columns), 3, "task_priority", false},
	[TABLE_LEASE] = {"lease", COLUMNS(lease_columns), 1, NULL, false},
	[TABLE_KEY] = {"key", COLUMNS(key_columns), 2, NULL, false},
	[TABLE_START_LIMIT] = {"start_limit", COLUMNS(start_limit_columns), 1, NULL, false},
	[TABLE_PREREQUISITE] = {"prerequisite", COLUMNS(prerequisite_columns), 2, NULL, false},
	[TABLE_WAITING] = {"waiting", COLUMNS(waiting_columns), 1, NULL, false},
	[TABLE_ATTEMPT] = {"attempt", COLUMNS(attempt_columns), 1, NULL, true},
	[TABLE_HISTORY] = {"history_rest", COLUMNS(history_columns), 1, "history_priority", true},
	[TABLE_EVENT] = {"event_0", COLUMNS(event_columns), 3, NULL, true},
};

/* ---- what keeps a table from being written ------------------------------------------------ */

typedef enum FaultKind
{
	FAULT_NONE,
	FAULT_COLUMN,
	FAULT_GENERATED,
	FAULT_ACCESS_METHOD,
	FAULT_TRIGGER,
	FAULT_FOREIGN_KEY,
	FAULT_DEFERRABLE,
	FAULT_RULE,
	FAULT_ROW_SECURITY,
	FAULT_PUBLICATION
} FaultKind;

typedef struct Fault
{
	FaultKind kind;
	char name[NAMEDATALEN]; /* of what is at fault; may be empty */
} Fault;

/* %1$s is the table, %2$s the name. */
static const struct
{
	const char *message;
	const char *detail;
	const char *hint;
} fault_texts[] = {
	[FAULT_COLUMN] = {"column \"%2$s\" of table %1$s was changed",
					  "taskq cannot use the table with that column.",
					  "Give the column its former type, or restore a backup."},
	[FAULT_GENERATED] = {"virtual column \"%2$s\" of table %1$s cannot be computed",
						 "taskq writes the table without statements, and computes stored columns "
						 "only.",
						 "Drop the column, or create it as STORED."},
	[FAULT_ACCESS_METHOD] = {"table %1$s cannot be written with access method \"%2$s\"",
							 "taskq can only write tables of access method heap.",
							 "Change the access method of the table to heap."},
	[FAULT_TRIGGER] = {"trigger \"%2$s\" on table %1$s cannot run",
					   "taskq writes the table without statements, so triggers on it do not run.",
					   "Drop or disable the trigger."},
	[FAULT_FOREIGN_KEY] = {"foreign key \"%2$s\" on table %1$s cannot be checked",
						   "taskq writes the table without statements, so foreign keys are not "
						   "checked.",
						   "Drop the foreign key."},
	[FAULT_DEFERRABLE] = {"deferrable constraint \"%2$s\" on table %1$s cannot be checked",
						  "taskq checks constraints at once.",
						  "Drop the constraint, or create it as NOT DEFERRABLE."},
	[FAULT_RULE] = {"rule \"%2$s\" on table %1$s cannot be applied",
					"taskq writes the table without statements, so rules are not applied.",
					"Drop or disable the rule."},
	[FAULT_ROW_SECURITY] = {"row security of table %1$s is forced",
							"It would apply to taskq_owner, which writes the table.",
							"Turn it off: ALTER TABLE ... NO FORCE ROW LEVEL SECURITY."},
	[FAULT_PUBLICATION] = {"changes of table %1$s cannot be published",
						   "A publication needs columns that are not in the replica identity of "
						   "the table.",
						   "Restore the replica identity, or change the row filter or the columns "
						   "of the publication."},
};

/* The first fault that is found is the one that is told. */
static void
set_fault(Fault *fault, FaultKind kind, const char *name)
{
	if (fault->kind != FAULT_NONE)
		return;
	fault->kind = kind;
	strlcpy(fault->name, name != NULL ? name : "?", sizeof(fault->name));
}

static char *
fault_message(const Fault *fault, const char *table)
{
	char *qualified = psprintf("%s.%s", TASKQ_PRIVATE_SCHEMA, table);

	return psprintf(fault_texts[fault->kind].message, qualified, fault->name);
}

static void
raise_fault(const Fault *fault, Relation relation)
{
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_NOT_POSSIBLE),
			 errmsg("%s", fault_message(fault, RelationGetRelationName(relation))),
			 errdetail("%s", fault_texts[fault->kind].detail),
			 errhint("%s", fault_texts[fault->kind].hint)));
}

/* ---- looking at a table -------------------------------------------------------------------- */

/* What is known of a table. */
typedef struct Examined
{
	Oid relation; /* the key in "examined" */
	bool valid;
	int role; /* the session_replication_role for which it was looked at */
	TableState state;
	Fault fault;
} Examined;

static void
look_at_columns(Relation relation, const Shape *shape, Examined *e)
{
	TupleDesc desc = RelationGetDescr(relation);

	if (desc->natts != shape->ncolumns)
		e->state = TABLE_EXTENDED;
	if (desc->natts < shape->ncolumns)
		set_fault(&e->fault, FAULT_COLUMN, "?");
	for (int i = 0; i < Min(desc->natts, shape->ncolumns); i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		const Column *column = &shape->columns[i];

		if (att->attisdropped)
			set_fault(&e->fault, FAULT_COLUMN, psprintf("number %d", i + 1));
		if (OidIsValid(column->type) && att->atttypid != column->type)
			set_fault(&e->fault, FAULT_COLUMN, NameStr(att->attname));
		if (att->attgenerated != '\0' || (att->attnotnull && !column->required))
			e->state = TABLE_EXTENDED;
	}
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attgenerated != '\0' && att->attgenerated != ATTRIBUTE_GENERATED_STORED)
			set_fault(&e->fault, FAULT_GENERATED, NameStr(att->attname));
	}
}

static void
look_at_checks(Relation relation, const Shape *shape, Examined *e)
{
	const TupleConstr *constr = RelationGetDescr(relation)->constr;

	for (int i = 0; constr != NULL && i < constr->num_check; i++)
	{
		if (shape->check == NULL || strcmp(constr->check[i].ccname, shape->check) != 0)
			e->state = TABLE_EXTENDED;
	}
}

/* Whether a trigger or rule that is so enabled takes effect in this session. */
static bool
takes_effect(char enabled)
{
	if (enabled == TRIGGER_DISABLED)
		return false;
	return enabled != (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA
						   ? TRIGGER_FIRES_ON_ORIGIN
						   : TRIGGER_FIRES_ON_REPLICA);
}

/* The extension's own trigger is for statements: see sql/72_duties.sql. */
static bool
trigger_matters(const Trigger *trigger, const Shape *shape)
{
	bool changes = TRIGGER_FOR_UPDATE(trigger->tgtype) || TRIGGER_FOR_DELETE(trigger->tgtype);

	return strcmp(trigger->tgname, "taskq_written") != 0 && takes_effect(trigger->tgenabled) &&
		   (TRIGGER_FOR_INSERT(trigger->tgtype) || (changes && !shape->appended));
}

static void
look_at_triggers(Relation relation, const Shape *shape, Examined *e)
{
	const TriggerDesc *triggers = relation->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (!trigger_matters(trigger, shape))
			continue;
		if (!trigger->tgisinternal)
			set_fault(&e->fault, FAULT_TRIGGER, trigger->tgname);
		else if (RI_FKey_trigger_type(trigger->tgfoid) != RI_TRIGGER_NONE)
			set_fault(&e->fault, FAULT_FOREIGN_KEY, get_constraint_name(trigger->tgconstraint));
		else
			set_fault(&e->fault, FAULT_DEFERRABLE, get_constraint_name(trigger->tgconstraint));
	}
}

/* palloc'd. */
static char *
rule_name(Oid rule)
{
	Relation catalog = table_open(RewriteRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	char *name = NULL;

	ScanKeyInit(&key, Anum_pg_rewrite_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(rule));
	scan = systable_beginscan(catalog, RewriteOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		name = pstrdup(NameStr(((Form_pg_rewrite) GETSTRUCT(tuple))->rulename));
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return name;
}

static void
look_at_rules(Relation relation, const Shape *shape, Examined *e)
{
	const RuleLock *rules = relation->rd_rules;

	for (int i = 0; rules != NULL && i < rules->numLocks; i++)
	{
		const RewriteRule *rule = rules->rules[i];

		if (takes_effect(rule->enabled) && (rule->event == CMD_INSERT || !shape->appended))
			set_fault(&e->fault, FAULT_RULE, rule_name(rule->ruleId));
	}
}

/*
 * Whether the predicate is that of task_dispatch or task_group, as created.  rows.c puts the
 * entries into these by itself.
 */
static bool
is_task_part(Oid index, Datum predicate)
{
	const char *name = get_rel_name(index);
	const NullTest *test = stringToNode(TextDatumGetCString(predicate));

	if (name == NULL || !IsA(test, NullTest) || !IsA(test->arg, Var) ||
		((const Var *) test->arg)->varattno != TASK_GROUP_ID_NUMBER)
		return false;
	return strcmp(name, test->nulltesttype == IS_NULL ? "task_dispatch" : "task_group") == 0;
}

/*
 * An index that is neither of expressions nor partial, and whose rows are checked at once.  The two
 * partial ones that the extension has created for tasks count as plain.
 */
static bool
index_is_plain(Oid index, PrivateTable table, Fault *fault)
{
	HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	Form_pg_index form;
	Datum predicate;
	bool whole;
	bool plain;

	if (!HeapTupleIsValid(tuple))
		return false; /* it is being dropped */
	form = (Form_pg_index) GETSTRUCT(tuple);
	if (!form->indimmediate)
		set_fault(fault, FAULT_DEFERRABLE, get_rel_name(index));
	predicate = SysCacheGetAttr(INDEXRELID, tuple, Anum_pg_index_indpred, &whole);
	plain = !form->indisexclusion && heap_attisnull(tuple, Anum_pg_index_indexprs, NULL) &&
			(whole || (table == TABLE_TASK && is_task_part(index, predicate)));
	ReleaseSysCache(tuple);
	return plain;
}

static void
look_at_indexes(Relation relation, PrivateTable table, Examined *e)
{
	List *indexes = RelationGetIndexList(relation);
	ListCell *cell;

	if (list_length(indexes) != shapes[table].nindexes)
		e->state = TABLE_EXTENDED;
	foreach (cell, indexes)
	{
		if (!index_is_plain(lfirst_oid(cell), table, &e->fault))
			e->state = TABLE_EXTENDED;
	}
	list_free(indexes);
}

/* Whether a statement would find that an update or delete cannot be published. */
static bool
cannot_be_published(Relation relation)
{
	PublicationDesc published;

	RelationBuildPublicationDesc(relation, &published);
	if (!published.rf_valid_for_update || !published.rf_valid_for_delete ||
		!published.cols_valid_for_update || !published.cols_valid_for_delete)
		return true;
	return (published.pubactions.pubupdate || published.pubactions.pubdelete) &&
		   relation->rd_rel->relreplident != REPLICA_IDENTITY_FULL &&
		   !OidIsValid(RelationGetReplicaIndex(relation));
}

/* Looks at an open and locked table. */
static Examined
look_at(Relation relation, PrivateTable table)
{
	const Shape *shape = &shapes[table];
	Form_pg_class form = relation->rd_rel;
	Examined e = {
		.relation = RelationGetRelid(relation),
		.valid = true,
		.role = SessionReplicationRole,
		.state = TABLE_AS_CREATED,
	};

	look_at_columns(relation, shape, &e);
	if (form->relkind == RELKIND_RELATION && form->relam != HEAP_TABLE_AM_OID)
		set_fault(&e.fault, FAULT_ACCESS_METHOD, get_am_name(form->relam));
	look_at_checks(relation, shape, &e);
	look_at_triggers(relation, shape, &e);
	look_at_rules(relation, shape, &e);
	look_at_indexes(relation, table, &e);
	if (form->relrowsecurity && form->relforcerowsecurity)
		set_fault(&e.fault, FAULT_ROW_SECURITY, "");
	if (XLogLogicalInfoActive() && !shape->appended && cannot_be_published(relation))
		set_fault(&e.fault, FAULT_PUBLICATION, "");
	if (e.fault.kind != FAULT_NONE)
		e.state = TABLE_REFUSED;
	return e;
}

/* ---- what is remembered --------------------------------------------------------------------- */

/* By relation: some tables, and several tables of history, are in use at a time. */
static HTAB *examined = NULL;

/* The last one of each kind that was asked for; nothing is ever removed from the hash table. */
static const Examined *recent[lengthof(shapes)];

/* How often a relation has changed, whichever. */
static uint64 changes = 0;

/* The tables that tables_require() has looked at. */
static Oid required[lengthof(shapes) + 1];
static uint64 required_changes = 1; /* how often one of them has changed */
static uint64 fit_as_of = 0;        /* all of them could be written then */
static int fit_role = 0;

static bool
is_required(Oid relation)
{
	for (int i = 0; i < (int) lengthof(required); i++)
	{
		if (required[i] == relation)
			return true;
	}
	return false;
}

static void
forget_examined(void)
{
	HASH_SEQ_STATUS all;
	Examined *e;

	hash_seq_init(&all, examined);
	while ((e = hash_seq_search(&all)) != NULL)
		e->valid = false;
}

static void
forget_relation(Datum arg, Oid relation)
{
	Examined *e = hash_search(examined, &relation, HASH_FIND, NULL);

	changes++;
	if (!OidIsValid(relation))
		forget_examined();
	else if (e != NULL)
		e->valid = false;
	if (!OidIsValid(relation) || is_required(relation))
		required_changes++;
}

static void
start_remembering(void)
{
	HASHCTL control = {.keysize = sizeof(Oid), .entrysize = sizeof(Examined)};

	if (examined != NULL)
		return;
	examined = hash_create("taskq examined tables", 16, &control, HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(forget_relation, (Datum) 0);
}

/* Looks again if something changed meanwhile. */
static const Examined *
examine(Relation relation, PrivateTable table)
{
	uint64 before;
	Examined now;
	Examined *e;

	do
	{
		CHECK_FOR_INTERRUPTS();
		before = changes;
		now = look_at(relation, table);
	} while (before != changes);
	e = hash_search(examined, &now.relation, HASH_ENTER, NULL);
	*e = now;
	return e;
}

static const Examined *
examination_of(Relation relation, PrivateTable table)
{
	Oid oid = RelationGetRelid(relation);
	const Examined *e = recent[table];

	if (e == NULL || e->relation != oid)
	{
		start_remembering();
		e = hash_search(examined, &oid, HASH_FIND, NULL);
	}
	if (e == NULL || !e->valid || e->role != SessionReplicationRole)
		e = examine(relation, table);
	recent[table] = e;
	return e;
}

TableState
table_state(Relation relation, PrivateTable table)
{
	const Examined *e = examination_of(relation, table);

	if (e->fault.kind == FAULT_COLUMN)
		raise_fault(&e->fault, relation);
	return e->state;
}

void
table_refuse(Relation relation, PrivateTable table)
{
	const Fault *fault = &examination_of(relation, table)->fault;

	if (fault->kind == FAULT_NONE)
		elog(ERROR, "table \"%s\" has changed during a call", RelationGetRelationName(relation));
	raise_fault(fault, relation);
}

/* ---- all tables ---------------------------------------------------------------------------- */

/* Calls see() with the table, which is only open meanwhile, unless its lock is not free. */
static bool
with_table(Oid oid, PrivateTable table, void (*see)(Relation, PrivateTable, void *arg), void *arg)
{
	Relation relation;

	if (!ConditionalLockRelationOid(oid, AccessShareLock))
		return false;
	relation = RelationIdGetRelation(oid);
	if (RelationIsValid(relation))
	{
		see(relation, table, arg);
		RelationClose(relation);
	}
	UnlockRelationOid(oid, AccessShareLock);
	return true;
}

static void
require(Relation relation, PrivateTable table, void *arg)
{
	const Examined *e = examination_of(relation, table);

	if (e->fault.kind != FAULT_NONE)
		raise_fault(&e->fault, relation);
}

/* The tables from which dated ones get their triggers are among them, the dated ones are not. */
static bool
require_all(void)
{
	bool all = true;

	for (int i = 0; i < (int) lengthof(shapes); i++)
	{
		required[i] = catalog_relation(shapes[i].name);
		all = with_table(required[i], i, require, NULL) && all;
	}
	required[lengthof(shapes)] = catalog_relation("history");
	return with_table(required[lengthof(shapes)], TABLE_HISTORY, require, NULL) && all;
}

void
tables_require(void)
{
	uint64 before = required_changes;

	if (fit_as_of == required_changes && fit_role == SessionReplicationRole)
		return;
	start_remembering();
	if (!require_all())
		return;
	fit_as_of = before;
	fit_role = SessionReplicationRole;
}

static void
return_fault(Relation relation, PrivateTable table, void *arg)
{
	ReturnSetInfo *rsinfo = arg;
	const Fault *fault = &examination_of(relation, table)->fault;
	bool nulls[3] = {false};
	Datum values[3];

	if (fault->kind == FAULT_NONE)
		return;
	values[0] = CStringGetTextDatum(fault_message(fault, RelationGetRelationName(relation)));
	values[1] = CStringGetTextDatum(fault_texts[fault->kind].detail);
	values[2] = CStringGetTextDatum(fault_texts[fault->kind].hint);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* For status(): message, detail and hint of each table that is refused. */
PG_FUNCTION_INFO_V1(taskq_table_faults);
Datum
taskq_table_faults(PG_FUNCTION_ARGS)
{
	Oid history = catalog_relation("history");
	ListCell *cell;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < (int) lengthof(shapes); i++)
		(void) with_table(catalog_relation(shapes[i].name), i, return_fault, fcinfo->resultinfo);
	(void) with_table(history, TABLE_HISTORY, return_fault, fcinfo->resultinfo);
	foreach (cell, find_inheritance_children(history, NoLock))
	{
		CHECK_FOR_INTERRUPTS();
		(void) with_table(lfirst_oid(cell), TABLE_HISTORY, return_fault, fcinfo->resultinfo);
	}
	return (Datum) 0;
}

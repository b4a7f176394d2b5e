/*
 * health.c
 *		What concerns the database as a whole and takes milliseconds to find out.
 *
 * The result is kept for a minute in shared memory, so that many readers of metrics cost no more
 * than one does.  Without shared memory each session keeps its own.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "base/sql.h"
#include "life/health.h"

#define KEPT_US (60 * USECS_PER_SEC)

/* A database. */
typedef struct HealthSlot
{
	HintEntry entry; /* its number is 0 */
	TimestampTz at;
	Health health;
} HealthSlot;

HintTable health_table = {
	.name = "taskq health",
	.entry_size = sizeof(HealthSlot),
	.ways = 4,
	.entries = 64,
};

static Statement select_health = {
	"select h.live_bytes, h.history_bytes, h.xmin_age, h.checks, h.oks "
	"from taskq_private.health() h",
	0,
	{0},
	NULL,
};

static void
fill_checks(Health *health, Datum names, Datum oks)
{
	Datum *name;
	Datum *ok;
	bool *nulls;
	int count;

	deconstruct_array(DatumGetArrayTypeP(names), TEXTOID, -1, false, TYPALIGN_INT, &name, &nulls,
					  &count);
	deconstruct_array(DatumGetArrayTypeP(oks), BOOLOID, sizeof(bool), true, TYPALIGN_CHAR, &ok,
					  &nulls, &count);
	health->nchecks = Min(count, MAX_CHECKS);
	for (int i = 0; i < health->nchecks; i++)
	{
		text_to_cstring_buffer(DatumGetTextPP(name[i]), health->checks[i].name, MAX_CHECK_NAME);
		health->checks[i].ok = DatumGetBool(ok[i]);
	}
}

static void
look_anew(Health *health)
{
	enum
	{
		LIVE_BYTES,
		HISTORY_BYTES,
		XMIN_AGE,
		CHECKS,
		OKS,
		NCOLUMNS,
	};
	Datum values[NCOLUMNS];
	bool nulls[NCOLUMNS];

	memset(health, 0, sizeof(Health));
	(void) sql_as_owner(&select_health, NULL, NULL, values, nulls, NCOLUMNS);
	health->live_bytes = DatumGetInt64(values[LIVE_BYTES]);
	health->history_bytes = DatumGetInt64(values[HISTORY_BYTES]);
	health->xmin_age = DatumGetInt64(values[XMIN_AGE]);
	fill_checks(health, values[CHECKS], values[OKS]);
}

void
health_read(Health *health)
{
	TimestampTz now = GetCurrentTimestamp();
	HealthSlot *s;
	bool known;

	hint_make_local(&health_table);
	s = (HealthSlot *) hint_make(&health_table, 0, NULL);
	known = s->at != 0 && now - s->at >= 0 && now - s->at < KEPT_US;
	s->entry.used_at = now;
	*health = s->health;
	hint_unlock(&health_table, &s->entry);
	if (known)
		return;
	look_anew(health);
	s = (HealthSlot *) hint_make(&health_table, 0, NULL);
	s->entry.used_at = s->at = now;
	s->health = *health;
	hint_unlock(&health_table, &s->entry);
}

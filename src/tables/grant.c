/*
 * grant.c
 *		Checks privileges on queues.
 *
 * A member of one of the extension's own roles has its privilege on every queue.  A member of
 * a role that was named in grant_queue() has the privilege on that queue.
 *
 * EXECUTE on a function is not enough, because the caller may have the privilege on other
 * queues only.  So the function checks it here, for the current user: then the result is
 * right after SET ROLE and behind a connection pooler too.
 *
 * A queue on which a caller has no privilege does not exist for it, and neither do the tasks of
 * such a queue: the caller cannot find out which queues and tasks exist.  If it has another
 * privilege on the queue than the one that it needs, that is an error of its own.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"

#include "base/errors.h"
#include "tables/grant.h"
#include "tables/queue.h"

#define ADMIN_ROLE "taskq_admin"

/* In the order of the bits PRIVILEGE_...; only taskq_admin controls every queue. */
static const char *const privilege_names[] = {"submit", "work", "view", "control"};
static const char *const privilege_roles[] = {
	"taskq_submitter",
	"taskq_worker",
	"taskq_reader",
	ADMIN_ROLE,
};

static bool
is_member(Oid user, const char *role)
{
	Oid oid = get_role_oid(role, true);

	return OidIsValid(oid) && has_privs_of_role(user, oid);
}

static bool
is_granted(Oid user, const Queue *queue, int privilege)
{
	for (int i = 0; i < queue->ngrantees[privilege]; i++)
	{
		if (has_privs_of_role(user, queue->grantees[privilege][i]))
			return true;
	}
	return false;
}

bool
queue_may(const Queue *queue, int privileges)
{
	Oid user = GetUserId();

	if (superuser_arg(user))
		return true;
	for (int i = 0; i < NPRIVILEGES; i++)
	{
		if ((privileges & (1 << i)) == 0)
			continue;
		if ((queue != NULL && is_granted(user, queue, i)) ||
			(queue != NULL && is_member(user, privilege_roles[i])))
			return true;
	}
	return is_member(user, ADMIN_ROLE) || is_member(user, TASKQ_OWNER_ROLE);
}

bool
queue_may_all(int privileges)
{
	Oid user = GetUserId();

	for (int i = 0; i < NPRIVILEGES; i++)
	{
		if ((privileges & (1 << i)) != 0 && is_member(user, privilege_roles[i]))
			return true;
	}
	return queue_may(NULL, privileges);
}

void
queue_require(const Queue *queue, int privileges)
{
	int first = 0;

	if (queue_may(queue, privileges))
		return;
	if (!queue_may(queue, PRIVILEGE_ANY))
		queue_refuse_unknown(queue->name);
	while ((privileges & (1 << first)) == 0)
		first++;
	ereport(ERROR,
			(errcode(ERRCODE_TASKQ_NOT_PERMITTED),
			 errmsg("permission denied for queue \"%s\"", queue->name),
			 errdetail("Role \"%s\" does not have the privilege %s on it.",
					   GetUserNameFromId(GetUserId(), false), privilege_names[first]),
			 errhint("An administrator can grant it with taskq.grant_queue().")));
}

PG_FUNCTION_INFO_V1(taskq_visible);
Datum
taskq_visible(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(queue_may(queue_of_row(PG_GETARG_TEXT_PP(0)), PRIVILEGE_VIEW));
}

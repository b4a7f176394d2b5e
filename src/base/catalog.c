/*
 * catalog.c
 *		The extension's own relations, by name.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "utils/lsyscache.h"

#include "base/catalog.h"

Oid
catalog_find_relation(const char *name)
{
	Oid namespace = get_namespace_oid(TASKQ_PRIVATE_SCHEMA, true);

	return OidIsValid(namespace) ? get_relname_relid(name, namespace) : InvalidOid;
}

Oid
catalog_relation(const char *name)
{
	Oid relation = catalog_find_relation(name);

	if (!OidIsValid(relation))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"%s.%s\" does not exist", TASKQ_PRIVATE_SCHEMA, name),
				 errdetail("The extension taskq was dropped or is damaged."),
				 errhint("Run CREATE EXTENSION taskq.")));
	return relation;
}

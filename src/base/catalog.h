/*
 * catalog.h
 *		The extension's own relations, by name.
 */
#ifndef TASKQ_CATALOG_H
#define TASKQ_CATALOG_H

/* The schema of all tables, sequences and private functions. */
#define TASKQ_PRIVATE_SCHEMA "taskq_private"

/* The relation of that name in the extension's schema; InvalidOid if there is none. */
extern Oid catalog_find_relation(const char *name);

/* The same; 42P01 if there is none. */
extern Oid catalog_relation(const char *name);

#endif

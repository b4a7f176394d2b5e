/*
 * group_id.h
 *		The number of a group.
 */
#ifndef TASKQ_GROUP_ID_H
#define TASKQ_GROUP_ID_H

/* The number of the group with that key; never 0. */
extern int64 group_id_of(const text *key);

#endif

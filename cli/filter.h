/*
 * filter.h
 *		The options that choose tasks: what ls, cancel and tail have in common.
 */
#ifndef CLI_FILTER_H
#define CLI_FILTER_H

#include "cli/input.h"

/* They are parameters of find_tasks(). */
#define FILTER_OPTIONS                                                                           \
	{'s', "state", "STATE,...", "only tasks in these "                                           \
								"states",                                                        \
	 "states", "taskq.state[]", cli_array},                                                      \
		{0, "kind", "KIND", "only tasks of this kind", "kind", NULL, NULL},                      \
		{0, "key", "KEY", "only tasks with this key", "key", NULL, NULL},                        \
		{0, "group-key", "GROUP", "only tasks of this group", "group_key", NULL, NULL},          \
		{0, "key-prefix", "TEXT", "only tasks whose key begins so", "key_prefix", NULL, NULL},   \
		{0, "payload", "JSON", "only tasks whose payload contains this", "payload", NULL, NULL}, \
		{0, "error", "REGEX", "only tasks with such an error", "error", NULL, NULL},             \
		{0, "class", "CLASS", "only tasks with a failed attempt of this "                        \
							  "class",                                                           \
		 "class", NULL, NULL},                                                                   \
		{0, "worker", "WORKER", "only tasks of this worker", "worker", NULL, NULL},              \
		{0, "since", "TIME", "only tasks submitted at that time or later", "since", NULL, NULL}, \
	{                                                                                            \
		0, "until", "TIME", "only tasks submitted before that time", "until", NULL, NULL         \
	}

/* For those that search. */
#define SCAN_OPTION                                                                          \
	{                                                                                        \
		0, "scan", "N", "how many tasks are looked at (default: 100000)", "scan", NULL, NULL \
	}

#endif

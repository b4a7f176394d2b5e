/*
 * style.h
 *		Headers that handlers written for other systems read.
 */
#ifndef TASKQ_STYLE_H
#define TASKQ_STYLE_H

#include "life/acquire.h"
#include "nodes/pg_list.h"
#include "tables/queue.h"

#define STYLE_MAX_LINES 7

/*
 * The lines of the header style of the queue for a claimed task, at most STYLE_MAX_LINES: a list
 * of strings "Name: value", palloc'd.
 */
extern List *style_lines(const Queue *queue, const Claim *claim);

#endif

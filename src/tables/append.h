/*
 * append.h
 *		Rows of tables that C code only appends to: attempts and history.
 */
#ifndef TASKQ_APPEND_H
#define TASKQ_APPEND_H

#include "tables/attached.h"
#include "tables/extended.h"

/* Appends a row to the table, which is open for writing.  TQ009 if the table is refused. */
extern void append_row(Relation relation, PrivateTable table, const OwnColumns *own);

#endif

/*
 * append.c
 *		Rows of tables that C code only appends to: attempts and history.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/indexing.h"

#include "tables/append.h"
#include "tables/rows.h"

static void
append_directly(Relation relation, const OwnColumns *own)
{
	HeapTuple tuple = form_tuple(relation, own->values, own->nulls);

	CatalogTupleInsert(relation, tuple);
	heap_freetuple(tuple);
}

void
append_row(Relation relation, PrivateTable table, const OwnColumns *own)
{
	ItemPointerData tid;

	switch (table_state(relation, table))
	{
		case TABLE_AS_CREATED:
			append_directly(relation, own);
			break;
		case TABLE_EXTENDED:
			extended_insert(relation, NULL, own, &tid);
			break;
		case TABLE_REFUSED:
			table_refuse(relation, table);
	}
}

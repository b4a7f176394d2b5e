/*
 * jsontext.c
 *		How long a jsonb is as text, without writing it.
 *
 * What a jsonb costs is its text, because that is what clients, requests and dumps get.
 * It can be far longer than the jsonb: 1e131071 takes 16 bytes, and 131072 as text.  And a
 * control character takes six.
 *
 * So that this costs next to nothing, it has three steps.  A jsonb that is so small that
 * no jsonb of its size has a text over the limit is not looked at.  Else its entries are
 * added up, with every string as if it had nothing but control characters.  Only if that sum
 * exceeds the limit are the strings read.
 *
 * The layouts of a jsonb and of a numeric are those in which the server stores them on disk, so
 * they are the same in all versions.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "base/jsontext.h"

/* What a numeric's text has at most, and the bytes that one takes at least, with its entry. */
#define MAX_NUMERIC_TEXT (1 + (PG_INT16_MAX + 1) * DIGITS_OF_A_WORD + 1 + MAX_SCALE)
#define MIN_NUMERIC_SIZE 12

/* ---- numerics ------------------------------------------------------------------------ */

/*
 * A numeric is a header, the weight of its first word (in the long form apart from the
 * header), and words of four decimal digits.  See utils/adt/numeric.c.
 */
#define DIGITS_OF_A_WORD 4
#define MAX_SCALE        0x3fff

typedef struct NumericHead
{
	bool negative;
	int scale;  /* digits behind the point that are shown */
	int weight; /* words before the point, less one */
	int first;  /* the first word; 0 if there is none */
} NumericHead;

static uint16
word_at(const char *at)
{
	uint16 word;

	memcpy(&word, at, sizeof(word));
	return word;
}

/* False for NaN and infinity, which a jsonb has not. */
static bool
read_head(const struct varlena *numeric, NumericHead *head)
{
	const char *data = VARDATA_ANY(numeric);
	int words = VARSIZE_ANY_EXHDR(numeric) / sizeof(uint16);
	uint16 flags = words > 0 ? word_at(data) : 0;
	int used = 1;

	if ((flags & 0xc000) == 0xc000)
		return false;
	if ((flags & 0x8000) != 0)
	{
		head->negative = (flags & 0x2000) != 0;
		head->scale = (flags & 0x1f80) >> 7;
		head->weight = (flags & 0x0040) != 0 ? (int) (flags & 0x003f) - 64 : flags & 0x003f;
	}
	else
	{
		head->negative = (flags & 0x4000) != 0;
		head->scale = flags & MAX_SCALE;
		head->weight = words > 1 ? (int16) word_at(data + sizeof(uint16)) : 0;
		used = 2;
	}
	head->first = words > used ? word_at(data + used * sizeof(uint16)) : 0;
	return true;
}

static Size
numeric_text_size(const struct varlena *numeric)
{
	NumericHead head;
	Size size = 1; /* zero, or what stands before the point of a fraction */

	if (!read_head(numeric, &head))
		return strlen("-Infinity");
	if (head.weight >= 0 && head.first > 0)
		size = (head.weight + 1) * DIGITS_OF_A_WORD - (head.first < 10) - (head.first < 100) -
			   (head.first < 1000);
	return head.negative + size + (head.scale > 0 ? 1 + head.scale : 0);
}

/* ---- strings ------------------------------------------------------------------------- */

#define MAX_ESCAPE 6 /* \u001f */

static int
escaped_size(unsigned char c)
{
	switch (c)
	{
		case '\b':
		case '\f':
		case '\n':
		case '\r':
		case '\t':
		case '"':
		case '\\':
			return 2;
		default:
			return c < ' ' ? MAX_ESCAPE : 1;
	}
}

static Size
string_text_size(const char *string, Size len, bool exact)
{
	Size size = 2; /* quotes */

	if (!exact)
		return size + len * MAX_ESCAPE;
	for (Size i = 0; i < len; i++)
		size += escaped_size(string[i]);
	return size;
}

/* ---- containers ---------------------------------------------------------------------- */

static Size container_text_size(const JsonbContainer *container, bool exact);

/* An entry that begins at this offset of its container's data, and has this length. */
static Size
entry_text_size(JEntry entry, const char *data, uint32 offset, uint32 len, bool exact)
{
	if (JBE_ISSTRING(entry))
		return string_text_size(data + offset, len, exact);
	if (JBE_ISNUMERIC(entry))
		return numeric_text_size((const struct varlena *) (data + INTALIGN(offset)));
	if (JBE_ISCONTAINER(entry))
		return container_text_size((const JsonbContainer *) (data + INTALIGN(offset)), exact);
	return JBE_ISBOOL_FALSE(entry) ? strlen("false") : strlen("true"); /* or null */
}

/* Brackets, and what stands between: ", " between elements or pairs, ": " in a pair. */
static Size
punctuation_size(const JsonbContainer *container)
{
	Size count = JsonContainerSize(container);
	Size size = 2 + (count > 0 ? (count - 1) * 2 : 0);

	if (JsonContainerIsScalar(container))
		return 0;
	return JsonContainerIsObject(container) ? size + count * 2 : size;
}

static Size
container_text_size(const JsonbContainer *container, bool exact)
{
	uint32 entries = JsonContainerSize(container) * (JsonContainerIsObject(container) ? 2 : 1);
	const char *data = (const char *) &container->children[entries];
	Size size = punctuation_size(container);
	uint32 offset = 0;

	check_stack_depth();
	for (uint32 i = 0; i < entries; i++)
	{
		JEntry entry = container->children[i];
		uint32 begin = offset;

		CHECK_FOR_INTERRUPTS();
		JBE_ADVANCE_OFFSET(offset, entry);
		size += entry_text_size(entry, data, begin, offset - begin, exact);
	}
	return size;
}

bool
jsonb_text_exceeds(Datum jsonb, Size max, Size *size)
{
	Size stored = toast_raw_datum_size(jsonb);
	Jsonb *value;

	*size = (stored / MIN_NUMERIC_SIZE + 1) * MAX_NUMERIC_TEXT;
	if (*size <= max)
		return false;
	value = DatumGetJsonbP(jsonb);
	*size = container_text_size(&value->root, false);
	if (*size > max)
		*size = container_text_size(&value->root, true);
	if (PointerGetDatum(value) != jsonb)
		pfree(value);
	return *size > max;
}

PG_FUNCTION_INFO_V1(taskq_json_fits);
Datum
taskq_json_fits(PG_FUNCTION_ARGS)
{
	Size size;

	PG_RETURN_BOOL(!jsonb_text_exceeds(PG_GETARG_DATUM(0), Max(PG_GETARG_INT32(1), 0), &size));
}

/*
 * reply.c
 *		A line from a command: what shall become of its task, or how far it is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/reply.h"
#include "cli/scan.h"

#define MAX_ID        20
#define MAX_RETRY_IN  (366.0 * 86400)
#define MAX_RELEASE   (36525.0 * 86400)
#define MAX_NUMBER    64
#define INTERVAL_SIZE 40

typedef enum Member
{
	ID,
	FINISH,
	FAIL,
	RELEASE,
	PROGRESS,
	DETAIL,
	RETRY_IN,
	PERMANENT,
	MESSAGE,
	NMEMBERS
} Member;

static const char *const names[NMEMBERS] = {
	"id", "finish", "fail", "release", "progress", "detail", "retry_in", "permanent", "message"};

/* The members of each verb beside itself and the id. */
static const struct
{
	Member member;
	cli_verb verb;
	unsigned may;
} verbs[] = {
	{FINISH, VERB_FINISH, 0},
	{FAIL, VERB_FAIL, 1 << DETAIL | 1 << RETRY_IN | 1 << PERMANENT},
	{RELEASE, VERB_RELEASE, 0},
	{PROGRESS, VERB_PROGRESS, 1 << MESSAGE},
};

typedef struct Members
{
	cli_slice values[NMEMBERS];
	unsigned given;
	bool wrong; /* a name that is unknown or stands twice */
} Members;

static void
take_member(void *arg, cli_slice name, cli_slice value)
{
	Members *m = arg;
	int i;

	for (i = 0; i < NMEMBERS; i++)
		if (cli_slice_is(name, names[i]))
			break;
	if (i == NMEMBERS || (m->given & 1u << i) != 0)
	{
		m->wrong = true;
		return;
	}
	m->values[i] = value;
	m->given |= 1u << i;
}

/* The verb, if there is one alone and all else goes with it. */
static cli_verb
verb_of(const Members *m)
{
	size_t i;

	for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
	{
		unsigned all = 1u << verbs[i].member | 1u << ID | verbs[i].may;

		if ((m->given & 1u << verbs[i].member) != 0)
			return (m->given & ~all) == 0 ? verbs[i].verb : VERB_NONE;
	}
	return VERB_NONE;
}

/* ---- values ------------------------------------------------------------------ */

static bool
read_text(cli_slice value, char **to)
{
	size_t len;

	if (value.text == NULL)
		return true;
	*to = cli_scan_string(value, &len);
	return *to != NULL;
}

static bool
read_json(cli_slice value, char **to)
{
	if (value.text == NULL)
		return true;
	*to = cli_slice_copy(value);
	return *to != NULL;
}

/* A number from 0 to max. */
static bool
read_number(cli_slice value, double max, double *number)
{
	char text[MAX_NUMBER];

	if (value.len >= sizeof(text) ||
		(*value.text != '-' && (*value.text < '0' || *value.text > '9')))
		return false;
	memcpy(text, value.text, value.len);
	text[value.len] = '\0';
	*number = strtod(text, NULL);
	return *number >= 0 && *number <= max;
}

static bool
read_seconds(cli_slice value, double max, char **interval)
{
	double seconds;

	if (value.text == NULL)
		return true;
	if (!read_number(value, max, &seconds) || (*interval = malloc(INTERVAL_SIZE)) == NULL)
		return false;
	snprintf(*interval, INTERVAL_SIZE, "%.6f s", seconds);
	return true;
}

/* The number itself, as it was written; null: no fraction. */
static bool
read_fraction(cli_slice value, char **to)
{
	double fraction;

	if (value.text == NULL || cli_slice_is(value, "null"))
		return true;
	return read_number(value, 1, &fraction) && read_json(value, to);
}

static bool
read_permanent(cli_slice value, bool *permanent)
{
	*permanent = cli_slice_is(value, "true");
	return value.text == NULL || *permanent || cli_slice_is(value, "false");
}

/* Digits, in quotes or not. */
static bool
read_id(cli_slice value, char **id)
{
	if (value.text == NULL)
		return true;
	if (*value.text == '"' && value.len >= 2)
		value = (cli_slice){value.text + 1, value.len - 2};
	if (value.len == 0 || value.len > MAX_ID || !read_json(value, id))
		return false;
	return strspn(*id, "0123456789") == value.len;
}

bool
cli_reply_read(const char *line, size_t len, cli_reply *reply)
{
	Members m = {.given = 0, .wrong = false};
	const cli_slice *v = m.values;

	memset(reply, 0, sizeof(*reply));
	if (!cli_scan(line, len, take_member, &m) || m.wrong)
		return false;
	reply->verb = verb_of(&m);
	if (reply->verb != VERB_NONE && read_id(v[ID], &reply->id) &&
		read_json(v[FINISH], &reply->result) && read_text(v[FAIL], &reply->error) &&
		read_json(v[DETAIL], &reply->detail) &&
		read_seconds(v[RETRY_IN], MAX_RETRY_IN, &reply->delay) &&
		read_seconds(v[RELEASE], MAX_RELEASE, &reply->delay) &&
		read_permanent(v[PERMANENT], &reply->permanent) &&
		read_fraction(v[PROGRESS], &reply->fraction) && read_text(v[MESSAGE], &reply->message))
		return true;
	cli_reply_free(reply);
	return false;
}

void
cli_reply_free(cli_reply *reply)
{
	free(reply->id);
	free(reply->result);
	free(reply->error);
	free(reply->detail);
	free(reply->delay);
	free(reply->fraction);
	free(reply->message);
	memset(reply, 0, sizeof(*reply));
}

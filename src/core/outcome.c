/*
 * outcome.c
 *		What an HTTP exchange means for its task: pure functions.
 *
 * Dates are read by hand because strptime() follows the locale, which differs between
 * processes of a server.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "core/outcome.h"

static const char *const class_names[] = {
	[TQ_CLASS_HTTP] = "http",
	[TQ_CLASS_DNS] = "dns",
	[TQ_CLASS_CONNECT] = "connect",
	[TQ_CLASS_TLS] = "tls",
	[TQ_CLASS_TIMEOUT] = "timeout",
	[TQ_CLASS_RESET] = "reset",
	[TQ_CLASS_TOO_LARGE] = "too_large",
	[TQ_CLASS_PROTOCOL] = "protocol",
	[TQ_CLASS_EGRESS_DENIED] = "egress_denied",
	[TQ_CLASS_INVALID] = "invalid",
	[TQ_CLASS_CANCELLED] = "cancelled",
	[TQ_CLASS_STOPPED] = "stopped",
	[TQ_CLASS_INTERNAL] = "internal",
};

#define NCLASSES ((int) (sizeof(class_names) / sizeof(class_names[0])))

const char *
tq_class_name(tq_class cls)
{
	return class_names[(unsigned) cls < NCLASSES ? cls : TQ_CLASS_INTERNAL];
}

tq_class
tq_class_of_name(const char *name)
{
	int cls;

	for (cls = 0; cls < NCLASSES; cls++)
		if (strcmp(name, class_names[cls]) == 0)
			return (tq_class) cls;
	return TQ_CLASS_INTERNAL;
}

tq_class
tq_class_of_curl(int curlcode)
{
	switch (curlcode)
	{
		case CURLE_COULDNT_RESOLVE_HOST:
		case CURLE_COULDNT_RESOLVE_PROXY:
			return TQ_CLASS_DNS;
		case CURLE_COULDNT_CONNECT:
		case CURLE_INTERFACE_FAILED:
			return TQ_CLASS_CONNECT;
		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_SSL_ENGINE_NOTFOUND:
		case CURLE_SSL_ENGINE_SETFAILED:
		case CURLE_SSL_ENGINE_INITFAILED:
		case CURLE_SSL_CERTPROBLEM:
		case CURLE_SSL_CIPHER:
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_CRL_BADFILE:
		case CURLE_SSL_ISSUER_ERROR:
		case CURLE_SSL_SHUTDOWN_FAILED:
		case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
		case CURLE_SSL_INVALIDCERTSTATUS:
		case CURLE_SSL_CLIENTCERT:
		case CURLE_USE_SSL_FAILED:
			return TQ_CLASS_TLS;
		case CURLE_OPERATION_TIMEDOUT:
			return TQ_CLASS_TIMEOUT;
		case CURLE_SEND_ERROR:
		case CURLE_RECV_ERROR:
		case CURLE_GOT_NOTHING:
		case CURLE_PARTIAL_FILE:
			return TQ_CLASS_RESET;
		case CURLE_FILESIZE_EXCEEDED:
#if LIBCURL_VERSION_NUM >= 0x080600
		case CURLE_TOO_LARGE:
#endif
			return TQ_CLASS_TOO_LARGE;
		case CURLE_UNSUPPORTED_PROTOCOL: /* an answer without a status line: HTTP/0.9 */
		case CURLE_WEIRD_SERVER_REPLY:
		case CURLE_BAD_CONTENT_ENCODING:
		case CURLE_RANGE_ERROR:
		case CURLE_HTTP2:
		case CURLE_HTTP2_STREAM:
			return TQ_CLASS_PROTOCOL;
		case CURLE_URL_MALFORMAT:
			return TQ_CLASS_INVALID;
		case CURLE_ABORTED_BY_CALLBACK:
			return TQ_CLASS_CANCELLED;
		default:
			return TQ_CLASS_INTERNAL;
	}
}

tq_outcome
tq_outcome_of(tq_class cls, int status, const char *retry_after, int64_t now)
{
	tq_outcome outcome = {TQ_RETRY, -1};

	if (cls == TQ_CLASS_EGRESS_DENIED || cls == TQ_CLASS_INVALID)
		outcome.verdict = TQ_PERMANENT;
	if (cls != TQ_CLASS_HTTP)
		return outcome;

	if (status >= 200 && status <= 299)
		outcome.verdict = TQ_SUCCESS;
	else if (status == 410)
		outcome.verdict = TQ_PERMANENT;
	else if ((status == 429 || status == 503) && retry_after != NULL)
		outcome.retry_after_ms = tq_retry_after_parse(retry_after, now);
	return outcome;
}

tq_health
tq_health_of(tq_class cls, int status)
{
	if (status != 0)
		return status >= 500 || status == 429 ? TQ_HEALTH_BAD : TQ_HEALTH_GOOD;
	switch (cls)
	{
		case TQ_CLASS_DNS:
		case TQ_CLASS_CONNECT:
		case TQ_CLASS_TLS:
		case TQ_CLASS_TIMEOUT:
		case TQ_CLASS_RESET:
		case TQ_CLASS_PROTOCOL:
			return TQ_HEALTH_BAD;
		default:
			return TQ_HEALTH_UNKNOWN;
	}
}

static int64_t
clamp_seconds(int64_t seconds)
{
	const int64_t max = TQ_RETRY_AFTER_MAX_MS / 1000;

	if (seconds < 0)
		return 0;
	return (seconds < max ? seconds : max) * 1000;
}

/* 0 .. 11, or -1. */
static int
month_number(const char *name)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	int i;

	for (i = 0; i < 12; i++)
		if (strncmp(name, months + 3 * i, 3) == 0)
			return i;
	return -1;
}

/*
 * The three forms of RFC 9110, 5.6.7.  The name of the day is skipped,
 * because it follows from the date.
 */
static bool
scan_date(const char *s, struct tm *tm, char month[4], int64_t now)
{
	const char *comma = strchr(s, ',');
	int end = 0;

	/* Sun, 06 Nov 1994 08:49:37 GMT */
	if (comma != NULL &&
		sscanf(comma, ", %2d %3s %4d %2d:%2d:%2d GMT%n", &tm->tm_mday, month, &tm->tm_year,
			   &tm->tm_hour, &tm->tm_min, &tm->tm_sec, &end) == 6 &&
		end > 0)
		return comma[end] == '\0' && tm->tm_year >= 1000;

	/* Sunday, 06-Nov-94 08:49:37 GMT: a year that seems over 50 years ahead is past */
	end = 0;
	if (comma != NULL &&
		sscanf(comma, ", %2d-%3[A-Za-z]-%2d %2d:%2d:%2d GMT%n", &tm->tm_mday, month,
			   &tm->tm_year, &tm->tm_hour, &tm->tm_min, &tm->tm_sec, &end) == 6 &&
		end > 0)
	{
		time_t t = (time_t) now;
		struct tm today;
		int this_year = gmtime_r(&t, &today) ? today.tm_year + 1900 : 1970;

		tm->tm_year += this_year - this_year % 100;
		if (tm->tm_year > this_year + 50)
			tm->tm_year -= 100;
		return comma[end] == '\0';
	}

	/* Sun Nov  6 08:49:37 1994 */
	end = 0;
	return sscanf(s, "%*3[A-Za-z] %3s %2d %2d:%2d:%2d %4d%n", month, &tm->tm_mday,
				  &tm->tm_hour, &tm->tm_min, &tm->tm_sec, &tm->tm_year, &end) == 6 &&
		   end > 0 && s[end] == '\0' && tm->tm_year >= 1000;
}

static bool
parse_date(const char *s, int64_t now, int64_t *seconds)
{
	struct tm tm = {0};
	char month[4] = "";

	if (!scan_date(s, &tm, month, now))
		return false;
	tm.tm_mon = month_number(month);
	if (tm.tm_mon < 0 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour < 0 ||
		tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 || tm.tm_sec > 60)
		return false;
	tm.tm_year -= 1900;
	*seconds = (int64_t) timegm(&tm);
	return true;
}

int64_t
tq_retry_after_parse(const char *value, int64_t now)
{
	char text[64];
	size_t len;
	int64_t seconds = 0;
	size_t i;

	value += strspn(value, " \t");
	len = strlen(value);
	while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
		len--;
	if (len == 0)
		return -1;

	if (strspn(value, "0123456789") >= len)
	{
		for (i = 0; i < len && seconds <= TQ_RETRY_AFTER_MAX_MS; i++)
			seconds = seconds * 10 + (value[i] - '0');
		return clamp_seconds(seconds);
	}

	if (len >= sizeof(text))
		return -1;
	memcpy(text, value, len);
	text[len] = '\0';
	if (!parse_date(text, now, &seconds))
		return -1;

	/* Compared before it is subtracted: now comes from the caller and may have any value. */
	return seconds <= now ? 0 : clamp_seconds(seconds - (now > 0 ? now : 0));
}

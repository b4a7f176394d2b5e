/*
 * test_keepalive.c
 *		The header Keep-Alive, and for how long idle connections are used again.
 */
#include "core/keepalive.h"
#include "unit.h"

static void
test_values(void)
{
	static const struct
	{
		const char *value;
		int seconds;
	} cases[] = {
		{"timeout=5", 5},
		{"timeout=5, max=100", 5},
		{"max=100,TimeOut=7", 7},
		{"\t max=1 ,  timeout=0", 0},
		{"timeout=15", 15},
		{"timeout=16", TQ_IDLE_MAX_S},
		{"timeout=99999999999999999999999", TQ_IDLE_MAX_S},
		{"timeout=3x", 3},
		{"", -1},
		{",,, ,", -1},
		{"max=100", -1},
		{"timeout", -1},
		{"timeout=", -1},
		{"timeout=-5", -1},
		{"timeout= 5", -1},
		{"timeout=\"5\"", -1},
		{"xtimeout=5", -1},
		{"x timeout=5", -1},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_int(tq_keepalive_timeout(cases[i].value), cases[i].seconds, "\"%s\"", cases[i].value);
}

static void
test_receivers(void)
{
	static tq_keepalive k;

	is_int(tq_keepalive_idle_s(&k, "a.example", "80"), TQ_IDLE_MAX_S, "nothing is known");
	tq_keepalive_note(&k, "a.example", "80", 5);
	is_int(tq_keepalive_idle_s(&k, "a.example", "80"), 4, "a second less than was said");
	is_int(tq_keepalive_idle_s(&k, "a.example", "443"), TQ_IDLE_MAX_S, "not on another port");
	is_int(tq_keepalive_idle_s(&k, "b.example", "80"), TQ_IDLE_MAX_S, "nor by another host");
	tq_keepalive_note(&k, "a.example", "80", 1);
	is_int(tq_keepalive_idle_s(&k, "a.example", "80"), 0, "the last word holds");
	tq_keepalive_note(&k, "a.example", "80", 0);
	is_int(tq_keepalive_idle_s(&k, "a.example", "80"), 0, "and is never less than nothing");
	tq_keepalive_note(&k, "a.example", "80", TQ_IDLE_MAX_S);
	is_int(tq_keepalive_idle_s(&k, "a.example", "80"), TQ_IDLE_MAX_S, "nor more than the most");
}

int
main(void)
{
	test_values();
	test_receivers();
	return done();
}

# modules.mk
#		The modules of the core, for every Makefile that compiles them.

CORE = attempts buffer calendar circuit clock cron deliver egress every exchange gcra hosts http interfaces keepalive leftist links \
	names outcome protocol report request resolve response shortage signature style task text trace transfer url urls

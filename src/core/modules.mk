# modules.mk
#		The modules of the core, for every Makefile that compiles them.

CORE = attempts buffer circuit clock deliver egress exchange hosts http interfaces names outcome \
	protocol rate report request resolve response signature task text transfer url

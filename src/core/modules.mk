# modules.mk
#		The modules of the core, for every Makefile that compiles them.

CORE = buffer circuit clock deliver egress exchange hosts http interfaces names outcome protocol \
	rate request resolve response signature text transfer url

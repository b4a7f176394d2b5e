# modules.mk
#		The modules of the core, for every Makefile that compiles them.

CORE = buffer clock deliver egress exchange hosts http interfaces names outcome protocol \
	request resolve response signature transfer url

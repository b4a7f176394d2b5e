# Makefile
#		Builds, installs and tests taskq.
#
# all, install, installcheck and clean are PGXS's own; PG_CONFIG chooses the
# server.  test, test-all, test-versions, deb, dist, lint, demo, bench and soak work in private copies and need
# nothing prepared, so this file must be readable where no server headers are
# installed yet.
#
# Lists are explicit: what is built is what is named here.

EXTENSION = taskq
MODULE_big = taskq

# taskq.control is the only place where the version is written.
TASKQ_VERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" taskq.control)

include src/core/modules.mk

# The floors of src/README.md, the lowest first.
BASE = arg catalog database durability jsonmake function jsontext process settings shmem sql subxact xact zone
TABLES = append apply_config arming attached backlog dropped event_merge event_rows event_set extended flow_limit grant group_id group_scan key limit_calls prerequisite queue queue_calls rows \
	start_limit state subscribers token
HINTS = counts dispatch flow groups idle lanes leases listing looks offers own permits running sweep tallies wakeup
LIFE = acquire add_follow_up alone batch call call_claim cancel claim current_call due empty end events expire find finish follow_up group_stats health history kept lease \
	limits line look made_call metrics outcome pass pending prerequisites publish queue_stats reschedule result retry schedule serve status stream submit submit_call template times turns values wait wait_events
PUSH = accepted answer endpoint headers protocol report request signature style submit_http
PROCESS = call_segment caller calls clock_watch duties executor failures hear identity launcher notify quiet requests run_call start_stop stepaside store tell transaction vacuum

OBJS = $(CORE:%=src/core/%.o) $(BASE:%=src/base/%.o) $(TABLES:%=src/tables/%.o) $(HINTS:%=src/hints/%.o) \
	$(LIFE:%=src/life/%.o) $(PUSH:%=src/push/%.o) $(PROCESS:%=src/process/%.o) src/taskq.o

# In the order in which they become the install script.
SQL_PARTS = $(SQL:%=sql/%.sql)
SQL = 10_roles 20_tables 25_arguments 30_retry 40_queues 47_limits 50_tasks 52_results 54_templates 56_topics 57_events 58_calls 60_endpoints \
	62_push 64_gateway 70_executor 72_duties 74_arming 76_schedules 80_views 82_status 84_config 86_metrics 90_grants

# test/sql/NAME.sql, test/specs/NAME.spec, test/t/NAME.pl, test/unit/NAME.c, test/fuzz/NAME.c
# The first ones have the names of the SQL parts.
REGRESS = parallel roles tables retry queues limits tasks results templates follow_ups prerequisites topics events calls endpoints push gateway trace styles accepted executor duties arming schedules views status config metrics grants \
	arguments attached batch composition groups one_transaction keys transitions properties history stats
ISOLATION = acquire_acquire acquire_cancel administrator finish_expire lease_places isolation_levels submit_key retry_retry push_claim \
	apply_apply pairs_pending pairs_running pairs_ended reschedule_redrive follow_up_end prerequisite_end subscribe_drop permits ordered accepted_finish
TAP = 001_delivery 002_leases 003_crash 004_shutdown 005_extension 006_databases 007_no_preload \
	008_idle 009_standby 010_dump 011_wait 012_concurrency 013_docs 014_bystanders 015_sessions \
	016_pooler 017_prepared 018_history_reader 019_dispatch 021_durability 022_notify 023_chaos 024_vacuum \
	025_worker 026_tls 027_egress 028_endpoints 029_faults 030_secrets 031_encodings 032_refused 035_expiry 036_failures \
	037_shortage 038_connections 040_attached 041_publication 042_odd_tasks 043_drop 044_copies 045_stop 047_requests 048_composition 049_follow_ups \
	050_schedules 051_cli 052_cli_worker 053_flow 054_perfectqueue 055_serve 056_dashboard 057_accepted 058_metrics 059_receive 060_gateway \
	061_events 062_event_programs 063_calls 064_calls_security 065_prerequisites 066_pg_net 067_guides 068_examples 069_call_values 070_nat
# Of TAP those that keep every core busy, and those that do not and may measure time: see scripts/suites.sh.
LOUD = 012_concurrency 023_chaos 053_flow 061_events
QUIET = $(filter-out $(LOUD),$(TAP))
FUZZ = url header retry_after egress secret cron reply yaml document query
UNIT = test_buffer test_egress test_outcome test_names test_url test_request test_signature test_resolve test_http test_hosts \
	test_deliver test_keepalive test_protocol test_gcra test_leftist test_circuit test_text test_trace test_style test_task test_cron test_every \
	test_meter test_scan test_reply test_work test_child test_exposition test_serve

# taskq_net: the functions of pg_net, an extension of its own in SQL.
DATA_built = $(EXTENSION)--$(TASKQ_VERSION).sql taskq_net--$(TASKQ_VERSION).sql taskq_net.control
# Installed, and loaded by those who want it: see docs/perfectqueue.md.
DATA = sql/taskq-perfectqueue.sql
REGRESS_OPTS = --inputdir=test --load-extension=$(EXTENSION)
ISOLATION_OPTS = --inputdir=test --outputdir=. --load-extension=$(EXTENSION)
PROVE_TESTS = $(TAP:%=test/t/%.pl)
ifneq ($(TAP),)
TAP_TESTS = 1
endif

CURL_CFLAGS := $(shell pkg-config --cflags libcurl libcares libidn2 2>/dev/null)
CURL_LIBS := $(shell pkg-config --libs libcurl libcares libidn2 2>/dev/null || echo -lcurl -lcares -lidn2)
CRYPTO_LIBS := $(shell pkg-config --libs libcrypto 2>/dev/null || echo -lcrypto)
WARNINGS = -Wall -Wextra -Wno-unused-parameter
DEFINES = -DTASKQ_VERSION='"$(TASKQ_VERSION)"'

# The server's headers are searched as system headers: they are not ours to warn about.
PG_CPPFLAGS = -I$(srcdir)/src $(CURL_CFLAGS) $(DEFINES) -isystem $(includedir_server)
PG_CFLAGS = -std=gnu11 $(WARNINGS) -MMD -MP
SHLIB_LINK = $(CURL_LIBS)
SHLIB_EXPORTS = exports.txt

EXTRA_CLEAN = $(OBJS:.o=.d) results output_iso regression.diffs regression.out build META.json

PG_CONFIG = pg_config
PGXS := $(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null))

ifneq ($(PGXS),)
include $(PGXS)
PG_PROVE_FLAGS += -I test/lib
else
all install installcheck:
	@echo "The server headers are missing: install postgresql-server-dev-NN, or set PG_CONFIG." >&2; exit 1
clean:
	rm -rf $(EXTRA_CLEAN)
srcdir = .
endif

$(EXTENSION)--$(TASKQ_VERSION).sql: $(SQL_PARTS)
	cat $^ > $@

taskq_net--$(TASKQ_VERSION).sql: sql/taskq_net.sql
	cat $< > $@

taskq_net.control: taskq_net.control.in taskq.control
	sed 's/@VERSION@/$(TASKQ_VERSION)/' $< > $@

# For PGXN, which wants versions of three numbers; not part of all.
PGXN_VERSION = $(TASKQ_VERSION)$(if $(word 3,$(subst ., ,$(TASKQ_VERSION))),,.0)
META.json: META.json.in taskq.control
	sed 's/@VERSION@/$(PGXN_VERSION)/' $< > $@

$(OBJS): taskq.control
$(CORE:%=src/core/%.o): override CFLAGS += -fvisibility=hidden
-include $(OBJS:.o=.d)

# ---- unit tests: the core and pure parts of programs, without PostgreSQL ------

UNIT_DIR = build/unit
UNIT_CFLAGS = -O1 -g
UNIT_CC = $(CC) -std=gnu11 -D_GNU_SOURCE $(WARNINGS) $(UNIT_CFLAGS) -Isrc -I. -Itest/unit \
	$(CURL_CFLAGS) $(DEFINES)
PURE = cli/breaker cli/child cli/exposition cli/lines cli/meter cli/outcome cli/pattern cli/reply cli/scan cli/serve/query cli/serve/tokens cli/serve/waits cli/words client/array client/hooks client/json client/utf8
UNIT_OBJS = $(CORE:%=$(UNIT_DIR)/core/%.o) $(PURE:%=$(UNIT_DIR)/%.o) \
	$(UNIT_DIR)/unit.o $(UNIT_DIR)/server.o $(UNIT_DIR)/zone.o

unit: $(UNIT:%=$(UNIT_DIR)/%)

$(UNIT_DIR)/core/%.o: src/core/%.c
	@mkdir -p $(@D)
	$(UNIT_CC) -MMD -MP -c -o $@ $<

$(PURE:%=$(UNIT_DIR)/%.o): $(UNIT_DIR)/%.o: %.c
	@mkdir -p $(@D)
	$(UNIT_CC) -MMD -MP -c -o $@ $<

$(UNIT_DIR)/%.o: test/unit/%.c
	@mkdir -p $(@D)
	$(UNIT_CC) -MMD -MP -c -o $@ $<

$(UNIT:%=$(UNIT_DIR)/%): %: %.o $(UNIT_OBJS)
	$(UNIT_CC) -o $@ $^ $(CURL_LIBS) $(CRYPTO_LIBS)

-include $(UNIT_OBJS:.o=.d) $(UNIT:%=$(UNIT_DIR)/%.d)

# ---- fuzz targets: pure functions, for clang's libFuzzer ----------------------

FUZZ_DIR = build/fuzz
FUZZ_CORE = buffer calendar cron egress names outcome request signature text url
FUZZ_PURE = cli/document cli/jsondoc cli/keys cli/reply cli/scan cli/serve/query cli/serve/tokens cli/yaml cli/yamlevents client/json client/utf8
FUZZ_CC = clang -std=gnu11 -D_GNU_SOURCE $(WARNINGS) -O1 -g -fno-sanitize-recover=all -Isrc -I. -Itest/fuzz $(CURL_CFLAGS)

fuzz: $(FUZZ:%=$(FUZZ_DIR)/%)

$(FUZZ_DIR)/core/%.o: src/core/%.c
	@mkdir -p $(@D)
	$(FUZZ_CC) -fsanitize=fuzzer-no-link,address,undefined -c -o $@ $<

$(FUZZ_PURE:%=$(FUZZ_DIR)/%.o): $(FUZZ_DIR)/%.o: %.c
	@mkdir -p $(@D)
	$(FUZZ_CC) -fsanitize=fuzzer-no-link,address,undefined -c -o $@ $<

$(FUZZ_DIR)/%: test/fuzz/%.c test/fuzz/fuzz.h $(FUZZ_CORE:%=$(FUZZ_DIR)/core/%.o) $(FUZZ_PURE:%=$(FUZZ_DIR)/%.o)
	$(FUZZ_CC) -fsanitize=fuzzer,address,undefined -o $@ $< $(filter %.o,$^) $(CURL_LIBS) $(shell pkg-config --libs yaml-0.1 libcrypto)

# ---- the standalone side: see worker/ and cli/ --------------------------------

worker:
	@$(MAKE) -C worker PG_CONFIG=$(PG_CONFIG)

install-worker:
	@$(MAKE) -C worker PG_CONFIG=$(PG_CONFIG) install

uninstall-worker:
	@$(MAKE) -C worker PG_CONFIG=$(PG_CONFIG) uninstall

cli:
	@$(MAKE) -C cli PG_CONFIG=$(PG_CONFIG)

install-cli:
	@$(MAKE) -C cli PG_CONFIG=$(PG_CONFIG) install

uninstall-cli:
	@$(MAKE) -C cli PG_CONFIG=$(PG_CONFIG) uninstall

.PHONY: worker install-worker uninstall-worker cli install-cli uninstall-cli

# ---- in private copies ------------------------------------------------------

test:
	@PG_CONFIG='$(PG_CONFIG)' scripts/test.sh

# The same, and the unit tests and the command line under sanitizers, the former under valgrind, too.
test-all:
	@PG_CONFIG='$(PG_CONFIG)' scripts/test.sh --all

# With each version of PostgreSQL that Debian has, in a Debian of its own; needs root.
test-versions:
	@DEBIAN='$(DEBIAN)' CACHE='$(CACHE)' scripts/test_versions.sh

# A site of the documentation, in build/site.
docs:
	@scripts/docs.sh

# Debian packages of what is committed, for each Debian, tried in another one; needs root.
deb:
	@DEBIAN='$(DEBIAN)' CACHE='$(CACHE)' scripts/deb.sh

# The archive for PGXN of what is committed, in build/dist, and an installation from it.
dist:
	@PG_CONFIG='$(PG_CONFIG)' scripts/dist.sh

lint:
	@PG_CONFIG='$(PG_CONFIG)' scripts/lint.sh

# Of each line in test/model/mutations.txt, or the one named by MUTATION=, that a
# test fails when it is changed.
mutations:
	@PG_CONFIG='$(PG_CONFIG)' test/model/mutations.sh $(MUTATION)

demo:
	@PG_CONFIG='$(PG_CONFIG)' KEEP='$(KEEP)' scripts/demo.sh

# Lists for the scripts: make -s print-REGRESS
print-%:
	@echo '$($*)'

BENCH = PG_CONFIG='$(PG_CONFIG)' SCENARIO='$(SCENARIO)' DURATION='$(DURATION)' QUICK='$(QUICK)' bench/bench.sh

bench:
	@$(BENCH)

# What takes long, once each.
soak:
	@$(BENCH) --soak
	@PG_CONFIG='$(PG_CONFIG)' DURATION='$(DURATION)' scripts/test.sh --soak

.PHONY: unit test test-all test-versions docs deb dist lint mutations demo bench soak

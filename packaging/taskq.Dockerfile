# The programs: taskq, with taskq work and taskq serve, and taskq-worker as taskq worker.
#
#	docker build -f packaging/taskq.Dockerfile -t taskq .
#	docker run --rm -e TASKQ_DATABASE=postgresql://app@db/app taskq status

FROM debian:trixie-slim AS build
COPY . /usr/src/taskq
RUN PG_MAJOR=17 /usr/src/taskq/packaging/install.sh build

FROM debian:trixie-slim
RUN --mount=type=bind,from=build,source=/packages,target=/packages \
	--mount=type=bind,source=packaging/install.sh,target=/install.sh \
	/install.sh programs
USER taskq
ENTRYPOINT ["taskq"]
CMD ["--help"]
# The database answers, and the role may ask it.
HEALTHCHECK --interval=30s --timeout=10s CMD taskq check --status preloaded >/dev/null || exit 1

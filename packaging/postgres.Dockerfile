# PostgreSQL with taskq, which it preloads.  A new database gets the extension.
#
#	docker build -f packaging/postgres.Dockerfile --build-arg PG_MAJOR=17 -t taskq-postgres .
#
# Everything else is as in the official image: https://hub.docker.com/_/postgres

ARG PG_MAJOR=17

FROM postgres:${PG_MAJOR}-trixie AS build
COPY . /usr/src/taskq
RUN /usr/src/taskq/packaging/install.sh build

FROM postgres:${PG_MAJOR}-trixie
RUN --mount=type=bind,from=build,source=/packages,target=/packages \
	--mount=type=bind,source=packaging/install.sh,target=/install.sh \
	/install.sh server
COPY packaging/initdb/ /docker-entrypoint-initdb.d/
CMD ["postgres", "-c", "shared_preload_libraries=taskq"]

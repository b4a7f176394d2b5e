//go:build ignore

// A worker with pgx: it writes a receipt for each paid order, exactly once.
// usage: go run worker.go QUEUE
// Connection: PGHOST, PGDATABASE and so on.  SIGTERM ends it, and gives its task back.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v4" // with v5 only this line differs
)

type task struct {
	id, token      int64
	order          *int64
	seconds, lease float64
}

var ctx = context.Background()

const acquire = `select id, token, (payload ->> 'order')::bigint, coalesce((payload ->> 'seconds')::float8, 0),
	extract(epoch from lease_until - clock_timestamp())::float8 from taskq.acquire($1, worker => $2)`

// work does the work, unless wanted ends.  Returns the receipt.
func work(wanted context.Context, t task) (string, error) {
	if t.order == nil {
		return "", errors.New("the payload has no order")
	}
	select {
	case <-wanted.Done():
		return "", wanted.Err()
	case <-time.After(time.Duration(t.seconds * 1e9)):
		return fmt.Sprintf("order %d is paid", *t.order), nil
	}
}

// keep keeps the lease.  It calls stop if the task was cancelled, or if the lease is or may be lost.
func keep(wanted context.Context, beats *pgx.Conn, t task, stop func(), silent chan<- struct{}) {
	defer close(silent)
	for cancelled := false; ; {
		select {
		case <-wanted.Done():
			return
		case <-time.After(time.Duration(t.lease / 3 * 1e9)):
		}
		err := beats.QueryRow(ctx, "select cancel_requested from taskq.heartbeat($1, $2)", t.id, t.token).Scan(&cancelled)
		if err != nil || cancelled { // pgx.ErrNoRows: the lease is lost
			stop()
		}
	}
}

func perform(stopping context.Context, db, beats *pgx.Conn, t task) (err error) {
	wanted, stop := context.WithCancel(stopping)
	silent := make(chan struct{})
	go keep(wanted, beats, t, stop, silent)
	text, failure := work(wanted, t)
	stop()
	<-silent
	if failure == nil {
		failure = db.BeginFunc(ctx, func(tx pgx.Tx) error { // v5: pgx.BeginFunc(ctx, db, ...)
			var ours bool
			err := tx.QueryRow(ctx, "select taskq.finish($1, $2, jsonb_build_object('text', $3::text))", t.id, t.token, text).Scan(&ours)
			if err == nil && ours { // otherwise the lease is lost: no effects
				_, err = tx.Exec(ctx, "insert into receipt values ($1, $2)", *t.order, text)
			}
			return err
		})
	}
	if errors.Is(failure, context.Canceled) {
		_, err = db.Exec(ctx, "select taskq.release($1, $2)", t.id, t.token)
	} else if failure != nil {
		_, err = db.Exec(ctx, "select taskq.fail($1, $2, $3)", t.id, t.token, failure.Error())
	}
	return err
}

func session(stopping context.Context, queue string) (err error) {
	var conns [2]*pgx.Conn // for the loop, and for the heartbeats
	for i := range conns {
		if conns[i], err = pgx.Connect(ctx, ""); err != nil {
			return err
		}
		defer conns[i].Close(ctx)
	}
	for db := conns[0]; err == nil && stopping.Err() == nil; {
		var t task
		err = db.QueryRow(ctx, acquire, queue, fmt.Sprintf("go %d", os.Getpid())).Scan(&t.id, &t.token, &t.order, &t.seconds, &t.lease)
		if errors.Is(err, pgx.ErrNoRows) {
			_, err = db.Exec(ctx, "call taskq.wait_ready($1, '5 s')", queue)
		} else if err == nil {
			err = perform(stopping, db, conns[1], t)
		}
	}
	return err
}

func main() {
	stopping, _ := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	for stopping.Err() == nil {
		if err := session(stopping, os.Args[1]); err != nil {
			log.Print(err)
			time.Sleep(time.Second)
		}
	}
}

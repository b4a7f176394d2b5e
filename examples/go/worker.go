// A worker with pgx: it writes a receipt for each paid order, exactly once.
// usage: go run worker.go QUEUE, with PGHOST, PGDATABASE and so on.  SIGTERM ends it, and gives its task back.
package main

import (
	"context"
	"errors"
	"fmt"
	"github.com/jackc/pgx/v4" // with v5 only this line differs
	"log"
	"math"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const acquire = `select id, token, (payload ->> 'order')::bigint, coalesce((payload ->> 'seconds')::float8, 0), extract(epoch from lease_until - clock_timestamp())::float8 from taskq.acquire($1, worker => $2)`

type task struct {
	id, token      int64
	order          *int64
	seconds, lease float64
}

var ctx, errStopped = context.Background(), errors.New("the work is not wanted any more")

// work does the work, in steps with a heartbeat after each.  Returns the receipt.
func work(stopping context.Context, db *pgx.Conn, t task) (string, error) {
	if t.order == nil {
		return "", errors.New("the payload has no order")
	}
	for end, cancelled := time.Now().Add(time.Duration(t.seconds*1e9)), false; time.Now().Before(end); {
		select {
		case <-stopping.Done():
			return "", errStopped
		case <-time.After(time.Duration(math.Min(t.lease/3, time.Until(end).Seconds()) * 1e9)):
		}
		err := db.QueryRow(ctx, "select cancel_requested from taskq.heartbeat($1, $2)", t.id, t.token).Scan(&cancelled)
		if err != nil { // pgx.ErrNoRows: the lease is lost
			return "", err
		} else if cancelled {
			return "", errStopped
		}
	}
	return fmt.Sprintf("order %d is paid", *t.order), nil
}

func perform(stopping context.Context, db *pgx.Conn, t task) error {
	text, failure := work(stopping, db, t)
	if failure == errStopped {
		_, err := db.Exec(ctx, "select taskq.release($1, $2)", t.id, t.token)
		return err
	}
	tx, err := db.Begin(ctx)
	if err != nil {
		return err
	}
	ours := false
	if failure == nil {
		failure = tx.QueryRow(ctx, "select taskq.finish($1, $2, jsonb_build_object('text', $3::text))", t.id, t.token, text).Scan(&ours)
	}
	if failure == nil && ours { // otherwise the lease is lost: no effects
		_, failure = tx.Exec(ctx, "insert into receipt values ($1, $2)", *t.order, text)
	}
	if failure == nil {
		return tx.Commit(ctx)
	}
	_ = tx.Rollback(ctx)
	_, err = db.Exec(ctx, "select taskq.fail($1, $2, $3)", t.id, t.token, failure.Error())
	return err
}

func session(stopping context.Context, queue string) error {
	db, err := pgx.Connect(ctx, "")
	if err != nil {
		return err
	}
	defer db.Close(ctx)
	for err == nil && stopping.Err() == nil {
		var t task
		err = db.QueryRow(ctx, acquire, queue, fmt.Sprintf("go %d", os.Getpid())).Scan(&t.id, &t.token, &t.order, &t.seconds, &t.lease)
		if errors.Is(err, pgx.ErrNoRows) {
			_, err = db.Exec(ctx, "call taskq.wait_ready($1, '5 s')", queue)
		} else if err == nil {
			err = perform(stopping, db, t)
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

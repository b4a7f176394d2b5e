#!/usr/bin/env ruby
# worker.rb: a worker with ruby-pg: it writes a receipt for each paid order, exactly once.
#
# usage: worker.rb QUEUE
#
# Connection: PGHOST, PGDATABASE and so on.  SIGTERM ends it, and gives its task back.

require 'json'
require 'pg'

QUEUE = ARGV.fetch(0)
ACQUIRE = <<~SQL
  select id, token, payload, extract(epoch from lease_until - clock_timestamp()) as lease
  from taskq.acquire($1, worker => $2)
SQL
$stopping = false

# The work is not wanted any more.
class Stopped < StandardError; end

# Keeps a lease in a thread with a connection of its own.  stop? is true if the task was
# cancelled, or if the lease is or may be lost.
class Heart
  def initialize(task)
    @done = false
    @stop = false
    @thread = Thread.new { beat(task['id'], task['token'], task['lease'].to_f / 3) }
  end

  def stop? = @stop

  def silence
    @done = true
    @thread.wakeup if @thread.alive?
    @thread.join
  rescue ThreadError
    nil
  end

  def beat(id, token, third)
    until @stop
      sleep third
      break if @done

      db ||= PG.connect
      row = db.exec_params('select cancel_requested from taskq.heartbeat($1, $2)', [id, token]).first
      @stop = row.nil? || row['cancel_requested'] == 't'
    end
  rescue PG::Error
    @stop = true
  ensure
    db&.close
  end
end

# The work, in steps.  Returns the receipt.
def work(payload, heart)
  finish = Process.clock_gettime(Process::CLOCK_MONOTONIC) + payload.fetch('seconds', 0)
  while Process.clock_gettime(Process::CLOCK_MONOTONIC) < finish
    raise Stopped if $stopping || heart.stop?

    sleep 0.05
  end
  "order #{payload.fetch('order')} is paid"
end

def perform(db, task)
  ids = [task['id'], task['token']]
  payload = JSON.parse(task['payload'])
  heart = Heart.new(task)
  text = work(payload, heart)
  db.transaction do
    ours = db.exec_params('select taskq.finish($1, $2, $3)', ids + [JSON.generate(text: text)]).getvalue(0, 0)
    raise PG::RollbackTransaction if ours == 'f' # the lease is lost: no effects

    db.exec_params('insert into receipt values ($1, $2)', [payload['order'], text])
  end
rescue Stopped
  db.exec_params('select taskq.release($1, $2)', ids)
rescue PG::ConnectionBad, PG::UnableToSend
  raise # no connection: the lease runs out
rescue StandardError => e
  db.exec_params('select taskq.fail($1, $2, $3)', ids + [e.message])
ensure
  heart&.silence
end

%w[TERM INT].each { |name| trap(name) { $stopping = true } }
until $stopping
  begin
    db = PG.connect
    until $stopping
      task = db.exec_params(ACQUIRE, [QUEUE, "ruby #{Process.pid}"]).first
      task ? perform(db, task) : db.exec_params('call taskq.wait_ready($1, $2)', [QUEUE, '5 s'])
    end
  rescue PG::Error => e
    warn e.message
    sleep 1
  end
end

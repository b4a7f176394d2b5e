# perfectqueue_run.rb
#		Runs the tasks of "perfectqueue --run": an instance of a class for each task, whose method run
#		does it.
#
# usage: ruby perfectqueue_run.rb SCRIPT CLASS SECONDS [ARGUMENT]...
#
# A command of taskq work that stays: it reads tasks as lines, and answers on descriptor 3, because
# the output is the script's.  The task is done in a thread of its own, so that kill can be called
# meanwhile, and again every SECONDS.

require 'json'
require 'time'

module TaskqPerfectQueue
  Task = Struct.new(:id, :created_at, :data)

  # Neither is the script's.
  TASKS = $stdin.dup
  TASKS.set_encoding('UTF-8')
  ANSWERS = IO.for_fd(3, 'w')
  ANSWERS.sync = true

  # The characters of a JSON string; of another payload its text, as the worker wrote it: it is the
  # last member of the object.
  def self.data_of(line, payload)
    return payload if payload.is_a?(String)

    line[(line.index(',"payload":') + ',"payload":'.length)...line.rindex('}}')]
  end

  def self.task_of(line, task)
    Task.new(task['key'] || task['id'], Time.iso8601(task['submitted_at']).to_i, data_of(line, task['payload']))
  end

  # The instance is made in the thread as well: its constructor may fail, too.
  def self.start(line, task, made)
    Thread.new do
      made[:run] = run = Object.const_get(CLASS_NAME).new(task_of(line, task))
      run.run
      ANSWERS.puts(JSON.generate(id: task['id'], finish: nil))
    rescue Exception => e # rubocop:disable Lint/RescueException
      ANSWERS.puts(JSON.generate(id: task['id'], fail: "#{e.class}: #{e.message}"))
    end
  end

  # An error of it is no reason not to call it again.
  def self.call_kill(run)
    run.kill if run.respond_to?(:kill)
  rescue StandardError => e
    warn("kill: #{e.class}: #{e.message}")
  end

  def self.kill(thread, made)
    Thread.new do
      while thread.alive?
        call_kill(made[:run])
        thread.join(INTERVAL)
      end
    end
  end

  def self.main
    thread = made = nil
    TASKS.each_line do |line|
      message = JSON.parse(line)
      if message['task']
        made = {}
        thread = start(line, message['task'], made)
      elsif thread
        kill(thread, made)
      end
    end
    thread&.join
  end
end

$stdin.reopen('/dev/null')
$stdout.sync = true
script = ARGV.shift
TaskqPerfectQueue::CLASS_NAME = ARGV.shift.delete_prefix('::')
TaskqPerfectQueue::INTERVAL = ARGV.shift.to_f
load File.expand_path(script)
TaskqPerfectQueue.main

#!/usr/bin/env ruby
# worker.rb
#		A worker in Ruby: one process does all tasks.
#
# usage: taskq work QUEUE --lines -- examples/worker.rb
#
# The payload is {"text": TEXT}; the result has the text in capitals.

require 'json'

$stdout.sync = true

# Returns the result.  An exception fails the attempt, which the retry policy repeats.
def work(task)
  { text: task['payload'].fetch('text').upcase }
end

def answer(task, what)
  puts JSON.generate({ id: task['id'] }.merge(what))
end

$stdin.each_line do |line|
  message = JSON.parse(line)
  task = message.is_a?(Hash) && message['task']
  next if !task && message.is_a?(Hash) && message['cancel'] # such short work is finished anyway
  abort 'this is a worker for taskq work --lines' unless task

  begin
    answer(task, progress: 0.5, message: 'half of it')
    answer(task, finish: work(task))
  rescue KeyError, NoMethodError, TypeError
    answer(task, fail: 'the payload has no text', permanent: true)
  rescue StandardError => e
    answer(task, fail: e.message)
  end
end

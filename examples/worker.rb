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
  task = JSON.parse(line)['task']
  next unless task # word of a cancel: such short work is finished anyway

  begin
    answer(task, progress: 0.5, message: 'half of it')
    answer(task, finish: work(task))
  rescue KeyError, NoMethodError, TypeError
    answer(task, fail: 'the payload has no text', permanent: true)
  rescue StandardError => e
    answer(task, fail: e.message)
  end
end

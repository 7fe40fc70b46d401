/** The file that runs inside a slot: it loads code, runs chunks and reports. */
import { isMainThread } from 'node:worker_threads'
import { Executor } from './executor.ts'
import { sayLastWords } from './last-words.ts'
import { NestedEngine } from './nested.ts'
import { captureOutput } from './output.ts'
import { type Port, threadPort } from './port.ts'
import { processPort } from './process-port.ts'
import { Programs } from './programs.ts'
import { installRuntime } from './runtime.ts'

const wire: Port = isMainThread ? processPort() : threadPort()
const output = captureOutput(wire)
// Whatever a task printed is with its owner before anything else that the slot says about it.
const port: Port = {
  ...wire,
  send(message) {
    if (message.type !== 'log') output.flush()
    wire.send(message)
  },
}
sayLastWords(port, output.flush)
const programs = new Programs()
const executor = new Executor(port, programs)
const nested = new NestedEngine(port, executor)
installRuntime(port, nested)

port.listen((message) => {
  switch (message.type) {
    case 'load':
      return programs.load(message.program)
    case 'unload':
      return programs.unload(message.program)
    case 'run':
      return executor.run(message)
    case 'abort':
      nested.abort(message.chunk, message.reason)
      return executor.abort(message.chunk, message.reason)
    case 'giveBack':
      return executor.giveBack(message.chunk)
    case 'nested':
      return nested.receive(message.message)
    case 'close':
      return port.close()
  }
})
port.send({ type: 'ready' })

/**
 * A node: the agent as `dicomp join` runs it, in a process of its own that can be killed. SIGTERM drains it.
 *
 * usage: node --import tsx test/chaos/node.ts <link> <name> <slots>
 */
import { Agent } from '../../src/node/agent.ts'

const [link = '', name = '', slots = '1'] = process.argv.slice(2)
const say = (event: object): void => console.log(JSON.stringify({ at: Date.now(), name, ...event }))

let leaving = false
let agent: Agent | undefined
process.on('SIGTERM', () => {
  leaving = true
  void agent?.drain()
})
// The server may be away when it starts, as with a service that is started again and again.
while (!agent && !leaving) {
  try {
    agent = await Agent.start(link, {
      name,
      slots: Number(slots),
      onEvent: (event) =>
        say(
          event.type === 'trouble' || event.type === 'refused'
            ? { type: event.type, error: String(event.error) }
            : event,
        ),
    })
    say({ type: 'id', node: agent.node })
  } catch (error) {
    say({ type: 'failed', error: String(error) })
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}
if (leaving) await agent?.drain()
const why = await agent?.ended
if (why) process.exitCode = 1
